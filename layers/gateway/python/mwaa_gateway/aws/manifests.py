"""The manifests of batches in the claim-check bucket: one line of JSON for each member, gzip.

s3://<bucket>/feeds/<rule id>/<batch id>/<digest of the content>.jsonl.gz

{"uri": "s3://landing/orders/1.csv", "bucket": "landing", …, "member_id": "…"}      an S3 object
{"source": "acme.billing", "detail": {…}, …, "member_id": "…"}                      any other event
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mwaa_gateway.aws.errors import require, unavailable_unless_answered
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.routing.members import Member

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ManifestBucket:
    """Implements `mwaa_gateway.feeds.batch.Manifests`."""

    def __init__(self, make_client: "Callable[[], S3Client]", bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket

    def put(self, batch: Batch, members: Sequence[Member]) -> str:
        """Store the list of a batch's members; return its URI. Storing it again changes nothing."""
        lines = "".join(
            json.dumps({**member.line, "member_id": member.id}, separators=(",", ":")) + "\n"
            for member in members
        )
        body = gzip.compress(lines.encode(), mtime=0)
        digest = hashlib.sha256(body).hexdigest()[:32]
        key = f"feeds/{batch.rule_id}/{batch.id}/{digest}.jsonl.gz"
        with unavailable_unless_answered("the bucket did not take a manifest"):
            # No Content-Encoding: a client that decodes it would pass on text with a name that says gzip.
            answer = self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType="application/gzip"
            )
        require(answer, "ETag", "the bucket did not take a manifest")
        return f"s3://{self._bucket}/{key}"

    def members(self, uri: str) -> frozenset[str]:
        """Return the ids of the members that a manifest lists."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with unavailable_unless_answered("cannot read a manifest"):
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return frozenset(json.loads(line)["member_id"] for line in gzip.decompress(body).splitlines())

    @cached_property
    def _client(self) -> "S3Client":
        return self._make_client()
