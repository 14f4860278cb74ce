"""Members: what a rule with `collect` makes of an event, instead of a trigger request.

    {"format": 1, "rule_id": …, "rule_version": …, "rule": {…}, "key": [["date", "2026-11-22"]], "member": {…}}

The message carries the rule, so that the batch it opens needs no read of the rules, and follows the version that opened it.
A rule in state SHADOW collects apart, under the id `<rule id>~shadow`; what it collects starts no run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Final, Literal, Protocol, Self

from mwaa_gateway.conf.captures import captured
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.errors import ConfError, GatewayError
from mwaa_gateway.events import Event
from mwaa_gateway.json_values import dig
from mwaa_gateway.routing.resolve import MAXIMUM_KEY_CHARACTERS, Refused, identity_in
from mwaa_gateway.rules import Rule
from mwaa_gateway.rules.collect import MAXIMUM_ITEMS, Collect, Count, Marker, Parts, Values
from mwaa_gateway.values import value

FORMAT: Final = 1
CHECKS: Final = "checks"  # the message group of looks at batches that no timer repeats
SHADOW_SUFFIX: Final = "~shadow"  # a rule's id cannot contain "~"

Key = tuple[tuple[str, str], ...]  # the name and value of each part of a batch's key


class UnreadableMember(GatewayError):
    """This version cannot read a message of the collect queue."""


def member_digest(identity: str) -> str:
    """Return 32 hexadecimal digits that name a member: an event's identity may be long."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@value
