"""Reads untrusted JSON: checks the type of each field and the limits of an event.

Every error is a `MalformedEvent`, which names the field and the value it expects.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mwaa_gateway.errors import MalformedEvent, kind_of

MAXIMUM_EVENT_BYTES: Final = 256 * 1024  # the limit of EventBridge and SNS; senders of more pass an S3 URI
MAXIMUM_DEPTH: Final = 32
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_JSON_WHITESPACE: Final = " \t\n\r"
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def text_of(mapping: Mapping[str, Any], name: str, where: str, default: str | None = None) -> str:
    """Return a text field, or `default` if it is missing; NUL and control characters are allowed."""
    value = mapping.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise MalformedEvent(f"{name} of {where} is {kind_of(value)}; expected text")
    if not is_unicode(value):
        raise MalformedEvent(f"{name} of {where} contains half a surrogate pair; expected Unicode text")
    return value


def object_of(mapping: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """Return a field that must be an object."""
    return object_in(mapping.get(name), f"{name} of {where}")


def object_in(value: Any, what: str) -> Mapping[str, Any]:
    """Return the value, which must be an object."""
    if not isinstance(value, Mapping):
        raise MalformedEvent(f"{what} is {kind_of(value)}; expected a JSON object")
    return value


def dig(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value at the path, or None."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def is_unicode(text: str) -> bool:
    """Return whether the text can be encoded: it contains no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def refuse_beyond_limits(envelope: Mapping[str, Any]) -> None:
    """Raise MalformedEvent if the envelope is nested too deeply, too large, or not JSON."""
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
            f"the event has {size} bytes; the limit is {MAXIMUM_EVENT_BYTES}: put the content in S3 and "
            "send its URI"
        )


def is_deeper_than(levels: int, value: Any) -> bool:
    """Return whether objects and lists are nested more than `levels` deep."""
    containers = [value] if is_container(value) else []
    for _ in range(levels):
        if not containers:
            return False
        containers = [
            child for container in containers for child in _members(container) if is_container(child)
        ]
    return bool(containers)


def is_container(value: Any) -> bool:
    """Return whether a JSON value is an object or a list."""
    # Most values are scalars: the type look-up spares them the slow isinstance check against an abstract class.
    return type(value) not in _SCALARS and isinstance(value, Mapping | list)


def _members(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, Mapping) else container


def json_or_text(message: str) -> Any:
    """Return the message's JSON object or array; anything else stays text.

    A bare `"yes"`, `42` or `null` stays text, too: its sender hardly meant JSON, and parsing would lose its spelling.
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
    """Parse a JSON number; NaN, Infinity and numbers beyond a double (1e999) are errors."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number in JSON")
    return number


# One shared decoder: json.loads with these arguments builds one for each message, and takes two thirds longer.
_DECODER: Final = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
