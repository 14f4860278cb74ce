"""The ledger's dead and held rows for the operator's commands: list them, read them whole, purge and cancel them."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.dynamodb.ledger_items import DEAD_SHARDS, HELD_SHARDS, STOPPED_INDEX, expiry
from mwaa_gateway.aws.dynamodb.values import Table, attributes, ledger_key, text
from mwaa_gateway.outcomes import Reason, Rejected
from mwaa_gateway.trigger_request import TriggerRequest, UnreadableRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

LedgerKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One trigger request; `request` is set if the whole row was read."""

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
    first_attempt_at: float | None
    stopped_at: float
    request: TriggerRequest | None = None

    @property
    def id(self) -> str:
        """What logs, Airflow and the command line call it: its run_id."""
        return self.run_id


class LedgerRows(Table):
    """Reads the ledger table; it writes only to purge a dead row or cancel a held one."""

    def dead(self) -> Iterator[LedgerRow]:
        """Return every dead row of every shard, without its request. The index lags a moment behind the table."""
        return self._stopped(DEAD_SHARDS, "dead")

    def held(self) -> Iterator[LedgerRow]:
        """Return every held row, like `dead`."""
        return self._stopped(HELD_SHARDS, "held")

    def _stopped(self, shards: Sequence[str], state: str) -> Iterator[LedgerRow]:
        pages = self._client.get_paginator("query")
        for shard in shards:
            for page in pages.paginate(
                TableName=self._table,
                IndexName=STOPPED_INDEX,
                KeyConditionExpression="stopped_shard = :shard",
                ExpressionAttributeValues=attributes({":shard": shard}),
            ):
                yield from (_row(item, state) for item in page["Items"])

    def stopped(self) -> tuple[list[LedgerRow], bool]:
        """Return dead and held rows with one call, as far as it goes, and whether those are all; without their requests.

        The index has stopped requests only: a scan of it reads what the queries of its shards would.
        """
        answer = self._client.scan(TableName=self._table, IndexName=STOPPED_INDEX)
        rows = [_row(item, text(item, "stopped_shard").partition("#")[0]) for item in answer["Items"]]
        return rows, "LastEvaluatedKey" not in answer

    def requests(self, rule_id: str | None, progress: Callable[[int], None]) -> Iterator[LedgerRow]:
        """Return every row with its request, of one rule or of all; `progress` gets the number of rows read so far."""
        read = 0
        of_rule: dict[str, Any] = (
            {"ExpressionAttributeValues": attributes({":rule": rule_id})} if rule_id else {}
        )
        for page in self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="rule_id = :rule AND attribute_exists(request_body)"
            if rule_id
            else "attribute_exists(request_body)",
            **of_rule,
        ):
            read += page["ScannedCount"]
            progress(read)
            yield from (_row(item, "") for item in page["Items"])

    def read(self, key: LedgerKey) -> LedgerRow | None:
        """Return one row as it is now, with its request; None if there is none (any more)."""
        answer = self._client.get_item(TableName=self._table, Key=ledger_key(*key), ConsistentRead=True)
        return _row(answer["Item"], "") if "Item" in answer else None

    def of_event(self, event: str) -> list[LedgerRow]:
        """Return every row of one event, by the event's hash, with their requests."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="event = :event",
            ExpressionAttributeValues=attributes({":event": event}),
        )
        return [_row(item, "") for page in pages for item in page["Items"]]

    def remove_from_index(self, row: LedgerRow) -> bool:
        """Remove a dead row from the index; the row itself stays dead. False if it was reopened since it was read."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=ledger_key(*row.key),
                UpdateExpression="REMOVE stopped_shard",
                # Reopening removes both attributes. The operator's policy allows only these attributes here.
                ConditionExpression="attribute_exists(stopped_shard) AND stopped_at = :stopped_at",
                ExpressionAttributeValues=attributes({":stopped_at": row.stopped_at}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def cancel(self, row: LedgerRow, why: str, now: float) -> bool:
        """Turn a held row into a dead one. False if it changed since it was read.

        The number of redrives goes up, so that a release still on its way cannot reopen it.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=ledger_key(*row.key),
                UpdateExpression="SET #state = :dead, stopped_shard = :shard, stopped_at = :now, outcome = :outcome"
                ", reason = :reason, reason_text = :text, redrives = :redrives, expires_at = :expires_at",
                ConditionExpression="#state = :held AND redrives = :seen",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues=attributes(
                    {
                        ":held": "held",
                        ":dead": "dead",
                        ":shard": DEAD_SHARDS[int(row.key[0][:8], 16) % len(DEAD_SHARDS)],
                        ":now": now,
                        ":outcome": Rejected.__name__,
                        ":reason": Reason.CANCELLED,
                        ":text": why,
                        ":seen": row.redrives,
                        ":redrives": row.redrives + 1,
                        ":expires_at": expiry(now),
                    }
                ),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _row(item: "Mapping[str, AttributeValueTypeDef]", state: str) -> LedgerRow:
    """Read an item of the table or of the index, which leaves out the state: `state` is the index's."""

    def number(name: str) -> float:
        return float(item.get(name, {}).get("N", "0"))

    version = int(number("rule_version"))
    return LedgerRow(
        key=(item["event"]["S"], item["request"]["S"]),
        state=text(item, "state") or state,
        run_id=text(item, "run_id"),
        identity=text(item, "identity"),
        rule_id=item["request"]["S"].partition("#")[0],
        rule_version=version or None,
        environment=text(item, "environment"),
        dag_id=text(item, "dag_id"),
        reason=text(item, "reason"),
        text=text(item, "reason_text"),
        attempt=int(number("attempt")),
        redrives=int(number("redrives")),
        first_attempt_at=number("first_attempt_at") or None,  # None: held before its first attempt
        stopped_at=number("stopped_at"),
        request=request_of(item),
    )


def request_of(item: "Mapping[str, AttributeValueTypeDef]") -> TriggerRequest | None:
    """Return the row's request; None if it is missing or was changed by hand: the other rows stay readable."""
    try:
        return TriggerRequest.from_json(zlib.decompress(item["request_body"]["B"]))
    except (KeyError, TypeError, zlib.error, UnreadableRequest):
        return None
