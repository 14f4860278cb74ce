"""How every adapter calls AWS: one exception for "no answer"."""

from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mwaa_gateway.errors import Unavailable

__all__ = ["refused_item", "unavailable_unless_answered"]


class unavailable_unless_answered:  # noqa: N801  read as a verb, after `with`
    """Turn everything that botocore raises into Unavailable: refused, throttled or unreachable, the work is not done.

    A missing permission or table is no different here: the message stays where it is until somebody mends it.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, ClientError):
            told = error.response.get("Error", {})
            text = f"{told.get('Code', 'unknown error')}: {told.get('Message', '')}"
            raise Unavailable(f"{self._what}: {text}") from error
        if isinstance(error, BotoCoreError):
            raise Unavailable(f"{self._what}: {type(error).__name__}: {error}") from error


def refused_item(refused: ClientError) -> dict[str, Any]:
    """Return the DynamoDB item that refused a conditional write, as ALL_OLD gives it; empty where there was none."""
    item: dict[str, Any] = refused.response.get("Item", {})  # type: ignore[assignment]  # not in botocore's stubs
    return item
