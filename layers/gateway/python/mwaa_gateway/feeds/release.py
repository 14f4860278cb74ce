"""Releases a batch: one decision, one manifest, one trigger request per target, however often and wherever it is tried.

    judge     an open batch waits, or is marked as releasing, with the reason. A quiet one waits for a message that went
              through the collect queue behind all that was sent before
    close     the head moves to the next batch: no member that arrives from now on is in this one
    count     the members are those whose pointer names the very segment that lists them
    decide    the manifest is stored, then the decision: the first one written stands for good
    send      the decision's trigger requests go to their queues; the ledger recognises those that come twice
    notify    the decision's notices go to the gateway's bus, at least once

The batch leaves the due index at the end. A crash anywhere leaves it there, and the next look takes it up.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import field, replace
from typing import Final, Literal

from mwaa_gateway.conf.claim_check import ClaimChecks
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import (
    WHEN_DUE,
    Batch,
    BatchStore,
    Decision,
    EventBus,
    Flushes,
    Head,
    Manifests,
    Pointer,
    Reason,
    collect_of,
    key_digest,
)
from mwaa_gateway.feeds.condition import Flush, Release, Summary, Wait, judge, missing_of, was_overdue
from mwaa_gateway.feeds.notices import overdue_notice, released_notices
from mwaa_gateway.feeds.requests import requests_of
from mwaa_gateway.routing.members import Member
from mwaa_gateway.routing.resolve import Refused
from mwaa_gateway.rules.collect import MAXIMUM_ITEMS, Collect
from mwaa_gateway.trigger_request import TriggerQueue, TriggerRequest
from mwaa_gateway.values import value

MAXIMUM_KNOWN: Final = MAXIMUM_ITEMS  # members that a sandbox remembers, about 1 KB each
LEASE_SECONDS: Final = 60.0  # one look acts; if it crashes, the tick's next look acts after so long
_LOOKS: Final = 10  # at a batch that somebody changes while it is judged


@value
class Looked:
    """The result of a look at a batch. A batch that waits lacks `missing`, and is looked at again at `until`.

    `flushes`: it is quiet, and waits for what was sent before. `is_overdue`: this look reported it as overdue.
    """

    result: Literal["waits", "flushes", "released", "nothing"]
    batch: Batch | None = None
    decision: Decision | None = None
    until: float = 0.0
    missing: tuple[str, ...] = ()
    is_overdue: bool = False


@value(kw_only=True)
class Releaser:
    """The flow from batches to trigger requests. `now` returns seconds since the epoch.

    A releaser remembers the members of open batches: a pointer to a batch does not change before its decision is written.
    """

    store: BatchStore
    manifests: Manifests
    flushes: Flushes
    bus: EventBus
    claim_checks: ClaimChecks
    queue: TriggerQueue
    new_id: Callable[[], str]
    now: Callable[[], float]
    claim_check_bucket: str
    known: dict[str, dict[str, Pointer]] = field(default_factory=dict, init=False, repr=False)

    def look(self, batch_id: str) -> Looked:
        """Release the batch if it is time. Anybody may look, at any time and any number of times.

        Of looks at the same moment one acts: it first makes the batch due again LEASE_SECONDS from now. If it crashes, the
        look at that time takes over.
        """
        for _ in range(_LOOKS):
            batch = self.store.batch(batch_id)
            if batch is None or batch.state != "open":
                return Looked("nothing", batch) if self._is_leased(batch) else self._release(batch)
            summary = summary_of(batch, self.counted(batch))
            match judge(collect_of(batch.document), summary, self.now()):
                case Release(reason=reason):
                    by, lease = WHEN_DUE if reason == "cancelled" else "", self._lease()
                    batch = self.store.begin_release(batch_id, reason, by=by, due_at=lease)
                    return self._release(batch) if batch.due_at == lease else Looked("nothing", batch)
                case Flush():
                    self.flushes.flush(batch_id, batch.rule_id)
                    return Looked("flushes", batch)
                case Wait() as wait:
                    if looked := self._wait(batch, summary, wait):
                        return looked
        raise Unavailable(f"batch {batch_id} changes too fast to be looked at")

    def _wait(self, batch: Batch, summary: Summary, wait: Wait) -> Looked | None:
        """Set the next look, or report the batch once if it is overdue; None if somebody else changed the batch."""
        until, reports = wait.until, wait.is_overdue and not batch.is_overdue and not batch.is_shadow
        if reports:  # once that is marked, the look at the end of the lease sets the next one
            until = batch.due_at if batch.due_at is not None and self._is_leased(batch) else self._lease()
            reports = until != batch.due_at
        if until != batch.due_at and not self.store.look_again(batch, until):
            return None
        if reports:
            self.bus.publish([overdue_notice(batch, summary, wait.missing)])
        return Looked("waits", batch, None, until, wait.missing, reports)

    def _lease(self) -> float:
        # The table keeps six digits, and a lease must read as it was written.
        return round(self.now() + LEASE_SECONDS, 3)

    def _is_leased(self, batch: Batch | None) -> bool:
        return batch is not None and batch.due_at is not None and self.now() < batch.due_at

    def mark_reported(self, looked: Looked) -> None:
        """Record that a batch was reported as overdue; only afterwards: a crash before has it reported again."""
        if looked.is_overdue and looked.batch is not None:
            self.store.mark_overdue(looked.batch.id)

    def release(self, batch_id: str, *, by: str, cancel: bool = False) -> Looked:
        """Release or cancel an open batch now; `by` is recorded. A batch that is being released keeps its reason."""
        batch = self.store.begin_release(
            batch_id, "cancelled" if cancel else "operator", by=by, due_at=self._lease()
        )
        return self._release(batch)

    def _release(self, batch: Batch | None) -> Looked:
        if batch is None or batch.reason == "" or batch.due_at is None:
            return Looked("nothing", batch)
        self._close(batch, batch.reason)
        decision = self.store.decision(batch.id) or self.store.decide(self._decision(batch, batch.reason))
        if decision.requests:
            self.queue.enqueue([TriggerRequest.from_json(text) for text in decision.requests])
        if decision.notices:
            self.bus.publish(decision.notices)
        self.store.end_release(batch.id, decision.reason)
        self.known.pop(batch.id, None)
        return Looked("released", batch, decision)

    def _close(self, batch: Batch, reason: Reason) -> None:
        """Move the head to a new batch, so that no member that arrives from now on is in this one."""
        head = self.store.head(batch.rule_id, key_digest(batch.key))
        if head is not None and head.batch_id == batch.id:
            follows = batch.is_late or reason in {"complete", "due"}
            following = Head(head.rule_id, head.key, self.new_id(), head.number + 1, follows)
            self.store.advance_head(following, batch.id)

    def _decision(self, batch: Batch, reason: Reason) -> Decision:
        """Count a closed batch's members, store their manifest, and make the trigger requests."""
        counted = self.counted(batch)
        collect = collect_of(batch.document)
        summary = summary_of(batch, counted)
        members, superseded = listed_members(counted, collect)
        missing = missing_of(collect, summary)
        when_due = summary
        if reason == "complete" and summary.due_at is not None:
            when_due = summary_of(batch, counted.until(summary.due_at))
        decision = Decision(
            batch.id,
            reason,
            is_complete=not missing and not batch.is_late,
            count=len(members),
            manifest=self.manifests.put(batch, members) if members else "",
            superseded=self.manifests.put(batch, superseded) if superseded else "",
            markers=tuple(sorted(member.id for member in counted.members if member.kind == "marker")),
            missing=missing,
            is_overdue=not batch.is_overdue
            and not batch.is_shadow
            and batch.by in {"", WHEN_DUE}
            and was_overdue(collect, summary, reason, when_due=when_due),
        )
        overdue = (
            [overdue_notice(batch, when_due, missing_of(collect, when_due))] if decision.is_overdue else []
        )
        decision = replace(decision, notices=(*overdue, *released_notices(batch, summary, decision, members)))
        if not members or reason == "cancelled" or batch.is_shadow:
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
        if sum(map(len, self.known.values())) > MAXIMUM_KNOWN:
            self.known.clear()
        known = self.known.setdefault(batch.id, {})
        found = self.store.pointers(batch.rule_id, {member for _, member in listed if member not in known})
        known |= {
            member: pointer
            for member, pointer in found.items()
            if pointer.batch_id == batch.id and (pointer.segment, member) in listed
        }
        members = tuple(pointer.member for pointer in known.values())
        arrivals = {segment.id: segment.last_at for segment in segments}
        arrived = tuple(arrivals[pointer.segment] for pointer in known.values())
        return Counted(members, max(arrivals.values(), default=batch.first_at), arrived)


