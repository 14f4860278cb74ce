"""S3's events: notification records become what EventBridge would have carried, and both routes are one identity.

Version ids are never part of an identity: in a suspended bucket they are the literal `null` for every upload.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events.event import Event, derived_id, each_record, identity_of
from mwaa_gateway.json_values import dig, object_of, refuse_beyond_limits, text_of

__all__ = ["DETAIL_TYPES", "from_s3_notification", "is_s3_notification", "s3_identity"]

MAXIMUM_KEY_BYTES: Final = 1024  # S3's limit, in UTF-8
TEST_EVENT: Final = "s3:TestEvent"

_HEX: Final = re.compile(r"[0-9A-Fa-f]+")

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
DETAIL_TYPES: Final = frozenset(_DETAIL_TYPES.values())
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


def is_s3_notification(payload: Mapping[str, Any]) -> bool:
    """Say whether it looks like one: who sent it is another question."""
    records = payload.get("Records")
    return payload.get("Event") == TEST_EVENT or (
        isinstance(records, list)
        and any(isinstance(record, Mapping) and record.get("eventSource") == "aws:s3" for record in records)
    )


def from_s3_notification(payload: Mapping[str, Any], *, account: str = "") -> list[Event | MalformedEvent]:
    """Turn an S3 notification into events, one for each record, in the record's order.

    A malformed record becomes a `MalformedEvent` in its place and stops no other. The test event that S3
    sends when a notification is configured gives an empty list. A record does not say in which account its
    bucket is: `account` (the one that received it) goes into the envelope.
    """
    if isinstance(payload, Mapping) and payload.get("Event") == TEST_EVENT:
        return []
    return each_record(payload, "an S3 notification", lambda record: _s3_event(record, account))


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
    identity = s3_identity(detail, detail_type)
    arn = bucket.get("arn")
    envelope = {
        "version": "0",
        "id": derived_id(identity),
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


def s3_identity(detail: Mapping[str, Any], detail_type: str, fallback: str = "") -> str:
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
    return identity_of("s3", bucket, key, detail_type, change)


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
