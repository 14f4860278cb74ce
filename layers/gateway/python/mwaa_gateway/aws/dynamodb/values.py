"""DynamoDB's attribute values, from Python's and back, and the keys of the two tables.

A float is a time in seconds, stored with six digits.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Table:
    """A table, and the client that reads and writes it."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table


Item = dict[str, Any]  # attribute values by name, as DynamoDB has them
Value = str | int | float | bytes | tuple[str, ...]  # a bool is an int


def attributes(values: Mapping[str, Value]) -> Item:
    """Return attribute values by name, for an item or for the values of an expression."""
    return {name: _attribute(value) for name, value in values.items()}


def _attribute(value: Value) -> Item:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case float():
            return {"N": f"{value:.6f}"}
        case bytes():
            return {"B": value}
        case tuple():
            return {"L": [{"S": text} for text in value]}


def ledger_key(event: str, request: str) -> Item:
    """Return a key of the ledger table."""
    return attributes({"event": event, "request": request})


def rules_key(partition: str, sort: str) -> Item:
    """Return a key of the rules table."""
    return attributes({"partition": partition, "sort": sort})


def text(item: Mapping[str, Any], name: str) -> str:
    """Return a text attribute; "" if there is none, or somebody changed its type by hand."""
    return str(item.get(name, {}).get("S", ""))


def version(item: Mapping[str, Any], default: int = 0) -> int:
    """Return the attribute `version`; the default if there is none, or somebody changed it by hand."""
    number = str(item.get("version", {}).get("N", ""))
    return int(number) if number.isdecimal() else default
