"""`mwaa-gateway rules shadow-report`: compare a rule in SHADOW with the runs that happened, before it is enabled."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import click

from gateway_cli.connection import Connection, gateway_options
from gateway_cli.ledger_rows import LedgerRows
from gateway_cli.output import output_option, print_json, print_note, print_table, print_text
from gateway_cli.rules.options import count, rule_id_argument
from gateway_cli.rules.rendering import shown
from gateway_cli.rules.shadow_report import Compared, Verdict, compare
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords

_MEANINGS: Final = {
    Verdict.SAME: ("green", "a run of the same DAG happened, with the same conf"),
    Verdict.OTHER_CONF: ("yellow", "a run of the same DAG happened, with another conf"),
    Verdict.NOT_RUN: (
        "yellow",
        "another rule requested the same DAG, and its request is dead, held or not finished",
    ),
    Verdict.ALONE: ("yellow", "no such run happened: the rule would start a new one"),
    Verdict.REFUSED: ("red", "the rule would start nothing, and the event would be dead"),
}


@click.command("shadow-report", short_help="Compare a SHADOW rule with the runs that happened.")
@rule_id_argument
@click.option(
    "--limit", default=20, show_default=True, help="Show at most this many differing events, the newest."
)
@output_option
@gateway_options
def shadow_report(connection: Connection, *, rule_id: str, limit: int, output: str) -> None:
    """Compare what a rule in SHADOW would have run with the runs that happened.

    For each event that the rule matched in the last 30 days, the report says whether another rule started the same
    DAG, and with the same conf. It does not know runs that the gateway did not start, nor events that the rule did not
    match. It needs the policy in the stack's output ReadOnlyPolicyArn or RulesWriterPolicyArn.

    \b
    Example:
      mwaa-gateway rules shadow-report finance.orders-v2
    """
    ledger = connection.stack_output("LedgerTableName")
    rows = LedgerRows(connection.dynamodb, ledger)
    shadows = ShadowRecords(connection.dynamodb, ledger).of_rule(rule_id)
    compared = compare(shadows, rows.of_event)
    if output == "json":
        counts = Counter(one.verdict for one in compared)
        print_json(
            {
                "rule_id": rule_id,
                "counts": {verdict.value: counts[verdict] for verdict in Verdict},
                "events": [one.document() for one in compared],
            }
        )
        return
    if not compared:
        print_note(
            f"there are no records of {rule_id}: check that its state is SHADOW, and that it matches your events, with "
            f"`mwaa-gateway rules show {rule_id}` and `mwaa-gateway rules explain {rule_id} --event …`"
        )
        return
    _print_counts(rule_id, compared)
    _print_differing([one for one in compared if one.verdict is not Verdict.SAME], limit)


def _print_counts(rule_id: str, compared: Sequence[Compared]) -> None:
    first, last = compared[0].shadow.event_time, compared[-1].shadow.event_time
    print_text(
        (rule_id, "bold"),
        (f"  {count(len(compared), 'run')} in SHADOW, of events from {first} to {last}", "dim"),
    )
    counts = Counter(one.verdict for one in compared)
    for verdict, (colour, meaning) in _MEANINGS.items():
        style = colour if counts[verdict] else "dim"
        print_text((f"  {verdict.value.ljust(10)} {counts[verdict]:>6}  {meaning}", style))


def _print_differing(differing: Sequence[Compared], limit: int) -> None:
    if not differing:
        return
    print_text("")
    print_table(
        ["EVENT", "TIME", "VERDICT", "DAG", "REALLY", "WHAT DIFFERS"],
        [
            [
                one.shadow.event_id,
                one.shadow.event_time,
                one.verdict.value,
                f"{one.shadow.environment}:{one.shadow.dag_id}" if one.shadow.dag_id else "",
                f"{one.real.rule_id} ({one.real.state})" if one.real else "",
                one.shadow.reason_text
                or "\n".join(
                    f"{field.field}: {shown(field.before)} → {shown(field.after)}" for field in one.fields
                ),
            ]
            for one in reversed(differing[-limit:])
        ],
    )
    if len(differing) > limit:
        print_note(f"{len(differing) - limit} more: use a higher --limit, or -o json for all")
