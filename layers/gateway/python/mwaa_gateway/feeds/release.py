"""Releases a batch: one decision, one manifest, one trigger request per target, however often and wherever it is tried.

    judge     an open batch waits, or is marked as releasing, with the reason
    close     the head moves to the next batch: no member that arrives from now on is in this one
    count     the members are those whose pointer names the very segment that lists them
    decide    the manifest is stored, then the decision: the first one written stands for good
    send      the decision's trigger requests go to their queues; the ledger recognises those that come twice

The batch leaves the due index at the end. A crash anywhere leaves it there, and the next look takes it up.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from mwaa_gateway.conf.claim_check import ClaimChecks
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import (
    Batch,
    BatchStore,
    Decision,
    Head,
    Manifests,
    Reason,
    collect_of,
    key_digest,
)
from mwaa_gateway.feeds.condition import Release, Summary, Wait, judge, missing_of
from mwaa_gateway.feeds.requests import requests_of
from mwaa_gateway.routing.members import Member
from mwaa_gateway.routing.resolve import Refused
from mwaa_gateway.trigger_request import TriggerQueue, TriggerRequest

__all__ = ["Looked", "Releaser", "summary_of"]

_LOOKS: Final = 10  # at a batch that somebody changes while it is judged


@dataclass(frozen=True, slots=True)
class Looked:
    """The result of a look at a batch. A batch that waits lacks `missing`, and is looked at again at `until`."""

    result: Literal["waits", "released", "nothing"]
    batch: Batch | None = None
    decision: Decision | None = None
    until: float = 0.0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Releaser:
    """The flow from batches to trigger requests. `now` returns seconds since the epoch."""

    store: BatchStore
    manifests: Manifests
    claim_checks: ClaimChecks
    queue: TriggerQueue
    new_id: Callable[[], str]
    now: Callable[[], float]
    claim_check_bucket: str

    def look(self, batch_id: str) -> Looked:
        """Release the batch if it is time. Anybody may look, at any time and any number of times."""
        for _ in range(_LOOKS):
            batch = self.store.batch(batch_id)
            if batch is None or batch.state != "open":
                break
            match judge(collect_of(batch.document), summary_of(batch, self.counted(batch)), self.now()):
                case Release(reason=reason):
                    batch = self.store.begin_release(batch_id, reason, by="", due_at=self.now())
                    break
                case Wait(until=until, missing=missing):
                    if self.store.look_again(batch, until):
                        return Looked("waits", batch, until=until, missing=missing)
        else:
            raise Unavailable(f"batch {batch_id} changes too fast to be looked at")
        return self._release(batch)

    def release(self, batch_id: str, *, by: str, cancel: bool = False) -> Looked:
        """Release or cancel an open batch now; `by` is recorded. A batch that is being released keeps its reason."""
        batch = self.store.begin_release(
            batch_id, "cancelled" if cancel else "operator", by=by, due_at=self.now()
        )
        return self._release(batch)

    def _release(self, batch: Batch | None) -> Looked:
        if batch is None or batch.reason == "" or batch.due_at is None:
            return Looked("nothing", batch)
        self._close(batch, batch.reason)
        decision = self.store.decision(batch.id) or self.store.decide(self._decision(batch, batch.reason))
        if decision.requests:
            self.queue.enqueue([TriggerRequest.from_json(text) for text in decision.requests])
        self.store.end_release(batch.id, decision.reason)
        return Looked("released", batch, decision)

    def _close(self, batch: Batch, reason: Reason) -> None:
        """Move the head to a new batch, so that no member that arrives from now on is in this one."""
        head = self.store.head(batch.rule_id, key_digest(batch.key))
        if head is not None and head.batch_id == batch.id:
            follows = batch.is_late or reason == "complete"
            following = Head(head.rule_id, head.key, self.new_id(), head.number + 1, follows)
            self.store.advance_head(following, batch.id)

    def _decision(self, batch: Batch, reason: Reason) -> Decision:
        """Count a closed batch's members, store their manifest, and make the trigger requests."""
        counted = self.counted(batch)
        members = sorted(
            (member for member in counted.members if member.kind == "member"),
            key=lambda member: (member.distinct, member.id),
        )
        summary = summary_of(batch, counted)
        missing = missing_of(collect_of(batch.document), summary)
        is_complete = not missing and not batch.is_late
        manifest = self.manifests.put(batch, members) if members else ""
        markers = tuple(sorted(member.id for member in counted.members if member.kind == "marker"))
        decision = Decision(batch.id, reason, is_complete, len(members), manifest, markers, missing)
        if not members or reason == "cancelled":
            return decision
        requests: list[str] = []
        refused: list[str] = []
        for found in requests_of(batch, summary, decision, members, bucket=self.claim_check_bucket):
            if isinstance(found, Refused):
                refused.append(found.text)
                continue
            if found.claim_check is not None:
                self.claim_checks.put([found.claim_check])
            requests.append(found.request.to_json())
        return replace(decision, requests=tuple(requests), refused=tuple(refused))

    def counted(self, batch: Batch) -> "Counted":
        """Return the members of the batch: each once, by the pointer that names the segment that lists it."""
        segments = self.store.segments(batch.id)
        listed = {(segment.id, member) for segment in segments for member in segment.members}
        pointers = self.store.pointers(batch.rule_id, {member for _, member in listed})
        members = tuple(
            pointer.member
            for pointer in pointers.values()
            if pointer.batch_id == batch.id and (pointer.segment, pointer.member.id) in listed
        )
        return Counted(members, max((segment.last_at for segment in segments), default=batch.first_at))


@dataclass(frozen=True, slots=True)
class Counted:
    """What a batch has: members and markers, and when the last one's message was sent."""

    members: tuple[Member, ...]
    last_at: float


def summary_of(batch: Batch, counted: Counted) -> Summary:
    """Return what the batch's condition asks about."""
    members = [member for member in counted.members if member.kind == "member"]
    markers = [member for member in counted.members if member.kind == "marker"]
    return Summary(
        members=len(members),
        distinct=frozenset(member.distinct for member in members),
        first_at=batch.first_at,
        last_at=counted.last_at,
        has_marker=bool(markers),
        expected=max((marker.count for marker in markers if marker.count is not None), default=None),
        is_late=batch.is_late,
    )
