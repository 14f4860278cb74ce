"""What arrives, as an event in EventBridge's envelope, with the identity that makes two deliveries one.

| arrives as             | becomes                              | identity                                   |
|------------------------|--------------------------------------|--------------------------------------------|
| S3 notification record | `aws.s3`, EventBridge's own S3 shape | bucket, key, detail-type and sequencer     |
| S3 through EventBridge | unchanged                            | the same: the two routes dedupe each other |
| SNS notification       | `aws.sns`, `Notification`            | topic and message id                       |
| EventBridge event      | unchanged                            | its id                                     |

An S3 or EventBridge event inside an SNS message becomes the inner event, for allowed topics only. An identity
is readable text; its parts are escaped so that no key can pose as another event. Version ids are never part
of it: in a suspended bucket they are the literal `null` for every upload.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote_plus

from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.payloads import (
    dig,
    json_or_text,
    kind_of,
    object_in,
    object_of,
    refuse_beyond_limits,
    text_of,
)

__all__ = ["Event", "from_eventbridge", "from_s3_notification", "from_sns_notification"]

MAXIMUM_KEY_BYTES: Final = 1024  # S3's limit, in UTF-8

_HEX: Final = re.compile(r"[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its EventBridge `envelope`, and the `identity` that its deliveries share, on any route."""

    envelope: Mapping[str, Any]
    identity: str

    @property
    def id(self) -> str:
        """The envelope's id."""
        return str(self.envelope["id"])


def from_s3_notification(payload: Mapping[str, Any], *, account: str = "") -> list[Event | MalformedEvent]:
    """Turn an S3 notification into events, one for each record, in the record's order.

    A malformed record becomes a `MalformedEvent` in its place and stops no other. The test event that S3
    sends when a notification is configured gives an empty list. A record does not say in which account its
    bucket is: `account` (the one that received it) goes into the envelope.
    """
    if isinstance(payload, Mapping) and payload.get("Event") == "s3:TestEvent":
        return []
    return _each_record(payload, "an S3 notification", lambda record: _s3_event(record, account))


def from_sns_notification(
    payload: Mapping[str, Any], unwrap_topics: frozenset[str]
) -> list[Event | MalformedEvent]:
    """Turn what SNS hands to Lambda into events.

    A message on one of the `unwrap_topics` that is itself an S3 notification or an EventBridge event becomes
    that inner event. On any other topic it stays a notification: whoever may publish there could otherwise
    pose as S3 and take a real upload's identity before the upload arrives.
    """
    events: list[Event | MalformedEvent] = []
    for outer in _each_record(payload, "an SNS notification", _sns_event):
        if isinstance(outer, Event) and outer.envelope["detail"]["topic-arn"] in unwrap_topics:
            events.extend(_unwrapped(outer))
        else:
            events.append(outer)
    return events


def from_eventbridge(payload: Mapping[str, Any]) -> list[Event | MalformedEvent]:
    """Check an EventBridge event and give it its identity: a list of one; the envelope stays as it came.

    An S3 event's key is not decoded: EventBridge carries it to the letter. A replay from an archive keeps its
    id and so its identity; its `replay-name` stays in the envelope.
    """
    try:
        return [_eventbridge_event(payload)]
    except MalformedEvent as malformed:
        return [malformed]


# --- S3 -----------------------------------------------------------------------------------------------------

# Notification event names by EventBridge's detail-type
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-mapping-troubleshooting.html). What EventBridge
# does not have (replication, lost objects, whatever S3 adds next) keeps its notification name as detail-type,
# so that a rule can still name it.
_DETAIL_TYPES: Final = {
    "ObjectCreated": "Object Created",
    "ObjectRemoved": "Object Deleted",
    "LifecycleExpiration": "Object Deleted",
    "ObjectRestore:Post": "Object Restore Initiated",
    "ObjectRestore:Completed": "Object Restore Completed",
    "ObjectRestore:Delete": "Object Restore Expired",
    "LifecycleTransition": "Object Storage Class Changed",
    "IntelligentTiering": "Object Access Tier Changed",
    "ObjectTagging:Put": "Object Tags Added",
    "ObjectTagging:Delete": "Object Tags Deleted",
    "ObjectAcl:Put": "Object ACL Updated",
}
_REASONS: Final = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved": "DeleteObject",
    "LifecycleExpiration": "Lifecycle Expiration",
}
_DELETIONS: Final = ("ObjectRemoved", "LifecycleExpiration")
_DELETION_TYPES: Final = {"Delete": "Permanently Deleted", "DeleteMarkerCreated": "Delete Marker Created"}

