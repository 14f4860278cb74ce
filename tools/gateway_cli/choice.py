"""Choosing items (by filters, by id, or all), and reporting what was done with each."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import update_wrapper
from typing import Any, Final, Generic, Protocol, TypeVar

import click

from gateway_cli.output import Refused, print_json, print_note

_Command = Callable[..., None]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Stopped(Protocol):
    """An item to choose: a dead or held request, with the time and the reason."""

    @property
    def id(self) -> str:
        """What names it on the command line."""

    @property
    def rule_id(self) -> str | None:
        """Its rule; None if unknown."""

    @property
    def environment(self) -> str | None:
        """The environment of its run; None if it never became a request."""

    @property
    def reason(self) -> str:
        """The name of its reason."""

    @property
    def stopped_at(self) -> float:
        """When it became dead or held, in seconds since the epoch."""


class AnyFilters:
    """The filters of some kind of items; each is a field with a default that lets every item pass."""

    __slots__ = ()

    @property
    def any_given(self) -> bool:
        """Whether any filter is set."""
        return self != type(self)()


@dataclass(frozen=True, slots=True)
class Filters(AnyFilters):
    """Filters; an item must pass all that are set. Times are in seconds since the epoch."""

    rule: str | None = None
    environment: str | None = None
    reason: str | None = None
    before: float | None = None
    after: float | None = None

    def admit(self, one: Stopped) -> bool:
        """Return whether the item passes; one without a rule or environment never passes that filter."""
        wanted = (
            (self.rule, one.rule_id),
            (self.environment, one.environment),
            (self.reason, one.reason),
        )
        return (
            all(given is None or given == found for given, found in wanted)
            and (self.before is None or one.stopped_at < self.before)
            and (self.after is None or one.stopped_at > self.after)
        )


FilteredBy = TypeVar("FilteredBy", bound=AnyFilters)


@dataclass(frozen=True, slots=True)
class ChoiceBy(Generic[FilteredBy]):
    """The items to work on: those named, those that pass the filters, or all; at most `limit`, the oldest first.

    With `dry_run` the command only shows them.
    """

    ids: Sequence[str]
    filters: FilteredBy
    limit: int | None
    dry_run: bool


Choice = ChoiceBy[Filters]


class Age(click.ParamType):
    """A duration: 90s, 15m, 2h, 3d. Its value is in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; fails if the text is not a duration."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if match is None:
            self.fail(f"{value!r} is not a duration: write 90s, 15m, 2h or 3d", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])


dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what the command would work on.")


def filter_options(happened: str, example: str) -> Callable[[_Command], _Command]:
    """Add the filters to a command, as its argument `filters`; the help texts use `happened` and the reason `example`."""
    options = (
        click.option("--rule", metavar="ID", help="Only of this rule."),
        click.option("--environment", metavar="NAME", help="Only of this environment."),
        click.option("--reason", metavar="CLASS", help=f"Only with this reason, such as {example}."),
        click.option(
            "--older-than",
            type=Age(),
            metavar="AGE",
            help=f"Only those that {happened} longer ago than this: 15m, 2h, 3d.",
        ),
        click.option(
            "--newer-than", type=Age(), metavar="AGE", help=f"Only those that {happened} within this time."
        ),
    )

    def decorate(command: _Command) -> _Command:
        def filtered(
            rule: str | None,
            environment: str | None,
            reason: str | None,
            older_than: float | None,
            newer_than: float | None,
            **others: Any,
        ) -> None:
            now = time.time()
            filters = Filters(
                rule=rule,
                environment=environment,
                reason=reason,
                before=None if older_than is None else now - older_than,
                after=None if newer_than is None else now - newer_than,
            )
            command(filters=filters, **others)

        return _with_options(options, update_wrapper(filtered, command))

    return decorate


def choice_options(with_filters: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Add the choice to a command, as its argument `choice`: ids, those filters, --all, --limit and --dry-run.

    A command line without a choice, or with two, is refused.
    """
    options = (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        with_filters,
        click.option("--all", "everything", is_flag=True, help="All of them."),
        click.option("--limit", type=click.IntRange(1), help="At most this many, the oldest first."),
        dry_run_option,
    )

    def decorate(command: _Command) -> _Command:
        def chosen(
            *,
            ids: Sequence[str],
            filters: AnyFilters,
            everything: bool,
            limit: int | None,
            dry_run: bool,
            **others: Any,
        ) -> None:
            _refuse_no_choice(ids, filters, everything=everything)
            command(choice=ChoiceBy(ids, filters, limit, dry_run), **others)

        return _with_options(options, update_wrapper(chosen, command))

    return decorate


def _with_options(options: Sequence[Callable[[_Command], _Command]], command: _Command) -> _Command:
    """Add options to a command, as decorators in this order would."""
    for option in reversed(options):
        command = option(command)
    return command


def _refuse_no_choice(ids: Sequence[str], filters: AnyFilters, *, everything: bool) -> None:
    given = [bool(ids), filters.any_given, everything]
    if not any(given):
        raise click.UsageError("choose with ids, with filters such as --rule or --newer-than, or with --all")
    if sum(given) > 1 and (ids or everything):
        raise click.UsageError("ids, filters and --all exclude each other: use one of the three")


def ask(question: str, otherwise: str) -> None:
    """Ask for confirmation; raises Refused with `otherwise` unless the answer is yes."""
    try:
        yes = click.confirm(question, err=True)
    except click.Abort:
        print_note("")  # no input: end the line of the question
        yes = False
    if not yes:
        raise Refused(otherwise)


@dataclass(frozen=True, slots=True)
class Left:
    """An item that the command left unchanged, and why."""

    id: str
    why: str


@dataclass(slots=True)
class Summary:
    """What the command did so far; kept up to date, so that the report is right even after an error."""

    done: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def document(self, verb: str) -> dict[str, Any]:
        """Return the summary as JSON."""
        return {verb: self.done, "left": [asdict(left) for left in self.left]}


@contextmanager
def reported(verb: str, output: str) -> Iterator[Summary]:
    """Print the summary at the end, also when an error ends the command."""
    summary = Summary()
    try:
        yield summary
    finally:
        if output == "json":
            print_json(summary.document(verb))
        else:
            for left in summary.left:
                print_note(f"{left.id}: {left.why}")
            click.echo(f"{verb}: {len(summary.done):,}, left as they are: {len(summary.left):,}")
    if summary.left:
        raise Refused(f"{len(summary.left):,} of {len(summary.done) + len(summary.left):,} were not {verb}")


@contextmanager
def progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown: Any = click.progressbar(length=length, label=label, file=sys.stderr)
    with shown as bar:
        yield bar.update


def timestamp(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
