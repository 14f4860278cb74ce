"""Output of the commands: tables for people and JSON for programs on stdout; notes and errors on stderr."""

import codecs
import io
import json
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 10_000  # columns: more than any table needs
_PLAIN: Final = {"✓": "ok", "✗": "FAILED", "○": "off", "◌": "shadow", "→": "->", "…": "...", "·": "-"}


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)


class Refused(click.ClickException):
    """The command did not do what it was asked; the text says why and what to do. Exit code 1."""

    exit_code = 1


def print_any_character() -> None:
    """Where the terminal's encoding lacks a character, print a plain word or its code, and no traceback."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    return _PLAIN.get(character) or ascii(character)[1:-1], error.start + 1


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout, folded to the width of a terminal; a pipe gets it unfolded.

    If the terminal is too narrow for the table, print each row as a block of lines.
    """
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  a tenth of a second, which -o json and errors do not pay
    from rich.table import Table  # noqa: PLC0415

    shown, rows = console(), list(rows)
    if not rows:
        return  # the command itself says that there is nothing
    whole = {number for number, name in enumerate(columns) if number == 0 or name.endswith("(UTC)")}
    widths = _least_widths(columns, rows, whole)
    if sum(widths) + 2 * (len(widths) - 1) > shown.width:
        _print_blocks(columns, rows)
        return
    table = Table(*columns, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for number, (column, least) in enumerate(zip(table.columns, widths, strict=True)):
        column.overflow = "fold"
        column.no_wrap = number in whole  # ids, which people copy, and dates
        column.min_width = least
    for row in rows:
        table.add_row(*row)
    shown.print(table)


def _least_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], whole: Collection[int]) -> list[int]:
    """Return the width that each column needs: the whole cell for those in `whole`, else the longest word.

    A word may be an identifier, and nobody can copy one that is broken in two.
    """
    return [
        max(
            len(part)
            for cell in cells
            for part in (cell.split("\n") if number in whole else cell.split() or [""])
        )
        for number, cells in enumerate(zip(columns, *rows, strict=True))
    ]


def _print_blocks(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    width = max(map(len, columns))
    for row in rows:
        for name, cell in zip(columns, row, strict=True):
            for line in cell.split("\n"):
                print_text((f"{name.ljust(width)}  ", "bold"), line)
        print_text("")


def print_text(*parts: str | tuple[str, str], style: str = "") -> None:
    """Print one line to stdout from parts with a style each; colour only on a terminal, never cut or folded.

    Without rich, whose import takes longer than an answer from AWS.
    """
    texts = "".join(_styled(*((part, style) if isinstance(part, str) else part)) for part in parts)
    # Not with click.echo, which would print UTF-8 to a terminal that has said that it reads ASCII.
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    sys.stdout.write(f"{texts if is_coloured else click.unstyle(texts)}\n")
    sys.stdout.flush()


def _styled(text: str, style: str) -> str:
    """Return a text with a style such as "bold red"; an event's control characters must not reach the terminal."""
    *more, last = style.split() or [""]
    attributes = {name: True for name in (*more, last) if name in _ATTRIBUTES}
    return click.style(
        text.translate(_VISIBLE), fg=None if last in _ATTRIBUTES else last or None, **attributes
    )


_ATTRIBUTES: Final = ("bold", "dim", "italic")
_VISIBLE: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), 127)}


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


def who(arn: str) -> str:
    """Return a short name for an ARN, `user/alice` without the account; other names stay as they are."""
    return arn.split(":", 5)[5] if arn.startswith("arn:") and arn.count(":") >= 5 else arn  # noqa: PLR2004


def console() -> "Console":
    """Return the console of stdout: the width of a terminal, and unfolded for a pipe."""
    from rich.console import Console  # noqa: PLC0415

    found = Console(markup=False, highlight=False, emoji=False)
    if found.is_terminal:
        return found
    return Console(markup=False, highlight=False, emoji=False, width=_WIDE)


def print_json(value: Any) -> None:
    """Print a JSON document to stdout."""
    click.echo(json.dumps(value, indent=2))


def print_progress(text: str) -> None:
    """Print the current step to stderr; on a terminal the line stays until `end_progress`."""
    click.echo(text, err=True, nl=not sys.stderr.isatty())


def end_progress() -> None:
    """Erase the line of `print_progress`."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[2K", err=True, nl=False)


def print_note(text: str) -> None:
    """Print a note to stderr that is not part of the result."""
    click.echo(text, err=True)
