"""What the commands print: tables for people, JSON for programs; notes and errors go to stderr."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Refused", "output_option", "print_json", "print_note", "print_table", "print_text", "who"]

_WIDE = 10_000  # columns: more than any table needs


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)


class Refused(click.ClickException):
    """What was asked for was not done; the text says why and what to do. Exit code 1."""

    exit_code = 1


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout: folded to a terminal's width, but not where it is piped elsewhere."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  a tenth of a second, which -o json and errors do not pay
    from rich.table import Table  # noqa: PLC0415

    console = _console()
    table = Table(*columns, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name, column in zip(columns, table.columns, strict=True):
        column.overflow = "fold"
        column.no_wrap = name.endswith("(UTC)")  # a date in two is none
    table.columns[0].no_wrap = True  # the id, which people copy
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_text(*parts: str | tuple[str, str], style: str = "") -> None:
    """Print one line to stdout, its parts each with a style; colour only on a terminal, never cut or folded."""
    from rich.text import Text  # noqa: PLC0415

    _console().print(Text.assemble(*parts, style=style), soft_wrap=True)


def who(arn: str) -> str:
    """Return who an ARN stands for, as people say it: `user/alice` without the account; other names as they are."""
    return arn.split(":", 5)[5] if arn.startswith("arn:") and arn.count(":") >= 5 else arn  # noqa: PLR2004


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415

    console = Console(markup=False, highlight=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(markup=False, highlight=False, emoji=False, width=_WIDE)


def print_json(value: Any) -> None:
    """Print a JSON document to stdout."""
    click.echo(json.dumps(value, indent=2))


def print_note(text: str) -> None:
    """Tell a person something that is no part of the result."""
    click.echo(text, err=True)
