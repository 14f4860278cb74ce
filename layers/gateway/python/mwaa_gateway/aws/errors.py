"""How every adapter calls AWS: one exception for "no answer"."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from mwaa_gateway.errors import Unavailable

__all__ = ["refused_item", "require", "unavailable_unless_answered"]


class unavailable_unless_answered:  # noqa: N801  read as a verb, after `with`
    """Turn everything that botocore raises into Unavailable: refused, throttled, unreachable, or an unreadable answer.

    A missing permission or table is no different: the message stays where it is until somebody repairs that. Whether a
    call without an answer was carried out is not known: every write here may be sent again.
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
        if isinstance(error, BotoCoreError | ResponseParserError):
            raise Unavailable(f"{self._what}: {type(error).__name__}: {error}") from error


def require(answer: Mapping[str, Any], field: str, what: str) -> None:
    """Raise Unavailable if the answer lacks a field that every answer to this call has.

    botocore reads a body that is no JSON, of a proxy for instance, as an empty answer: without this check a message that was
    never sent counts as sent.
    """
    if field not in answer:
        raise Unavailable(f"{what}: the answer names no {field}")


def refused_item(refused: ClientError) -> dict[str, Any]:
    """Return the DynamoDB item that refused a conditional write, as ALL_OLD gives it; empty where there was none."""
    item: dict[str, Any] = refused.response.get("Item", {})  # type: ignore[assignment]  # not in botocore's stubs
    return item
