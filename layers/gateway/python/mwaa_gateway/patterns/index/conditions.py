"""Compiles a rule's condition to a fast test of a plain event."""

from collections.abc import Callable, Mapping
from typing import Any

from mwaa_gateway.patterns.index.plain_events import ABSENT, Read, reader
from mwaa_gateway.patterns.matchers import AnythingBut, Prefix
from mwaa_gateway.patterns.pattern import Branch, Condition, FieldMatcher

# Whether a plain event meets the condition; raises NotPlain for any other event.
ConditionTest = Callable[[Mapping[str, Any]], bool]


class ConditionTests:
    """Compiled readers by path and tests by condition, shared by all rules."""

    def __init__(self) -> None:
        self._readers: dict[str, Read] = {}
        self._tests: dict[int, ConditionTest] = {}
        self._branches: dict[tuple[int, ...], tuple[ConditionTest, ...]] = {}

    def reader(self, path: str) -> Read:
        """Return the function that reads a field."""
        if path not in self._readers:
            self._readers[path] = reader(path)
        return self._readers[path]

    def of(self, conditions: Branch) -> tuple[ConditionTest, ...]:
        """Return the tests of the conditions."""
        key = tuple(map(id, conditions))
        if key not in self._branches:
            self._branches[key] = tuple([self._test(condition) for condition in conditions])
        return self._branches[key]

    def _test(self, condition: Condition) -> ConditionTest:
        if id(condition) not in self._tests:
            path, matcher = condition
            self._tests[id(condition)] = _fastest_test(path, self.reader(path), matcher)
        return self._tests[id(condition)]


def _fastest_test(path: str, read: Read, matcher: FieldMatcher) -> ConditionTest:
    """Return the fastest test of the condition; most events of a rule's branch evaluate it."""
    strings, others = matcher.exact_strings, matcher.others
    if strings is not None and "." not in path:
        return _NamedOneOf(path, read, strings).is_met
    if strings is not None:
        return _OneOf(read, strings).is_met
    if len(others) == 1 and not matcher.strings and not matcher.absent:
        only = others[0]
        if isinstance(only, AnythingBut):
            texts = [pattern.text for pattern in only.excluded if isinstance(pattern, Prefix)]
            if texts:  # all exclusions of one entry are of one kind
                return _NotPrefix(read, tuple(texts)).is_met
        return _Matching(read, only.matches, absent=False).is_met
    return _Matching(read, matcher.matches, absent=matcher.absent).is_met


class _OneOf:
    """Exact strings."""

    __slots__ = ("_read", "_strings")

    def __init__(self, read: Read, strings: frozenset[str]) -> None:
        self._read = read
        self._strings = strings

    def is_met(self, event: Mapping[str, Any]) -> bool:
        value = self._read(event)
        return not self._strings.isdisjoint(value) if type(value) is list else value in self._strings


class _NamedOneOf(_OneOf):
    """Exact strings of a top-level field: source, detail-type, account, region."""

    __slots__ = ("_name",)

    def __init__(self, name: str, read: Read, strings: frozenset[str]) -> None:
        super().__init__(read, strings)
        self._name = name

    def is_met(self, event: Mapping[str, Any]) -> bool:
        try:
            return event.get(self._name) in self._strings
        except TypeError:  # a list, or an object
            return super().is_met(event)


class _NotPrefix:
    """Anything but some prefixes."""

    __slots__ = ("_read", "_texts")

    def __init__(self, read: Read, texts: tuple[str, ...]) -> None:
        self._read = read
        self._texts = texts

    def is_met(self, event: Mapping[str, Any]) -> bool:
        value = self._read(event)
        if type(value) is str:
            return not value.startswith(self._texts)
        if type(value) is list:
            return any(not isinstance(each, str) or not each.startswith(self._texts) for each in value)
        return value is not ABSENT


class _Matching:
    """Any other entries."""

    __slots__ = ("_absent", "_matches", "_read")

    def __init__(self, read: Read, matches: Callable[[Any], bool], *, absent: bool) -> None:
        self._read = read
        self._matches = matches
        self._absent = absent

    def is_met(self, event: Mapping[str, Any]) -> bool:
        value = self._read(event)
        if type(value) is list:
            return any(map(self._matches, value))
        return self._absent if value is ABSENT else self._matches(value)
