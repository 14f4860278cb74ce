"""What stops an environment: its circuit breaker, or a pause."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway_cli.answers.evidence import Circuit
from gateway_cli.answers.tables import circuit_keys, circuit_of
from gateway_cli.connection import Connection
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION, environment_sort
from mwaa_gateway.aws.dynamodb.values import rules_key, text
from mwaa_gateway.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Switches:
    """What stops environments: their open circuit breakers, and why each is paused, by name."""

    circuits: dict[str, Circuit]
    pauses: dict[str, str]


def read_switches(connection: Connection, names: Sequence[str]) -> Switches:
    """Read the breakers in the ledger and the pauses in the rules table, with one call; raises botocore's errors."""
    ledger, rules = connection.stack_output("LedgerTableName"), connection.stack_output("RulesTableName")
    sorts = {environment_sort(name): name for name in names}
    answer: Any = connection.dynamodb.batch_get_item(
        RequestItems={
            ledger: {"Keys": circuit_keys((name, "") for name in names), "ConsistentRead": True},
            rules: {"Keys": [rules_key(PAUSE_PARTITION, sort) for sort in sorts], "ConsistentRead": True},
        }
    )
    if answer.get("UnprocessedKeys"):
        raise Unavailable("cannot read breakers and pauses: DynamoDB leaves keys unprocessed")
    circuits = [one for item in answer["Responses"].get(ledger, []) if (one := circuit_of(item)) is not None]
    pauses = {sorts[text(item, "sort")]: _why(item) for item in answer["Responses"].get(rules, [])}
    return Switches({one.environment: one for one in circuits}, pauses)


def _why(item: Any) -> str:
    by, at, why = (text(item, name) for name in ("updated_by", "updated_at", "reason"))
    return f"paused by {by or 'somebody'} at {at or 'an unknown time'}{': ' if why else ''}{why}"
