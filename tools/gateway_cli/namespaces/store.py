"""Writes allow-lists to the rules table; `mwaa_gateway.aws.dynamodb.rules_table` describes the items.

A list with the same name that comes back later continues the version numbers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from gateway_cli.versions import (
    changed_at,
    in_partition,
    put,
    raise_head,
    version_sort,
    version_texts,
    version_values,
)
from mwaa_gateway.aws.dynamodb.rules_table import NAMESPACE_PREFIX, RulesTable
from mwaa_gateway.aws.dynamodb.values import Table, Value, attributes, rules_key, version
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.routing.live_rules import NAMESPACES_PARTITION
from mwaa_gateway.rules.allow_lists import Namespace, Namespaces

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


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


class NamespacesStore(Table):
    """Reads and changes allow-lists; a change raises the head, so that the functions read them again."""

    def namespaces(self) -> Namespaces:
        """Return the allow-lists as the gateway reads them."""
        return Namespaces.from_items(RulesTable(self._client, self._table).namespaces())

    def everything(self) -> dict[str, StoredNamespace]:
        """Return every allow-list by its namespace, ordered by name."""
        found = map(_stored, self._items(NAMESPACES_PARTITION, prefix=NAMESPACE_PREFIX))
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
            namespace.name, text, self._next_version(read), changed_at(now), by, outcome, commit
        )
        values = {
            "partition": NAMESPACES_PARTITION,
            "sort": f"{NAMESPACE_PREFIX}{namespace.name}",
            **version_values(wanted),
        }
        self._write(put(self._table, values, **_unchanged_since(read)), wanted)
        return outcome

    def delete(self, read: StoredNamespace, *, by: str, now: datetime) -> None:
        """Delete the allow-list that was read; the history and the version count stay."""
        key = rules_key(NAMESPACES_PARTITION, f"{NAMESPACE_PREFIX}{read.name}")
        wanted = StoredNamespace(read.name, "", self._next_version(read), changed_at(now), by, "deleted")
        self._write({"Delete": {"TableName": self._table, "Key": key, **_unchanged_since(read)}}, wanted)

    def _next_version(self, read: StoredNamespace) -> int:
        newest = next(iter(self._history(read.name)), None)
        return max(read.version, _stored(newest).version if newest else 0) + 1

    def _history(self, name: str) -> Iterator[Mapping[str, Any]]:
        return self._items(history_partition(name), newest_first=True)

    def _items(self, partition: str, **options: Any) -> Iterator[Mapping[str, Any]]:
        return in_partition(self._client, self._table, partition, **options)

    def _write(self, action: Any, wanted: StoredNamespace) -> None:
        """Change the list, record the version and raise the head in one transaction."""
        in_history: dict[str, Value] = {
            "partition": history_partition(wanted.name),
            "sort": version_sort(wanted.version),
            **version_values(wanted),
        }
        put_version = put(
            self._table,
            in_history,
            ConditionExpression="attribute_not_exists(#version)",
            ExpressionAttributeNames={"#version": "version"},
        )
        actions = [action, put_version, raise_head(self._table, NAMESPACES_PARTITION)]
        try:
            self._client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            if not {"ConditionalCheckFailed", "TransactionConflict"} & set(reasons):
                raise
            raise NamespaceChanged(
                f"somebody else changed the allow-list of namespace {wanted.name!r} meanwhile: run the command again"
            ) from error


def history_partition(name: str) -> str:
    """Return the partition of an allow-list's versions."""
    return f"namespace-history/{name}"


def _unchanged_since(read: StoredNamespace) -> Mapping[str, Any]:
    if not read.version:
        return {
            "ConditionExpression": "attribute_not_exists(#document)",
            "ExpressionAttributeNames": {"#document": "document"},
        }
    return {
        "ConditionExpression": "#document = :read",
        "ExpressionAttributeNames": {"#document": "document"},
        "ExpressionAttributeValues": attributes({":read": read.document}),
    }


def _stored(item: Mapping[str, "AttributeValueTypeDef"]) -> StoredNamespace:
    name = item["sort"]["S"].removeprefix(NAMESPACE_PREFIX)
    return StoredNamespace(name=name, version=version(item, default=1), **version_texts(item))
