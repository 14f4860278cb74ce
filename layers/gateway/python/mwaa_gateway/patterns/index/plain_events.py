"""The values of plain events, read where and when they are asked for.

An event is plain where the places of its values do not matter: no objects or lists inside a list on an asked way,
and no asked path spelled with a dot in a name. Nearly all events are, and for most of them a few fields have to be
read to know that no rule, or which, is about them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["ABSENT", "Absent", "NotPlain", "PlainFields", "Read", "reader"]

# Reads one field of an event: a scalar, a list of scalars that is not empty, or ABSENT; or raises NotPlain.
Read = Callable[[Mapping[str, Any]], Any]


class NotPlain(Exception):
    """The event has to be looked at with the places of its values."""


class Absent:
    """The type of ABSENT."""

    __slots__ = ()


ABSENT: Final = Absent()
_NOTHING: Final[Mapping[str, Any]] = {}
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_ANSWERS: Final = _SCALARS | {Absent}
_MAXIMUM_STEPS: Final = 100  # ours; events have 32 levels at most


def reader(path: str) -> Read:
    """Return the function that reads the field at a dotted path.

    It is what an event costs most of all, hence written out for the usual numbers of steps.
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
    """Read a field of any number of steps, also where one leads into something else than an object."""
    value: Any = event
    for position, name in enumerate(way):
        if not isinstance(value, Mapping):
            _answer(value)  # of a list with objects in it, this is not for us to say
            return ABSENT
        if not value.keys().isdisjoint(_dotted(way[position:])):
            raise NotPlain
        value = value.get(name, ABSENT)
    return _answer(value)


def _answer(value: Any) -> Any:
    """Return what a value counts as: an object or an empty list is no leaf."""
    if type(value) in _ANSWERS:
        return value
    if isinstance(value, Mapping):
        return ABSENT
    if type(value) is list and _SCALARS.issuperset(map(type, value)):
        return value or ABSENT
    raise NotPlain


def _dotted(way: Sequence[str]) -> set[str]:
    """Return the names that would be several steps of a way at once.

    Raises:
        NotPlain: The way is longer than any event is deep; of so many names, their memory would be a burden.
    """
    if len(way) > _MAXIMUM_STEPS:
        raise NotPlain
    return {".".join(way[:end]) for end in range(2, len(way) + 1)}


class _Step:
    """What a name in an object leads to: the end of a path, the way to others, or both.

    `dotted` are the names that would be several steps from here at once.
    """

    __slots__ = ("dotted", "following", "path")

    def __init__(self) -> None:
        self.path: str | None = None
        self.following: dict[str, _Step] = {}
        self.dotted: set[str] = set()


class PlainFields:
    """Many paths: those that an event has are found by walking through it, not by reading each."""

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
        """Return what the reader of each path reads, without those that are absent.

        Raises:
            NotPlain: as a reader does.
        """
        if not self._are_readable:
            raise NotPlain
        values: dict[str, Any] = {}
        pending = [(event, self._root)]
        for inner, step in pending:  # grows while it is read
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
