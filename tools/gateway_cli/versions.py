"""What a change of a rule and of an allow-list have in common: its entry in the history, and the head that announces it.

The history keeps every version for good. The transaction that makes a version writes it, also for a deletion. Its partition
is no event's, because those contain a "#" or are "*".
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.dynamodb.rules_table import HEAD_SORT
from mwaa_gateway.aws.dynamodb.values import Value, attributes, rules_key, text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    from gateway_cli.namespaces.store import StoredNamespace
    from gateway_cli.rules.items import StoredRuleItem

_TEXTS: Final = ("document", "updated_at", "updated_by", "change", "commit")


def version_values(stored: "StoredRuleItem | StoredNamespace") -> dict[str, Value]:
    """Return the attributes that rules and allow-lists share; without a known commit, there is no such attribute."""
    texts = {name: getattr(stored, name) for name in _TEXTS if name != "commit" or stored.commit}
    return {"version": stored.version, **texts}


def version_texts(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of a stored version by name, "" for missing ones."""
    return {name: text(item, name) for name in _TEXTS}


def version_sort(version: int) -> str:
    """Return the sort key of a version: as text, the keys sort like the numbers."""
    return f"{version:010}"


def changed_at(moment: datetime) -> str:
    """Return the time of a change as the table has it."""
    return moment.isoformat(timespec="seconds")


def put(table: str, values: Mapping[str, Value], **condition: Any) -> "TransactWriteItemTypeDef":
    """Return the action that writes an item."""
    action: Any = {"TableName": table, "Item": attributes(values), **condition}
    return {"Put": action}


def raise_head(table: str, partition: str, read: int | None = None) -> "TransactWriteItemTypeDef":
    """Return the action that makes every function read the partition again; it fails if the generation is not as `read`."""
    update: Any = {
        "TableName": table,
        "Key": rules_key(partition, HEAD_SORT),
        "UpdateExpression": "ADD #generation :one",
        "ExpressionAttributeNames": {"#generation": "generation"},
        "ExpressionAttributeValues": attributes({":one": 1}),
    }
    if read == 0:
        update["ConditionExpression"] = "attribute_not_exists(#generation)"
    elif read is not None:
        update["ConditionExpression"] = "#generation = :read"
        update["ExpressionAttributeValues"] |= attributes({":read": read})
    return {"Update": update}


def in_partition(
    client: "DynamoDBClient", table: str, partition: str, *, prefix: str = "", newest_first: bool = False
) -> "Iterator[dict[str, AttributeValueTypeDef]]":
    """Yield the items of a partition whose sort keys begin with the prefix, ordered by these."""
    names, values = {"#partition": "partition"}, {":partition": partition}
    if prefix:
        names["#sort"], values[":prefix"] = "sort", prefix
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="#partition = :partition"
        + (" AND begins_with(#sort, :prefix)" if prefix else ""),
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=attributes(values),
        ScanIndexForward=not newest_first,
        ConsistentRead=True,
    )
    return (item for page in pages for item in page["Items"])
