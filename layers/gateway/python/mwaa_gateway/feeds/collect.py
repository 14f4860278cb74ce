"""Stores members in batches, so that each event is a member of exactly one batch of a rule, whatever is delivered twice.

    store    of the members without a pointer: read the head; list them in a segment of its batch; give each member a pointer
             to it, unless it has one by now
    settle   read the head again. If the batch still takes members, its release counts them: it first moves the head, and
             then reads the segments. If not, the decision says whether it counted them. A member that it left out gets a
             pointer into the batch that the head names now, and is settled again

Every step may be repeated, and a redelivery repairs a crash anywhere: it finds the pointer, and settles the member. A member
of a batch without a decision yet is not done: SQS redelivers its message.

A member may be an S3 object for which a command has sent a member already (`dispatch.object_claims`): then it is a delivery
of that one. While the command decides, it waits.

A late member that the rule drops gets no pointer: its redelivery meets the same head, and has the same result.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, Protocol

from mwaa_gateway.dispatch.ledger import UnreadableRow
from mwaa_gateway.dispatch.object_claims import ObjectClaims, ObjectReserved, started_as
from mwaa_gateway.dispatch.s3_objects import CREATED, Upload
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events.s3 import s3_identity
from mwaa_gateway.feeds.batch import (
    Batch,
    BatchStore,
    Head,
    LateMembers,
    Manifests,
    Pointer,
    Segment,
    Timers,
    collect_of,
    key_digest,
)
from mwaa_gateway.feeds.condition import first_look
from mwaa_gateway.routing.members import MemberMessage, member_digest
from mwaa_gateway.values import value

_MOVES: Final = 10  # a member that so many releases overtake waits for its redelivery
TICK_AHEAD_SECONDS: Final = 180.0  # the tick, each minute, sends the timers of the next three

Result = Literal["collected", "duplicate", "cancelled", "late", "again"]


class MemberClaims(ObjectClaims, Protocol):
    """The claims to S3 objects of rules that collect."""

    def read_all(self, rule_id: str, names: Iterable[str]) -> Mapping[str, str]:
        """Return the claims to these objects, by name; nothing if no object was ever claimed. Raises Unavailable."""


@value
class Collected:
    """The result for one message. `again`: SQS must redeliver it, because of `error` or until the batch is released.

    `late`: the batch of its key is released, and the rule drops late members.
    """

    message: MemberMessage
    result: Result
    batch_id: str = ""
    error: Exception | None = None


@value(kw_only=True)
class Collector:
    """The flow from members to batches.

    `new_id` returns a random text of letters and digits, `now` the time in seconds since the epoch.
    """

    store: BatchStore
    claims: MemberClaims
    manifests: Manifests
    timers: Timers
    late_members: LateMembers
    new_id: Callable[[], str]
    now: Callable[[], float]

    def collect(self, messages: Sequence[MemberMessage]) -> list[Collected]:
        """Store each message's member; trouble with one rule and key stops no other."""
        groups: defaultdict[tuple[str, str], list[MemberMessage]] = defaultdict(list)
        for message in messages:
            groups[message.rule_id, key_digest(message.key)].append(message)
        return [collected for group in groups.values() for collected in self._collect(group)]

    def _collect(self, messages: Sequence[MemberMessage]) -> list[Collected]:
        try:
            named = self._as_claimed(messages)
            # Two deliveries of one event are one.
            by_member = {each.member.id: each for each in named.values() if isinstance(each, MemberMessage)}
            settled = self._settle(by_member, self._store(by_member)) if by_member else {}
            self._check(messages[0], settled)
            self._publish_late(
                [by_member[member] for member, (result, _) in settled.items() if result == "late"]
            )
        except Exception as error:  # noqa: BLE001  trouble with one batch, bugs too, stops no other
            return [Collected(message, "again", error=error) for message in messages]
        results = ((message, named[message.member.id]) for message in messages)
        return [
            Collected(message, *settled[each.member.id])
            if isinstance(each, MemberMessage)
            else Collected(message, "again", error=each)
            for message, each in results
        ]

    def _as_claimed(
        self, messages: Sequence[MemberMessage]
    ) -> Mapping[str, MemberMessage | ObjectReserved | UnreadableRow]:
        """Return what to collect for each member, by its id: the message, or the command's; or why it has to wait."""
        named: dict[str, MemberMessage | ObjectReserved | UnreadableRow] = {
            message.member.id: message for message in messages
        }
        uploads = {message.member.id: _own_upload(message) for message in messages}
        names = {upload.name for upload in uploads.values() if upload is not None}
        rule_id = messages[0].rule_id
        claims = self.claims.read_all(rule_id, names) if names else {}
        for message in messages:
            upload = uploads[message.member.id]
            if upload is None or not (text := claims.get(upload.name)):
                continue
            try:
                identity = started_as(upload, rule_id, "", self.claims, now=self.now(), text=text)
            except (ObjectReserved, UnreadableRow) as error:
                named[message.member.id] = error
                continue
            if identity:
                member = replace(message.member, id=member_digest(identity))
                named[message.member.id] = replace(message, member=member)
        return named

    def _store(self, messages: Mapping[str, MemberMessage]) -> list[Pointer]:
        """Return the pointer of each member that has one or gets one now, into the batch that takes members."""
        found = self.store.pointers(next(iter(messages.values())).rule_id, messages)
        new = self._listed([message for member, message in messages.items() if member not in found])
        return [*found.values(), *(self.store.point(new) if new else ())]

    def _listed(self, messages: Sequence[MemberMessage]) -> list[Pointer]:
        """List the members in a new segment of the batch that takes members; return the pointers to write.

        A late member that the rule drops is not listed.
        """
        if not messages:
            return []
        head = self._head(messages[0])
        listed = [message for message in messages if not _is_dropped(message, head)]
        if not listed:
            return []
        self._open(head, listed)
        segment = Segment(
            self.new_id(),
            tuple(message.member.id for message in listed),
            max(message.sent_at for message in listed),
        )
        self.store.add_segment(head.batch_id, segment)
        return [
            Pointer(head.rule_id, message.member, head.batch_id, segment.id, head.key) for message in listed
        ]

    def _head(self, message: MemberMessage) -> Head:
        key = key_digest(message.key)
        head = self.store.head(message.rule_id, key)
        if head is None:
            self.store.create_head(Head(message.rule_id, key, self.new_id()))
            head = self.store.head(message.rule_id, key)  # another collector's, if it was first
        if head is None:
            raise Unavailable(f"the head of rule {message.rule_id!r} disappeared")
        return head

    def _open(self, head: Head, messages: Sequence[MemberMessage]) -> None:
        """Open the batch; markers alone do not open one after a complete batch: they belong to that."""
        if head.follows_a_complete_one and all(message.member.kind == "marker" for message in messages):
            return
        first = min(messages, key=lambda message: message.sent_at)
        is_late = bool(first.key) and head.follows_a_complete_one
        collect = collect_of(first.document)
        due_at = None if is_late else collect.due_at(dict(first.key), first.sent_at)
        look_at = first_look(collect, first.sent_at, due_at, is_late=is_late)
        opened = self.store.open_batch(
            Batch(
                id=head.batch_id,
                rule_id=first.rule_id,
                rule_version=first.rule_version,
                document=first.document,
                key=first.key,
                number=head.number,
                first_at=first.sent_at,
                due_at=look_at,
                is_late=is_late,
            )
        )
        seconds = max(look_at - first.sent_at, 0)
        if opened and seconds <= TICK_AHEAD_SECONDS:
            for reason in self.timers.look([(head.batch_id, seconds)]).values():
                raise Unavailable(reason)

    def _settle(
        self, messages: Mapping[str, MemberMessage], stored: Sequence[Pointer]
    ) -> dict[str, tuple[Result, str]]:
        """Return the result and batch of each member; move the pointers of those that their batch left out."""
        settled: dict[str, tuple[Result, str]] = dict.fromkeys(messages, ("late", ""))
        waiting = stored
        for _ in range(_MOVES):
            left_out: dict[str, Pointer] = {}
            for pointers in _by_batch(waiting):
                result, members = self._counted(pointers)
                settled |= dict.fromkeys(members, (result, pointers[0].batch_id))
                left_out |= {
                    pointer.member.id: pointer for pointer in pointers if pointer.member.id not in members
                }
            moved = self._listed([messages[member] for member in left_out])
            if not moved:
                return settled
            for pointer in moved:
                self.store.move_pointer(left_out[pointer.member.id], pointer)
            waiting = [
                *self.store.pointers(stored[0].rule_id, [pointer.member.id for pointer in moved]).values()
            ]
        raise Unavailable(f"releases of rule {stored[0].rule_id!r} overtook a member {_MOVES} times")

    def _counted(self, pointers: Sequence[Pointer]) -> tuple[Result, Collection[str]]:
        """Return the members that their batch counts or will count, of those that point to it, and their result."""
        everyone = [pointer.member.id for pointer in pointers]
        head = self.store.head(pointers[0].rule_id, pointers[0].key)
        if head is not None and head.batch_id == pointers[0].batch_id:
            return "collected", everyone
        decision = self.store.decision(pointers[0].batch_id)
        if decision is None:
            return "again", everyone
        counted = set(decision.markers)
        for manifest in filter(None, (decision.manifest, decision.superseded)):
            counted |= self.manifests.members(manifest)
        return "cancelled" if decision.reason == "cancelled" else "duplicate", counted.intersection(everyone)

    def _check(self, message: MemberMessage, settled: Mapping[str, tuple[Result, str]]) -> None:
        """Let the releaser look at each batch that a member may just have completed; after the members are in it."""
        if collect_of(message.document).depends_on_members:
            for batch_id in {batch_id for result, batch_id in settled.values() if result == "collected"}:
                self.timers.check(batch_id)

    def _publish_late(self, messages: Sequence[MemberMessage]) -> None:
        """Publish the late members as dead letters if the rule says so."""
        if messages and collect_of(messages[0].document).late == "dead_letter":
            self.late_members.publish(messages)

    def flush(self, batch_id: str, sent_at: float) -> None:
        """Mark the batch: what was sent before `sent_at` is collected, as far as SQS keeps the order of messages."""
        self.store.mark_collected(batch_id, sent_at)


def _own_upload(message: MemberMessage) -> Upload | None:
    """Return the upload that the member is; None if a dedupe_key or a replay gives it another identity."""
    item = message.member.item
    upload = Upload.of_item(item)
    if upload is None or not isinstance(item.get("sequencer"), str):
        return None
    detail = {
        "bucket": {"name": upload.bucket},
        "object": {"key": upload.key, "sequencer": item["sequencer"]},
    }
    return upload if member_digest(s3_identity(detail, CREATED)) == message.member.id else None


def _is_dropped(message: MemberMessage, head: Head) -> bool:
    """Return whether the member is late, and its rule opens no batch for it."""
    return (
        head.follows_a_complete_one
        and bool(message.key)
        and message.member.kind == "member"
        and not message.is_redriven
        and collect_of(message.document).late != "new_batch"
    )


def _by_batch(pointers: Iterable[Pointer]) -> Iterable[list[Pointer]]:
    groups: defaultdict[str, list[Pointer]] = defaultdict(list)
    for pointer in pointers:
        groups[pointer.batch_id].append(pointer)
    return groups.values()
