"""JSON with line numbers; a duplicate key is a flaw (Python silently takes the last one)."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway_cli.documents.document import Document, Flaw, Place, finite

_DEEPEST: Final = 200  # levels; a rule has about ten
_TOO_DEEP: Final = Flaw(1, "this is nested too deeply")
_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')


def read_json(text: str) -> tuple[list[Document], list[Flaw]]:
    """Read a JSON text: one document, or the flaw in its syntax."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=finite)
    except json.JSONDecodeError as error:
        return [], [Flaw(error.lineno, f"this is not JSON: {error.msg}")]
    except ValueError as error:
        return [], [Flaw(1, f"this is not JSON: {error}")]
    except RecursionError:
        return [], [_TOO_DEEP]
    if _depth(value) > _DEEPEST:
        return [], [_TOO_DEEP]
    lines, flaws = _lines(text)
    return [Document(value, lines)], flaws


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text; None if it contains none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _depth(value: object) -> int:
    """Return the depth without recursion: the limit of Python's own parser differs between versions."""
    depth, level = 0, [value]
    while level := [each for item in level for each in _inside(item)]:
        depth += 1
    return depth


def _inside(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


@dataclass(slots=True)
class _Nest:
    """An open object or array of a JSON text."""

    place: Place
    keys: set[str] | None  # None for an array
    at: str | int  # the key or index whose value is being read
    expects_key: bool


def _lines(text: str) -> tuple[dict[Place, int], list[Flaw]]:
    """Scan a valid JSON text for the line of each field, and for duplicate keys."""
    lines: dict[Place, int] = {(): 1}
    flaws: list[Flaw] = []
    nests: list[_Nest] = []
    for word, line in _words(text):
        nest = nests[-1] if nests else None
        if word in "{[":
            place = (*nest.place, nest.at) if nest else ()
            lines.setdefault(place, line)
            is_object = word == "{"
            nests.append(_Nest(place, set() if is_object else None, 0, expects_key=is_object))
        elif word in "}]":
            nests.pop()
        elif nest and word == ",":
            nest.expects_key = nest.keys is not None
            nest.at = nest.at + 1 if isinstance(nest.at, int) else nest.at
        elif nest and nest.keys is not None and nest.expects_key:
            key = json.loads(word)
            if key in nest.keys:
                flaws.append(Flaw(line, f"the key {key!r} is given twice: remove one of the two"))
            nest.keys.add(key)
            nest.at, nest.expects_key = key, False
            lines.setdefault((*nest.place, key), line)
    return lines, flaws


def _words(text: str) -> Iterator[tuple[str, int]]:
    line_ends = [match.start() for match in re.finditer("\n", text)]
    for match in _WORD.finditer(text):
        yield match.group(), bisect_right(line_ends, match.start()) + 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