# Field of the detail: where a record keeps it. The requester is a principal id there, not an account.
_OBJECT_FIELDS: Final = {"size": "size", "etag": "eTag", "version-id": "versionId", "sequencer": "sequencer"}
_DETAIL_FIELDS: Final = {
    "request-id": ("responseElements", "x-amz-request-id"),
    "requester": ("userIdentity", "principalId"),
    "source-ip-address": ("requestParameters", "sourceIPAddress"),
    "restore-expiry-time": ("glacierEventData", "restoreEventData", "lifecycleRestorationExpiryTime"),
    "source-storage-class": ("glacierEventData", "restoreEventData", "lifecycleRestoreStorageClass"),
    "destination-storage-class": ("lifecycleEventData", "transitionEventData", "destinationStorageClass"),
    "destination-access-tier": ("intelligentTieringEventData", "destinationAccessTier"),
    "replication": ("replicationEventData",),
}


def _s3_event(record: Mapping[str, Any], account: str) -> Event:
    version = text_of(record, "eventVersion", "the record")
    if version.partition(".")[0] != "2":
        raise MalformedEvent(
            f"eventVersion is {version!r}; this release reads 2.x: check for a newer gateway"
        )
    source = text_of(record, "eventSource", "the record")
    if source != "aws:s3":
        raise MalformedEvent(
            f"eventSource is {source!r}; expected 'aws:s3': is another source wired to this function?"
        )
    name = text_of(record, "eventName", "the record").removeprefix("s3:")
    detail_type = _DETAIL_TYPES.get(name) or _DETAIL_TYPES.get(name.partition(":")[0], name)
    region = text_of(record, "awsRegion", "the record")
    bucket = object_of(object_of(record, "s3", "the record"), "bucket", "s3")
    bucket_name = text_of(bucket, "name", "s3.bucket")
    detail = _s3_detail(record, name, bucket_name)
    identity = _s3_identity(detail, detail_type)
    arn = bucket.get("arn")
    envelope = {
        "version": "0",
        "id": _derived_id(identity),
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": account,
        "time": text_of(record, "eventTime", "the record"),
        "region": region,
        "resources": [arn if isinstance(arn, str) else f"arn:{_partition(region)}:s3:::{bucket_name}"],
        "detail": detail,
    }
    refuse_beyond_limits(envelope)
    return Event(envelope, identity)


def _s3_detail(record: Mapping[str, Any], name: str, bucket_name: str) -> dict[str, Any]:
    """Return the detail that EventBridge would carry, of what the record has; `name` is its event name."""
    written = object_of(object_of(record, "s3", "the record"), "object", "s3")
    described = {"key": _decoded(text_of(written, "key", "s3.object"))}
    for field, theirs in _OBJECT_FIELDS.items():
        if written.get(theirs) is not None:
            described[field] = written[theirs]
    detail: dict[str, Any] = {"version": "0", "bucket": {"name": bucket_name}, "object": described}
    for field, path in _DETAIL_FIELDS.items():
        if (value := dig(record, path)) is not None:
            detail[field] = value
    family, _, verb = name.partition(":")
    if reason := _REASONS.get(name) or _REASONS.get(family):
        detail["reason"] = reason
    if family in _DELETIONS and verb in _DELETION_TYPES:
        detail["deletion-type"] = _DELETION_TYPES[verb]
    return detail


def _s3_identity(detail: Mapping[str, Any], detail_type: str, fallback: str = "") -> str:
    """Name one change of one object, the same on both routes.

    Uploads and deletions carry a sequencer, different for every change of a key. Tags, ACLs and restores
    carry none and are told apart by the request that made them; `fallback` is the last resort.
    """
    bucket = text_of(object_of(detail, "bucket", "detail"), "name", "detail.bucket")
    described = object_of(detail, "object", "detail")
    key = text_of(described, "key", "detail.object")
    size = len(key.encode())
    if not 1 <= size <= MAXIMUM_KEY_BYTES:
        raise MalformedEvent(f"the object key has {size} bytes; S3 allows 1 to {MAXIMUM_KEY_BYTES}")
    sequencer = _normalised(text_of(described, "sequencer", "detail.object", default=""))
    change = sequencer or text_of(detail, "request-id", "detail", default="") or fallback
    if not change:
        raise MalformedEvent(
            "the record has neither s3.object.sequencer nor responseElements.x-amz-request-id; without them "
            "a second delivery could not be told from a second event"
        )
    return _identity("s3", bucket, key, detail_type, change)


def _normalised(sequencer: str) -> str:
    """Return equal text for sequencers that S3 holds for equal.

    S3 compares two sequencers of a key as hex, the shorter one padded with zeros on the right. AWS's samples
    of one event also differ in case and in leading zeros (`00617F08299329D189`, `617f08299329d189`). The
    digits between are a time stamp, so no two changes of a key differ in outer zeros alone. What is not hex
    stays as it is.
    """
    if not _HEX.fullmatch(sequencer):
        return sequencer
    return sequencer.upper().strip("0") or "0"


def _decoded(key: str) -> str:
    """Undo the form encoding of a notification's key (a space arrives as `+`, a plus as `%2B`)."""
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise MalformedEvent(f"s3.object.key {key[:80]!r} is not UTF-8 once decoded; S3 keys are") from None


