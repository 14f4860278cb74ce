"""The leaves of an event: the dotted path of each value, and the list elements that contain it.

`{"a": {"b": 1}}` and `{"a.b": 1}` have the same path. `Wanted` reads only the paths that patterns name.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final, Protocol

# The lists around a leaf, outermost first: each list's number and the position of the element.
Place = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Node:
    """One step of a tree of leaves by place."""

    leaves: list[int] = field(default_factory=list)
    following: dict[int, dict[int, "_Node"]] = field(default_factory=dict)  # by list, then by position


class Matcher(Protocol):
    """Decides which leaves match."""

    @property
    def exact_strings(self) -> frozenset[str] | None:
        """The strings, if only these can match; else None."""

    def matches(self, value: Any, /) -> bool:
        """Return whether a leaf matches."""


class Leaves:
    """The leaves at one path. Add all of them before you call any other method."""

    __slots__ = ("_all_places", "_arounds", "_by_text", "_matched", "_root", "places", "values")

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.places: list[Place] = []
        self._all_places: frozenset[Place] | None = None
        self._arounds: frozenset[tuple[int, ...]] | None = None
        self._by_text: dict[str, list[Place]] | None = None
        self._matched: dict[int, AbstractSet[Place]] = {}
        self._root: _Node | None = None

    def add(self, value: Any, place: Place) -> None:
        """Add a leaf."""
        self.values.append(value)
        self.places.append(place)

    @property
    def all_places(self) -> frozenset[Place]:
        """The places of all leaves."""
        if self._all_places is None:
            self._all_places = frozenset(self.places)
        return self._all_places

    @property
    def arounds(self) -> frozenset[tuple[int, ...]]:
        """The numbers of the lists around each leaf: nearly always the same for all leaves."""
        if self._arounds is None:
            self._arounds = frozenset([tuple([number for number, _ in place]) for place in self.places])
        return self._arounds

    def matched(self, matcher: Matcher) -> AbstractSet[Place]:
        """Return the places of the leaves that match; cached, as rules share matchers."""
        if id(matcher) not in self._matched:
            strings = matcher.exact_strings
            if strings is None:
                self._matched[id(matcher)] = set(compress(self.places, map(matcher.matches, self.values)))
            else:
                by_text = self._places_by_text()
                self._matched[id(matcher)] = set().union(
                    *[by_text[text] for text in strings if text in by_text]
                )
        return self._matched[id(matcher)]

    def _places_by_text(self) -> Mapping[str, list[Place]]:
        if self._by_text is None:
            self._by_text = {}
            for value, place in zip(self.values, self.places, strict=True):
                if isinstance(value, str):
                    self._by_text.setdefault(value, []).append(place)
        return self._by_text

    def beside(self, place: Place) -> Iterator[int]:
        """Yield the index of each leaf that is in the same element as `place` of every list that both are in.

        The work grows with the yielded leaves, so that two fields of a list's objects join in linear time, even in a long
        list from a stranger.
        """
        fixed = dict(place)
        nodes = [self._tree()]
        while nodes:
            node = nodes.pop()
            yield from node.leaves
            for number, elements in node.following.items():
                if number not in fixed:
                    nodes.extend(elements.values())
                elif fixed[number] in elements:
                    nodes.append(elements[fixed[number]])

    def _tree(self) -> _Node:
        if self._root is None:
            self._root = _Node()
            for index, place in enumerate(self.places):
                node = self._root
                for number, position in place:
                    node = node.following.setdefault(number, {}).setdefault(position, _Node())
                node.leaves.append(index)
        return self._root


Fields = Mapping[str, Leaves]


def merged(place: Place, other: Place) -> Place:
    """Return the union of two places that agree on the lists they share."""
    return tuple(sorted({*place, *other}))


class Wanted:
    """The paths that patterns name; reads only these from an event."""

    __slots__ = ("_paths", "_prefixes")

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._prefixes = frozenset(prefix for path in self._paths for prefix in _prefixes(path))

    def fields(self, event: Mapping[str, Any]) -> Fields:
        """Return the leaves at each wanted path that has any.

        An object, an empty list or a list of objects is no leaf. A scalar in a list has the place of the list; only values
        inside an object or list in it have the element in their place.
        """
        fields: dict[str, Leaves] = {}
        lists = 0
        pending: list[tuple[str, Any, Place]] = [
            (name, value, ()) for name, value in event.items() if name in self._prefixes
        ]
        while pending:
            path, value, place = pending.pop()
            if not _is_container(value):
                if path in self._paths:
                    fields.setdefault(path, Leaves()).add(value, place)
            elif isinstance(value, Mapping):
                for step, child in value.items():
                    name = f"{path}.{step}"
                    if name in self._prefixes:
                        pending.append((name, child, place))
            else:
                lists += 1
                for position, child in enumerate(value):
                    inside = (*place, (lists, position)) if _is_container(child) else place
                    pending.append((path, child, inside))
        return fields


def _prefixes(path: str) -> Iterator[str]:
    """Yield the path and each of its prefixes."""
    yield path
    position = path.rfind(".")
    while position >= 0:
        yield path[:position]
        position = path.rfind(".", 0, position)


def _is_container(value: Any) -> bool:
    # Most values are scalars: the type look-up spares them the slow isinstance check against an abstract class.
    return type(value) not in _SCALARS and isinstance(value, Mapping | list)


_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
