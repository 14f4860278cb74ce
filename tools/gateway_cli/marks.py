"""A line that begins with a mark: ✓, ✗ or ?, or a word if the terminal cannot print them."""

import sys
from typing import Final

from gateway_cli.output import print_text

__all__ = ["print_marked"]

# The statuses of `environments check` and the verdicts of `environments certify`.
_MARKS: Final = {
    "ok": ("✓", "ok", "green"),
    "pass": ("✓", "pass", "green"),
    "failed": ("✗", "FAILED", "bold red"),
    "fail": ("✗", "FAIL", "bold red"),
    "unknown": ("?", "?", "yellow"),
    "skipped": ("-", "-", "dim"),
}


def print_marked(status: str, name: str, text: str, remedy: str, width: int) -> None:
    """Print a finding with its name, and the remedy, if any, on the next line."""
    mark, plain, style = _MARKS[status]
    print_text("  ", (mark if _can_print("✓✗") else plain, style), f" {name.ljust(width)}  {text}")
    if remedy:
        print_text(f"    {' ' * width}  ", (remedy, "italic"))


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
