"""The ledger's dead rows, for people: found by the index `dead`, read whole, and taken off the list."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mwaa_gateway.aws.ledger_table import DEAD_INDEX, DEAD_SHARDS
from mwaa_gateway.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["LedgerKey", "LedgerRow", "LedgerRows"]

LedgerKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One trigger request; `request` is there where the row was read whole."""

    key: LedgerKey
    state: str
    run_id: str
    identity: str
    rule_id: str
    rule_version: int | None
    environment: str
    dag_id: str
    reason: str
    text: str
    attempt: int
    redrives: int
    first_attempt_at: float
    finished_at: float
    request: TriggerRequest | None = None


class LedgerRows:
    """Reads the ledger table, and writes nothing but what leaves the list of the dead."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def dead(self) -> Iterator[LedgerRow]:
        """Return every dead row of every shard, without its request; a change takes a moment to show here."""
        pages = self._client.get_paginator("query")
        for shard in DEAD_SHARDS:
            for page in pages.paginate(
                TableName=self._table,
                IndexName=DEAD_INDEX,
                KeyConditionExpression="dead_shard = :shard",
                ExpressionAttributeValues={":shard": {"S": shard}},
            ):
                yield from map(_row, page["Items"])

    def read(self, key: LedgerKey) -> LedgerRow | None:
        """Read one row as it is now, with its request; None where there is none (any more)."""
        answer = self._client.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _row(answer["Item"]) if "Item" in answer else None

    def take_off_the_list(self, row: LedgerRow) -> bool:
        """Take a dead row out of the index: it stays dead, and stays. False where it is not this death any more."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(row.key),
                UpdateExpression="REMOVE dead_shard",
                # Both go when the request is reopened. The operator's policy allows these attributes and no other.
                ConditionExpression="attribute_exists(dead_shard) AND finished_at = :finished_at",
                ExpressionAttributeValues={":finished_at": {"N": f"{row.finished_at:.6f}"}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _key(key: LedgerKey) -> "dict[str, AttributeValueTypeDef]":
    event, request = key
    return {"event": {"S": event}, "request": {"S": request}}


def _row(item: "Mapping[str, AttributeValueTypeDef]") -> LedgerRow:
    def text(name: str) -> str:
        return item.get(name, {}).get("S", "")

    def number(name: str) -> float:
        return float(item.get(name, {}).get("N", "0"))

    body = item.get("request_body", {}).get("B")
    version = int(number("rule_version"))
    return LedgerRow(
        key=(item["event"]["S"], item["request"]["S"]),
        state=text("state") or "dead",  # the index leaves it out
        run_id=text("run_id"),
        identity=text("identity"),
        rule_id=item["request"]["S"].partition("#")[0],
        rule_version=version or None,
        environment=text("environment"),
        dag_id=text("dag_id"),
        reason=text("reason"),
        text=text("reason_text"),
        attempt=int(number("attempt")),
        redrives=int(number("redrives")),
        first_attempt_at=number("first_attempt_at"),
        finished_at=number("finished_at"),
        request=None if body is None else TriggerRequest.from_json(zlib.decompress(body)),
    )
