"""The objects of a bucket, page by page, and what S3 says of one of them now."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from gateway_cli.output import Refused
from mwaa_gateway.dispatch.s3_objects import NO_VERSION, ListedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PAGE: Final = 1_000  # S3's limit


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects in the order of their keys, and where the next page begins; None after the last one."""

    objects: tuple[ListedObject, ...]
    next: Mapping[str, str] | None


class Bucket:
    """A bucket as S3 lists it: the current version of each object."""

    def __init__(self, client: "S3Client", name: str) -> None:
        self._client = client
        self.name = name
        # Only a list of versions has version ids; without versioning the plain list costs less.
        self._is_versioned = bool(client.get_bucket_versioning(Bucket=name).get("Status"))

    def time(self) -> float:
        """Return the time by S3's clock."""
        return s3_time(self._client.get_bucket_versioning(Bucket=self.name))

    def pages(self, prefix: str, begin: Mapping[str, str] | None) -> Iterator[Page]:
        """Yield the pages of a prefix, from where a page said that the next one begins."""
        position = dict(begin or {})
        while True:
            page = self._page(prefix, position, _PAGE)
            yield page
            if page.next is None:
                return
            position = dict(page.next)

    def is_unchanged(self, listed: ListedObject) -> bool:
        """Return whether the bucket still has this object, not written again since."""
        # Of all keys that begin with the key, the key itself is the first.
        now = next(iter(self._page(listed.key, {}, 1).objects), None)
        return now is not None and (now.key, now.version_id, now.etag, now.modified) == (
            listed.key,
            listed.version_id,
            listed.etag,
            listed.modified,
        )

    def _page(self, prefix: str, position: Mapping[str, str], most: int) -> Page:
        where: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix, "MaxKeys": most, **position}
        answer: Any
        if self._is_versioned:
            answer = self._client.list_object_versions(**where)
            listed = [one for one in answer.get("Versions", []) if one["IsLatest"]]
            more = {
                name: answer[f"Next{name}"]
                for name in ("KeyMarker", "VersionIdMarker")
                if answer.get(f"Next{name}")
            }
        else:
            answer = self._client.list_objects_v2(**where)
            listed = answer.get("Contents", [])
            more = {"StartAfter": listed[-1]["Key"]} if listed else {}
        if "IsTruncated" not in answer:
            raise Refused(f"S3's list of {self.name} cannot be read: is a proxy in between?")
        seen_at = s3_time(answer)
        objects = tuple(self._object(one, seen_at) for one in listed)
        return Page(objects, more if answer["IsTruncated"] else None)

    def _object(self, one: Mapping[str, Any], seen_at: float) -> ListedObject:
        version = one.get("VersionId", NO_VERSION)
        return ListedObject(
            bucket=self.name,
            key=one["Key"],
            etag=one["ETag"].strip('"'),
            version_id="" if version == NO_VERSION else version,
            modified=one["LastModified"].timestamp(),
            seen_at=seen_at,
            size=one["Size"],
        )


def s3_time(answer: Mapping[str, Any]) -> float:
    """Return the time of an answer by S3's clock, which LastModified has too; a laptop's clock may be wrong."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return time.time()
