"""The items of the rules table, and the transaction that changes a rule.

`mwaa_gateway.aws.dynamodb.rules_table` describes the items. Every change of a rule's document or state adds one to its
version. The count never starts again: a deleted rule keeps its item (state DELETED, no document, no partitions), and a rule
that is applied again later continues from there. So "version 3" in a run's conf means one document for ever. A separate
counter would cost a second condition and a second item in every transaction; the remaining item needs neither, and records
who deleted the rule, and when.

The history keeps every version for good, written by the same transaction. So it contains every version that was ever in
force, and no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.dynamodb.pauses import BRAKE_PARTITION, rule_sort
from mwaa_gateway.aws.dynamodb.rules_table import COPY_PREFIX, HEAD_SORT, RULES_PARTITION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

__all__ = ["StoredRuleItem", "change_actions", "history_partition", "read_item", "rule_key", "version_key"]

_DELETED: Final = "DELETED"
_MATCHING: Final = ("ENABLED", "SHADOW")  # the states in which a rule matches events


@dataclass(frozen=True, slots=True)
class StoredRuleItem:
    """One version of a rule in the table.

    `document` is JSON text; `partitions` are those of its copies, which exist unless the rule is disabled or deleted.
    """

    id: str
    version: int
    state: str
    document: str
    partitions: tuple[str, ...]
    updated_at: str
    updated_by: str
    change: str = (
        ""  # the change that made this version: created, updated, disabled, rolled back to version 3 ...
    )
    commit: str = ""  # the commit of its files, if known

    @classmethod
    def deleted(
        cls, rule_id: str, *, version: int = 0, at: str = "", by: str = "", commit: str = ""
    ) -> "StoredRuleItem":
        """Return the item of a deleted rule; for a rule that never existed, at version 0."""
        return cls(rule_id, version, _DELETED, "", (), at, by, "deleted" if version else "", commit)

    @property
    def exists(self) -> bool:
        """Whether the rule exists now."""
        return self.state != _DELETED

    @property
    def copies(self) -> tuple[str, ...]:
        """The partitions that contain a copy now."""
        return self.partitions if self.state in _MATCHING else ()


def change_actions(
    table: str, read: StoredRuleItem, wanted: StoredRuleItem
) -> "list[TransactWriteItemTypeDef]":
    """Return the transaction that turns `read` into `wanted`, and fails if the rule changed since it was read.

    A rule has copies in at most 24 partitions. The rule itself, its entry in the history, its pause, 24 copies written, 24
    deleted and 48 heads raised make 99 of the 100 actions that DynamoDB allows.
    """
    old, new = set(read.copies), set(wanted.copies)
    return [
        _put_rule(table, read, wanted),
        _put_version(table, wanted),
        _pause(table, wanted),
        *(_put_copy(table, partition, wanted) for partition in sorted(new)),
        *(_delete_copy(table, partition, wanted.id) for partition in sorted(old - new)),
        *(_raise_head(table, partition) for partition in sorted(old | new)),
    ]


def rule_key(rule_id: str) -> "dict[str, AttributeValueTypeDef]":
    """Return the key of a rule's own item."""
    return _key(RULES_PARTITION, rule_id)


def history_partition(rule_id: str) -> str:
    """Return the partition of a rule's versions; it is no event's, because those contain a "#" or are "*"."""
    return f"history/{rule_id}"


def version_key(rule_id: str, version: int) -> "dict[str, AttributeValueTypeDef]":
    """Return the key of a version of a rule; as text, the keys sort like the numbers."""
    return _key(history_partition(rule_id), f"{version:010}")


def read_item(item: Mapping[str, "AttributeValueTypeDef"]) -> StoredRuleItem:
    """Read a rule's own item, even after manual changes, so that it can be listed and repaired."""

    def text(name: str) -> str:
        return item.get(name, {}).get("S", "")

    version = item.get("version", {}).get("N", "")
    return StoredRuleItem(
        id=text("id") or item["sort"]["S"],
        version=int(version) if version.isdecimal() else 0,
        state=text("state"),
        document=text("document"),
        partitions=tuple(
            partition["S"] for partition in item.get("partitions", {}).get("L", ()) if "S" in partition
        ),
        updated_at=text("updated_at"),
        updated_by=text("updated_by"),
        change=text("change"),
        commit=text("commit"),
    )


def _put_rule(table: str, read: StoredRuleItem, wanted: StoredRuleItem) -> "TransactWriteItemTypeDef":
    item = {**rule_key(wanted.id), **_attributes(wanted)}
    names = {"#version": "version"}
    if read.version == 0:
        never_written = "attribute_not_exists(#version)"
        return {
            "Put": {
                "TableName": table,
                "Item": item,
                "ConditionExpression": never_written,
                "ExpressionAttributeNames": names,
            }
        }
    still_as_read = "#version = :read"
    return {
        "Put": {
            "TableName": table,
            "Item": item,
            "ConditionExpression": still_as_read,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {":read": {"N": str(read.version)}},
        }
    }


def _put_version(table: str, wanted: StoredRuleItem) -> "TransactWriteItemTypeDef":
    item = {**version_key(wanted.id, wanted.version), **_attributes(wanted)}
    return {"Put": {"TableName": table, "Item": item}}


def _attributes(rule: StoredRuleItem) -> "dict[str, AttributeValueTypeDef]":
    attributes: dict[str, AttributeValueTypeDef] = {
        "id": {"S": rule.id},
        "version": {"N": str(rule.version)},
        "state": {"S": rule.state},
        "document": {"S": rule.document},
        "partitions": {"L": [{"S": partition} for partition in rule.partitions]},
        "updated_at": {"S": rule.updated_at},
        "updated_by": {"S": rule.updated_by},
        "change": {"S": rule.change},
    }
    return attributes | ({"commit": {"S": rule.commit}} if rule.commit else {})


def _pause(table: str, rule: StoredRuleItem) -> "TransactWriteItemTypeDef":
    """Return the action that pauses a disabled rule's waiting requests, or ends the pause."""
    key = _key(BRAKE_PARTITION, rule_sort(rule.id))
    if rule.state != "DISABLED":
        return {"Delete": {"TableName": table, "Key": key}}
    paused: Mapping[str, AttributeValueTypeDef] = {
        **key,
        "updated_at": {"S": rule.updated_at},
        "updated_by": {"S": rule.updated_by},
    }
    return {"Put": {"TableName": table, "Item": paused}}


def _put_copy(table: str, partition: str, rule: StoredRuleItem) -> "TransactWriteItemTypeDef":
    item: Mapping[str, AttributeValueTypeDef] = {
        **_key(partition, f"{COPY_PREFIX}{rule.id}"),
        "id": {"S": rule.id},
        "version": {"N": str(rule.version)},
        "state": {"S": rule.state},
        "document": {"S": rule.document},
    }
    return {"Put": {"TableName": table, "Item": item}}


def _delete_copy(table: str, partition: str, rule_id: str) -> "TransactWriteItemTypeDef":
    return {"Delete": {"TableName": table, "Key": _key(partition, f"{COPY_PREFIX}{rule_id}")}}


def _raise_head(table: str, partition: str) -> "TransactWriteItemTypeDef":
    return {
        "Update": {
            "TableName": table,
            "Key": _key(partition, HEAD_SORT),
            "UpdateExpression": "ADD #generation :one",
            "ExpressionAttributeNames": {"#generation": "generation"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }


def _key(partition: str, sort: str) -> "dict[str, AttributeValueTypeDef]":
    return {"partition": {"S": partition}, "sort": {"S": sort}}