class Member:
    """One event in a batch.

    `id` is the member_digest of the event's identity. `item` is the event, or the place of its S3 object. `distinct` is what
    completeness counts: the S3 object, the value that the rule names, or the id. `part` is the part that the event matches.
    A marker is no member of the batch: it says that the batch is complete, or, with `count`, how many members it must have.
    """

    id: str
    item: Mapping[str, Any] = field(compare=False)
    distinct: str
    kind: Literal["member", "marker"] = "member"
    count: int | None = None
    part: str = ""

    @property
    def line(self) -> dict[str, Any]:
        """The member as DAGs get it: its item, and the name of its part."""
        return {**self.item, "part": self.part} if self.part else dict(self.item)

    def document(self) -> dict[str, Any]:
        """Return the member as JSON."""
        document: dict[str, Any] = {"id": self.id, "item": self.item, "distinct": self.distinct}
        if self.part:
            document["part"] = self.part
        if self.kind == "marker":
            document |= {"kind": self.kind, "count": self.count}
        return document

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the member that `document` describes."""
        return cls(
            document["id"],
            document["item"],
            document["distinct"],
            document.get("kind", "member"),
            document.get("count"),
            document.get("part", ""),
        )


@value
class MemberMessage:
    """A member on its way to its batch: the body of a message on the collect queue.

    `document` is the rule as JSON text. `sent_at` is not in the body: SQS says when the message was sent. An operator who
    redrives a late member wants a run for it: `is_redriven` members open a new batch whatever the rule says.
    """

    rule_id: str
    rule_version: int
    document: str = field(repr=False)
    key: Key
    member: Member
    sent_at: float = 0.0
    is_redriven: bool = False

    def to_json(self) -> str:
        """Return the message body, one line of ASCII JSON."""
        document = {
            "format": FORMAT,
            "rule_id": self.rule_id,
            "rule_version": self.rule_version,
            "rule": json.loads(self.document),
            "key": self.key,
            "member": self.member.document(),
        }
        if self.is_redriven:
            document["redriven"] = True
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, sent_at: float) -> Self:
        """Parse the output of `to_json`.

        Raises:
            UnreadableMember: the text is no member, or has a format that this version does not know.
        """
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise UnreadableMember(
                    f"member of format {document['format']!r}; this version reads format {FORMAT}: deploy the version that "
                    "wrote it, then redrive the message"
                )
            return cls(
                document["rule_id"],
                document["rule_version"],
                json.dumps(document["rule"], separators=(",", ":")),
                tuple((name, value) for name, value in document["key"]),
                Member.of(document["member"]),
                sent_at,
                document.get("redriven", False),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableMember(f"not a member: {type(error).__name__}: {error}") from error


def member_of(event: Event, rule: Rule, collect: Collect) -> MemberMessage | Refused:
    """Return the message for an event that matches a rule with `collect`: of a member, or of a marker.

    An event that matches the marker's pattern is a marker, even if it matches the rule's own pattern, too.
    """
    condition = collect.complete_when
    marker = (
        condition if isinstance(condition, Marker) and condition.pattern.matches(event.envelope) else None
    )
    part = _part_of(event, condition) if isinstance(condition, Parts) else ""
    captures = condition.parts[part].captures if isinstance(condition, Parts) else rule.captures
    try:
        pieces = captured(marker.captures if marker else captures, event.envelope)
    except ConfError as error:
        return Refused(DeadEventReason.CAPTURES_REFUSED, str(error))
    try:
        values = [part.fill(event.envelope, pieces) for part in collect.key]
        member = _marker(event, marker, pieces) if marker else _member(event, rule, condition, pieces, part)
        key = tuple(zip(collect.key_names, values, strict=True))
        if collect.due is not None and collect.due.date is not None:
            collect.due.date_of(dict(key))  # refuses a key without a date
    except ConfError as error:
        return Refused(DeadEventReason.BATCH_KEY_REFUSED, str(error))
    if sum(map(len, values)) > MAXIMUM_KEY_CHARACTERS:
        too_long = f"the batch key has more than {MAXIMUM_KEY_CHARACTERS} characters for this event: name shorter values"
        return Refused(DeadEventReason.BATCH_KEY_REFUSED, too_long)
    return MemberMessage(feed_of(rule), rule.version, json.dumps(rule.document()), key, member)


def feed_of(rule: Rule) -> str:
    """Return the id under which a rule collects: its own, or another one while it is a SHADOW rule."""
    return rule.id + SHADOW_SUFFIX if rule.state == "SHADOW" else rule.id


def _part_of(event: Event, condition: Parts) -> str:
    """Return the first part that the event matches; the rule matched it, so there is one."""
    return next(name for name, part in condition.parts.items() if part.pattern.matches(event.envelope))


def _marker(event: Event, marker: Marker, pieces: Mapping[str, str]) -> Member:
    count = None
    if marker.count is not None:
        text = marker.count.fill(event.envelope, pieces)
        if not text.isascii() or not text.isdecimal() or int(text) > MAXIMUM_ITEMS:
            raise ConfError(f"the marker's count is {text[:100]!r}; expected a number up to {MAXIMUM_ITEMS}")
        count = int(text)
    return Member(member_digest(event.identity), _item(event), "", "marker", count)


def _member(
    event: Event,
    rule: Rule,
    condition: Marker | Count | Values | Parts | None,
    pieces: Mapping[str, str],
    part: str,
) -> Member:
    identity = member_digest(identity_in(event, rule, pieces))
    item = _item(event)
    of = condition.of if isinstance(condition, Count | Values) else None
    if of is not None:
        return Member(identity, item, of.fill(event.envelope, pieces))
    # An object that is written twice counts once.
    return Member(identity, item, str(item.get("uri", identity)), part=part)


def _item(event: Event) -> dict[str, Any]:
    """Return the event's line in the manifest: an S3 object's place and state, or the event itself."""
    envelope = event.envelope
    bucket = dig(envelope, ("detail", "bucket", "name"))
    s3_object = dig(envelope, ("detail", "object"))
    if envelope["source"] != "aws.s3" or not isinstance(bucket, str) or not isinstance(s3_object, Mapping):
        return dict(envelope)
    state = {
        name: s3_object[name] for name in ("size", "etag", "version-id", "sequencer") if name in s3_object
    }
    key = s3_object.get("key")
    return {"uri": f"s3://{bucket}/{key}", "bucket": bucket, "key": key, **state, "time": envelope["time"]}


def flush_message(batch_id: str) -> str:
    """Return the body of a flush: it passes the collect queue behind the members that were sent before."""
    return json.dumps({"format": FORMAT, "flush": batch_id}, separators=(",", ":"))


def flushed_batch(text: str) -> str | None:
    """Return the batch of a `flush_message`; None for any other body."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        return None
    batch_id = document.get("flush")
    return batch_id if isinstance(batch_id, str) else None


def redriven_member(text: str) -> MemberMessage | None:
    """Return the member in a message that died on the collect queue, or was late; None for any other message."""
    try:
        return replace(MemberMessage.from_json(text, sent_at=0.0), is_redriven=True)
    except UnreadableMember:
        return None


class CollectQueue(Protocol):
    """The collect queue."""

    def collect(self, messages: Sequence[MemberMessage]) -> None:
        """Send each member; raise Unavailable if any was not sent."""
        ...
