"""Writes allow-lists to the rules table; `mwaa_gateway.aws.dynamodb.rules_table` describes the items.

The history keeps every version for good, written by the transaction that makes it, also for a deletion. A list with the
same name that comes back later continues the version numbers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from mwaa_gateway.aws.dynamodb.rules_table import HEAD_SORT, NAMESPACE_PREFIX, RulesTable
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.routing.live_rules import NAMESPACES_PARTITION
from mwaa_gateway.rules.allow_lists import Namespace, Namespaces

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["NamespaceChanged", "NamespacesStore", "StoredNamespace", "history_partition"]


class NamespaceChanged(GatewayError):
    """Somebody else changed the allow-list between reading and writing; nothing was written."""


@dataclass(frozen=True, slots=True)
class StoredNamespace:
    """A version of an allow-list: `document` is JSON text, "" after its deletion; version 0: there is none."""

    name: str
    document: str = ""
    version: int = 0
    updated_at: str = ""
    updated_by: str = ""
    change: str = ""  # created, updated or deleted
    commit: str = ""  # the commit of its file, if known


class NamespacesStore:
    """Reads and changes allow-lists; a change raises the head, so that the functions read them again."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def namespaces(self) -> Namespaces:
        """Return the allow-lists as the gateway reads them."""
        return Namespaces.from_items(RulesTable(self._client, self._table).namespaces())

    def everything(self) -> dict[str, StoredNamespace]:
        """Return every allow-list by its namespace, ordered by name."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="#partition = :namespaces AND begins_with(#sort, :prefix)",
            ExpressionAttributeNames={"#partition": "partition", "#sort": "sort"},
            ExpressionAttributeValues={
                ":namespaces": {"S": NAMESPACES_PARTITION},
                ":prefix": {"S": NAMESPACE_PREFIX},
            },
            ConsistentRead=True,
        )
        found = (_stored(item) for page in pages for item in page["Items"])
        return {namespace.name: namespace for namespace in found}

    def versions(self, name: str) -> list[StoredNamespace]:
        """Return all versions of an allow-list, newest first; none if there never was one."""
        return [replace(_stored(item), name=name) for item in self._history(name)]

    def put(
        self, namespace: Namespace, read: StoredNamespace, *, by: str, now: datetime, commit: str = ""
    ) -> Literal["created", "updated", "unchanged"]:
        """Write an allow-list in place of the one that was read; an unchanged list is not written."""
        text = json.dumps(namespace.document(), separators=(",", ":"))
        if read.document == text:
            return "unchanged"
        outcome: Literal["created", "updated"] = "updated" if read.version else "created"
        wanted = StoredNamespace(
            namespace.name, text, self._next_version(read), _text(now), by, outcome, commit
        )
        item = {**_key(f"{NAMESPACE_PREFIX}{namespace.name}"), **_attributes(wanted)}
        self._write({"Put": {"TableName": self._table, "Item": item, **_unchanged_since(read)}}, wanted)
        return outcome

    def delete(self, read: StoredNamespace, *, by: str, now: datetime) -> None:
        """Delete the allow-list that was read; the history and the version count stay."""
        key = _key(f"{NAMESPACE_PREFIX}{read.name}")
        wanted = StoredNamespace(read.name, "", self._next_version(read), _text(now), by, "deleted")
        self._write({"Delete": {"TableName": self._table, "Key": key, **_unchanged_since(read)}}, wanted)

    def _next_version(self, read: StoredNamespace) -> int:
        newest = next(iter(self._history(read.name)), None)
        return max(read.version, _stored(newest).version if newest else 0) + 1

    def _history(self, name: str) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="#partition = :history",
            ExpressionAttributeNames={"#partition": "partition"},
            ExpressionAttributeValues={":history": {"S": history_partition(name)}},
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        return (item for page in pages for item in page["Items"])

    def _write(self, action: Any, wanted: StoredNamespace) -> None:
        """Change the list, record the version and raise the head in one transaction."""
        version: Any = {
            "Put": {
                "TableName": self._table,
                "Item": {**_version_key(wanted), **_attributes(wanted)},
                "ConditionExpression": "attribute_not_exists(#version)",
                "ExpressionAttributeNames": {"#version": "version"},
            }
        }
        raise_head: Any = {
            "Update": {
                "TableName": self._table,
                "Key": _key(HEAD_SORT),
                "UpdateExpression": "ADD #generation :one",
                "ExpressionAttributeNames": {"#generation": "generation"},
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
        }
        try:
            self._client.transact_write_items(TransactItems=[action, version, raise_head])
        except ClientError as error:
            reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            if not {"ConditionalCheckFailed", "TransactionConflict"} & set(reasons):
                raise
            raise NamespaceChanged(
                f"somebody else changed the allow-list of namespace {wanted.name!r} meanwhile: run the command again"
            ) from error


def history_partition(name: str) -> str:
    """Return the partition of an allow-list's versions; it is no event's, because those contain a "#" or are "*"."""
    return f"namespace-history/{name}"


def _version_key(namespace: StoredNamespace) -> "dict[str, AttributeValueTypeDef]":
    # As text, the versions sort like the numbers.
    return {
        "partition": {"S": history_partition(namespace.name)},
        "sort": {"S": f"{namespace.version:010}"},
    }


def _attributes(namespace: StoredNamespace) -> "dict[str, AttributeValueTypeDef]":
    attributes: dict[str, AttributeValueTypeDef] = {
        "document": {"S": namespace.document},
        "version": {"N": str(namespace.version)},
        "updated_at": {"S": namespace.updated_at},
        "updated_by": {"S": namespace.updated_by},
        "change": {"S": namespace.change},
    }
    return attributes | ({"commit": {"S": namespace.commit}} if namespace.commit else {})


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _unchanged_since(read: StoredNamespace) -> Mapping[str, Any]:
    if not read.version:
        return {
            "ConditionExpression": "attribute_not_exists(#document)",
            "ExpressionAttributeNames": {"#document": "document"},
        }
    return {
        "ConditionExpression": "#document = :read",
        "ExpressionAttributeNames": {"#document": "document"},
        "ExpressionAttributeValues": {":read": {"S": read.document}},
    }


def _stored(item: Mapping[str, "AttributeValueTypeDef"]) -> StoredNamespace:
    version = item.get("version", {}).get("N", "")
    return StoredNamespace(
        name=item["sort"]["S"].removeprefix(NAMESPACE_PREFIX),
        document=item.get("document", {}).get("S", ""),
        version=int(version) if version.isdecimal() else 1,
        updated_at=item.get("updated_at", {}).get("S", ""),
        updated_by=item.get("updated_by", {}).get("S", ""),
        change=item.get("change", {}).get("S", ""),
        commit=item.get("commit", {}).get("S", ""),
    )


def _key(sort: str) -> "dict[str, AttributeValueTypeDef]":
    return {"partition": {"S": NAMESPACES_PARTITION}, "sort": {"S": sort}}