@value
class Counted:
    """What a batch has: members and markers, and when the last one's message was sent.

    `arrived` says of each member when the last message was sent that was stored together with it.
    """

    members: tuple[Member, ...]
    last_at: float
    arrived: tuple[float, ...] = ()

    def until(self, time: float) -> "Counted":
        """Return what the batch had at a time."""
        there = zip(self.members, self.arrived, strict=True)
        return replace(self, members=tuple(member for member, arrived in there if arrived <= time))


def listed_members(counted: Counted, collect: Collect) -> tuple[list[Member], list[Member]]:
    """Return the members in the order of the manifest, and those that a later version of their S3 object replaces."""
    members = sorted(
        (member for member in counted.members if member.kind == "member"),
        key=lambda member: (member.distinct, version_order(member), member.id),
    )
    if collect.versions == "all":
        return members, []
    latest = {member.item.get("uri", member.id): member.id for member in sorted(members, key=version_order)}
    kept = set(latest.values())
    return [member for member in members if member.id in kept], [
        member for member in members if member.id not in kept
    ]


def version_order(member: Member) -> tuple[str, str]:
    """Return what orders the versions of one S3 object: S3 compares sequencers as hex that zeros fill up on the right.

    The two routes of one upload may differ in leading zeros, as in `events.s3`.
    """
    sequencer = str(member.item.get("sequencer", "")).upper().lstrip("0")
    return sequencer.ljust(64, "0"), str(member.item.get("time", ""))


def summary_of(batch: Batch, counted: Counted) -> Summary:
    """Return what the batch's condition asks about."""
    members = [member for member in counted.members if member.kind == "member"]
    markers = [member for member in counted.members if member.kind == "marker"]
    collect = collect_of(batch.document)
    of_parts = {(member.part, member.distinct) for member in members}
    return Summary(
        members=len(members),
        distinct=frozenset(member.distinct for member in members),
        first_at=batch.first_at,
        last_at=counted.last_at,
        has_marker=bool(markers),
        expected=max((marker.count for marker in markers if marker.count is not None), default=None),
        is_late=batch.is_late,
        parts=Counter(part for part, _ in of_parts),
        due_at=None
        if batch.is_late
        else collect.due_at(dict(batch.key), batch.first_at, is_expected=batch.is_expected),
        collected_until=batch.collected_until,
    )
