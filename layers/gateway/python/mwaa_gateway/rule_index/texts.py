"""Which of many text patterns match a text, without asking each.

A pattern is found by the rarest of its literal parts: the whole text by hash, beginnings and ends by binary
search, pieces in the middle by three of their characters. Only what shares that part with the text is asked.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from mwaa_gateway.value_patterns import IgnoringCase, Prefix, Suffix, ValuePattern, Wildcard

__all__ = ["TextIndex", "folded", "text_parts"]

P = TypeVar("P")

_NOTHING: Final[Mapping[str, Any]] = {}
_FEW: Final = 4  # that many patterns are asked one by one
_FEW_PIECES: Final = 24  # `piece in text` so often costs less than cutting the text up
_GRAM: Final = 3


def folded(text: str) -> str:
    """Return the text without case: equal for all spellings that `IgnoringCase` takes for one.

    Both mappings go character by character, so beginnings and ends fold to beginnings and ends.
    """
    return text.lower() if text.isascii() else text.upper().casefold()


@dataclass(frozen=True, slots=True)
class Parts(Generic[P]):
    """A text pattern with its payload, by the literal parts that every matching text has.

    `test` decides between the texts that have them; None where the parts decide.
    """

    payload: P
    test: ValuePattern | None = None
    whole: str | None = None
    head: str | None = None
    tail: str | None = None
    pieces: tuple[str, ...] = ()


def text_parts(item: tuple[ValuePattern, P]) -> Parts[P]:
    """Return the parts of an entry about texts, those of `IgnoringCase` folded."""
    entry, payload = item
    match entry:
        case Prefix(text):
            return Parts(payload, head=text)
        case Suffix(text):
            return Parts(payload, tail=text)
        case IgnoringCase(text, "prefix"):
            return Parts(payload, entry, head=folded(text))
        case IgnoringCase(text, "suffix"):
            return Parts(payload, entry, tail=folded(text))
        case IgnoringCase(text):
            return Parts(payload, entry, whole=folded(text))
        case Wildcard(pieces):
            return _wildcard_parts(entry, pieces, payload)
        case _:
            raise TypeError(f"{entry!r} is not about texts")


def _wildcard_parts(entry: Wildcard, pieces: tuple[str, ...], payload: P) -> Parts[P]:
    head, *middle = pieces
    if not middle:
        return Parts(payload, whole=head)
    tail = middle.pop()
    if len([piece for piece in (head, *middle, tail) if piece]) <= 1:
        if middle:
            return Parts(payload, pieces=tuple(middle))
        return Parts(payload, tail=tail) if tail else Parts(payload, head=head)
    return Parts(payload, entry, head=head or None, tail=tail or None, pieces=tuple(middle))


# What a literal part leads to: payloads, some behind a test, or behind a further index with payload None.
_Hits = tuple[tuple["ValuePattern | TextIndex[P] | None", P | None], ...]


class TextIndex(Generic[P]):
    """Payloads by text pattern. The payload is never None."""

    __slots__ = ("_heads", "_pieces", "_tails", "_whole")

    def __init__(self, items: Iterable[Parts[P]]) -> None:
        items = list(items)
        by_part: dict[str, dict[str, list[Parts[P]]]] = {"whole": {}, "head": {}, "tail": {}, "pieces": {}}
        rarity = _Rarity(items)
        for item in items:
            part, literal, rest = rarity.rarest(item)
            by_part[part].setdefault(literal, []).append(rest)
        hits = {
            part: {literal: _hits(group) for literal, group in groups.items()}
            for part, groups in by_part.items()
        }
        self._whole: Mapping[str, _Hits[P]] = hits["whole"] or _NOTHING
        self._heads = _Affixes(hits["head"]) if hits["head"] else None
        self._tails = (
            _Affixes({literal[::-1]: group for literal, group in hits["tail"].items()})
            if hits["tail"]
            else None
        )
        self._pieces = _Pieces(hits["pieces"]) if hits["pieces"] else None

    def find(self, text: str, value: str, found: list[P]) -> None:
        """Add the payload of each pattern that matches `value` to `found`; `text` is the value, or it folded."""
        if text in self._whole:
            _take(self._whole[text], text, value, found)
        if self._heads is not None:
            self._heads.find(text, text, value, found)
        if self._tails is not None:
            self._tails.find(text[::-1], text, value, found)
        if self._pieces is not None:
            self._pieces.find(text, value, found)


def _hits(items: list[Parts[P]]) -> _Hits[P]:
    """Return what one literal part leads to; many patterns that share it are told apart by their other parts."""
    hits: list[Any] = [(None, item.payload) for item in items if item.test is None]
    tested = [item for item in items if item.test is not None]
    further = [item for item in tested if item.head is not None or item.tail is not None or item.pieces]
    if len(further) > _FEW:
        hits.append((TextIndex(further), None))
        tested = [item for item in tested if item.head is None and item.tail is None and not item.pieces]
    hits += [(item.test, item.payload) for item in tested]
    return tuple(hits)


def _take(hits: _Hits[P], text: str, value: str, found: list[P]) -> None:
    for test, payload in hits:
        if payload is None:
            test.find(text, value, found)  # type: ignore[union-attr]
        elif test is None or test.matches(value):  # type: ignore[union-attr]
            found.append(payload)


class _Rarity:
    """How many of an index's patterns have a part; the rarest one leads to the fewest."""

    def __init__(self, items: list[Parts[P]]) -> None:
        self._heads = Counter(item.head for item in items)
        self._tails = Counter(item.tail for item in items)
        self._pieces = Counter(piece for item in items for piece in set(item.pieces))

    def rarest(self, item: Parts[P]) -> tuple[str, str, Parts[P]]:
        """Return the kind of the part to be found by, its literal, and the item without it."""
        if item.whole is not None:
            return "whole", item.whole, replace(item, whole=None) if item.test else item
        if item.test is None:  # one part, and it decides
            if item.pieces:
                return "pieces", item.pieces[0], item
            return ("head", item.head, item) if item.head is not None else ("tail", item.tail or "", item)
        options = [(self._pieces[piece], -len(piece), "pieces", piece) for piece in item.pieces]
        if item.head is not None:
            options.append((self._heads[item.head], -len(item.head), "head", item.head))
        if item.tail is not None:
            options.append((self._tails[item.tail], -len(item.tail), "tail", item.tail))
        *_, part, literal = min(options)
        if part == "pieces":
            return part, literal, replace(item, pieces=tuple(p for p in item.pieces if p != literal))
        return part, literal, replace(item, head=None) if part == "head" else replace(item, tail=None)


