"""Finds the entries of patterns that match a value, of many and of all kinds, without evaluating each."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from mwaa_gateway.patterns.index.addresses import AddressIndex
from mwaa_gateway.patterns.index.numbers import NumberIndex
from mwaa_gateway.patterns.index.text_parts import text_parts
from mwaa_gateway.patterns.index.texts import FoldedIndex, TextIndex
from mwaa_gateway.patterns.matchers import (
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

P = TypeVar("P")
Entry = str | ValuePattern  # a string stands for itself

_NOTHING: Final[Mapping[Any, Any]] = {}
_KINDS: Final[dict[type, str]] = {
    Exactly: "word",
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
    """Payloads by entry. Each entry occurs once: rules that share it share its evaluation. A payload is never None.

    `find` uses the public parts in order. `RuleTree.find` uses them directly, which halves the cost of a value.
    """

    __slots__ = ("any", "finds", "heads", "strings", "tails")

    def __init__(self, items: Iterable[tuple[Entry, P]]) -> None:
        self.any: P | None = None  # for a value of any type
        strings: dict[str, P] = {}
        kinds: dict[str, list[tuple[Any, P]]] = {}
        for entry, payload in items:
            exact = entry.value if isinstance(entry, Exactly) else entry
            if isinstance(exact, str):
                strings[exact] = payload
            elif isinstance(entry, AnyValue):
                self.any = payload
            else:
                kinds.setdefault(_KINDS.get(type(entry), "excluding"), []).append((entry, payload))
        # All indexes share one empty mapping: a hundred thousand rules then fit the processor's cache better.
        self.strings: Mapping[Any, P] = strings or _NOTHING
        texts = TextIndex(map(text_parts, kinds.pop("text", ())))
        self.heads = texts.heads
        self.tails = texts.tails
        self.finds: tuple[Callable[[Any, list[P]], None], ...] = tuple(
            [_INDEXES[kind](entries).find for kind, entries in kinds.items()]
        )
        if texts.middles is not None:
            self.finds += (texts.middles.find,)

    def find(self, value: Any, found: list[P]) -> None:
        """Add to `found` the payload of each entry that matches a leaf of an event."""
        if self.any is not None:
            found.append(self.any)
        if isinstance(value, str):
            if value in self.strings:
                found.append(self.strings[value])
            if self.heads is not None:
                self.heads.search(value, value, found)
            if self.tails is not None:
                self.tails.search(value, value, found)
        for find in self.finds:
            find(value, found)


class _WordIndex(Generic[P]):
    """Payloads by true, false and null."""

    __slots__ = ("_payloads",)

    def __init__(self, items: Iterable[tuple[Exactly, P]]) -> None:
        self._payloads = {entry.value: payload for entry, payload in items}

    def find(self, value: Any, found: list[P]) -> None:
        if (value is None or value is True or value is False) and value in self._payloads:
            found.append(self._payloads[value])


class _OneByOneIndex(Generic[P]):
    """The `anything-but` entries, evaluated one by one: few, as `common_conditions` takes over where there are many."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[ValuePattern, P]]) -> None:
        self._items = tuple(items)

    def find(self, value: Any, found: list[P]) -> None:
        found += [payload for entry, payload in self._items if entry.matches(value)]


_INDEXES: Final[dict[str, Any]] = {
    "word": _WordIndex,
    "folded": FoldedIndex,
    "number": NumberIndex,
    "address": AddressIndex,
    "excluding": _OneByOneIndex,
}
