"""Clients for the local AWS that read no profile, environment variable or credential file."""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from local_stack.ministack import CREDENTIALS, REGION


@dataclass(frozen=True, slots=True)
class LocalAws:
    """The administrator's view of the MiniStack at `endpoint_url`."""

    endpoint_url: str
    region: str = REGION
    credentials: tuple[str, str] = CREDENTIALS

    def client(self, service: str) -> Any:
        """A boto3 client of that service, the same each time; safe to share between threads."""
        return _client(self, service)

    def table(self, name: str) -> Any:
        """A boto3 Table resource: items as plain Python values."""
        with _BUILDING:
            return _session(self).resource("dynamodb", endpoint_url=self.endpoint_url).Table(name)


# A session reads a service's description once, in a tenth of a second; one thread at a time may build a client.
_BUILDING = threading.Lock()


@cache
def _session(aws: LocalAws) -> boto3.Session:
    # Both keys given: boto3 then looks neither at AWS_PROFILE nor at any credential file.
    return boto3.Session(
        aws_access_key_id=aws.credentials[0],
        aws_secret_access_key=aws.credentials[1],
        aws_session_token="",
        region_name=aws.region,
    )


@cache
def _client(aws: LocalAws, service: str) -> Any:
    with _BUILDING:
        return _session(aws).client(
            service,
            endpoint_url=aws.endpoint_url,
            config=Config(
                inject_host_prefix=False,
                max_pool_connections=32,
                retries={"mode": "standard", "total_max_attempts": 3},
                s3={"addressing_style": "path"},
            ),
        )