class _Affixes(Generic[P]):
    """Which of many texts another one begins with.

    Sorted, all of them lie before the text and are beginnings of its nearest neighbour, so one binary search
    finds the neighbour and links to ever shorter beginnings give the rest.
    """

    __slots__ = ("_hits", "_shorter", "_texts")

    def __init__(self, hits: Mapping[str, _Hits[P]]) -> None:
        self._texts = sorted(hits)
        self._hits = [hits[text] for text in self._texts]
        self._shorter: list[int] = []
        open_numbers: list[int] = []
        for number, text in enumerate(self._texts):
            while open_numbers and not text.startswith(self._texts[open_numbers[-1]]):
                open_numbers.pop()
            self._shorter.append(open_numbers[-1] if open_numbers else -1)
            open_numbers.append(number)

    def find(self, beginning: str, text: str, value: str, found: list[P]) -> None:
        texts = self._texts
        number = bisect_right(texts, beginning) - 1
        while number >= 0 and not beginning.startswith(texts[number]):
            number = self._shorter[number]
        while number >= 0:
            for test, payload in self._hits[number]:  # as `_take`, of which the call would cost as much again
                if payload is None:
                    test.find(text, value, found)  # type: ignore[union-attr]
                elif test is None or test.matches(value):  # type: ignore[union-attr]
                    found.append(payload)
            number = self._shorter[number]


class _Pieces(Generic[P]):
    """Which of many texts occur in another one."""

    __slots__ = ("_few", "_grams")

    def __init__(self, hits: Mapping[str, _Hits[P]]) -> None:
        self._few: list[tuple[str, _Hits[P]]] = []
        self._grams: dict[int, dict[str, list[tuple[str, _Hits[P]]]]] = {}
        if len(hits) <= _FEW_PIECES:
            self._few.extend(hits.items())
            return
        count = Counter(gram for piece in hits for gram in _grams(piece, min(len(piece), _GRAM)))
        for piece, group in hits.items():
            size = min(len(piece), _GRAM)
            rarest = min(_grams(piece, size), key=count.__getitem__)
            self._grams.setdefault(size, {}).setdefault(rarest, []).append((piece, group))

    def find(self, text: str, value: str, found: list[P]) -> None:
        for piece, hits in self._few:
            if piece in text:
                _take(hits, text, value, found)
        for size, table in self._grams.items():
            for gram in table.keys() & _grams(text, size):
                for piece, hits in table[gram]:
                    if piece in text:
                        _take(hits, text, value, found)


def _grams(text: str, size: int) -> set[str]:
    return {text[start : start + size] for start in range(len(text) - size + 1)}
