"""The items of the ledger and of the batches table that an answer reads."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway_cli.answers.evidence import BatchNow, Circuit, RequestRow
from gateway_cli.answers.trail import TrailLine, seconds
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import request_of
from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.values import Item, attributes, ledger_key, text
from mwaa_gateway.feeds.batch import Batch, Segment, collect_of
from mwaa_gateway.feeds.condition import missing_of, next_release
from mwaa_gateway.feeds.release import Counted, summary_of
from mwaa_gateway.observability.trail import resource_of
from mwaa_gateway.trigger_request import TriggerRequest

_GATE: Final = "gate"
_MOST_COUNTED: Final = 100  # members: one BatchGetItem
_GENERATION: Final = re.compile(r"__r(\d{1,4})$")


def request_key(line: TrailLine) -> Item:
    """Return the ledger's key of the request that a line is about; a rerun's generation ends its run_id."""
    rerun = _GENERATION.search(line.run_id)
    generation = rerun[1] if rerun else "0"
    return ledger_key(line.identity, f"{line.rule_id}#{line.target_id}#{generation}")


def circuit_keys(places: Iterable[tuple[str, str]]) -> list[Item]:
    """Return the keys of the circuit breakers of environments and DAGs; those of `dag_id` "" are the environments' only."""
    names: dict[str, None] = {}
    for environment, dag_id in places:
        names[f"gate|environment|{environment}"] = None
        if dag_id:
            names[f"gate|dag|{environment}|{dag_id}"] = None
    return [ledger_key(name, _GATE) for name in names]


def rows_by_key(connection: Connection, table: str, keys: Sequence[Item]) -> list[Item]:
    """Read items of the ledger by their keys, consistently."""
    return [
        *batch_get(connection.dynamodb, table, keys, "cannot read the ledger", time.sleep, consistent=True)
    ]


def rows_of_event(connection: Connection, table: str, identity: str) -> list[Item]:
    """Read every item of one event, by the hash of its identity."""
    pages = connection.dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="event = :event",
        ExpressionAttributeValues=attributes({":event": identity}),
        ConsistentRead=True,
    )
    return [item for page in pages for item in page["Items"]]


def request_row(item: Mapping[str, Any]) -> RequestRow | None:
    """Read a request's row; None for an item of another kind."""
    if text(item, "request").count("#") < 2 or not text(item, "run_id"):  # noqa: PLR2004  rule#target#generation
        return None
    request = request_of(item)
    event = {} if request is None else request.event
    return RequestRow(
        run_id=text(item, "run_id"),
        state=text(item, "state"),
        rule_id=text(item, "rule_id") or text(item, "request").partition("#")[0],
        environment=text(item, "environment"),
        dag_id=text(item, "dag_id"),
        reason=text(item, "reason"),
        text=text(item, "reason_text"),
        attempt=int(number(item, "attempt") or 0),
        redrives=int(number(item, "redrives") or 0),
        not_runnable=text(item, "not_runnable"),
        last_attempt_at=number(item, "last_attempt_at"),
        finished_at=number(item, "finished_at"),
        stopped_at=number(item, "stopped_at"),
        event_id=str(event.get("id", "")),
        resource=resource_of(event),
        event_at=seconds(event.get("time")),
    )


def circuit_of(item: Mapping[str, Any]) -> Circuit | None:
    """Read an open circuit breaker; None for a closed one, and for an item of another kind."""
    kind, _, rest = text(item, "event").removeprefix("gate|").partition("|")
    open_since, probe_at = number(item, "shut_since"), number(item, "probe_at")
    if open_since is None or probe_at is None:
        return None
    environment, _, dag_id = rest.partition("|") if kind == "dag" else (rest, "", "")
    return Circuit(environment, dag_id, open_since, probe_at, int(number(item, "failures") or 0))


def number(item: Mapping[str, Any], name: str) -> float | None:
    """Return a number of an item; None if it has none."""
    value = item.get(name, {}).get("N")
    return None if value is None else float(value)


def read_batch(
    table: BatchesTable, batch_id: str, now: float, *, may_count: bool
) -> tuple[BatchNow, int] | None:
    """Return a batch with what it lacks, and the queries this cost beyond the first; None if there is no such batch.

    An open batch is counted only if `may_count`, and if one call reads all of its members.
    """
    batch, segments, decision = table.contents(batch_id)
    if batch is None:
        return None
    about: dict[str, Any] = {
        "id": batch.id,
        "rule_id": batch.rule_id,
        "key": ", ".join(f"{name}={value}" for name, value in batch.key),
        "state": batch.state,
        "is_overdue": batch.is_overdue,
        "is_shadow": batch.is_shadow,
        "reason": batch.reason,
        "by": batch.by,
    }
    if decision is not None:
        requests = [TriggerRequest.from_json(request) for request in decision.requests]
        about |= {
            "members": decision.count,
            "missing": decision.missing,
            "is_complete": decision.is_complete,
            "reason": decision.reason,
            "refused": decision.refused,
            "run_ids": tuple(request.target.run_id for request in requests),
            "request_keys": tuple(ledger_key(*request.ledger_key) for request in requests),
        }
        return BatchNow(**about), 0
    listed = {member for segment in segments for member in segment.members}
    if batch.state != "open" or not may_count or len(listed) > _MOST_COUNTED:
        return BatchNow(**about, members=len(listed)), 0
    return _counted(table, batch, segments, about, now), 1 if listed else 0


def _counted(
    table: BatchesTable, batch: Batch, segments: Sequence[Segment], about: dict[str, Any], now: float
) -> BatchNow:
    """Return an open batch with what it has and lacks, as the releaser counts it."""
    listed = {(segment.id, member) for segment in segments for member in segment.members}
    pointers = table.pointers(batch.rule_id, [member for _, member in listed]) if listed else {}
    members = tuple(
        pointer.member
        for member, pointer in pointers.items()
        if pointer.batch_id == batch.id and (pointer.segment, member) in listed
    )
    last_at = max((segment.last_at for segment in segments), default=batch.first_at)
    summary, collect = summary_of(batch, Counted(members, last_at)), collect_of(batch.document)
    at, because = next_release(collect, summary, now)
    return BatchNow(
        **about,
        members=summary.members,
        missing=missing_of(collect, summary),
        due_at=summary.due_at,
        releases_at=at,
        releases_because=because,
    )
