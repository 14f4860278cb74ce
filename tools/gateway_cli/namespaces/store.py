"""Allow-lists in the rules table, write side; `mwaa_gateway.aws.rules_table` describes the items."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from mwaa_gateway.aws.rules_table import HEAD_SORT, NAMESPACE_PREFIX, RulesTable
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.live_rules import NAMESPACES_PARTITION
from mwaa_gateway.namespaces import Namespace, Namespaces

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["NamespaceChanged", "NamespacesStore", "StoredNamespace"]


class NamespaceChanged(GatewayError):
    """Somebody else changed the allow-list between reading and writing; nothing was written."""


@dataclass(frozen=True, slots=True)
class StoredNamespace:
    """An allow-list as the table has it: `document` is JSON text; version 0 is one that is not there."""

    name: str
    document: str = ""
    version: int = 0
    updated_at: str = ""
    updated_by: str = ""


class NamespacesStore:
    """Reads and changes allow-lists; a change raises a head, so that the functions read them again."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def namespaces(self) -> Namespaces:
        """Return the allow-lists as the gateway reads them."""
        return Namespaces.from_items(RulesTable(self._client, self._table).namespaces())

    def everything(self) -> dict[str, StoredNamespace]:
        """Return every allow-list by its namespace, in the order of their names."""
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

    def put(
        self, namespace: Namespace, read: StoredNamespace, *, by: str, now: datetime
    ) -> Literal["created", "updated", "unchanged"]:
        """Write an allow-list in place of the one that was read; the same again writes nothing."""
        text = json.dumps(namespace.document(), separators=(",", ":"))
        if read.document == text:
            return "unchanged"
        item: dict[str, AttributeValueTypeDef] = {
            **_key(f"{NAMESPACE_PREFIX}{namespace.name}"),
            "document": {"S": text},
            "version": {"N": str(read.version + 1)},
            "updated_at": {"S": now.isoformat(timespec="seconds")},
            "updated_by": {"S": by},
        }
        self._write(
            {"Put": {"TableName": self._table, "Item": item, **_unchanged_since(read)}}, namespace.name
        )
        return "updated" if read.version else "created"

    def delete(self, read: StoredNamespace) -> None:
        """Delete the allow-list that was read."""
        key = _key(f"{NAMESPACE_PREFIX}{read.name}")
        self._write({"Delete": {"TableName": self._table, "Key": key, **_unchanged_since(read)}}, read.name)

    def _write(self, action: Any, name: str) -> None:
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
            self._client.transact_write_items(TransactItems=[action, raise_head])
        except ClientError as error:
            reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            if not {"ConditionalCheckFailed", "TransactionConflict"} & set(reasons):
                raise
            raise NamespaceChanged(
                f"the allow-list of namespace {name!r} was changed by somebody else since it was read: run again"
            ) from error


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
    )


def _key(sort: str) -> "dict[str, AttributeValueTypeDef]":
    return {"partition": {"S": NAMESPACES_PARTITION}, "sort": {"S": sort}}
