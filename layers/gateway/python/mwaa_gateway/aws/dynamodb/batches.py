"""The batches table: heads, batches, segments, pointers and decisions of rules that collect.

    partition                    sort            content
    head#<rule id>#<key digest>  head            Head; `batch_id` is what a change is conditional on. TTL: 400 days
    batch#<batch id>             batch           Batch; `state`, `due_at` and marks change. In the index `due` until released
    batch#<batch id>             segment#<id>    the members' ids, 16 bytes each, and `last_at`
    batch#<batch id>             decision        Decision, as JSON, zlib
    member#<rule id>#<member>    member          Pointer, with the member as JSON

    index due: due_shard, due_at (keys only)

A batch is open for 30 days at most, and a queue may redeliver a member for 28. So everything but heads is kept for 120 days,
and decisions for 150: a pointer without a decision belongs to a batch that is not released yet.
"""

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.values import Item, Value, attributes, text
from mwaa_gateway.aws.errors import refused_item, unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Batch, Decision, Head, Pointer, Reason, Segment
from mwaa_gateway.routing.members import Member

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DUE_INDEX: Final = "due"
DUE_SHARDS: Final = 8
EVER: Final = 1e11  # seconds since the epoch; DynamoDB has no infinite number
HEAD_KEPT_SECONDS: Final = 400 * 86_400
KEPT_SECONDS: Final = 120 * 86_400
DECISION_KEPT_SECONDS: Final = 150 * 86_400
_SIDE_BY_SIDE: Final = 8  # conditional writes have no batch call
_KNOWN_BATCHES: Final = 10_000


