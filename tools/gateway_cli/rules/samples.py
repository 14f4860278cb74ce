"""Sample events made from a pattern, one for each alternative, to try rules without real events."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mwaa_gateway.patterns.pattern import Pattern

_MOST: Final = 16  # alternatives of a pattern's `$or` that are tried
_ABSENT: Final = object()
_ENVELOPE: Final[Mapping[str, Any]] = {
    "version": "0",
    "id": "00000000-0000-0000-0000-000000000000",
    "detail-type": "Sample",
    "source": "sample",
    "account": "123456789012",
    "time": "2026-01-01T00:00:00Z",
    "region": "eu-west-1",
    "resources": [],
}
_UPLOAD: Final[Mapping[str, Any]] = {
    "version": "0",
    "bucket.name": "sample-bucket",
    "object.key": "sample",
    "object.size": 1,
    "object.etag": "d41d8cd98f00b204e9800998ecf8427e",
    "object.sequencer": "0062E99A88DC407460",
    "request-id": "N4N7GDK58NMKJ12R",
    "reason": "PutObject",
}


def sample_events(pattern: Pattern) -> list[dict[str, Any]]:
    """Return events (envelopes) that match the pattern, at most one for each of its alternatives.

    Each returned event was tested against the pattern, so a pattern that is too complex for this has none.
    """
    alternatives = itertools.islice(_alternatives("", pattern.document), _MOST)
    return [event for fields in alternatives if pattern.matches(event := _event(fields))]


def _event(fields: Mapping[str, Any]) -> dict[str, Any]:
    of_s3 = fields.get("source") == "aws.s3"
    known: dict[str, Any] = dict(_ENVELOPE)
    if of_s3:
        known["detail-type"] = "Object Created"
        known |= {f"detail.{path}": value for path, value in _UPLOAD.items()}
    event: dict[str, Any] = {"detail": {}}
    for path, value in {**known, **fields}.items():
        if value is _ABSENT:
            continue
        *parents, name = path.split(".")
        place = event
        for parent in parents:
            inner = place.setdefault(parent, {})
            if not isinstance(inner, dict):
                break
            place = inner
        place[name] = value
    return event


def _alternatives(path: str, pattern: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields of an event for each alternative of a pattern: a value by dotted path."""
    choices: list[list[dict[str, Any]]] = []
    for name, child in pattern.items():
        if name == "$or":
            choices.append([fields for option in child for fields in _alternatives(path, option)][:_MOST])
            continue
        full = f"{path}.{name}" if path else name
        if isinstance(child, Mapping):
            choices.append(list(_alternatives(full, child)))
        else:
            choices.append([{full: _value(child)}])
    for chosen in itertools.product(*choices):
        yield {field: value for fields in chosen for field, value in fields.items()}


def _value(entries: list[Any]) -> Any:
    """Return a value that the first entry of a field's list matches."""
    match entries[0]:
        case {"exists": bool(there)}:
            return "sample" if there else _ABSENT
        case {"numeric": list(range_)}:
            return _number(range_)
        case {"anything-but": excluded}:
            return 1e9 if _is_numeric(excluded) else "sample-of-anything-else"
        case Mapping() as operator:
            return _text(operator)
        case value:
            return value


def _text(operator: Mapping[str, Any]) -> Any:
    match operator:
        case {"prefix": str(text)}:
            return f"{text}sample"
        case {"suffix": str(text)}:
            return f"sample{text}"
        case {"wildcard": str(text)}:
            return _unescaped(text)
        case {"cidr": str(network)}:
            return network.partition("/")[0]
        case {"prefix": Mapping() as folded} | {"suffix": Mapping() as folded}:
            return _text(folded)
        case _:
            return operator.get("equals-ignore-case")


def _unescaped(wildcard: str) -> str:
    text, position = "", 0
    while position < len(wildcard):
        character = wildcard[position]
        if character == "\\":
            position += 1
            text += wildcard[position : position + 1]
        else:
            text += "sample" if character == "*" else character
        position += 1
    return text


def _number(range_: list[Any]) -> Any:
    match range_:
        case ["=" | ">=" | "<=", number]:
            return number
        case [">", number]:
            return number + 1
        case ["<", number]:
            return number - 1
        case [_, bottom, _, top]:
            return (bottom + top) / 2
        case _:
            return 0


def _is_numeric(excluded: Any) -> bool:
    first = excluded[0] if isinstance(excluded, list) and excluded else excluded
    return isinstance(first, int | float)
