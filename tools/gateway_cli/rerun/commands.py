"""`mwaa-gateway rerun`: one more run for each of a rule's events, on purpose."""

import sys
import time
from collections.abc import Iterable
from datetime import UTC
from typing import Any

import click

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.choice import dry_run_option, progress, reported, timestamp
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.filter_names import refuse_unknown_environment, refuse_unknown_rule
from gateway_cli.held.requests import ledger_rows
from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.operations import record, why_option
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table
from gateway_cli.rerun.requests import Found, Wanted, event_time, find, rows_of_event
from gateway_cli.rerun.requests import rerun as rerun_requests
from gateway_cli.rules.stored import document_of
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import Rule, parse_rule


class _Moment(click.DateTime):
    """A time in UTC. Its value is in seconds since the epoch."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the seconds; fails if the text is not a time."""
        return super().convert(value, param, ctx).replace(tzinfo=UTC).timestamp()


_STATES = {
    "triggered": frozenset({"triggered"}),
    "dead": frozenset({"dead"}),
    "any": frozenset({"triggered", "dead"}),
}


@click.command()
@click.option(
    "--event",
    metavar="NAME",
    help="One event, by its event_id, a run_id, an upload's s3:// URI or a state's request_id, as in the log.",
)
@click.option("--rule", metavar="ID", help="The rule whose events run again.")
@click.option("--since", type=_Moment(), metavar="TIME", help="Only events with this time (UTC) or later.")
@click.option("--until", type=_Moment(), metavar="TIME", help="Only events before this time (UTC).")
@click.option("--environment", metavar="NAME", help="Only runs in this environment.")
@click.option("--dag", "dag_id", metavar="ID", help="Only runs of this DAG.")
@click.option(
    "--state",
    type=click.Choice(list(_STATES)),
    default="triggered",
    show_default=True,
    help="Only triggered requests, dead ones, or both.",
)
@click.option(
    "--generation",
    type=click.IntRange(1, 9999),
    default=1,
    show_default=True,
    help="Which additional run of each event: 1 is the second run, 2 the third.",
)
@click.option(
    "--with-current-rule",
    is_flag=True,
    help="Use the DAG and conf that the rule gives the event now; default: those it ran with.",
)
@why_option
@dry_run_option
@output_option
@gateway_options
def rerun(
    *,
    connection: Connection,
    state: str,
    with_current_rule: bool,
    dry_run: bool,
    why: str,
    output: str,
    **selection: Any,
) -> None:
    """Run a rule's events, or one event, once more: exactly one more run of each.

    One event runs again for every rule that it ran for, or only for --rule.

    The same rerun twice adds nothing: an event that already has this generation is skipped. The new run has its own
    run_id, which ends with __r1, and its own row in the ledger.

    One event that the log knows, by its event_id or a run_id, costs one search of the log and one query. For an s3:// URI
    or a rule the command reads, and pays for, the whole ledger, whatever the filters: no index contains requests that ran.

    \b
    Examples:
      mwaa-gateway rerun --event s3://acme-landing/orders/2026-11-22.csv --dry-run
      mwaa-gateway rerun --rule finance.orders-landing --since 2026-11-22 --until 2026-11-23 --dry-run
      mwaa-gateway rerun --rule finance.orders-landing --since 2026-11-22 --generation 2
      mwaa-gateway rerun --rule finance.orders-landing --state dead --with-current-rule
    """
    wanted = Wanted(states=_STATES[state], **selection)
    event, rule_id, generation = wanted.event, wanted.rule, wanted.generation
    if event is None and rule_id is None:
        raise click.UsageError("name one event with --event, or a rule with --rule")
    if with_current_rule and rule_id is None:
        raise click.UsageError("--with-current-rule needs one rule: name it with --rule")
    rule = _current(connection, rule_id) if with_current_rule and rule_id is not None else None
    if wanted.environment is not None:
        refuse_unknown_environment(connection, wanted.environment)
    found = find(_candidates(connection, wanted), wanted)
    if not found.rows and not found.already:
        if not found.seen and rule_id is not None:
            refuse_unknown_rule(connection, rule_id)
        of = " and ".join(filter(None, (event and f"event {event}", rule_id and f"rule {rule_id}")))
        print_note(
            f"nothing matches: the ledger has {found.seen:,} requests of {of}, and the options select none of them"
        )
    if found.already:
        print_note(f"{len(found.already):,} already have generation {generation}: skipped")
    if dry_run:
        _print(found, output)
        print_note(f"{len(found.rows):,} would be rerun")
        return
    record(connection, "rerun", [row.run_id for row in found.rows], why=why)
    with reported("rerun", output) as summary, progress("Rerunning", len(found.rows)) as advance:
        rerun_requests(
            connection,
            found,
            generation=generation,
            rule=rule,
            now=time.time(),
            summary=summary,
            progress=advance,
        )


def _candidates(connection: Connection, wanted: Wanted) -> Iterable[LedgerRow]:
    """Return the rows to select from: those of one event, if the log knows it, else the whole ledger."""
    ledger = ledger_rows(connection)
    if wanted.event is not None:
        try:
            with errors_as_refusals():
                found = rows_of_event(connection, ledger, wanted.event, time.time())
        except (ValueError, Refused) as error:
            print_note(f"the log cannot say where the event is: {error}")
        else:
            if found is not None:
                return found
        print_note("reading the whole ledger for the event")
    return ledger.requests(wanted.rule, _show_progress)


def _current(connection: Connection, rule_id: str) -> Rule:
    item = connection.store.get(rule_id)
    try:
        return parse_rule(document_of(item), environments=connection.environments, version=item.version)
    except InvalidRule as error:
        raise Refused(f"{error}: correct its file and apply it again") from error


def _show_progress(rows: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{rows:,} rows of the ledger read ", nl=False, err=True)


def _print(found: Found, output: str) -> None:
    if output == "json":
        print_json(
            [
                {
                    "id": row.run_id,
                    "event": row.identity,
                    "event_time": timestamp(event_time(row)),
                    "state": row.state,
                    "environment": row.environment,
                    "dag_id": row.dag_id,
                }
                for row in found.rows
            ]
        )
        return
    print_table(
        ["ID", "EVENT'S TIME (UTC)", "STATE", "TARGET"],
        [
            [
                row.run_id,
                timestamp(event_time(row)).replace("T", " ").removesuffix("Z"),
                row.state,
                f"{row.environment}:{row.dag_id}",
            ]
            for row in found.rows
        ],
    )
