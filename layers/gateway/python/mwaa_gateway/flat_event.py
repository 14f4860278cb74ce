"""An event as its leaves: the dotted path of each value, and which elements of which lists it lies in.

`{"a": {"b": 1}}` and `{"a.b": 1}` have the same path. Only the paths that somebody asks about are taken.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Fields", "Leaves", "Place", "Wanted", "merged"]

# The lists around a leaf, outermost first, each by number with the element's position.
Place = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Node:
    """Leaves by their place, a step at a time."""

    leaves: list[int] = field(default_factory=list)
    following: dict[int, dict[int, "_Node"]] = field(default_factory=dict)  # by list, then by position


class Leaves:
    """The leaves at one path."""

    __slots__ = ("_root", "places", "values")

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.places: list[Place] = []
        self._root: _Node | None = None

    def add(self, value: Any, place: Place) -> None:
        """Add a leaf."""
        self.values.append(value)
        self.places.append(place)

    def beside(self, place: Place) -> Iterator[int]:
        """Yield the index of each leaf that lies in no other element of a list than `place` does.

        The work grows with what is yielded, so that two fields of a list's objects are joined in linear time,
        however long a list a stranger sends.
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
    """Return all steps of two places that agree where they share a list."""
    return tuple(sorted({*place, *other}))


class Wanted:
    """The paths that somebody asks about; takes exactly these out of an event and walks into nothing else."""

    __slots__ = ("_on_the_way", "_paths")

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._on_the_way = frozenset(prefix for path in self._paths for prefix in _prefixes(path))

    def fields(self, event: Mapping[str, Any]) -> Fields:
        """Return the leaves at each wanted path that has any.

        An object, an empty list or a list of objects is no leaf. A plain element of a list stands for the
        list itself; only what lies in an object or a further list has the element in its place.
        """
        fields: dict[str, Leaves] = {}
        lists = 0
        pending: list[tuple[str, Any, Place]] = [
            (name, value, ()) for name, value in event.items() if name in self._on_the_way
        ]
        while pending:
            path, value, place = pending.pop()
            if isinstance(value, Mapping):
                for step, child in value.items():
                    name = f"{path}.{step}"
                    if name in self._on_the_way:
                        pending.append((name, child, place))
            elif isinstance(value, list):
                lists += 1
                pending.extend(
                    (path, child, (*place, (lists, position)) if isinstance(child, Mapping | list) else place)
                    for position, child in enumerate(value)
                )
            elif path in self._paths:
                fields.setdefault(path, Leaves()).add(value, place)
        return fields


def _prefixes(path: str) -> Iterator[str]:
    """Yield the path and each path on the way to it."""
    yield path
    position = path.rfind(".")
    while position >= 0:
        yield path[:position]
        position = path.rfind(".", 0, position)
