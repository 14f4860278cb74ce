"""Which of many entries of patterns' lists a value matches, without asking each."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from mwaa_gateway.rule_index.addresses import AddressIndex
from mwaa_gateway.rule_index.numbers import NumberIndex
from mwaa_gateway.rule_index.texts import TextIndex, folded, text_parts
from mwaa_gateway.value_patterns import (
    AnyValue,
    Exactly,
    IgnoringCase,
    InNetwork,
    NumberIn,
    NumberSpelled,
    Prefix,
    SameAddress,
    Suffix,
    ValuePattern,
    Wildcard,
)

__all__ = ["Entry", "ValueIndex"]

P = TypeVar("P")
Entry = str | ValuePattern  # a string stands for itself

_NOTHING: Final[Mapping[Any, Any]] = {}
_KINDS: Final[dict[type, str]] = {
    AnyValue: "any",
    Exactly: "literal",
    IgnoringCase: "folded",
    InNetwork: "address",
    NumberIn: "number",
    NumberSpelled: "number",
    Prefix: "text",
    SameAddress: "address",
    Suffix: "text",
    Wildcard: "text",
}


class ValueIndex(Generic[P]):
    """Payloads by entry. Each entry comes once: what rules share is decided once for all of them.

    `strings` holds those of exact strings; `others` finds the rest, None where there is none.
    """

    __slots__ = ("others", "strings")

    def __init__(self, items: Iterable[tuple[Entry, P]]) -> None:
        strings: dict[str, P] = {}
        others: list[tuple[ValuePattern, P]] = []
        for entry, payload in items:
            exact = entry.value if isinstance(entry, Exactly) else entry
            if isinstance(exact, str):
                strings[exact] = payload
            else:
                others.append((entry, payload))  # type: ignore[arg-type]  # no string
        # What is empty is one object for all indexes: a hundred thousand rules then fit the processor's cache better.
        self.strings: Mapping[Any, P] = strings or _NOTHING
        self.others = _Others(others) if others else None

    def find(self, value: Any, found: list[P]) -> None:
        """Add the payload of each entry that matches a leaf of an event to `found`."""
        if value in self.strings:
            found.append(self.strings[value])
        if self.others is not None:
            self.others.find(value, found)


class _Others(Generic[P]):
    """Payloads by entries that are no strings.

    `AnythingBut` is asked one by one; see `common_conditions` for many of them.
    """

    __slots__ = ("_addresses", "_any", "_asked", "_folded", "_literals", "_numbers", "_texts")

    def __init__(self, items: Iterable[tuple[ValuePattern, P]]) -> None:
        kinds: dict[str, list[tuple[Any, P]]] = {}
        for entry, payload in items:
            kinds.setdefault(_KINDS.get(type(entry), "asked"), []).append((entry, payload))
        self._literals = {entry.value: payload for entry, payload in kinds.get("literal", ())} or _NOTHING
        self._any = tuple([payload for _, payload in kinds.get("any", ())])
        self._asked = tuple(kinds.get("asked", ()))
        self._texts = TextIndex(map(text_parts, kinds["text"])) if "text" in kinds else None
        self._folded = TextIndex(map(text_parts, kinds["folded"])) if "folded" in kinds else None
        self._numbers = NumberIndex(kinds["number"]) if "number" in kinds else None
        self._addresses = AddressIndex(kinds["address"]) if "address" in kinds else None

    # one function, as calls would double what every event costs
    def find(self, value: Any, found: list[P]) -> None:  # noqa: C901
        """Add the payload of each entry that matches a leaf of an event to `found`."""
        if self._any:
            found += self._any
        if isinstance(value, str):
            if self._texts is not None:
                self._texts.find(value, value, found)
            if self._folded is not None:
                self._folded.find(folded(value), value, found)
            if self._addresses is not None:
                self._addresses.find(value, found)
        elif isinstance(value, bool) or value is None:
            if value in self._literals:
                found.append(self._literals[value])
        elif self._numbers is not None:
            self._numbers.find(value, found)
        for entry, payload in self._asked:
            if entry.matches(value):
                found.append(payload)
