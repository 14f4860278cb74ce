"""The configuration of every AWS client: short timeouts, few retries.

A module of its own, so that code that only reads items, such as the operator's command, does not load botocore's config.
"""

import threading
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Three tries within about 20 s: if a call hangs, the function still needs time to give its message back.
CLIENT_CONFIG: Final = Config(
    connect_timeout=3, read_timeout=6, retries={"mode": "standard", "total_max_attempts": 3}
)


class _LateClient:
    """An AWS client that its first call builds, once for all threads."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        """Return the client's method; a later call finds it without coming here."""
        with self._lock:
            if self._client is None:
                self._client = boto3.client(self._service, config=CLIENT_CONFIG)
        found = self.__dict__[name] = getattr(self._client, name)
        return found


def late_client(service: Literal["sqs"]) -> "SQSClient":
    """Return a client that its first call builds: most starts see an event that needs none of SQS."""
    return cast("SQSClient", _LateClient(service))
