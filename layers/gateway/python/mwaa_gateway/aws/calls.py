"""How every adapter calls AWS: one exception for "no answer"."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mwaa_gateway.errors import Unavailable

__all__ = ["refused_item", "unavailable_unless_answered"]


@contextmanager
def unavailable_unless_answered(what: str) -> Iterator[None]:
    """Turn everything that botocore raises into Unavailable: refused, throttled or unreachable, the work is not done.

    A missing permission or table is no different here: the message stays where it is until somebody mends it.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        raise Unavailable(f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{what}: {type(error).__name__}: {error}") from error


def refused_item(refused: ClientError) -> dict[str, Any]:
    """Return the DynamoDB item that refused a conditional write, as ALL_OLD gives it; empty where there was none."""
    item: dict[str, Any] = refused.response.get("Item", {})  # type: ignore[assignment]  # not in botocore's stubs
    return item
