"""`mwaa-gateway dlq`: thin commands over the ledger's dead requests and the dead-letter queues."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from gateway_cli.choice import (
    Choice,
    Filters,
    ask,
    choice_options,
    filter_options,
    progress,
    reported,
)
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.dlq.dead_letter import DeadLetter
from gateway_cli.dlq.dead_letters import DeadLetters, find_dead_letters
from gateway_cli.dlq.redrive import purge as purge_dead_letters
from gateway_cli.dlq.redrive import redrive as redrive_dead_letters
from gateway_cli.dlq.remedies import REMEDIES
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.listing import Listing, limit_option
from gateway_cli.operations import last_of_each, record, why_option, with_last
from gateway_cli.output import Refused, output_option, print_json, print_note

_filters = filter_options("died", "dag_missing")
_LISTING: Final[Listing[DeadLetter]] = Listing(
    "dlq",
    "dead letter",
    REMEDIES,
    {"ID": "id", "DIED (UTC)": "died_at", "DIED IN": "died_in", "REASON": "reason", "RULE": "rule_id"},
    DeadLetter.document,
)
_LABELS: Final = {"rings": "has message"}  # on the screen; programs read the names of the JSON output


@click.group(cls=Group, epilog=EXIT_CODES)
def dlq() -> None:
    """List dead letters, redrive them once their cause is fixed, or purge them.

    A dead letter is a trigger request that is dead in the ledger, with a message in its environment's dead-letter
    queue, or an event that never became a request, in the ingress dead-letter queue. A redriven dead letter starts at
    most one run, however often you redrive it.

    While a command reads the queues, it receives their messages, which hides them from other readers.
    """


@dlq.command("list")
@_filters
@limit_option("newest")
@output_option
@gateway_options
def list_dead_letters(connection: Connection, filters: Filters, limit: int, output: str) -> None:
    """List the dead letters, newest first.

    \b
    Examples:
      mwaa-gateway dlq list --newer-than 2h
      mwaa-gateway dlq list --rule finance.orders-landing --reason dag_missing
      mwaa-gateway dlq list --local -o json
    """
    with _find(connection, filters.environment) as found:
        dead_letters, stale = _LISTING.chosen(connection, found.dead_letters, (), filters), len(found.stale)
    _LISTING.print_list(connection, dead_letters, output, limit)
    if stale:
        print_note(
            f"stale messages, whose requests are no longer dead: {stale:,}; the next redrive or purge deletes them"
        )
    _refuse_unread(found)


@dlq.command()
@click.argument("dead_letter_id", metavar="ID")
@output_option
@gateway_options
def show(connection: Connection, dead_letter_id: str, output: str) -> None:
    """Show everything about one dead letter.

    What died, why, what to do next, and its content: a request's event and conf, or the message as it is.

    \b
    Example:
      mwaa-gateway dlq show evt__finance.orders-landing__0f3c2a41b7d94e6f8a5b3c2d1e0f9a8b
    """
    with _find(connection, None) as found:
        (dead_letter,) = _LISTING.chosen(connection, found.dead_letters, [dead_letter_id], Filters())
        whole = dead_letter.document() | _contents(found, dead_letter)
    last = last_of_each(connection, {dead_letter_id}).get(dead_letter_id)
    if output == "json":
        print_json(whole | with_last(last))
        return
    whole["last_command"] = last
    contents = {name: whole.pop(name) for name in ("conf", "event_document", "message") if name in whole}
    width = max(map(len, whole))
    for name, value in whole.items():
        if value is not None:
            click.echo(f"{_LABELS.get(name, name).replace('_', ' '):{width}}  {value}")
    for name, value in contents.items():
        click.echo(f"\n{name.replace('_', ' ')}:")
        click.echo(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))


@dlq.command(short_help="Redrive dead letters.")
@choice_options(_filters)
@why_option
@output_option
@gateway_options
def redrive(connection: Connection, choice: Choice, *, why: str, output: str) -> None:
    """Redrive dead letters: those named, those that pass all filters, or --all.

    A redriven trigger request is tried again with the same DAG and conf, and its age starts at zero. A redriven event is
    matched with the current rules. The message leaves the dead-letter queue, which ends the alarm. If the request or
    event dies again, a new message arrives there.

    Redriving twice does no harm: a request starts one run, whether the first redrive waits, ran or died.

    \b
    Examples:
      mwaa-gateway dlq redrive --rule finance.orders-landing --reason dag_missing --dry-run
      mwaa-gateway dlq redrive --environment analytics --newer-than 2h
      mwaa-gateway dlq redrive --all
    """
    with _find(connection, choice.filters.environment) as found:
        dead_letters = _chosen(connection, found, choice)
        if choice.dry_run:
            _LISTING.print_dry_run(dead_letters, output, "redriven")
            _refuse_unread(found)
            return
        record(connection, "dlq redrive", [one.id for one in dead_letters], why=why)
        with reported("redriven", output) as summary, progress("Redriving", len(dead_letters)) as advance:
            summary.left += found.unread
            redrive_dead_letters(connection, found, dead_letters, summary, advance)


@dlq.command(short_help="Purge dead letters, after a confirmation.")
@choice_options(_filters)
@click.option("--yes", is_flag=True, help="Do not ask.")
@why_option
@output_option
@gateway_options
def purge(connection: Connection, choice: Choice, *, yes: bool, why: str, output: str) -> None:
    """Purge dead letters, after a confirmation: they are no longer listed, and cannot be redriven.

    Their messages are deleted from the dead-letter queues, which ends the alarm. The ledger's rows stay: they record
    the outcome of each request, and a late duplicate still finds it dead.

    \b
    Examples:
      mwaa-gateway dlq purge --reason malformed_event --older-than 3d
      mwaa-gateway dlq purge --all --yes
    """
    with _find(connection, choice.filters.environment) as found:
        dead_letters = _chosen(connection, found, choice)
        if choice.dry_run:
            _LISTING.print_dry_run(dead_letters, output, "purged")
            _refuse_unread(found)
            return
        if dead_letters and not yes:
            ask(
                f"Purge {_LISTING.count(dead_letters)}?",
                "nothing was purged; use --yes to purge without a question",
            )
        record(connection, "dlq purge", [one.id for one in dead_letters], why=why)
        with reported("purged", output) as summary, progress("Purging", len(dead_letters)) as advance:
            summary.left += found.unread
            purge_dead_letters(found, dead_letters, summary, advance)


@contextmanager
def _find(connection: Connection, environment: str | None) -> Iterator[DeadLetters]:
    """Find the dead letters; show the number of messages read on a terminal."""
    shows_progress = sys.stderr.isatty()

    def progress(count: int) -> None:
        if shows_progress:
            click.echo(f"\r{count:,} messages read ", nl=False, err=True)

    with find_dead_letters(connection, environment, progress) as found:
        if shows_progress:
            click.echo("\r\033[K", nl=False, err=True)
        yield found


def _refuse_unread(found: DeadLetters) -> None:
    """Refuse at the end if something could not be read: the list may be incomplete."""
    if found.unread:
        why = [f"{one.id} could not be read: {one.why}" for one in found.unread]
        raise Refused("\n".join([*why, "there may be more dead letters than these"]))


def _chosen(connection: Connection, found: DeadLetters, choice: Choice) -> Sequence[DeadLetter]:
    dead_letters = _LISTING.chosen(connection, found.dead_letters, choice.ids, choice.filters)
    return sorted(dead_letters, key=lambda dead_letter: dead_letter.died_at)[: choice.limit]


def _contents(found: DeadLetters, dead_letter: DeadLetter) -> dict[str, Any]:
    """Return the content of a dead letter."""
    if not isinstance(dead_letter.origin, LedgerRow):
        try:
            return {"message": json.loads(dead_letter.origin.body)}
        except ValueError:
            return {"message": dead_letter.origin.body}
    row = found.rows.read(dead_letter.origin.key)
    if row is None or row.request is None:
        return {}
    return {
        "rings": bool(found.messages_of(dead_letter)),
        "target_id": row.request.target_id,
        "generation": row.request.generation,
        "conf": row.request.target.conf,
        "event_document": row.request.event,
    }
