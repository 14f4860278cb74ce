"""A batch and its parts as the batches table stores them, and the ports of the table and of the manifests.

    head      one per rule and key: the id of the batch that takes new members
    batch     its rule, key, times and state; in the due index until its requests are on their queues
    segment   lists the members that one invocation stored together, so that a release finds them; it decides nothing
    pointer   one per rule and event: the member, and the batch and segment that have it. It alone is the membership.
              It leaves a batch only after the batch has a decision, and only if that does not list the member
    decision  written once, when the batch is released: why, which members, which trigger requests

A batch's id is random and stands in the head before anything is stored under it. The identity of the batch's run derives
from the id, not from the number, which starts again when a head expires.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Final, Literal, Protocol

from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.routing.members import SHADOW_SUFFIX, Key, Member, MemberMessage
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.collect import Collect
from mwaa_gateway.trigger_request import identity_of
from mwaa_gateway.values import value

Reason = Literal["complete", "quiet_period", "max_wait", "max_items", "due", "operator", "cancelled"]
WHEN_DUE: Final = "when_due"
State = Literal["open", "releasing", "released", "cancelled"]


def key_digest(key: Key) -> str:
    """Return 32 hexadecimal digits that name a batch key; the order of its parts counts, their names do not."""
    return hashlib.sha256(identity_of(*(value for _, value in key)).encode()).hexdigest()[:32]


@lru_cache(maxsize=1_000)
def collect_of(document: str) -> Collect:
    """Return `collect` of a rule's document.

    Raises:
        InvalidRule: this version cannot read the rule.
    """
    rule = parse_rule(json.loads(document), environments=None)
    if rule.collect is None:
        raise InvalidRule.of(rule.id, ("collect", "is missing: the rule collects no events"))
    return rule.collect


@value
class Head:
    """The batch of a rule and key that takes new members.

    `number` counts the batches of the key, for people. `follows_a_complete_one`: the key's last batch was complete, or
    was itself late; so members that come now are late.
    """

    rule_id: str
    key: str  # a key_digest
    batch_id: str
    number: int = 1
    follows_a_complete_one: bool = False


@value
class Batch:
    """One batch. Times are in seconds since the epoch, by SQS's clock: when the members' messages were sent.

    `document` is the rule as it was when the batch opened, and `rule_version` its version: an open batch follows them.
    `due_at` is when the batch must be looked at next; None once its requests are on their queues. Members that were sent
    before `collected_until` are in the batch. `is_expected`: the rule expects a batch of this day, and opened it when it was
    due. `is_overdue`: that has been reported.
    """

    id: str
    rule_id: str
    rule_version: int
    document: str = field(repr=False)
    key: Key
    number: int
    first_at: float
    due_at: float | None
    is_late: bool = False
    state: State = "open"
    reason: Reason | Literal[""] = ""
    by: str = ""  # who released or cancelled it, if an operator did; WHEN_DUE if the rule cancelled it
    collected_until: float = 0.0
    is_expected: bool = False
    is_overdue: bool = False

    @property
    def is_shadow(self) -> bool:
        """Whether it belongs to a SHADOW rule, and starts no run."""
        return self.rule_id.endswith(SHADOW_SUFFIX)


@value
class Pointer:
    """The membership of one event: the batch and segment that have it, the key of that batch, and the member itself."""

    rule_id: str
    member: Member
    batch_id: str
    segment: str
    key: str  # a key_digest


@value
class Segment:
    """The ids of members that one invocation stored together, and when the last one's message was sent."""

    id: str
    members: tuple[str, ...]
    last_at: float


@value
class Decision:
    """What became of a batch, for good. `requests` are trigger requests as JSON text, ready for their queues.

    `manifest` is the URI of the list of its members, "" for a batch without any; `superseded` of the versions of S3 objects
    that it leaves out. `notices` are events for the gateway's bus, as JSON texts of detail-type and detail. `is_overdue`:
    the batch was due before, and not complete, and that has not been reported yet.
    """

    batch_id: str
    reason: Reason
    is_complete: bool
    count: int
    manifest: str = ""
    markers: tuple[str, ...] = ()  # the ids of its markers, which the manifest does not list
    missing: tuple[str, ...] = ()
    requests: tuple[str, ...] = field(default=(), repr=False)
    refused: tuple[str, ...] = ()  # why a target has no request, in plain words
    superseded: str = ""
    notices: tuple[str, ...] = field(default=(), repr=False)
    is_overdue: bool = False


