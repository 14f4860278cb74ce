# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway dlq`: thin commands over the ledger's dead requests and the dead-letter queues."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any, Final

import click

from gateway_cli.connection import Connection, gateway_options
from gateway_cli.dlq.dead_letter import DeadLetter, Filters
from gateway_cli.dlq.dead_letters import DeadLetters, dead_letters
from gateway_cli.dlq.redrive import Summary
from gateway_cli.dlq.redrive import purge as purge_letters
from gateway_cli.dlq.redrive import redrive as redrive_letters
from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table

__all__ = ["dlq"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class _Age(click.ParamType):
    """A span of time: 90s, 15m, 2h, 3d. Its value is in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if match is None:
            self.fail(f"{value!r} is no span of time: write 90s, 15m, 2h or 3d", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])


_FILTERS: Final = (
    click.option("--rule", metavar="ID", help="Only those of this rule."),
    click.option("--environment", metavar="NAME", help="Only those of this environment."),
    click.option("--reason", metavar="CLASS", help="Only those of this reason, such as dag_missing."),
    click.option(
        "--older-than", type=_Age(), metavar="AGE", help="Only those that died longer ago: 15m, 2h, 3d."
    ),
    click.option("--newer-than", type=_Age(), metavar="AGE", help="Only those that died since then."),
)
_ids = click.argument("ids", metavar="[ID]...", nargs=-1)
_all = click.option("--all", "everything", is_flag=True, help="All there are.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only show which they are.")


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters, as its argument `filters`."""

    def filtered(
        rule: str | None,
        environment: str | None,
        reason: str | None,
        older_than: float | None,
        newer_than: float | None,
        **options: Any,
    ) -> None:
        now = time.time()
        command(
            filters=Filters(
                rule=rule,
                environment=environment,
                reason=reason,
                died_before=None if older_than is None else now - older_than,
                died_after=None if newer_than is None else now - newer_than,
            ),
            **options,
        )

    update_wrapper(filtered, command)
    decorated: Callable[..., None] = filtered
    for option in reversed(_FILTERS):
        decorated = option(decorated)
    return decorated


@click.group()
def dlq() -> None:
    """Look at what is dead, send it again once its cause is mended, or put it away.

    Dead are trigger requests (their state in the ledger; a message in the environment's dead-letter queue rings
    for each) and events that never became a request (in the ingress dead-letter queue). Whatever is sent
    again comes to one run at most, however often that is done, and whatever happened meanwhile.

    While a command looks into the queues, their messages are held, and hidden from others.

    \b
    Exit codes of every command:
      0  done (or nothing to do)
      1  refused, or not all of it done: the reason is on stderr
      2  the command line itself is wrong
    """


@dlq.command("list")
@_filter_options
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the newest."
)
@output_option
@gateway_options
def list_letters(connection: Connection, filters: Filters, limit: int, output: str) -> None:
    """List the dead letters, the newest first.

    \b
    Examples:
      mwaa-gateway dlq list --newer-than 2h
      mwaa-gateway dlq list --rule finance.orders-landing --reason dag_missing
      mwaa-gateway dlq list --local -o json
    """
    with _found(connection, filters.environment) as found:
        letters, stale = found.chosen((), filters), len(found.stale)
    _print_letters(letters[:limit], output)
    if len(letters) > limit:
        print_note(f"{len(letters) - limit:,} more: give filters, or a higher --limit")
    if stale:
        print_note(
            f"besides, {stale:,} messages ring for what is not dead any more: "
            "the next redrive or purge deletes them, also one of nothing else"
        )


@dlq.command()
@click.argument("letter_id", metavar="ID")
@output_option
@gateway_options
def show(connection: Connection, letter_id: str, output: str) -> None:
    """Show everything about one dead letter.

    What died, why, what to do next, and all that it consists of: a request's event and conf, or the message as it is.

    \b
    Example:
      mwaa-gateway dlq show evt__finance.orders-landing__0f3c2a41b7d94e6f8a5b3c2d1e0f9a8b
    """
    with _found(connection, None) as found:
        (letter,) = found.chosen([letter_id], Filters())
        whole = letter.document() | _contents(found, letter)
    if output == "json":
        print_json(whole)
        return
    contents = {name: whole.pop(name) for name in ("conf", "event_document", "message") if name in whole}
    width = max(map(len, whole))
    for name, value in whole.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):{width}}  {value}")
    for name, value in contents.items():
        click.echo(f"\n{name.replace('_', ' ')}:")
        click.echo(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))


