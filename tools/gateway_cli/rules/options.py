"""Arguments and options that several commands of `mwaa-gateway rules` share, and their values."""

import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway_cli.output import print_note
from gateway_cli.rules.files import Mistake
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import Rule
from mwaa_gateway.rules.allow_lists import Namespaces

Command = TypeVar("Command", bound=Callable[..., Any])

paths_argument = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
rule_id_argument = click.argument("rule_id", metavar="ID")
by_option = click.option("--by", metavar="NAME", help="Who makes the change; default: the caller's ARN.")
commit_option = click.option(
    "--commit",
    metavar="SHA",
    help="The commit of the files, for the history; default: git's answer.",
)


def files_option(name: str, parameter: str, text: str, **more: Any) -> Callable[[Command], Command]:
    """Add a repeatable option whose values are paths."""
    settings: dict[str, Any] = {"metavar": "FILE|DIR", **more}
    return click.option(
        name, parameter, multiple=True, type=click.Path(path_type=Path), help=text, **settings
    )


vars_option = files_option(
    "--vars",
    "variable_files",
    "A file with the values of ${var.name}, as for one stage; repeatable, the last one wins.",
    metavar="FILE",
)


def now() -> datetime:
    """Return the time of a change."""
    return datetime.now(UTC)


def count(number: int, noun: str) -> str:
    """Return `1 rule`, `2 rules`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_mistakes(mistakes: Sequence[Mistake], output: str) -> None:
    """Print a line for each mistake to stderr, unless the JSON output contains them."""
    if output == "table":
        for mistake in mistakes:
            print_note(str(mistake))


def refuse_unless_allowed(rule: Rule, allow_lists: Namespaces) -> None:
    """Raise `InvalidRule` if the rule's namespace does not allow what it names."""
    problems = allow_lists.permits(rule)
    if problems:
        raise InvalidRule(rule.id, tuple(problems))


def commit_of(paths: Sequence[Path]) -> str:
    """Return the git commit of the files, with `-dirty` if they differ from it; "" outside of git."""
    folder = next((path if path.is_dir() else path.parent for path in paths), Path())
    files = [str(path.resolve()) for path in paths]
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return ""
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--", *files) else commit


def _git(folder: Path, *words: Any) -> str:
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), *words],  # noqa: S607 - the git that the person uses
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
