"""Reads the ledger: the trigger requests that an event became, and their states."""

from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr

from local_stack.aws import LocalAws


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One trigger request; times in epoch seconds, None where there is none yet."""

    identity: str
    rule_id: str
    state: str
    environment: str
    dag_id: str
    run_id: str
    reason: str
    first_attempt_at: float | None
    finished_at: float | None


def rows_about(aws: LocalAws, ledger_table: str, text: str) -> list[LedgerRow]:
    """Return every row whose identity contains `text`. Scans the table, which is small on a local stack."""
    table = aws.table(ledger_table)
    request: dict[str, Any] = {"FilterExpression": Attr("identity").contains(text), "ConsistentRead": True}
    rows: list[LedgerRow] = []
    while True:
        page = table.scan(**request)
        rows.extend(_row(item) for item in page["Items"])
        if "LastEvaluatedKey" not in page:
            return rows
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _row(item: dict[str, Any]) -> LedgerRow:
    return LedgerRow(
        identity=item["identity"],
        rule_id=item["request"].partition("#")[0],
        state=item["state"],
        environment=item["environment"],
        dag_id=item["dag_id"],
        run_id=item["run_id"],
        reason=str(item.get("reason_text") or item.get("reason", "")),
        first_attempt_at=_seconds(item.get("first_attempt_at")),
        finished_at=_seconds(item.get("finished_at")),
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