@dlq.command()
@_ids
@_filter_options
@_all
@click.option("--limit", type=click.IntRange(1), help="At most so many, the oldest.")
@_dry_run
@output_option
@gateway_options
def redrive(
    connection: Connection,
    ids: Sequence[str],
    filters: Filters,
    *,
    everything: bool,
    limit: int | None,
    dry_run: bool,
    output: str,
) -> None:
    """Send dead letters again: those named, those that all filters admit, or --all.

    A trigger request is tried again as it was made (its DAG and conf are pinned), with a fresh age. An event
    is matched again with the rules as they are now. Its message leaves the dead-letter queue, so that the
    alarm ends; what dies again rings again.

    Twice does no harm: a request becomes one run, whether the first redrive is on its way, done or dead again.

    \b
    Examples:
      mwaa-gateway dlq redrive --rule finance.orders-landing --reason dag_missing --dry-run
      mwaa-gateway dlq redrive --environment analytics --newer-than 2h
      mwaa-gateway dlq redrive --all
    """
    _refuse_no_choice(ids, filters, everything=everything)
    with _found(connection, filters.environment) as found:
        letters = sorted(found.chosen(ids, filters), key=lambda letter: letter.died_at)[:limit]
        if dry_run:
            _print_letters(letters, output)
            print_note(f"{_count(letters)} would be redriven")
            return
        with _told("redriven", output) as summary, _progress("Redriving", len(letters)) as advance:
            redrive_letters(connection, found, letters, summary, advance)


@dlq.command()
@_ids
@_filter_options
@_all
@click.option("--limit", type=click.IntRange(1), help="At most so many, the oldest.")
@_dry_run
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@gateway_options
def purge(
    connection: Connection,
    ids: Sequence[str],
    filters: Filters,
    *,
    everything: bool,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Put dead letters away, after asking: they are not listed any more, and cannot be redriven.

    Their messages are deleted from the dead-letter queues, so that the alarm ends. The ledger's rows stay: they say
    what became of each request, and a late duplicate of it still finds it dead.

    \b
    Examples:
      mwaa-gateway dlq purge --reason malformed_event --older-than 3d
      mwaa-gateway dlq purge --all --yes
    """
    _refuse_no_choice(ids, filters, everything=everything)
    with _found(connection, filters.environment) as found:
        letters = sorted(found.chosen(ids, filters), key=lambda letter: letter.died_at)[:limit]
        if dry_run:
            _print_letters(letters, output)
            print_note(f"{_count(letters)} would be purged")
            return
        if letters and not yes:
            _ask(f"Purge {_count(letters)}?")
        with _told("purged", output) as summary, _progress("Purging", len(letters)) as advance:
            purge_letters(found, letters, summary, advance)


@contextmanager
def _found(connection: Connection, environment: str | None) -> Iterator[DeadLetters]:
    """Find the dead letters, telling a person who waits how many there are by now."""
    told = sys.stderr.isatty()

    def progress(count: int) -> None:
        if told:
            click.echo(f"\r{count:,} messages read ", nl=False, err=True)

    with dead_letters(connection, environment, progress) as found:
        if told:
            click.echo("\r\033[K", nl=False, err=True)
        yield found


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    progress: Any = click.progressbar(length=length, label=label, file=sys.stderr)
    with progress as bar:
        yield bar.update


@contextmanager
def _told(verb: str, output: str) -> Iterator[Summary]:
    """Tell at the end what was done; also, and first, where an error ends it."""
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


def _contents(found: DeadLetters, letter: DeadLetter) -> dict[str, Any]:
    """Return all that a letter consists of."""
    if not isinstance(letter.origin, LedgerRow):
        try:
            return {"message": json.loads(letter.origin.body)}
        except ValueError:
            return {"message": letter.origin.body}
    row = found.rows.read(letter.origin.key)
    if row is None or row.request is None:
        return {}
    return {
        "rings": bool(found.messages_of(letter)),
        "target_id": row.request.target_id,
        "generation": row.request.generation,
        "conf": row.request.target.conf,
        "event_document": row.request.event,
    }


def _print_letters(letters: Sequence[DeadLetter], output: str) -> None:
    if output == "json":
        print_json([letter.document() for letter in letters])
        return
    print_table(
        ["ID", "DIED (UTC)", "DIED IN", "REASON", "RULE", "TARGET", "ATTEMPTS"],
        [_row(letter) for letter in letters],
    )


def _row(letter: DeadLetter) -> list[str]:
    document = letter.document()
    target = ":".join(filter(None, (letter.environment, letter.dag_id)))
    return [
        letter.id,
        document["died_at"][:19].replace("T", " "),
        letter.died_in,
        letter.reason,
        letter.rule_id or "-",
        target or "-",
        "-" if letter.attempts is None else str(letter.attempts),
    ]


def _refuse_no_choice(ids: Sequence[str], filters: Filters, *, everything: bool) -> None:
    given = [bool(ids), filters.any_given, everything]
    if not any(given):
        raise click.UsageError("say which: ids, filters such as --rule or --newer-than, or --all")
    if sum(given) > 1 and (ids or everything):
        raise click.UsageError("ids, filters and --all exclude each other: give one of the three")


def _ask(question: str) -> None:
    try:
        yes = click.confirm(question, err=True)
    except click.Abort:
        print_note("")  # nobody there to answer: the question's line is ended here
        yes = False
    if not yes:
        raise Refused("nothing was purged; give --yes where nobody can be asked")


def _count(letters: Sequence[DeadLetter]) -> str:
    return "1 dead letter" if len(letters) == 1 else f"{len(letters):,} dead letters"
