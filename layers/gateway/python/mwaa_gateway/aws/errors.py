"""One exception, Unavailable, for every AWS call without a usable answer."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from mwaa_gateway.errors import Unavailable


class unavailable_unless_answered:  # noqa: N801  read as a verb, after `with`
    """Turn every botocore error into Unavailable: refused, throttled, unreachable, or an unreadable answer.

    A missing permission or table is treated alike: the message stays in its queue until somebody fixes it. A call without
    an answer may have been carried out, so every write in this package can be sent twice.
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
            answer = error.response.get("Error", {})
            text = f"{answer.get('Code', 'unknown error')}: {answer.get('Message', '')}"
            raise Unavailable(f"{self._what}: {text}") from error
        if isinstance(error, BotoCoreError | ResponseParserError):
            raise Unavailable(f"{self._what}: {type(error).__name__}: {error}") from error


def require(answer: Mapping[str, Any], field: str, what: str) -> None:
    """Raise Unavailable if the answer lacks a field that every answer to this call contains.

    botocore reads a body that is not JSON, for example a proxy's, as an empty answer: without this check, a message that was
    never sent would count as sent.
    """
    if field not in answer:
        raise Unavailable(f"{what}: the answer has no {field}")


def refused_item(refused: ClientError) -> dict[str, Any]:
    """Return the item that refused a conditional write, from ALL_OLD; empty if there was none."""
    item: dict[str, Any] = refused.response.get("Item", {})  # type: ignore[assignment]  # not in botocore's stubs
    return item
