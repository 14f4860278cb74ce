"""Reading what strangers wrote: each field with its type, and the limits within which an event stays.

Whatever is refused here is refused for good, with the name of the field and what was expected there.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mwaa_gateway.errors import MalformedEvent, kind_of

__all__ = [
    "MAXIMUM_DEPTH",
    "dig",
    "is_container",
    "is_deeper_than",
    "is_unicode",
    "json_or_text",
    "object_in",
    "object_of",
    "refuse_beyond_limits",
    "text_of",
]

MAXIMUM_EVENT_BYTES: Final = 256 * 1024  # EventBridge's and SNS's own limit; larger needs a claim check
MAXIMUM_DEPTH: Final = 32
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_JSON_WHITESPACE: Final = " \t\n\r"
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def text_of(mapping: Mapping[str, Any], name: str, where: str, default: str | None = None) -> str:
    """Return a text field, or `default` where it is missing; NUL and control characters are legal."""
    value = mapping.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise MalformedEvent(f"{name} of {where} is {kind_of(value)}; expected text")
    if not is_unicode(value):
        raise MalformedEvent(f"{name} of {where} holds half a surrogate pair; expected Unicode text")
    return value


def object_of(mapping: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """Return a field that has to be an object."""
    return object_in(mapping.get(name), f"{name} of {where}")


def object_in(value: Any, what: str) -> Mapping[str, Any]:
    """Return a value that has to be an object."""
    if not isinstance(value, Mapping):
        raise MalformedEvent(f"{what} is {kind_of(value)}; expected a JSON object")
    return value


def dig(value: Any, path: tuple[str, ...]) -> Any:
    """Return what lies at the path, or None."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def is_unicode(text: str) -> bool:
    """Say whether the text can be encoded: it holds no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def refuse_beyond_limits(envelope: Mapping[str, Any]) -> None:
    """Refuse what would break something further on: too deep, too large, or not JSON at all."""
    if is_deeper_than(MAXIMUM_DEPTH, envelope):
        raise MalformedEvent(
            f"the event is nested deeper than {MAXIMUM_DEPTH} levels; flatten it, or pass a reference to it"
        )
    try:
        size = len(_ENCODER.encode(envelope).encode(errors="surrogatepass"))
    except (TypeError, ValueError) as error:
        raise MalformedEvent(f"the event is not JSON ({error}); send JSON values only") from None
    if size > MAXIMUM_EVENT_BYTES:
        raise MalformedEvent(
            f"the event has {size} bytes; at most {MAXIMUM_EVENT_BYTES} are taken: put the content in S3 and "
            "send its URI"
        )


def is_deeper_than(levels: int, value: Any) -> bool:
    """Say whether objects and lists are nested in one another more than so many levels."""
    containers = [value] if is_container(value) else []
    for _ in range(levels):
        if not containers:
            return False
        containers = [
            child for container in containers for child in _members(container) if is_container(child)
        ]
    return bool(containers)


def is_container(value: Any) -> bool:
    """Say whether a JSON value is an object or a list."""
    # Most values are none, and are told apart without asking whether their class was registered as a Mapping.
    return type(value) not in _SCALARS and isinstance(value, Mapping | list)


def _members(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, Mapping) else container


def json_or_text(message: str) -> Any:
    """Return the message's JSON object or array; anything else stays the text that was published.

    A bare `"yes"`, `42` or `null` stays text too: it was hardly meant as JSON, and its spelling would be
    lost.
    """
    text = message.strip(_JSON_WHITESPACE)
    if not text.startswith(("{", "[")):
        return message
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return message
    return value if end == len(text) else message


def _finite(text: str) -> float:
    """Read a number of JSON; NaN, Infinity and what no double can hold (1e999) are none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number in JSON")
    return number


# One for all, and its raw_decode: json.loads would make a decoder for each message, and takes two thirds longer.
_DECODER: Final = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
