"""A line that begins with a mark: ✓, ✗, ? or -."""

from typing import Final

from gateway_cli.output import print_text

# The statuses of `environments check` and the verdicts of `environments certify`.
_MARKS: Final = {
    "ok": ("✓", "green"),
    "pass": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "fail": ("✗", "bold red"),
    "unknown": ("?", "yellow"),
    "skipped": ("-", "dim"),
}


def print_marked(status: str, name: str, text: str, remedy: str, width: int) -> None:
    """Print a finding with its name, and the remedy, if any, on the next line."""
    print_text("  ", _MARKS[status], f" {name.ljust(width)}  {text}")
    if remedy:
        print_text(f"    {' ' * width}  ", (remedy, "italic"))
