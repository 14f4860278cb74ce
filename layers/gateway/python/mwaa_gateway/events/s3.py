"""S3 events: notification records become EventBridge's S3 events, and both routes give one identity.

Version ids are never part of an identity: where versioning is suspended, every upload has the literal `null`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events.event import Event, derived_id, each_record
from mwaa_gateway.json_values import dig, object_of, refuse_beyond_limits, text_of
from mwaa_gateway.trigger_request import identity_of

MAXIMUM_KEY_BYTES: Final = 1024  # S3's limit, in UTF-8
TEST_EVENT: Final = "s3:TestEvent"

_HEX: Final = re.compile(r"[0-9A-Fa-f]+")

# EventBridge's detail-type of each notification event name
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-mapping-troubleshooting.html). Events that EventBridge does not
# have (replication, lost objects, future ones) keep the notification's name as detail-type, so that a rule can match it.
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

# Field of the detail: its place in a record. In a record the requester is a principal id, not an account.
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
    """Return whether the payload has the shape of an S3 notification; the sender is not checked."""
    records = payload.get("Records")
    return payload.get("Event") == TEST_EVENT or (
        isinstance(records, list)
        and any(isinstance(record, Mapping) and record.get("eventSource") == "aws:s3" for record in records)
    )


def from_s3_notification(payload: Mapping[str, Any], *, account: str = "") -> list[Event | MalformedEvent]:
    """Turn an S3 notification into events, one for each record, in the same order.

    A malformed record becomes a `MalformedEvent` in its place and stops no other. The test event that S3 sends when
    somebody configures a notification gives an empty list. A record does not name its bucket's account, so `account`, the
    receiving one, goes into the envelope.
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
    """Return EventBridge's detail for the record; `name` is the record's event name."""
    s3_object = object_of(object_of(record, "s3", "the record"), "object", "s3")
    described = {"key": _decode_key(text_of(s3_object, "key", "s3.object"))}
    for field, record_field in _OBJECT_FIELDS.items():
        if s3_object.get(record_field) is not None:
            described[field] = s3_object[record_field]
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
    """Return the identity of one change of one object, the same on both routes.

    Uploads and deletions have a sequencer, unique for each change of a key. Changes of tags, ACLs and restores have none:
    the id of the request that made them identifies them, or else `fallback`.
    """
    bucket = text_of(object_of(detail, "bucket", "detail"), "name", "detail.bucket")
    described = object_of(detail, "object", "detail")
    key = text_of(described, "key", "detail.object")
    size = len(key.encode())
    if not 1 <= size <= MAXIMUM_KEY_BYTES:
        raise MalformedEvent(f"the object key has {size} bytes; S3 allows 1 to {MAXIMUM_KEY_BYTES}")
    sequencer = _normalise_sequencer(text_of(described, "sequencer", "detail.object", default=""))
    change = sequencer or text_of(detail, "request-id", "detail", default="") or fallback
    if not change:
        raise MalformedEvent(
            "the record has neither s3.object.sequencer nor responseElements.x-amz-request-id; without them "
            "the gateway cannot tell a duplicate from a new event"
        )
    return identity_of("s3", bucket, key, detail_type, change)


def _normalise_sequencer(sequencer: str) -> str:
    """Return equal text for sequencers that S3 treats as equal; text that is not hex stays unchanged.

    S3 compares two sequencers of a key as hex, and pads the shorter one with zeros on the right. AWS's samples of one
    event also differ in case and in leading zeros (`00617F08299329D189`, `617f08299329d189`). The digits between the outer
    zeros are a time stamp, so no two changes of a key differ in outer zeros alone.
    """
    if not _HEX.fullmatch(sequencer):
        return sequencer
    return sequencer.upper().strip("0") or "0"


def _decode_key(key: str) -> str:
    """Return the key without the form encoding of notifications, where a space is `+` and a plus is `%2B`."""
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise MalformedEvent(
            f"s3.object.key {key[:80]!r} does not decode to UTF-8; expected a URL-encoded S3 key"
        ) from None


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
