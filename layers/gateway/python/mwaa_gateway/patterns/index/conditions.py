"""A rule's condition as a question to a plain event."""

from collections.abc import Callable, Mapping
from typing import Any

from mwaa_gateway.patterns.index.plain_events import ABSENT, Read, reader
from mwaa_gateway.patterns.matchers import AnythingBut, Prefix
from mwaa_gateway.patterns.pattern import Branch, Condition, FieldMatcher

__all__ = ["Ask", "Questions"]

Ask = Callable[[Mapping[str, Any]], bool]  # of a plain event; raises NotPlain of another


class Questions:
    """Readers by path and questions by condition, made once for all rules that share them."""

    def __init__(self) -> None:
        self._readers: dict[str, Read] = {}
        self._asks: dict[int, Ask] = {}
        self._branches: dict[tuple[int, ...], tuple[Ask, ...]] = {}

    def reader(self, path: str) -> Read:
        """Return what reads a field."""
        if path not in self._readers:
            self._readers[path] = reader(path)
        return self._readers[path]

    def asks(self, conditions: Branch) -> tuple[Ask, ...]:
        """Return what asks for each of the conditions."""
        key = tuple(map(id, conditions))
        if key not in self._branches:
            self._branches[key] = tuple([self._ask(condition) for condition in conditions])
        return self._branches[key]

    def _ask(self, condition: Condition) -> Ask:
        if id(condition) not in self._asks:
            path, matcher = condition
            self._asks[id(condition)] = _asking(path, self.reader(path), matcher)
        return self._asks[id(condition)]


def _asking(path: str, read: Read, matcher: FieldMatcher) -> Ask:
    """Return the question in the quickest form there is: it is asked of most events that come near a rule."""
    strings, others = matcher.exact_strings, matcher.others
    if strings is not None and "." not in path:
        return _NamedOneOf(path, read, strings).is_met
    if strings is not None:
        return _OneOf(read, strings).is_met
    if len(others) == 1 and not matcher.strings and not matcher.absent:
        only = others[0]
        if isinstance(only, AnythingBut):
            texts = [pattern.text for pattern in only.excluded if isinstance(pattern, Prefix)]
            if texts:  # what one entry excludes is of one kind
                return _NoBeginning(read, tuple(texts)).is_met
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
    """Exact strings, of a field on top: source, detail-type, account, region."""

    __slots__ = ("_name",)

    def __init__(self, name: str, read: Read, strings: frozenset[str]) -> None:
        super().__init__(read, strings)
        self._name = name

    def is_met(self, event: Mapping[str, Any]) -> bool:
        try:
            return event.get(self._name) in self._strings
        except TypeError:  # a list, or an object
            return super().is_met(event)


class _NoBeginning:
    """Anything but a prefix."""

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
    """Whatever the patterns say."""

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
