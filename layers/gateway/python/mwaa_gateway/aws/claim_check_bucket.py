"""The gateway's bucket for confs that are too large for Airflow's command line."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.conf.claim_check import ClaimCheck

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ClaimCheckBucket:
    """Implements `mwaa_gateway.conf.claim_check.ClaimChecks`.

    The first large conf calls `make_client`: an S3 client adds to the cold start, and most gateways never need one.
    """

    def __init__(self, make_client: "Callable[[], S3Client]") -> None:
        self._make_client = make_client

    def put(self, checks: Sequence[ClaimCheck]) -> None:
        """Write every conf; writing one again changes nothing but restarts its retention time."""
        for check in checks:
            with unavailable_unless_answered("the bucket for large confs did not take one"):
                self._client.put_object(
                    Bucket=check.bucket, Key=check.key, Body=check.body, ContentType="application/json"
                )

    @cached_property
    def _client(self) -> "S3Client":
        return self._make_client()
