"""Recognises the uploads of an S3 object: a listing and an event have no identifier in common but a version id.

    listing   key, size, ETag, LastModified (whole seconds), and the version id where versioning is enabled
    event     key, size, etag, time (milliseconds), a sequencer, and the version id where versioning is enabled

LastModified is when S3 received the request, for a multipart upload when it was *initiated*; an event's time is when S3 had
finished. So the event of an object is never earlier than its LastModified, and may be hours later. Nor is it later than a
listing that shows the object. Where there is no version id, an event with the object's key and etag between these two
is the object's; an earlier one is that of an earlier upload of the same bytes.

A command that starts runs for listed objects (`mwaa-gateway reconcile`) claims each object first, so that its event, which
may still arrive, starts no second run:

    reserved   the command has not decided yet; a delivery of the event waits. A reservation that has expired is removed
    started    the event is a delivery of the command's request: it gets the identity of that

A claim is written before the command looks into the ledger for the last time, and read by the dispatcher before the
ledger's first write for the event: one of the two sees the other.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, Literal, Self

from mwaa_gateway.json_values import dig
from mwaa_gateway.trigger_request import identity_of
from mwaa_gateway.values import value

CREATED: Final = "Object Created"
NO_VERSION: Final = "null"  # the version id of objects from before versioning, and while it is suspended
ROUNDING_SECONDS: Final = 2.0  # LastModified has whole seconds
CLOCK_SECONDS: Final = 60.0  # by which clocks within S3 may differ
DOUBT_SECONDS: Final = 300.0  # an event that is earlier than LastModified by less may still be the object's

Same = Literal["yes", "no", "unsure"]


@value
class Upload:
    """What an event says of the object that it created; `time` is None if the event has none that can be read."""

    bucket: str
    key: str
    etag: str
    version_id: str  # "" without versioning
    time: float | None

    @classmethod
    def of_event(cls, envelope: Mapping[str, Any]) -> Self | None:
        """Return the upload that an event reports; None for an event of another kind."""
        if envelope.get("source") != "aws.s3" or envelope.get("detail-type") != CREATED:
            return None
        described = dig(envelope, ("detail", "object"))
        bucket = dig(envelope, ("detail", "bucket", "name"))
        return cls.of_item({"bucket": bucket, "time": envelope.get("time"), **(described or {})})

    @classmethod
    def of_item(cls, item: Mapping[str, Any]) -> Self | None:
        """Return the upload that a member's item in a manifest describes; None if it is no S3 object."""
        bucket, key = item.get("bucket"), item.get("key")
        if not isinstance(bucket, str) or not isinstance(key, str):
            return None
        version = str(item.get("version-id") or "")
        return cls(
            bucket,
            key,
            str(item.get("etag") or ""),
            "" if version == NO_VERSION else version,
            _seconds(item.get("time")),
        )

    @property
    def name(self) -> str:
        """What the event has in common with a listing: the same for every upload of the same bytes to the key."""
        return object_name(self.bucket, self.key, self.version_id, self.etag)


@value
class ListedObject:
    """An object as S3 lists it. `modified` is its LastModified, `seen_at` the time of the listing by S3's clock."""

    bucket: str
    key: str
    etag: str
    version_id: str  # "" without versioning
    modified: float
    seen_at: float
    size: int = 0

    @property
    def name(self) -> str:
        """As `Upload.name`."""
        return object_name(self.bucket, self.key, self.version_id, self.etag)

    @property
    def identity(self) -> str:
        """The identity of a request for this object that no event has made."""
        state = self.version_id or f"{self.etag} {self.modified:.3f}"
        return identity_of("s3-object", self.bucket, self.key, state)

    def is_of(self, upload: Upload) -> Same:
        """Return whether the upload is the one that made this object."""
        if (self.bucket, self.key) != (upload.bucket, upload.key):
            return "no"
        if upload.version_id:
            return "yes" if upload.version_id == self.version_id else "no"
        if upload.etag and upload.etag != self.etag:
            return "no"
        if not upload.etag or upload.time is None:
            return "unsure"
        if upload.time > self.seen_at + CLOCK_SECONDS:
            return "no"  # a later upload of the same bytes
        if upload.time >= self.modified - ROUNDING_SECONDS:
            return "unsure" if self.version_id else "yes"  # a version's event names it
        return "unsure" if upload.time >= self.modified - DOUBT_SECONDS else "no"


@value
class Claim:
    """A command's claim to an object, for one target of a rule. `by` names the command; a reservation ends at `until`."""

    modified: float
    seen_at: float
    state: Literal["reserved", "started"]
    by: str
    until: float = 0.0

    def object_of(self, upload: Upload) -> ListedObject:
        """Return the claimed object, if it has the name of this upload."""
        return ListedObject(
            upload.bucket, upload.key, upload.etag, upload.version_id, self.modified, self.seen_at
        )


def object_name(bucket: str, key: str, version_id: str, etag: str) -> str:
    """Return the name under which claims to an object are stored."""
    return identity_of("s3-claim", bucket, key, *(("version", version_id) if version_id else ("etag", etag)))


def read_claims(text: str) -> tuple[Claim, ...]:
    """Return the claims in a text of `claims_text`; raises ValueError, TypeError or KeyError if it is none."""
    return tuple(Claim(**claim) for claim in json.loads(text)) if text else ()


def claims_text(claims: tuple[Claim, ...]) -> str:
    """Return claims as text; "" for none."""
    return json.dumps([asdict(claim) for claim in claims], separators=(",", ":")) if claims else ""


def claim_on(upload: Upload, claims: tuple[Claim, ...]) -> Claim | None:
    """Return the claim to the upload's object; in doubt it is the object, so that nothing starts twice."""
    found: Claim | None = None
    for claim in claims:
        match claim.object_of(upload).is_of(upload):
            case "yes":
                return claim
            case "unsure":
                found = claim
    return found


def _seconds(time: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(str(time))
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None
