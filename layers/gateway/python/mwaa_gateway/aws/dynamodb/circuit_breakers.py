"""The gates in DynamoDB: one item each in the ledger table, written only when a gate shuts, is probed, or opens."""

from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.errors import refused_item, unavailable_unless_answered
from mwaa_gateway.dispatch.circuit_breaker import GateRecord

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["GateItems"]

_SORT = "gate"  # no trigger request's: those hold two "#"
_SECONDS = ("shut_since", "failed_at", "probe_at")


class GateItems:
    """Implements `mwaa_gateway.dispatch.circuit_breaker.GateStore`. An open gate's item is missing, or has no `probe_at`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, GateRecord | None]:
        """Take the probe if one is due, and keep the others waiting `until` then."""
        with unavailable_unless_answered(f"gate {name!r} could not be asked"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(name),
                    UpdateExpression="SET probe_at = :until",
                    ConditionExpression="probe_at <= :now",  # false where there is none: the gate is open
                    ExpressionAttributeValues={":now": _number(now), ":until": _number(until)},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return False, _record(refused_item(refused))
        return True, _record(answer["Attributes"])

    def shut(self, name: str, record: GateRecord) -> None:
        """Shut the gate; of two that shut it at once the later one's times stay."""
        with unavailable_unless_answered(f"gate {name!r} could not be shut"):
            self._client.update_item(
                TableName=self._table,
                Key=_key(name),
                UpdateExpression="SET shut_since = :shut_since, failed_at = :failed_at, probe_at = :probe_at"
                ", failures = :failures",
                ExpressionAttributeValues={
                    **{f":{field}": _number(getattr(record, field)) for field in _SECONDS},
                    ":failures": {"N": str(record.failures)},
                },
            )

    def open(self, name: str) -> None:
        """Open it."""
        with unavailable_unless_answered(f"gate {name!r} could not be opened"):
            self._client.update_item(
                TableName=self._table,
                Key=_key(name),
                UpdateExpression="REMOVE shut_since, failed_at, probe_at, failures",
            )


def _key(name: str) -> dict[str, Any]:
    return {"event": {"S": name}, "request": {"S": _SORT}}


def _number(seconds: float) -> dict[str, Any]:
    return {"N": f"{seconds:.6f}"}


def _record(item: dict[str, Any]) -> GateRecord | None:
    try:
        return GateRecord(
            **{field: float(item[field]["N"]) for field in _SECONDS}, failures=int(item["failures"]["N"])
        )
    except (KeyError, ValueError):
        return None  # no such item, an open gate, or one that somebody changed by hand: the next failure writes it whole
