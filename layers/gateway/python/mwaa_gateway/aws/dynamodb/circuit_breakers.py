"""The circuit breakers in DynamoDB: one item each in the ledger table, written only when one opens, is probed, or closes."""

from typing import Any

from mwaa_gateway.aws.dynamodb.values import Table, attributes, ledger_key
from mwaa_gateway.aws.errors import refused_item, unavailable_unless_answered
from mwaa_gateway.dispatch.circuit_breaker import OpenCircuit

_SORT = "gate"  # no trigger request's: those contain two "#"


class CircuitItems(Table):
    """Implements `dispatch.circuit_breaker.CircuitStore`. A closed breaker has no item, or one without `probe_at`."""

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, OpenCircuit | None]:
        """Take the probe if one is due, and let the others wait until `until`."""
        with unavailable_unless_answered(f"cannot read circuit breaker {name!r}"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=ledger_key(name, _SORT),
                    UpdateExpression="SET probe_at = :until",
                    ConditionExpression="probe_at <= :now",  # false without an item: the breaker is closed
                    ExpressionAttributeValues=attributes({":now": now, ":until": until}),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return False, _record(refused_item(refused))
        return True, _record(answer["Attributes"])

    def open(self, name: str, circuit: OpenCircuit) -> None:
        """Open the breaker; if two attempts open it at once, the later times stay."""
        with unavailable_unless_answered(f"cannot open circuit breaker {name!r}"):
            self._client.update_item(
                TableName=self._table,
                Key=ledger_key(name, _SORT),
                UpdateExpression="SET shut_since = :shut_since, failed_at = :failed_at, probe_at = :probe_at"
                ", failures = :failures",
                ExpressionAttributeValues=attributes(
                    {
                        ":shut_since": circuit.open_since,
                        ":failed_at": circuit.failed_at,
                        ":probe_at": circuit.probe_at,
                        ":failures": circuit.failures,
                    }
                ),
            )

    def close(self, name: str) -> None:
        """Close the breaker."""
        with unavailable_unless_answered(f"cannot close circuit breaker {name!r}"):
            self._client.update_item(
                TableName=self._table,
                Key=ledger_key(name, _SORT),
                UpdateExpression="REMOVE shut_since, failed_at, probe_at, failures",
            )


def _record(item: dict[str, Any]) -> OpenCircuit | None:
    try:
        return OpenCircuit(
            open_since=float(item["shut_since"]["N"]),
            failed_at=float(item["failed_at"]["N"]),
            failures=int(item["failures"]["N"]),
            probe_at=float(item["probe_at"]["N"]),
        )
    except (KeyError, ValueError):
        return None  # no item, a closed breaker, or an item changed by hand: the next failure rewrites it
