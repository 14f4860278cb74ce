"""Paths into an event, in the form of EventBridge's input transformer: `$.detail.object.key`.

A path has names after dots, and positions in brackets from 0 (`$.resources[0]`). `[*]` applies the rest of the path to each
element of a list (`$.detail.items[*].id`). `$` alone is the event.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MISSING: Final = object()  # the result of a path without a value; null is a value
Path = tuple[object, ...]  # names, positions, and _EACH

_EACH: Final = object()  # [*]
_STEP: Final = re.compile(r"\.([A-Za-z0-9_/-]+)|\[([0-9]{1,6})\]|(\[\*\])")


def parse_path(text: object) -> Path | None:
    """Return the steps of the path, or None if it is invalid."""
    path = tuple(_steps(text)) if isinstance(text, str) else (None,)
    return None if None in path else path


def finds_many(path: Path) -> bool:
    """Return whether the path contains `[*]`, and so gives a list of values."""
    return _EACH in path


def follow(path: Path, value: Any) -> Any:
    """Return the value at the path, or MISSING; `[*]` gives a list with the values of all elements."""
    for position, step in enumerate(path):
        if step is _EACH:
            if not isinstance(value, list):
                return MISSING
            found = (follow(path[position + 1 :], element) for element in value)
            return [element for element in found if element is not MISSING]
        match value:
            case Mapping() if isinstance(step, str) and step in value:
                value = value[step]
            case list() if isinstance(step, int) and step < len(value):
                value = value[step]
            case _:
                return MISSING
    return value


def _steps(text: str) -> Iterator[object]:
    """Yield the steps of a path, and None at the first invalid one."""
    if not text.startswith("$"):
        yield None
        return
    position = 1
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            yield None
            return
        yield match[1] or (_EACH if match[3] else int(match[2]))
        position = match.end()
