"""Reads the values of plain events on demand.

An event is plain if the places of its values do not matter: there is no object or list inside a list on a wanted path, and
no name with a dot spells a wanted path. Nearly all events are plain, and a few fields of most of them decide which rules
match.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

# Reads one field of an event: a scalar, a non-empty list of scalars, or ABSENT; or raises NotPlain.
Read = Callable[[Mapping[str, Any]], Any]


class NotPlain(Exception):
    """The places of values matter in this event."""


class Absent:
    """The type of ABSENT."""

    __slots__ = ()


ABSENT: Final = Absent()
_NOTHING: Final[Mapping[str, Any]] = {}
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_ANSWERS: Final = _SCALARS | {Absent}
_MAXIMUM_STEPS: Final = 100  # our limit; events have at most 32 levels


def reader(path: str) -> Read:
    """Return the function that reads the field at a dotted path.

    Reading is the largest cost of an event, so the usual numbers of steps have functions of their own.
    """
    way = path.split(".")
    match way:
        case [name]:
            return _reader_of_one_step(name)
        case [outer, name]:
            return _reader_of_two_steps(outer, name)
        case [outer, inner, name]:
            return _reader_of_three_steps(outer, inner, name)
        case _:
            return lambda event: _read_slowly(event, way)


def _reader_of_one_step(name: str) -> Read:
    def read(event: Mapping[str, Any]) -> Any:
        value = event.get(name, ABSENT)
        return value if type(value) is str or type(value) in _ANSWERS else _answer(value)

    return read


def _reader_of_two_steps(outer: str, name: str) -> Read:
    way = outer, name
    dotted = f"{outer}.{name}"

    def read(event: Mapping[str, Any]) -> Any:
        try:
            value = event[outer][name]
        except KeyError:
            value = ABSENT
        except TypeError:
            return _read_slowly(event, way)
        if dotted in event:
            raise NotPlain
        return value if type(value) is str or type(value) in _ANSWERS else _answer(value)

    return read


def _reader_of_three_steps(outer: str, inner: str, name: str) -> Read:
    way = outer, inner, name
    start, all_of_it, end = f"{outer}.{inner}", f"{outer}.{inner}.{name}", f"{inner}.{name}"

    def read(event: Mapping[str, Any]) -> Any:
        try:
            between = event[outer]
            value = between[inner][name]
        except KeyError:
            between = event.get(outer, _NOTHING)
            value = ABSENT
        except TypeError:
            return _read_slowly(event, way)
        if start in event or all_of_it in event or end in between:
            raise NotPlain
        return value if type(value) is str or type(value) in _ANSWERS else _answer(value)

    return read


def _read_slowly(event: Mapping[str, Any], way: Sequence[str]) -> Any:
    """Read a field of any number of steps; a step may lead into a value that is no object."""
    value: Any = event
    for position, name in enumerate(way):
        if not isinstance(value, Mapping):
            _answer(value)  # raises NotPlain for a list with objects
            return ABSENT
        if not value.keys().isdisjoint(_dotted(way[position:])):
            raise NotPlain
        value = value.get(name, ABSENT)
    return _answer(value)


def _answer(value: Any) -> Any:
    """Return the value of a field: ABSENT for an object or an empty list, which are no leaves."""
    if type(value) in _ANSWERS:
        return value
    if isinstance(value, Mapping):
        return ABSENT
    if type(value) is list and _SCALARS.issuperset(map(type, value)):
        return value or ABSENT
    raise NotPlain


def _dotted(way: Sequence[str]) -> set[str]:
    """Return the dotted names that would be several steps of the path at once.

    Raises:
        NotPlain: The path is longer than any event is deep; the names would take too much memory.
    """
    if len(way) > _MAXIMUM_STEPS:
        raise NotPlain
    return {".".join(way[:end]) for end in range(2, len(way) + 1)}


class _Step:
    """One step of a tree of paths: the end of a path, the beginning of longer ones, or both.

    `dotted` are the names that would be several steps from here at once.
    """

    __slots__ = ("dotted", "following", "path")

    def __init__(self) -> None:
        self.path: str | None = None
        self.following: dict[str, _Step] = {}
        self.dotted: set[str] = set()


class PlainFields:
    """Many paths; one walk through an event finds those that it has, without reading each."""

    __slots__ = ("_are_readable", "_root")

    def __init__(self, paths: Iterable[str]) -> None:
        ways = {path: path.split(".") for path in paths}
        self._are_readable = all(len(way) <= _MAXIMUM_STEPS for way in ways.values())
        self._root = _Step()
        for path, way in ways.items():
            step = self._root
            for position, name in enumerate(way if self._are_readable else ()):
                step.dotted |= _dotted(way[position:])
                step = step.following.setdefault(name, _Step())
            step.path = path

    def present(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value at each path that is not absent, as its reader would.

        Raises:
            NotPlain: as a reader does.
        """
        if not self._are_readable:
            raise NotPlain
        values: dict[str, Any] = {}
        pending = [(event, self._root)]
        for inner, step in pending:  # the loop appends to it
            if step.dotted and not step.dotted.isdisjoint(inner):
                raise NotPlain
            steps = step.following
            for name in steps if len(steps) < len(inner) else filter(steps.__contains__, inner):
                if name not in inner:
                    continue
                value, following = inner[name], steps[name]
                if type(value) is dict:
                    pending.append((value, following))
                    continue
                answer = _answer(value)
                if following.path is not None and answer is not ABSENT:
                    values[following.path] = answer
        return values
