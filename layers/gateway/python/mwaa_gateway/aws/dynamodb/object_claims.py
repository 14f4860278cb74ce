"""Claims to S3 objects in DynamoDB: one item for each claimed object and rule target, beside what it decides about.

    table     key                                                                    for
    ledger    event = SHA-256 of the object's name, request = <rule>#<target>#object  targets of rules without `collect`
    batches   partition = object#<rule>#<SHA-256 of the name>, sort = object          rules with `collect`
    batches   partition = objects, sort = objects                                    written before the first claim

The attribute `object_claims` has all claims, and is replaced as a whole. The items expire with the ledger's rows.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.ledger_items import expiry
from mwaa_gateway.aws.dynamodb.values import Item, attributes, ledger_key, text
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.trigger_request import event_hash

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CLAIMS: Final = "object_claims"
CLAIM_SORT: Final = "object"
MEMBER_CLAIMS: Final = "object#"  # how the partition of a claim in the batches table begins
ANY_CLAIM: Final = "objects"
_REFRESH_SECONDS: Final = 5.0  # a reconcile waits for longer


class _Claims:
    """`now` returns seconds since the epoch."""

    def __init__(self, client: "DynamoDBClient", table: str, now: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._now = now

    def _read(self, key: Item) -> str:
        with unavailable_unless_answered("cannot read the claims to an object"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return text(answer.get("Item", {}), CLAIMS)

    def _replace(self, key: Item, seen: str, claims: str) -> bool:
        """A write that is sent twice answers False the second time: the caller reads again and finds what it wrote."""
        unchanged = "#claims = :seen" if seen else "(attribute_not_exists(#claims) OR #claims = :seen)"
        with unavailable_unless_answered("cannot write the claims to an object"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression="SET #claims = :claims, expires_at = :expires_at",
                    ConditionExpression=unchanged,
                    ExpressionAttributeNames={"#claims": CLAIMS},
                    ExpressionAttributeValues=attributes(
                        {":claims": claims, ":seen": seen, ":expires_at": expiry(self._now())}
                    ),
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True


class LedgerClaims(_Claims):
    """Implements `mwaa_gateway.dispatch.object_claims.ObjectClaims` in the ledger table."""

    def read(self, name: str, rule_id: str, target_id: str) -> str:
        """Return the claims; "" for none."""
        return self._read(claim_key(name, rule_id, target_id))

    def replace(self, name: str, rule_id: str, target_id: str, seen: str, text: str) -> bool:
        """Replace the claims if they are still as `seen`."""
        return self._replace(claim_key(name, rule_id, target_id), seen, text)


def claim_key(name: str, rule_id: str, target_id: str) -> Item:
    """Return the key of the claims in the ledger table."""
    return ledger_key(event_hash(name), f"{rule_id}#{target_id}#{CLAIM_SORT}")


class BatchClaims(_Claims):
    """Implements `mwaa_gateway.feeds.collect.MemberClaims` in the batches table."""

    _may_be_claimed = False
    _checked_at = float("-inf")

    def read(self, name: str, rule_id: str, target_id: str = "") -> str:  # noqa: ARG002  a rule collects for all targets
        """Return the claims; "" for none."""
        return self._read(_member_key(name, rule_id))

    def replace(self, name: str, rule_id: str, target_id: str, seen: str, text: str) -> bool:  # noqa: ARG002
        """Replace the claims if they are still as `seen`."""
        return self._replace(_member_key(name, rule_id), seen, text)

    def read_all(self, rule_id: str, names: Iterable[str]) -> Mapping[str, str]:
        """Return the claims to these objects, by name, "" for none; nothing if no object was ever claimed."""
        if not self._any():
            return {}
        by_partition = {f"{MEMBER_CLAIMS}{rule_id}#{event_hash(name)}": name for name in names}
        keys = [_batches_key(partition, CLAIM_SORT) for partition in by_partition]
        found = batch_get(
            self._client, self._table, keys, "cannot read the claims to objects", time.sleep, consistent=True
        )
        read = {by_partition[text(item, "partition")]: text(item, CLAIMS) for item in found}
        return dict.fromkeys(by_partition.values(), "") | read

    def _any(self) -> bool:
        now = self._now()
        if not self._may_be_claimed and not 0 <= now - self._checked_at < _REFRESH_SECONDS:
            key = _batches_key(ANY_CLAIM, ANY_CLAIM)
            with unavailable_unless_answered("cannot read whether objects are claimed"):
                answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            self._may_be_claimed, self._checked_at = "Item" in answer, now
        return self._may_be_claimed


def _member_key(name: str, rule_id: str) -> Item:
    return _batches_key(f"{MEMBER_CLAIMS}{rule_id}#{event_hash(name)}", CLAIM_SORT)


def _batches_key(partition: str, sort: str) -> Item:
    return attributes({"partition": partition, "sort": sort})
