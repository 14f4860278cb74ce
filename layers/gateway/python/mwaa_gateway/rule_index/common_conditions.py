"""Rules of which only such conditions are left as most events meet: anything-but, and exists false.

Most of them match, so the work is turned round: look up which rules an event rules out. Sets of rules are
integers, a bit for each rule, so that a thousand rules cost a few machine words, and telling the rules off
costs no more than what is found.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, Final, Generic, TypeVar

from mwaa_gateway.flat_event import PlainValues
from mwaa_gateway.patterns import Branch, FieldMatcher
from mwaa_gateway.rule_index.values import Entry, ValueIndex
from mwaa_gateway.value_patterns import AnythingBut

__all__ = ["CommonConditions"]

R = TypeVar("R")

_AS_NUMBERS: Final = 256  # a set of less than one rule in so many is kept as their numbers: memory
_BITWISE: Final = 16  # telling one rule off by its bit costs as much as running through so many
_FLAGS: Final = bytes.maketrans(b"01", b"\0\1")

_Rules = int | tuple[int, ...]  # as bits, or by number


class CommonConditions(Generic[R]):
    """Rules, each with the conditions left: of fields that the event is known to have, or that may be absent."""

    __slots__ = ("_all", "_fields", "_rules")

    def __init__(self, rules: Sequence[tuple[R, Branch]]) -> None:
        self._rules = tuple(rule for rule, _ in rules)
        self._all = (1 << len(rules)) - 1
        by_path: dict[str, dict[FieldMatcher, list[int]]] = {}
        for number, (_, conditions) in enumerate(rules):
            for path, matcher in conditions:
                by_path.setdefault(path, {}).setdefault(matcher, []).append(number)
        self._fields = {path: _Field(matchers, len(rules)) for path, matchers in by_path.items()}

    def find(self, values: PlainValues, *, places_matter: bool) -> Iterator[R]:
        """Yield the rules that the event meets; where places matter, perhaps more: absence depends on them."""
        left = self._all
        for path in self._fields.keys() & values.keys():
            left &= self._fields[path].met_by(values[path], absent_too=places_matter)
        if left == self._all:
            return iter(self._rules)
        if left.bit_count() * _BITWISE > len(self._rules):
            return compress(self._rules, format(left, "b").encode().translate(_FLAGS)[::-1])
        return map(self._rules.__getitem__, _numbers(left))


class _Field:
    """The conditions on one path."""

    __slots__ = ("_absent", "_excluded", "_included", "_met", "_size")

    def __init__(self, matchers: Mapping[FieldMatcher, Sequence[int]], size: int) -> None:
        self._size = size
        concerned = (number for numbers in matchers.values() for number in numbers)
        excluded: dict[Entry, list[int]] = {}
        included: dict[Entry, list[int]] = {}
        met: list[int] = []
        absent: list[int] = []
        for matcher, numbers in matchers.items():
            if matcher.absent:
                absent += numbers
            but = [entry for entry in matcher.others if isinstance(entry, AnythingBut)]
            entries = set(matcher.entries)
            if but:
                met += numbers
                for pattern in set(but[0].excluded):
                    excluded.setdefault(pattern, []).extend(numbers)
                entries.remove(but[0])
            for entry in entries:
                included.setdefault(entry, []).extend(numbers)
        self._met = _bits(met, size) | (((1 << size) - 1) & ~_bits(concerned, size))
        self._absent = _bits(absent, size)
        self._excluded = _index(excluded, size)
        self._included = _index(included, size)

    def met_by(self, values: Sequence[Any], *, absent_too: bool) -> int:
        """Return the rules of which any of the values will do."""
        result = self._absent if absent_too else 0
        for value in values:
            met = self._met
            if self._excluded is not None:
                met &= ~self._union(self._excluded, value)
            if self._included is not None:
                met |= self._union(self._included, value)
            result |= met
        return result

    def _union(self, index: ValueIndex[_Rules], value: Any) -> int:
        found: list[_Rules] = []
        index.find(value, found)
        union = 0
        for rules in found:
            union |= rules if isinstance(rules, int) else _bits(rules, self._size)
        return union


def _index(entries: Mapping[Entry, Sequence[int]], size: int) -> ValueIndex[_Rules] | None:
    if not entries:
        return None
    return ValueIndex(
        (entry, tuple(numbers) if len(numbers) * _AS_NUMBERS < size else _bits(numbers, size))
        for entry, numbers in entries.items()
    )


def _bits(numbers: Iterable[int], size: int) -> int:
    bits = bytearray(size // 8 + 1)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")


def _numbers(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
