"""The pauses in DynamoDB: one small item in the rules table for each disabled rule and each paused environment.

    partition  sort                     meaning
    brake      rule#<rule id>           the rule is disabled; written in the transaction that disables it
    brake      environment#<name>       the environment is paused

An item `objects` in the same partition says that objects may be claimed (`aws.dynamodb.object_claims`). Without an item
nothing is paused. Each pause is an item of its own, not an entry in a list: a gateway with a thousand
disabled rules reads as little as one with none, and two rules that change at once do not conflict.
"""

from collections.abc import Mapping
from typing import Any, Final

from mwaa_gateway.aws.dynamodb.values import Table, rules_key, text
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.dispatch.pauses import PausesRead
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import HeldReason, Reason

# The first version stored this name, so it stays. No event's partition: those contain a "#" or are "*".
PAUSE_PARTITION: Final = "brake"
OBJECTS_SORT: Final = "objects"


def rule_sort(rule_id: str) -> str:
    """Return the sort key of a rule's pause."""
    return f"rule#{rule_id}"


def environment_sort(name: str) -> str:
    """Return the sort key of an environment's pause."""
    return f"environment#{name}"


class PauseItems(Table):
    """Implements `mwaa_gateway.dispatch.pauses.PauseStore`."""

    def read(self, environment: str, rule_id: str) -> PausesRead:
        """Return the pauses; a consistent read, so that an ended pause is seen at once."""
        meanings: dict[str, tuple[HeldReason, str]] = {
            rule_sort(rule_id): (Reason.RULE_DISABLED, f"rule {rule_id!r} was disabled"),
            environment_sort(environment): (
                Reason.ENVIRONMENT_PAUSED,
                f"environment {environment!r} was paused",
            ),
        }
        keys = [rules_key(PAUSE_PARTITION, sort) for sort in (*meanings, OBJECTS_SORT)]
        with unavailable_unless_answered("cannot read the pauses"):
            answer = self._client.batch_get_item(
                RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
            )
        if answer.get("UnprocessedKeys"):
            raise Unavailable("cannot read the pauses: DynamoDB leaves keys unprocessed")
        found = {item["sort"]["S"]: item for item in answer["Responses"].get(self._table, [])}
        holds = {
            reason: _text(what, found[sort]) for sort, (reason, what) in meanings.items() if sort in found
        }
        return PausesRead(holds, may_be_claimed=OBJECTS_SORT in found)


def _text(what: str, item: Mapping[str, Any]) -> str:
    by, at, why = (text(item, name) for name in ("updated_by", "updated_at", "reason"))
    return f"{what} by {by or 'somebody'} at {at or 'some time'}{': ' if why else ''}{why}"
