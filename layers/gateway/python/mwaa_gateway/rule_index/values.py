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
    Exactly: "exact",
    IgnoringCase: "folded",
    InNetwork: "address",
    NumberIn: "number",
    NumberSpelled: "number",
    Prefix: "text",
    SameAddress: "address",
    Suffix: "text",
    Wildcard: "text",
    str: "exact",
}


class ValueIndex(Generic[P]):
    """Payloads by entry. Each entry comes once: what rules share is decided once for all of them.

    `AnythingBut` is asked one by one; see `common_conditions` for many of them.
    """

    __slots__ = ("_addresses", "_any", "_asked", "_folded", "_literals", "_numbers", "_strings", "_texts")

    def __init__(self, items: Iterable[tuple[Entry, P]]) -> None:
        kinds: dict[str, list[tuple[Any, P]]] = {}
        for entry, payload in items:
            kinds.setdefault(_KINDS.get(type(entry), "asked"), []).append((entry, payload))
        exact = [
            (entry.value if isinstance(entry, Exactly) else entry, payload)
            for entry, payload in kinds.get("exact", ())
        ]
        # What is empty is one object for all indexes: a hundred thousand rules then fit the processor's cache better.
        self._strings = {value: payload for value, payload in exact if isinstance(value, str)} or _NOTHING
        self._literals = {
            value: payload for value, payload in exact if not isinstance(value, str)
        } or _NOTHING
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
            if value in self._strings:
                found.append(self._strings[value])
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
