"""`mwaa-gateway held`: thin commands over the ledger's held requests."""

from typing import Any, Final, get_args

import click

from gateway_cli.choice import (
    Choice,
    Filters,
    ask,
    choice_options,
    filter_options,
    progress,
    reported,
    timestamp,
)
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.held.requests import cancel as cancel_requests
from gateway_cli.held.requests import held_rows, ledger_rows
from gateway_cli.held.requests import release as release_requests
from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.listing import Listing, limit_option
from gateway_cli.operations import record, why_option
from gateway_cli.output import output_option
from mwaa_gateway.outcomes import HeldReason

_filters = filter_options("were held", "rule_disabled")


def _document(row: LedgerRow) -> dict[str, Any]:
    return {
        "id": row.run_id,
        "held_at": timestamp(row.stopped_at),
        "reason": row.reason,
        "reason_text": row.text,
        "rule_id": row.rule_id,
        "rule_version": row.rule_version,
        "environment": row.environment,
        "dag_id": row.dag_id,
        "event": row.identity,
        "attempts": row.attempt,
        "redrives": row.redrives,
    }


_LISTING: Final[Listing[LedgerRow]] = Listing(
    "held",
    "held request",
    get_args(HeldReason),
    {"ID": "id", "HELD (UTC)": "held_at", "REASON": "reason", "RULE": "rule_id"},
    _document,
)


@click.group(cls=Group, epilog=EXIT_CODES)
def held() -> None:
    """List held requests, release them, or cancel them.

    A held trigger request waits in the ledger, for any length of time: its rule is disabled, its environment is
    paused, or its DAG is paused (`when_paused: hold`).

    `rules enable` and `environments resume` release the requests they held. A request that is released during another
    pause is held again.
    """


@held.command("list")
@_filters
@limit_option("oldest")
@output_option
@gateway_options
def list_held(connection: Connection, filters: Filters, limit: int, output: str) -> None:
    """List the held requests, oldest first.

    \b
    Examples:
      mwaa-gateway held list
      mwaa-gateway held list --rule finance.orders-landing -o json
    """
    held = held_rows(ledger_rows(connection))
    _LISTING.print_list(connection, _LISTING.chosen(connection, held, (), filters), output, limit)


@held.command(short_help="Release held requests.")
@choice_options(_filters)
@why_option
@output_option
@gateway_options
def release(connection: Connection, choice: Choice, *, why: str, output: str) -> None:
    """Release held requests: those named, those that pass all filters, or --all.

    Each goes back to its queue unchanged, and its age starts anew; if its run may exist already, the gateway looks it
    up first. A request that is released twice still runs once.

    \b
    Examples:
      mwaa-gateway held release --rule finance.orders-landing --dry-run
      mwaa-gateway held release --environment analytics --limit 100
    """
    rows = ledger_rows(connection)
    found = _LISTING.chosen(connection, held_rows(rows), choice.ids, choice.filters)[: choice.limit]
    if choice.dry_run:
        _LISTING.print_dry_run(found, output, "released")
        return
    record(connection, "held release", [row.id for row in found], why=why)
    with reported("released", output) as summary, progress("Releasing", len(found)) as advance:
        release_requests(connection, rows, found, summary, advance)


@held.command()
@choice_options(_filters)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--by", metavar="NAME", help="Who cancels them; default: the caller's ARN.")
@why_option
@output_option
@gateway_options
def cancel(
    connection: Connection, choice: Choice, *, yes: bool, by: str | None, why: str, output: str
) -> None:
    """Cancel held requests, after a confirmation: they will not run.

    They become dead with the reason `cancelled`, without an alarm. `mwaa-gateway dlq list --reason cancelled` lists
    them, and `dlq redrive` runs them after all.

    \b
    Examples:
      mwaa-gateway held cancel --rule finance.orders-landing --older-than 2d
      mwaa-gateway held cancel --all --yes
    """
    rows = ledger_rows(connection)
    found = _LISTING.chosen(connection, held_rows(rows), choice.ids, choice.filters)[: choice.limit]
    if choice.dry_run:
        _LISTING.print_dry_run(found, output, "cancelled")
        return
    if found and not yes:
        ask(
            f"Cancel {_LISTING.count(found)}?",
            "nothing was cancelled; use --yes to cancel without a question",
        )
    record(connection, "held cancel", [row.id for row in found], why=why, by=by)
    with reported("cancelled", output) as summary, progress("Cancelling", len(found)) as advance:
        cancel_requests(rows, found, by or (connection.caller if found else ""), summary, advance)
