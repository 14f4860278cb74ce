"""A batch of the batches table as an answer has it: what it has, what it lacks, when it is released."""

from collections.abc import Sequence
from typing import Any, Final

from gateway_cli.answers.evidence import BatchNow
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.values import ledger_key
from mwaa_gateway.feeds.batch import Batch, Segment, collect_of
from mwaa_gateway.feeds.condition import missing_of, next_release
from mwaa_gateway.feeds.release import Counted, summary_of
from mwaa_gateway.trigger_request import TriggerRequest

_MOST_COUNTED: Final = 100  # members: one BatchGetItem


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
