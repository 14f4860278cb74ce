"""Finds the numbers and ranges, of many, that match a number."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from mwaa_gateway.patterns.matchers import NumberIn, NumberSpelled, comparable, spelling_of

P = TypeVar("P")
_Range = tuple[NumberIn, P]


def is_range(entry: object) -> bool:
    """Return whether more than one number matches an entry."""
    return isinstance(entry, NumberIn) and entry.bottom < entry.top


class NumberIndex(Generic[P]):
    """Payloads by number and by range: the numbers by hash, the ranges in a tree."""

    __slots__ = ("_points", "_ranges")

    def __init__(self, items: Iterable[tuple[NumberIn | NumberSpelled, P]]) -> None:
        self._points: dict[float | str, list[P]] = {}
        ranges: list[_Range[P]] = []
        for entry, payload in items:
            match entry:
                case NumberSpelled(spelling):
                    self._points.setdefault(spelling, []).append(payload)
                case NumberIn(bottom, top) if bottom < top:
                    ranges.append((entry, payload))
                case NumberIn(number):
                    self._points.setdefault(number, []).append(payload)
        self._ranges = _Middle(ranges) if ranges else None

    def find(self, value: Any, found: list[P]) -> None:
        """Add to `found` the payload of each entry that a leaf of an event matches."""
        if not isinstance(value, int | float):
            return
        number = comparable(value)
        points: Any = spelling_of(value) if number is None else number
        if points in self._points:
            found += self._points[points]
        if number is not None:
            middle = self._ranges
            while middle is not None:
                middle = middle.find(number, found)


class _Middle(Generic[P]):
    """A number, the ranges that contain it, sorted by either end, and the ranges below and above it.

    The number is the median of all ends, so the depth of the tree is the logarithm of the number of ranges.
    """

    __slots__ = ("_above", "_below", "_bottoms", "_by_bottom", "_by_top", "_number", "_tops")

    def __init__(self, ranges: Sequence[_Range[P]]) -> None:
        ends = sorted(end for one, _ in ranges for end in (one.bottom, one.top))
        self._number = ends[len(ends) // 2]
        here = [pair for pair in ranges if pair[0].bottom <= self._number <= pair[0].top]
        self._by_bottom = sorted(here, key=lambda pair: _bottom(pair[0]))
        self._bottoms = [_bottom(one) for one, _ in self._by_bottom]
        self._by_top = sorted(here, key=lambda pair: _top(pair[0]))
        self._tops = [_top(one) for one, _ in self._by_top]
        below = [pair for pair in ranges if pair[0].top < self._number]
        above = [pair for pair in ranges if pair[0].bottom > self._number]
        self._below: _Middle[P] | None = _Middle(below) if below else None
        self._above: _Middle[P] | None = _Middle(above) if above else None

    def find(self, number: float, found: list[P]) -> "_Middle[P] | None":
        """Add the payloads of matching ranges here, and return the next node to search."""
        if number < self._number:
            end = bisect_right(self._bottoms, (number, False))
            found += [payload for _, payload in self._by_bottom[:end]]
            return self._below
        if number > self._number:
            start = bisect_left(self._tops, (number, True))
            found += [payload for _, payload in self._by_top[start:]]
            return self._above
        found += [payload for one, payload in self._by_bottom if one.matches(number)]
        return None


def _bottom(one: NumberIn) -> tuple[float, bool]:
    """Return a key: the range reaches down to a number if the key is at most (number, False)."""
    return one.bottom, one.open_bottom


def _top(one: NumberIn) -> tuple[float, bool]:
    """Return a key: the range reaches up to a number if the key is at least (number, True)."""
    return one.top, not one.open_top


def mean_depth(ranges: Sequence[tuple[NumberIn, int]]) -> float:
    """Return the mean number of rules whose ranges contain an end of a range; each range has its number of rules."""
    bottoms = sorted((one.bottom, rules) for one, rules in ranges)
    tops = sorted((one.top, rules) for one, rules in ranges)
    begun, ended = _sums(bottoms), _sums(tops)
    ends = [end for end, _ in (*bottoms, *tops) if abs(end) != float("inf")] or [0.0]
    sample = ends[:: max(1, len(ends) // 64)]
    depths = [
        begun[bisect_right(bottoms, (end, float("inf")))] - ended[bisect_left(tops, (end, 0))]
        for end in sample
    ]
    return sum(depths) / len(depths)


def _sums(ends: Iterable[tuple[float, int]]) -> list[int]:
    sums = [0]
    for _, rules in ends:
        sums.append(sums[-1] + rules)
    return sums