class BatchesTable:
    """Implements `mwaa_gateway.feeds.batch.BatchStore`, and lists batches for timers and operators. `now` is in seconds."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        now: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._now = now
        self._pause = pause
        self._opened: set[str] = (
            set()
        )  # batches that surely have an item: a member of one costs no write to find out

    # --- heads

    def head(self, rule_id: str, key: str) -> Head | None:
        """Return the head of a rule and key."""
        item = self._get(_head_key(rule_id, key))
        return Head(rule_id, key, **json.loads(text(item, "content"))) if item else None

    def create_head(self, head: Head) -> None:
        """Write the head unless there is one."""
        self._put_if(self._head_item(head), "attribute_not_exists(#partition)")

    def advance_head(self, head: Head, batch_id: str) -> None:
        """Replace the head, if it still names `batch_id`."""
        self._put_if(self._head_item(head), "batch_id = :batch_id", {":batch_id": batch_id})

    def _head_item(self, head: Head) -> Item:
        content = {
            "batch_id": head.batch_id,
            "number": head.number,
            "follows_a_complete_one": head.follows_a_complete_one,
        }
        values = {"batch_id": head.batch_id, "content": json.dumps(content)}
        return _head_key(head.rule_id, head.key) | attributes(values | self._expires(HEAD_KEPT_SECONDS))

    # --- batches

    def open_batch(self, batch: Batch) -> bool:
        """Write the batch unless there is one with its id; return whether this call wrote it."""
        if batch.id in self._opened:
            return False
        content = asdict(batch)
        for changing in ("due_at", "state", "reason", "by", "collected_until", "is_overdue"):
            del content[changing]
        values: dict[str, Value] = {
            "state": batch.state,
            "due_shard": _due_shard(batch.id),
            "due_at": float(batch.due_at or 0.0),
            "rule_id": batch.rule_id,
            "content": json.dumps(content),
        }
        item = _batch_key(batch.id) | attributes(values | self._expires(KEPT_SECONDS))
        opened = self._put_if(item, "attribute_not_exists(#partition)") is None
        if len(self._opened) >= _KNOWN_BATCHES:
            self._opened.clear()
        self._opened.add(batch.id)
        return opened

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch."""
        item = self._get(_batch_key(batch_id))
        return _batch(item) if item else None

    def contents(self, batch_id: str) -> tuple[Batch | None, list[Segment], Decision | None]:
        """Return a batch, its segments and its decision with one query, for people."""
        batch, segments, decision = None, [], None
        for item in self._query(
            KeyConditionExpression="#partition = :partition",
            ExpressionAttributeNames={"#partition": "partition"},
            ExpressionAttributeValues=attributes({":partition": f"batch#{batch_id}"}),
            ConsistentRead=True,
        ):
            match text(item, "sort"):
                case "batch":
                    batch = _batch(item)
                case "decision":
                    decision = _decision(item)
                case _:
                    segments.append(_segment(item))
        return batch, segments, decision

    def look_again(self, batch: Batch, due_at: float) -> bool:
        """Set when the batch is looked at next, if it is open and its `due_at` is the one of `batch`."""
        return self._update(
            batch.id,
            "SET due_at = :due_at",
            "#state = :open AND due_at = :seen",
            {":due_at": float(due_at), ":open": "open", ":seen": float(batch.due_at or 0.0)},
        )[0]

    def mark_collected(self, batch_id: str, until: float) -> None:
        """Record that the members that were sent before `until` are in the batch, if it is open."""
        values: dict[str, Value] = {":until": float(until), ":open": "open"}
        self._update(batch_id, "SET collected_until = :until", "#state = :open", values)

    def mark_overdue(self, batch_id: str) -> None:
        """Record that the batch has been reported as overdue, if it is open."""
        self._update(batch_id, "SET is_overdue = :yes", "#state = :open", {":yes": True, ":open": "open"})

    def begin_release(self, batch_id: str, reason: Reason, by: str, due_at: float) -> Batch:
        """Set the state `releasing`, due at `due_at`, if the batch is open; return the batch as it is then."""
        _, item = self._update(
            batch_id,
            "SET #state = :releasing, reason = :reason, released_by = :by, due_at = :due_at",
            "#state = :open",
            {
                ":releasing": "releasing",
                ":reason": reason,
                ":by": by,
                ":due_at": float(due_at),
                ":open": "open",
            },
        )
        if not item:
            raise Unavailable(f"batch {batch_id} has disappeared from the table")
        return _batch(item)

    def end_release(self, batch_id: str, reason: Reason) -> None:
        """Set the final state and take the batch out of the due index."""
        self._update(
            batch_id,
            "SET #state = :state REMOVE due_at, due_shard",
            "attribute_exists(#state)",
            {":state": "cancelled" if reason == "cancelled" else "released"},
        )

    # --- members

    def add_segment(self, batch_id: str, segment: Segment) -> None:
        """Write a segment of a batch."""
        key = attributes({"partition": f"batch#{batch_id}", "sort": f"segment#{segment.id}"})
        values: dict[str, Value] = {
            "members": b"".join(map(bytes.fromhex, segment.members)),
            "last_at": float(segment.last_at),
        }
        with unavailable_unless_answered("cannot write a segment"):
            self._client.put_item(
                TableName=self._table, Item=key | attributes(values | self._expires(KEPT_SECONDS))
            )

    def segments(self, batch_id: str) -> list[Segment]:
        """Return every segment of a batch."""
        found = self._query(
            KeyConditionExpression="#partition = :partition AND begins_with(#sort, :segment)",
            ExpressionAttributeNames={"#partition": "partition", "#sort": "sort"},
            ExpressionAttributeValues=attributes({":partition": f"batch#{batch_id}", ":segment": "segment#"}),
            ConsistentRead=True,
        )
        return [_segment(item) for item in found]

    def point(self, pointers: Sequence[Pointer]) -> list[Pointer]:
        """Write each pointer unless its member has one; return the pointer that each member has, in the same order."""
        with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(pointers))) as threads:
            return [*threads.map(self._point, pointers)]

    def _point(self, pointer: Pointer) -> Pointer:
        found = self._put_if(self._pointer_item(pointer), "attribute_not_exists(#partition)")
        return pointer if found is None else pointer_of(found)

    def move_pointer(self, pointer: Pointer, to: Pointer) -> None:
        """Replace a member's pointer, if it still names the same segment."""
        seen = {":batch_id": pointer.batch_id, ":segment": pointer.segment}
        self._put_if(self._pointer_item(to), "batch_id = :batch_id AND in_segment = :segment", seen)

    def pointers(self, rule_id: str, members: Iterable[str]) -> dict[str, Pointer]:
        """Return the pointers of these members, by the members' ids; every one that exists, or raise."""
        keys = [_pointer_key(rule_id, member) for member in dict.fromkeys(members)]
        found = batch_get(
            self._client, self._table, keys, "cannot read the batches table", self._pause, consistent=True
        )
        return {pointer.member.id: pointer for pointer in map(pointer_of, found)}

    def _pointer_item(self, pointer: Pointer) -> Item:
        values: dict[str, Value] = {
            "batch_id": pointer.batch_id,
            "in_segment": pointer.segment,
            "key": pointer.key,
            "member": json.dumps(pointer.member.document(), separators=(",", ":")),
        }
        key = _pointer_key(pointer.rule_id, pointer.member.id)
        return key | attributes(values | self._expires(KEPT_SECONDS))

    # --- decisions

    def decide(self, decision: Decision) -> Decision:
        """Write the decision unless the batch has one; return the one that it has."""
        content = zlib.compress(json.dumps(asdict(decision), separators=(",", ":")).encode())
        key = attributes({"partition": f"batch#{decision.batch_id}", "sort": "decision"})
        item = key | attributes({"content": content} | self._expires(DECISION_KEPT_SECONDS))
        found = self._put_if(item, "attribute_not_exists(#partition)")
        return decision if found is None else _decision(found)

    def decision(self, batch_id: str) -> Decision | None:
        """Return the decision about a batch."""
        item = self._get(attributes({"partition": f"batch#{batch_id}", "sort": "decision"}))
        return _decision(item) if item else None

    # --- the due index

    def due(self, until: float) -> Iterator[tuple[str, float]]:
        """Yield the id and the `due_at` of each batch that must be looked at by `until`; eventually consistent."""
        for shard in range(DUE_SHARDS):
            for item in self._query(
                IndexName=DUE_INDEX,
                KeyConditionExpression="due_shard = :shard AND due_at <= :until",
                ExpressionAttributeValues=attributes({":shard": str(shard), ":until": float(until)}),
            ):
                yield text(item, "partition").removeprefix("batch#"), float(item["due_at"]["N"])

    # --- calls

    def _expires(self, seconds: int) -> dict[str, Value]:
        return {"expires_at": int(self._now()) + seconds}

    def _get(self, key: Item) -> Item:
        with unavailable_unless_answered("cannot read the batches table"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return dict(answer.get("Item", {}))

    def _put_if(self, item: Item, condition: str, values: Mapping[str, Value] | None = None) -> Item | None:
        """Write the item under a condition; return None, or the item that refused it (empty if there is none)."""
        options: dict[str, Any] = {"ExpressionAttributeValues": attributes(values)} if values else {}
        if "#partition" in condition:
            options["ExpressionAttributeNames"] = {"#partition": "partition"}
        with unavailable_unless_answered("cannot write to the batches table"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=condition,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **options,
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return refused_item(refused)
        return None

    def _update(
        self, batch_id: str, update: str, condition: str, values: Mapping[str, Value]
    ) -> tuple[bool, Item]:
        """Change a batch under a condition; return whether it held, and the batch's item afterwards."""
        with unavailable_unless_answered("cannot write to the batches table"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_batch_key(batch_id),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues=attributes(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return False, refused_item(refused)
        return True, dict(answer.get("Attributes", {}))

    def _query(self, **query: Any) -> Iterator[Item]:
        with unavailable_unless_answered("cannot read the batches table"):
            for page in self._client.get_paginator("query").paginate(TableName=self._table, **query):
                yield from page["Items"]


def _head_key(rule_id: str, key: str) -> Item:
    return attributes({"partition": f"head#{rule_id}#{key}", "sort": "head"})


def _batch_key(batch_id: str) -> Item:
    return attributes({"partition": f"batch#{batch_id}", "sort": "batch"})


def _pointer_key(rule_id: str, member: str) -> Item:
    return attributes({"partition": f"member#{rule_id}#{member}", "sort": "member"})


def _due_shard(batch_id: str) -> str:
    return str(int(hashlib.sha256(batch_id.encode()).hexdigest()[:8], 16) % DUE_SHARDS)


def _batch(item: Item) -> Batch:
    content = json.loads(text(item, "content"))
    content["key"] = tuple((name, value) for name, value in content["key"])
    return Batch(
        **content,
        due_at=float(item["due_at"]["N"]) if "due_at" in item else None,
        state=item["state"]["S"],
        reason=item.get("reason", {}).get("S", ""),
        by=text(item, "released_by"),
        collected_until=float(item["collected_until"]["N"]) if "collected_until" in item else 0.0,
        is_overdue="is_overdue" in item,
    )


def _segment(item: Item) -> Segment:
    digits = bytes(item["members"]["B"]).hex()
    members = tuple(digits[start : start + 32] for start in range(0, len(digits), 32))
    return Segment(text(item, "sort").removeprefix("segment#"), members, float(item["last_at"]["N"]))


def pointer_of(item: Item) -> Pointer:
    """Read a pointer from its item."""
    rule_id = text(item, "partition").removeprefix("member#").rpartition("#")[0]
    member = Member.of(json.loads(text(item, "member")))
    return Pointer(rule_id, member, text(item, "batch_id"), text(item, "in_segment"), text(item, "key"))


def _decision(item: Item) -> Decision:
    content = json.loads(zlib.decompress(bytes(item["content"]["B"])))
    lists = ("markers", "missing", "requests", "refused", "notices")
    return Decision(**content | {name: tuple(content.get(name, ())) for name in lists})
