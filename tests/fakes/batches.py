"""The batches table, the manifests and the timers in memory, as the ports in `mwaa_gateway.feeds.batch` promise."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mwaa_gateway.feeds.batch import Batch, Decision, Head, Pointer, Reason, Segment
from mwaa_gateway.routing.members import Member, MemberMessage


@dataclass
class BatchesInMemory:
    """Implements BatchStore: each call is one atomic step."""

    heads: dict[tuple[str, str], Head] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    listed: dict[tuple[str, str], Segment] = field(default_factory=dict)
    pointed: dict[tuple[str, str], Pointer] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)

    def head(self, rule_id: str, key: str) -> Head | None:
        return self.heads.get((rule_id, key))

    def create_head(self, head: Head) -> None:
        self.heads.setdefault((head.rule_id, head.key), head)

    def advance_head(self, head: Head, batch_id: str) -> None:
        found = self.heads.get((head.rule_id, head.key))
        if found is not None and found.batch_id == batch_id:
            self.heads[head.rule_id, head.key] = head

    def open_batch(self, batch: Batch) -> bool:
        return self.batches.setdefault(batch.id, batch) is batch

    def batch(self, batch_id: str) -> Batch | None:
        return self.batches.get(batch_id)

    def mark_collected(self, batch_id: str, until: float) -> None:
        self._mark(batch_id, collected_until=until)

    def mark_overdue(self, batch_id: str) -> None:
        self._mark(batch_id, is_overdue=True)

    def _mark(self, batch_id: str, **marks: Any) -> None:
        if (batch := self.batches.get(batch_id)) is not None and batch.state == "open":
            self.batches[batch_id] = replace(batch, **marks)

    def look_again(self, batch: Batch, due_at: float) -> bool:
        if batch.state != "open" or self.batches[batch.id].due_at != batch.due_at:
            return False
        self.batches[batch.id] = replace(self.batches[batch.id], due_at=due_at)
        return True

    def begin_release(self, batch_id: str, reason: Reason, by: str, due_at: float) -> Batch:
        batch = self.batches[batch_id]
        if batch.state == "open":
            self.batches[batch_id] = batch = replace(
                batch, state="releasing", reason=reason, by=by, due_at=due_at
            )
        return batch

    def end_release(self, batch_id: str, reason: Reason) -> None:
        state = "cancelled" if reason == "cancelled" else "released"
        self.batches[batch_id] = replace(self.batches[batch_id], state=state, due_at=None)

    def add_segment(self, batch_id: str, segment: Segment) -> None:
        self.listed[batch_id, segment.id] = segment

    def segments(self, batch_id: str) -> Sequence[Segment]:
        return [segment for (batch, _), segment in sorted(self.listed.items()) if batch == batch_id]

    def point(self, pointers: Sequence[Pointer]) -> Sequence[Pointer]:
        return [
            self.pointed.setdefault((pointer.rule_id, pointer.member.id), pointer) for pointer in pointers
        ]

    def move_pointer(self, pointer: Pointer, to: Pointer) -> None:
        if self.pointed.get((pointer.rule_id, pointer.member.id)) == pointer:
            self.pointed[to.rule_id, to.member.id] = to

    def pointers(self, rule_id: str, members: Iterable[str]) -> Mapping[str, Pointer]:
        wanted = [(rule_id, member) for member in sorted(members)]
        return {key[1]: self.pointed[key] for key in wanted if key in self.pointed}

    def decide(self, decision: Decision) -> Decision:
        return self.decisions.setdefault(decision.batch_id, decision)

    def decision(self, batch_id: str) -> Decision | None:
        return self.decisions.get(batch_id)


@dataclass
class ManifestsInMemory:
    """Implements Manifests; an object's name says its content."""

    objects: dict[str, frozenset[str]] = field(default_factory=dict)

    def put(self, batch: Batch, members: Sequence[Member]) -> str:
        ids = sorted(member.id for member in members)
        uri = f"s3://claims/feeds/{batch.id}/{'-'.join(ids)}.jsonl.gz"
        self.objects[uri] = frozenset(ids)
        return uri

    def members(self, uri: str) -> frozenset[str]:
        return self.objects[uri]


@dataclass
class TimersInMemory:
    """Implements Timers: which batches are looked at, and in how many seconds."""

    looks: list[tuple[str, float]] = field(default_factory=list)

    def look(self, batches: Sequence[tuple[str, float]]) -> Mapping[str, str]:
        self.looks += batches
        return {}

    def check(self, batch_id: str) -> None:
        self.looks.append((batch_id, 0))


@dataclass
class FlushesInMemory:
    """Implements Flushes: the batches that wait for what was sent before."""

    flushed: list[str] = field(default_factory=list)

    def flush(self, batch_id: str, rule_id: str) -> None:  # noqa: ARG002  the message group
        self.flushed.append(batch_id)


@dataclass
class BusInMemory:
    """Implements EventBus."""

    notices: list[str] = field(default_factory=list)

    def publish(self, notices: Sequence[str]) -> None:
        self.notices += notices


@dataclass
class LateMembersInMemory:
    """Implements LateMembers."""

    members: list[MemberMessage] = field(default_factory=list)

    def publish(self, messages: Sequence[MemberMessage]) -> None:
        self.members += messages
