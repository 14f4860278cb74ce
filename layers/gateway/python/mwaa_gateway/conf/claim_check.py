"""Claim checks: a conf too large for Airflow's command line waits in the gateway's bucket, and the run gets its URI.

    s3://<bucket>/<environment>/<run_id>/<digest of the content>.json      the conf, without the key `mwaa_gateway`
    {"mwaa_gateway": {"conf_uri": "s3://…", …}}                            the conf of the run

The name follows from the run and the content: however often an event is delivered, the same object is written again, and two
confs of one run (its rule was edited between two deliveries) are two objects, of which the run has the one that it was
pinned to.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mwaa_gateway.conf.input_transformer import ORIGIN_KEY

__all__ = ["MAXIMUM_CLAIM_CHECK_BYTES", "ClaimCheck", "ClaimChecks", "claim_check"]

MAXIMUM_CLAIM_CHECK_BYTES: Final = 1024 * 1024  # as ASCII JSON: four times what an event may have


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """One conf to put into the bucket."""

    bucket: str
    key: str
    body: bytes

    @property
    def uri(self) -> str:
        """Where the run finds it."""
        return f"s3://{self.bucket}/{self.key}"


class ClaimChecks(Protocol):
    """The gateway's bucket for large confs."""

    def put(self, checks: Sequence[ClaimCheck]) -> None:
        """Keep every conf; raise Unavailable unless all of them are there."""
        ...


def claim_check(
    conf: Mapping[str, Any], *, bucket: str, environment: str, run_id: str
) -> tuple[dict[str, Any], ClaimCheck]:
    """Return the small conf that names the large one, and the large one itself."""
    large = {name: value for name, value in conf.items() if name != ORIGIN_KEY}
    body = json.dumps(large, separators=(",", ":"), allow_nan=False).encode()
    digest = hashlib.sha256(body).hexdigest()[:32]
    check = ClaimCheck(bucket, f"{environment}/{run_id}/{digest}.json", body)
    return {ORIGIN_KEY: {**conf[ORIGIN_KEY], "conf_uri": check.uri}}, check
