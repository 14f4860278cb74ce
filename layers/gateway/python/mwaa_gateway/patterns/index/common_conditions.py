"""Rules whose remaining conditions most events meet: `anything-but`, `exists: false`, a size above zero.

Most of these rules match, so the search is inverted: it looks up the rules that an event excludes. Sets of rules are
integers with a bit for each rule, so that a thousand rules cost a few machine words, and listing the rules costs no more
than their number.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import compress
from operator import or_
from typing import Any, Final, Generic, TypeVar

from mwaa_gateway.patterns.index.conditions import ConditionTests
from mwaa_gateway.patterns.index.plain_events import ABSENT, PlainFields
from mwaa_gateway.patterns.index.values import Entry, ValueIndex
from mwaa_gateway.patterns.matchers import AnythingBut
from mwaa_gateway.patterns.pattern import Branch, FieldMatcher

R = TypeVar("R")

_FEW: Final = 4  # up to so many fields are read one by one
_AS_NUMBERS: Final = 256  # a set with less than one rule in so many is stored as numbers, to save memory
_BITWISE: Final = 16  # listing one rule by its bit costs as much as passing over so many
_FLAGS: Final = bytes.maketrans(b"01", b"\0\1")

_Rules = int | tuple[int, ...]  # as bits, or by number


class CommonConditions(Generic[R]):
    """Rules by their remaining conditions; `present` are the fields that an event is known to have.

    There may be many fields, but only few that a rule requires and an event may lack.
    """

    __slots__ = ("_all", "_fields", "_readers", "_rules", "_wide")

    def __init__(
        self, rules: Sequence[tuple[R, Branch]], present: Collection[str], tests: ConditionTests
    ) -> None:
        self._rules = tuple(rule for rule, _ in rules)
        self._all = (1 << len(rules)) - 1
        by_path: dict[str, dict[FieldMatcher, list[int]]] = {}
        for number, (_, conditions) in enumerate(rules):
            for path, matcher in conditions:
                by_path.setdefault(path, {}).setdefault(matcher, []).append(number)
        self._fields = {
            path: _Field(matchers, len(rules), is_present=path in present)
            for path, matchers in by_path.items()
        }
        self._readers = tuple([(tests.reader(path), field) for path, field in self._fields.items()])
        self._wide = None
        if len(self._fields) > _FEW:
            self._wide = PlainFields(self._fields)
            self._readers = tuple([(read, field) for read, field in self._readers if field.is_needed])

    def find(self, event: Mapping[str, Any]) -> Iterable[R]:
        """Return the rules that a plain event meets."""
        left = self._all
        for read, field in self._readers:
            value = read(event)
            left &= field.left_without if value is ABSENT else field.met_by(value)
        if self._wide is not None:
            for path, value in self._wide.present(event).items():
                left &= self._fields[path].met_by(value)
        return self._listed(left)

    def candidates(self, values: Mapping[str, Sequence[Any]]) -> Iterable[R]:
        """Return the rules that an event may meet if the places of its values matter: absence depends on them."""
        left = self._all
        for path in self._fields.keys() & values.keys():
            left &= self._fields[path].perhaps_met_by(values[path])
        return self._listed(left)

    def _listed(self, left: int) -> Iterable[R]:
        if left == self._all:
            return self._rules
        if left.bit_count() * _BITWISE > len(self._rules):
            return compress(self._rules, format(left, "b").encode().translate(_FLAGS)[::-1])
        return map(self._rules.__getitem__, _numbers(left))


class _Field:
    """The conditions on one path."""

    __slots__ = ("_absent", "_excluded", "_included", "_met", "_size", "is_needed", "left_without")

    def __init__(
        self, matchers: Mapping[FieldMatcher, Sequence[int]], size: int, *, is_present: bool
    ) -> None:
        self._size = size
        everything = (1 << size) - 1
        concerned = _bits((number for numbers in matchers.values() for number in numbers), size)
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
        self._met = _bits(met, size) | (everything & ~concerned)
        self._absent = _bits(absent, size)
        self.is_needed = not is_present and len(absent) < sum(map(len, matchers.values()))
        # The rules that an event without the field may meet
        self.left_without = everything & ~concerned | self._absent
        self._excluded = _index(excluded, size)
        self._included = _index(included, size)

    def met_by(self, value: Any) -> int:
        """Return the rules that a value, or any value of a list, meets."""
        if type(value) is list:
            return reduce(or_, map(self._met_by, value))
        return self._met_by(value)

    def perhaps_met_by(self, values: Sequence[Any]) -> int:
        """Return the rules that any of the values meets, or that absence may meet."""
        return reduce(or_, map(self._met_by, values), self._absent)

    def _met_by(self, value: Any) -> int:
        met = self._met
        if self._excluded is not None:
            met &= ~self._union(self._excluded, value)
        if self._included is not None:
            met |= self._union(self._included, value)
        return met

    def _union(self, index: ValueIndex[_Rules], value: Any) -> int:
        found: list[_Rules] = []
        index.find(value, found)
        union = 0
        numbers: list[int] = []
        for rules in found:
            if isinstance(rules, int):
                union |= rules
            else:
                numbers += rules
        return union | _bits(numbers, self._size) if numbers else union


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
