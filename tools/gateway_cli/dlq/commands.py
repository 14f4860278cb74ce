# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway dlq`: thin commands over the ledger's dead requests and the dead-letter queues."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from gateway_cli.choice import (
    Choice,
    Filters,
    ask,
    choice_options,
    filter_options,
    progress,
    told,
)
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.dlq.dead_letter import DeadLetter
from gateway_cli.dlq.dead_letters import DeadLetters, dead_letters
from gateway_cli.dlq.redrive import purge as purge_letters
from gateway_cli.dlq.redrive import redrive as redrive_letters
from gateway_cli.dlq.remedies import REMEDIES
from gateway_cli.filter_names import refuse_unknown_names, say_nothing_matches
from gateway_cli.groups import Group
from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table

__all__ = ["dlq"]

_filters = filter_options("died", "dag_missing")


@click.group(cls=Group)
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
@_filters
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
        letters, stale = _filtered(connection, found, (), filters), len(found.stale)
    _print_letters(letters[:limit], output)
    if len(letters) > limit:
        print_note(f"{len(letters) - limit:,} more: give filters, or a higher --limit")
    if stale:
        print_note(
            f"besides, {stale:,} messages ring for what is not dead any more: "
            "the next redrive or purge deletes them, also one of nothing else"
        )
    _refuse_unread(found)


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


@dlq.command(short_help="Send dead letters again.")
@choice_options(_filters)
@output_option
@gateway_options
def redrive(connection: Connection, choice: Choice, *, output: str) -> None:
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
    with _found(connection, choice.filters.environment) as found:
        letters = _chosen(connection, found, choice)
        if choice.dry_run:
            _print_letters(letters, output)
            print_note(f"{_count(letters)} would be redriven")
            _refuse_unread(found)
            return
        with told("redriven", output) as summary, progress("Redriving", len(letters)) as advance:
            summary.left += found.unread
            redrive_letters(connection, found, letters, summary, advance)


@dlq.command(short_help="Put dead letters away, after asking.")
@choice_options(_filters)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@gateway_options
def purge(connection: Connection, choice: Choice, *, yes: bool, output: str) -> None:
    """Put dead letters away, after asking: they are not listed any more, and cannot be redriven.

    Their messages are deleted from the dead-letter queues, so that the alarm ends. The ledger's rows stay: they say
    what became of each request, and a late duplicate of it still finds it dead.

    \b
    Examples:
      mwaa-gateway dlq purge --reason malformed_event --older-than 3d
      mwaa-gateway dlq purge --all --yes
    """
    with _found(connection, choice.filters.environment) as found:
        letters = _chosen(connection, found, choice)
        if choice.dry_run:
            _print_letters(letters, output)
            print_note(f"{_count(letters)} would be purged")
            _refuse_unread(found)
            return
        if letters and not yes:
            ask(f"Purge {_count(letters)}?", "nothing was purged; give --yes where nobody can be asked")
        with told("purged", output) as summary, progress("Purging", len(letters)) as advance:
            summary.left += found.unread
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


def _refuse_unread(found: DeadLetters) -> None:
    """Say at the end what could not be read: the list is not whole."""
    if found.unread:
        why = [f"{one.id} could not be read: {one.why}" for one in found.unread]
        raise Refused("\n".join([*why, "there may be more dead letters than these"]))


def _chosen(connection: Connection, found: DeadLetters, choice: Choice) -> Sequence[DeadLetter]:
    letters = _filtered(connection, found, choice.ids, choice.filters)
    return sorted(letters, key=lambda letter: letter.died_at)[: choice.limit]


def _filtered(
    connection: Connection, found: DeadLetters, ids: Sequence[str], filters: Filters
) -> list[DeadLetter]:
    letters = found.chosen(ids, filters)
    if not letters:
        refuse_unknown_names(connection, filters, found.letters, REMEDIES)
        say_nothing_matches("dead letters", filters)
    return letters


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


def _count(letters: Sequence[DeadLetter]) -> str:
    return "1 dead letter" if len(letters) == 1 else f"{len(letters):,} dead letters"
