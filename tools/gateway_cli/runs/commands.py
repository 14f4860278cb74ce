"""`mwaa-gateway runs`: the runs of a time, and everything about one."""

import json
import time
from typing import Any

import click

from gateway_cli.answers.addressing import addressed
from gateway_cli.answers.answer import judge
from gateway_cli.answers.gathering import gather
from gateway_cli.answers.insights import Insights, equals
from gateway_cli.answers.runs import OUTCOMES, STATES, SeenRun, seen_runs
from gateway_cli.answers.screens import print_answer
from gateway_cli.answers.subject import Subject, subject_of
from gateway_cli.answers.tables import request_key, rows_by_key
from gateway_cli.answers.trail import TrailLine
from gateway_cli.choice import Age
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.ledger_rows import request_of
from gateway_cli.listing import limit_option
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table

_MOST_LINES = 10_000  # Logs Insights returns no more


@click.group(cls=Group, epilog=EXIT_CODES)
def runs() -> None:
    """List the runs of a time, or show one with its conf.

    Both read the trail: the log keeps it for the parameter LogRetentionDays.
    """


@runs.command("list")
@click.option("--rule", "rule_id", metavar="ID", help="Only of this rule.")
@click.option("--environment", metavar="NAME", help="Only in this environment.")
@click.option("--dag", "dag_id", metavar="ID", help="Only of this DAG.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--since", type=Age(), default="1h", show_default=True, help="How far back: 15m, 2h, 3d.")
@limit_option("newest")
@output_option
@gateway_options
def list_runs(
    connection: Connection,
    *,
    rule_id: str | None,
    environment: str | None,
    dag_id: str | None,
    state: str | None,
    since: float,
    limit: int,
    output: str,
) -> None:
    """List the runs that the gateway started, the newest first.

    `started` means that Airflow accepted the run; `ended` is known of runs that a state machine waits for. `why` asks
    Airflow about any other.

    \b
    Examples:
      mwaa-gateway runs list --rule finance.orders --since 1d
      mwaa-gateway runs list --state dead -o json
    """
    now = time.time()
    wanted = {"rule_id": rule_id, "environment": environment, "dag_id": dag_id}
    listed = ", ".join(f'"{outcome}"' for outcome in OUTCOMES)
    parts = [f"outcome in [{listed}]", *(equals(name, value) for name, value in wanted.items() if value)]
    lines = Insights.of(connection).find(" and ".join(parts), now - since, now, _MOST_LINES)
    found = [run for run in seen_runs(lines) if state in (None, run.state)]
    if output == "json":
        print_json([run.document() for run in found[:limit]])
    else:
        print_table(
            ["RUN_ID", "STATE", "LAST (UTC)", "TARGET", "ATTEMPTS", "EVENT"], map(_cells, found[:limit])
        )
        if not found:
            print_note("no run in this time")
    if len(found) > limit:
        print_note(f"{len(found) - limit:,} more: use filters, or a higher --limit")
    if len(lines) == _MOST_LINES:
        print_note(
            f"the log has more than {_MOST_LINES:,} lines of this time; use a shorter --since for the older runs"
        )


def _cells(run: SeenRun) -> list[str]:
    state = f"{run.state} ({run.reason})" if run.reason else run.state
    last = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(run.last_at))
    target = f"{run.environment}:{run.dag_id}"
    return [run.run_id, state, last, target, str(run.attempts), run.resource or run.event_id]


@runs.command()
@click.argument("run_id", metavar="RUN_ID")
@click.option("--since", type=Age(), default="30d", show_default=True, help="How far back to search the log.")
@output_option
@gateway_options
def show(connection: Connection, run_id: str, *, since: float, output: str) -> None:
    """Show one run: what became of it, its event and its conf.

    \b
    Example:
      mwaa-gateway runs show evt__finance.orders__0f3c2a41b7d94e6f8a5b3c2d1e0f9a8b
    """
    subject = subject_of(run_id)
    if subject.field != "run_id":
        raise click.UsageError(f"{run_id!r} is no run_id; `mwaa-gateway why` takes any name of an event")
    answer = addressed(judge(gather(connection, subject, since=time.time() - since)), connection)
    request = _request(connection, answer.lines, subject)
    if output == "json":
        print_json(answer.document() | {"request": request})
        return
    print_answer(answer)
    if request is None:
        print_note("the ledger has no row of this run, or it expired after 90 days: its conf is not known")
        return
    click.echo("\nconf:")
    click.echo(json.dumps(request["conf"], indent=2, ensure_ascii=False))


def _request(connection: Connection, lines: tuple[TrailLine, ...], subject: Subject) -> dict[str, Any] | None:
    """Return the request of the run as the ledger has it; None without a line that names its row."""
    line = next(
        (line for line in lines if line.run_id == subject.value and line.identity and line.target_id), None
    )
    if line is None:
        return None
    items = rows_by_key(connection, connection.stack_output("LedgerTableName"), [request_key(line)])
    request = request_of(items[0]) if items else None
    if items and request is None:
        raise Refused("this version cannot read the ledger's row: use the version that is deployed")
    if request is None:
        return None
    return {
        "rule_id": request.rule_id,
        "rule_version": request.rule_version,
        "event": request.event,
        "conf": request.target.conf,
        "logical_date": request.target.logical_date,
        "partition_key": request.target.partition_key,
    }
