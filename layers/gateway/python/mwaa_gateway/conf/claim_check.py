"""Claim checks: a conf over the size limit goes to the gateway's bucket, and the run gets its URI.

    s3://<bucket>/<environment>/<run_id>/<digest of the content>.json      the conf, without the key `mwaa_gateway`
    {"mwaa_gateway": {"conf_uri": "s3://…", …}}                            the conf of the run

The key derives from the run and the content, so duplicates of an event write the same object again. If somebody edits the
rule between two deliveries, one run has two confs and two objects; it uses the one that the ledger pinned.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from mwaa_gateway.conf.input_transformer import ORIGIN_KEY
from mwaa_gateway.values import value

MAXIMUM_CLAIM_CHECK_BYTES: Final = 1024 * 1024  # as ASCII JSON: four times the limit of an event


@value
class ClaimCheck:
    """One large conf, and its place in the bucket."""

    bucket: str
    key: str
    body: bytes

    @property
    def uri(self) -> str:
        """The URI that the run gets."""
        return f"s3://{self.bucket}/{self.key}"


class ClaimChecks(Protocol):
    """The gateway's bucket for large confs."""

    def put(self, checks: Sequence[ClaimCheck]) -> None:
        """Write every conf; raise Unavailable if any was not written."""


def claim_check(
    conf: Mapping[str, Any], *, bucket: str, environment: str, run_id: str
) -> tuple[dict[str, Any], ClaimCheck]:
    """Return the run's small conf with the URI, and the claim check with the large one."""
    large = {name: value for name, value in conf.items() if name != ORIGIN_KEY}
    body = json.dumps(large, separators=(",", ":"), allow_nan=False).encode()
    digest = hashlib.sha256(body).hexdigest()[:32]
    check = ClaimCheck(bucket, f"{environment}/{run_id}/{digest}.json", body)
    return {ORIGIN_KEY: {**conf[ORIGIN_KEY], "conf_uri": check.uri}}, check