class BatchStore(Protocol):
    """The batches table. Reads are strongly consistent; every call raises Unavailable if DynamoDB does not answer."""

    def head(self, rule_id: str, key: str) -> Head | None:
        """Return the head of a rule and key; None before the first batch, and after it expired."""

    def create_head(self, head: Head) -> None:
        """Write the head unless there is one."""

    def advance_head(self, head: Head, batch_id: str) -> None:
        """Replace the head, if it still names `batch_id`."""

    def open_batch(self, batch: Batch) -> bool:
        """Write the batch unless there is one with its id; return whether this call wrote it."""

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch."""

    def mark_collected(self, batch_id: str, until: float) -> None:
        """Record that the members that were sent before `until` are in the batch, if it is open."""

    def mark_overdue(self, batch_id: str) -> None:
        """Record that the batch has been reported as overdue, if it is open."""

    def look_again(self, batch: Batch, due_at: float) -> bool:
        """Set when the batch is looked at next, if it is open and as it was; False if somebody changed it meanwhile."""

    def begin_release(self, batch_id: str, reason: Reason, by: str, due_at: float) -> Batch:
        """Set the state `releasing`, due at `due_at`, if the batch is open; return the batch as it is then."""

    def end_release(self, batch_id: str, reason: Reason) -> None:
        """Set the final state and take the batch out of the due index."""

    def add_segment(self, batch_id: str, segment: Segment) -> None:
        """Write a segment of a batch; its id is new."""

    def segments(self, batch_id: str) -> Sequence[Segment]:
        """Return every segment of a batch."""

    def point(self, pointers: Sequence[Pointer]) -> Sequence[Pointer]:
        """Write each pointer unless its member has one; return the pointer that each member has, in the same order."""

    def move_pointer(self, pointer: Pointer, to: Pointer) -> None:
        """Replace a member's pointer, if it still names the same segment."""

    def pointers(self, rule_id: str, members: Iterable[str]) -> Mapping[str, Pointer]:
        """Return the pointers of these members, by the members' ids; every one that exists, or raise."""

    def decide(self, decision: Decision) -> Decision:
        """Write the decision unless the batch has one; return the one that it has."""

    def decision(self, batch_id: str) -> Decision | None:
        """Return the decision about a batch."""


class Timers(Protocol):
    """Looks at batches that are due soon; later ones come from the due index, minute by minute."""

    def look(self, batches: Sequence[tuple[str, float]]) -> Mapping[str, str]:
        """Let the releaser look at each batch in so many seconds, at most 900; return why some get no look, by batch."""

    def check(self, batch_id: str) -> None:
        """Let the releaser look at the batch now, and again until it has: no timer repeats this look. Raises Unavailable."""


class Flushes(Protocol):
    """The way through the collect queue, behind all that was sent before."""

    def flush(self, batch_id: str, rule_id: str) -> None:
        """Let the collector mark the batch once it has what was sent before now; raises Unavailable."""


class Manifests(Protocol):
    """The bucket of the manifests. Raises Unavailable if it does not answer."""

    def put(self, batch: Batch, members: Sequence[Member]) -> str:
        """Store the list of a batch's members; return its URI, which names the content."""

    def members(self, uri: str) -> frozenset[str]:
        """Return the identity digests of the members that a manifest lists."""


class EventBus(Protocol):
    """The gateway's own bus, for people who want to know of batches."""

    def publish(self, notices: Sequence[str]) -> None:
        """Put events on the bus: each is the JSON text of `detail-type` and `detail`. Raises Unavailable."""


class LateMembers(Protocol):
    """The dead-letter queue of members that come too late for their batch."""

    def publish(self, messages: Sequence[MemberMessage]) -> None:
        """Publish each member; raises Unavailable if any was not sent."""