# --- EventBridge --------------------------------------------------------------------------------------------


def _eventbridge_event(payload: Mapping[str, Any]) -> Event:
    object_in(payload, "the event")
    for name in ("id", "source", "detail-type"):
        if not text_of(payload, name, "the event"):
            raise MalformedEvent(f"{name} is empty; an EventBridge event names its {name}")
    for name in ("account", "region", "time"):
        text_of(payload, name, "the event")
    resources = payload.get("resources", [])
    if not isinstance(resources, list) or not all(isinstance(item, str) for item in resources):
        raise MalformedEvent(f"resources is {kind_of(resources)}; expected a list of ARNs")
    detail = object_of(payload, "detail", "the event")
    refuse_beyond_limits(payload)
    if payload["source"] != "aws.s3" or "object" not in detail:
        # aws.s3 also carries CloudTrail's "AWS API Call via CloudTrail", which has no object: its id it is.
        return Event(payload, _identity("eventbridge", payload["id"]))
    return Event(payload, _s3_identity(detail, payload["detail-type"], fallback=payload["id"]))


# --- SNS ----------------------------------------------------------------------------------------------------


def _sns_event(record: Mapping[str, Any]) -> Event:
    source = record.get("EventSource")
    if source != "aws:sns":
        raise MalformedEvent(
            f"EventSource is {source!r}; expected 'aws:sns': is another source wired to this function?"
        )
    sns = object_of(record, "Sns", "the record")
    topic, message_id = text_of(sns, "TopicArn", "Sns"), text_of(sns, "MessageId", "Sns")
    match topic.split(":"):
        case ["arn", _, "sns", region, account, _]:
            pass
        case _:
            raise MalformedEvent(
                f"Sns.TopicArn is {topic[:200]!r}; expected arn:<partition>:sns:<region>:<account>:<name>"
            )
    if not message_id:
        raise MalformedEvent(
            "Sns.MessageId is empty; without it a second delivery could not be told from a second event"
        )
    attributes = sns.get("MessageAttributes") or {}
    if not isinstance(attributes, Mapping):
        raise MalformedEvent(f"Sns.MessageAttributes is {kind_of(attributes)}; expected a JSON object")
    detail: dict[str, Any] = {"topic-arn": topic, "message-id": message_id}
    if sns.get("Subject") is not None:
        detail["subject"] = text_of(sns, "Subject", "Sns")
    detail["message"] = json_or_text(text_of(sns, "Message", "Sns"))
    detail["message-attributes"] = {
        name: attribute.get("Value") if isinstance(attribute, Mapping) else attribute
        for name, attribute in attributes.items()
    }
    identity = _identity("sns", topic, message_id)
    envelope = {
        "version": "0",
        "id": message_id,
        "detail-type": "Notification",
        "source": "aws.sns",
        "account": account,
        "time": text_of(sns, "Timestamp", "Sns"),
        "region": region,
        "resources": [topic],
        "detail": detail,
    }
    refuse_beyond_limits(envelope)
    return Event(envelope, identity)


def _unwrapped(outer: Event) -> list[Event | MalformedEvent]:
    """Return the events in an allowed topic's message, or the notification itself where there is none."""
    message = outer.envelope["detail"]["message"]
    if not isinstance(message, Mapping):
        return [outer]
    records = message.get("Records")
    from_s3 = isinstance(records, list) and any(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:s3" for record in records
    )
    if from_s3 or message.get("Event") == "s3:TestEvent":
        return from_s3_notification(message, account=str(outer.envelope["account"]))
    if {"source", "detail-type", "detail"} <= message.keys():
        return from_eventbridge(message)
    return [outer]


# --- records ------------------------------------------------------------------------------------------------


def _each_record(
    payload: Mapping[str, Any], what: str, normalise: Callable[[Mapping[str, Any]], Event]
) -> list[Event | MalformedEvent]:
    records = payload.get("Records") if isinstance(payload, Mapping) else None
    if not isinstance(records, list):
        return [MalformedEvent(f"Records is {kind_of(records)}; expected the list that {what} has")]
    events: list[Event | MalformedEvent] = []
    for position, record in enumerate(records):
        try:
            events.append(normalise(object_in(record, "the record")))
        except MalformedEvent as malformed:
            events.append(MalformedEvent(f"Records[{position}]: {malformed}"))
    return events


# --- identity -----------------------------------------------------------------------------------------------


def _identity(*parts: str) -> str:
    """Join the parts so that no two different lists of parts give one text."""
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def _derived_id(identity: str) -> str:
    """Return a UUID-shaped id that every delivery of the event gets alike."""
    digits = sha256(identity.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"


def _partition(region: str) -> str:
    for prefix, partition in (
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
    ):
        if region.startswith(prefix):
            return partition
    return "aws"
