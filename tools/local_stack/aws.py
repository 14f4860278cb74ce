"""Clients for the local AWS that look at no profile, no environment variable and no credential file."""

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from local_stack.ministack import CREDENTIALS, REGION

__all__ = ["LocalAws"]


@dataclass(frozen=True, slots=True)
class LocalAws:
    """The administrator's view of the MiniStack at `endpoint_url`."""

    endpoint_url: str
    region: str = REGION
    credentials: tuple[str, str] = CREDENTIALS

    def client(self, service: str) -> Any:
        """A boto3 client of that service; safe to share between threads."""
        return self._session().client(
            service,
            endpoint_url=self.endpoint_url,
            config=Config(
                inject_host_prefix=False,
                max_pool_connections=32,
                retries={"mode": "standard", "total_max_attempts": 3},
                s3={"addressing_style": "path"},
            ),
        )

    def table(self, name: str) -> Any:
        """A boto3 Table resource: items as plain Python values."""
        return self._session().resource("dynamodb", endpoint_url=self.endpoint_url).Table(name)

    def _session(self) -> boto3.Session:
        # Both keys given: boto3 then looks neither at AWS_PROFILE nor at any credential file.
        return boto3.Session(
            aws_access_key_id=self.credentials[0],
            aws_secret_access_key=self.credentials[1],
            aws_session_token="",
            region_name=self.region,
        )
