"""The items of the rules table, and the transaction that changes a rule.

`mwaa_gateway.aws.dynamodb.rules_table` describes the items. Every change of a rule's document or state adds one to its
version. The count never starts again: a deleted rule keeps its item (state DELETED, no document, no partitions), and a rule
that is applied again later continues from there. So "version 3" in a run's conf means one document for ever. A separate
counter would cost a second condition and a second item in every transaction; the remaining item needs neither, and records
who deleted the rule, and when.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gateway_cli.documents.json_documents import json_object
from gateway_cli.versions import put, raise_head, version_sort, version_texts, version_values
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION, rule_sort
from mwaa_gateway.aws.dynamodb.rules_table import COPY_PREFIX, RULES_PARTITION
from mwaa_gateway.aws.dynamodb.values import Value, attributes, rules_key, text, version

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

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
    # The change that made this version: created, updated, disabled, rolled back to version 3 ...
    change: str = ""
    commit: str = ""  # the commit of its files, if known
    # The generation that this version made in each partition that it changed; a line of the trail has those that its event
    # met. A version of a disabled rule changes none, and one that an earlier release wrote has none.
    generations: Mapping[str, int] = field(default_factory=dict)

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
    table: str, read: StoredRuleItem, wanted: StoredRuleItem, heads: Mapping[str, int]
) -> "list[TransactWriteItemTypeDef]":
    """Return the transaction that turns `read` into `wanted`, and fails if the rule or a head changed since it was read.

    A rule has copies in at most 24 partitions. The rule itself, its entry in the history, its pause, 24 copies written, 24
    deleted and 48 heads raised make 99 of the 100 actions that DynamoDB allows.
    """
    old, new = set(read.copies), set(wanted.copies)
    wanted = replace(wanted, generations={partition: read + 1 for partition, read in heads.items()})
    return [
        _put_rule(table, read, wanted),
        _put_version(table, wanted),
        _pause(table, wanted),
        *(_put_copy(table, partition, wanted) for partition in sorted(new)),
        *(_delete_copy(table, partition, wanted.id) for partition in sorted(old - new)),
        *(raise_head(table, partition, heads.get(partition)) for partition in sorted(old | new)),
    ]


def rule_key(rule_id: str) -> "dict[str, AttributeValueTypeDef]":
    """Return the key of a rule's own item."""
    return rules_key(RULES_PARTITION, rule_id)


def history_partition(rule_id: str) -> str:
    """Return the partition of a rule's versions."""
    return f"history/{rule_id}"


def version_key(rule_id: str, version: int) -> "dict[str, AttributeValueTypeDef]":
    """Return the key of a version of a rule."""
    return rules_key(history_partition(rule_id), version_sort(version))


def read_item(item: Mapping[str, "AttributeValueTypeDef"]) -> StoredRuleItem:
    """Read a rule's own item, even after manual changes, so that it can be listed and repaired."""
    return StoredRuleItem(
        id=text(item, "id") or item["sort"]["S"],
        version=version(item),
        state=text(item, "state"),
        partitions=tuple(
            partition["S"] for partition in item.get("partitions", {}).get("L", ()) if "S" in partition
        ),
        generations=json_object(text(item, "generations")) or {},
        **version_texts(item),
    )


def _put_rule(table: str, read: StoredRuleItem, wanted: StoredRuleItem) -> "TransactWriteItemTypeDef":
    values = {"partition": RULES_PARTITION, "sort": wanted.id, **_values(wanted)}
    names = {"#version": "version"}
    if read.version == 0:
        never_written = "attribute_not_exists(#version)"
        return put(table, values, ConditionExpression=never_written, ExpressionAttributeNames=names)
    still_as_read = "#version = :read"
    return put(
        table,
        values,
        ConditionExpression=still_as_read,
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=attributes({":read": read.version}),
    )


def _put_version(table: str, wanted: StoredRuleItem) -> "TransactWriteItemTypeDef":
    key = {"partition": history_partition(wanted.id), "sort": version_sort(wanted.version)}
    return put(table, {**key, **_values(wanted)})


def _values(rule: StoredRuleItem) -> dict[str, Value]:
    values = {"id": rule.id, "state": rule.state, "partitions": rule.partitions, **version_values(rule)}
    return {**values, "generations": json.dumps(rule.generations)} if rule.generations else values


def _pause(table: str, rule: StoredRuleItem) -> "TransactWriteItemTypeDef":
    """Return the action that pauses a disabled rule's waiting requests, or ends the pause."""
    key = {"partition": PAUSE_PARTITION, "sort": rule_sort(rule.id)}
    if rule.state != "DISABLED":
        return {"Delete": {"TableName": table, "Key": attributes(key)}}
    return put(table, {**key, "updated_at": rule.updated_at, "updated_by": rule.updated_by})


def _put_copy(table: str, partition: str, rule: StoredRuleItem) -> "TransactWriteItemTypeDef":
    return put(
        table,
        {
            "partition": partition,
            "sort": f"{COPY_PREFIX}{rule.id}",
            "id": rule.id,
            "version": rule.version,
            "state": rule.state,
            "document": rule.document,
            "updated_at": rule.updated_at,
        },
    )


def _delete_copy(table: str, partition: str, rule_id: str) -> "TransactWriteItemTypeDef":
    return {"Delete": {"TableName": table, "Key": rules_key(partition, f"{COPY_PREFIX}{rule_id}")}}
