"""Finds the text patterns that match a text, of many, without evaluating each.

The rarest literal part of a pattern leads to it: the whole text by hash, beginnings and ends by binary search, pieces in the
middle by three of their characters. Only patterns that share that part with the text are evaluated.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from mwaa_gateway.patterns.index.text_parts import Parts, Rarity, folded, text_parts
from mwaa_gateway.patterns.matchers import ValuePattern

P = TypeVar("P")

_FEW: Final = 4  # up to so many patterns are evaluated one by one
_FEW_PIECES: Final = 24  # up to so many, `piece in text` costs less than splitting the text into grams
_FEW_TAILS: Final = 24  # up to so many, `text.endswith` costs less than reversing the text
_GRAM: Final = 3


class _Hit(Generic[P]):
    """The search that follows a literal part, if a payload does not follow directly."""

    __slots__ = ()

    def search(self, text: str, value: str, found: list[P]) -> None:
        raise NotImplementedError


class TextIndex(_Hit[P]):
    """Payloads by text pattern, in three parts; each is None if it is empty."""

    __slots__ = ("heads", "middles", "tails")

    def __init__(self, items: Iterable[Parts[P]]) -> None:
        items = list(items)
        by_part: dict[str, dict[str, list[Parts[P]]]] = {"whole": {}, "head": {}, "tail": {}, "pieces": {}}
        rarity = Rarity(items)
        for item in items:
            part, literal, rest = rarity.rarest(item)
            by_part[part].setdefault(literal, []).append(rest)
        hits = {
            part: {literal: _hit(group) for literal, group in groups.items()}
            for part, groups in by_part.items()
        }
        self.heads = _Heads(hits["head"]) if hits["head"] else None
        self.tails = _Tails(hits["tail"]) if hits["tail"] else None
        self.middles = _Middles(hits["whole"], hits["pieces"]) if hits["whole"] or hits["pieces"] else None

    def search(self, text: str, value: str, found: list[P]) -> None:
        """Add to `found` the payload of each pattern that `value` matches; `text` is the value, or its folded form."""
        if self.heads is not None:
            self.heads.search(text, value, found)
        if self.tails is not None:
            self.tails.search(text, value, found)
        if self.middles is not None:
            self.middles.search(text, value, found)


class FoldedIndex(Generic[P]):
    """Payloads by patterns that ignore case."""

    __slots__ = ("_index",)

    def __init__(self, items: Iterable[tuple[ValuePattern, P]]) -> None:
        self._index = TextIndex(map(text_parts, items))

    def find(self, value: Any, found: list[P]) -> None:
        """Add to `found` the payload of each entry that a leaf of an event matches."""
        if isinstance(value, str):
            self._index.search(folded(value), value, found)


# --- searches after a literal part ---------------------------------------------------------------------------


class _Tested(_Hit[P]):
    """A pattern that still needs its test."""

    __slots__ = ("_payload", "_test")

    def __init__(self, test: ValuePattern, payload: P) -> None:
        self._test = test
        self._payload = payload

    def search(self, text: str, value: str, found: list[P]) -> None:  # noqa: ARG002
        if self._test.matches(value):
            found.append(self._payload)


class _Several(_Hit[P]):
    """Several payloads and hits."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[P | _Hit[P]]) -> None:
        self._items = tuple(items)

    def search(self, text: str, value: str, found: list[P]) -> None:
        for item in self._items:
            if isinstance(item, _Hit):
                item.search(text, value, found)
            else:
                found.append(item)


def _hit(items: Sequence[Parts[P]]) -> P | _Hit[P]:
    """Return the payload or search after one literal part; the other parts distinguish many patterns that share it."""
    hits: list[P | _Hit[P]] = [item.payload for item in items if item.test is None]
    tested = [item for item in items if item.test is not None]
    further = [item for item in tested if item.head is not None or item.tail is not None or item.pieces]
    if len(further) > _FEW:
        hits.append(TextIndex(further))
        tested = [item for item in tested if item.head is None and item.tail is None and not item.pieces]
    hits += [_Tested(item.test, item.payload) for item in tested if item.test is not None]
    return hits[0] if len(hits) == 1 else _Several(hits)


class _Heads(Generic[P]):
    """Finds the texts, of many, that a text begins with.

    In sorted order, all of them precede the text and are beginnings of its nearest neighbour. So one binary search finds the
    neighbour, and links to shorter beginnings give the rest.
    """

    __slots__ = ("_hits", "_shorter", "_texts")

    def __init__(self, hits: Mapping[str, P | _Hit[P]]) -> None:
        self._texts = tuple(sorted(hits))
        self._hits = tuple([hits[text] for text in self._texts])
        shorter: list[int] = []
        open_numbers: list[int] = []
        for number, text in enumerate(self._texts):
            while open_numbers and not text.startswith(self._texts[open_numbers[-1]]):
                open_numbers.pop()
            shorter.append(open_numbers[-1] if open_numbers else -1)
            open_numbers.append(number)
        self._shorter = tuple(shorter)

    def search(self, text: str, value: str, found: list[P]) -> None:
        texts = self._texts
        number = bisect_right(texts, text) - 1
        while number >= 0:
            if text.startswith(texts[number]):
                hit = self._hits[number]
                if isinstance(hit, _Hit):  # `_take` inline: its call would double the cost
                    hit.search(text, value, found)
                else:
                    found.append(hit)
            number = self._shorter[number]


class _Tails(Generic[P]):
    """Finds the texts, of many, that a text ends with: reversed, they are beginnings."""

    __slots__ = ("_any_of", "_reversed")

    def __init__(self, hits: Mapping[str, P | _Hit[P]]) -> None:
        self._any_of = tuple(hits) if len(hits) <= _FEW_TAILS else ("",)
        self._reversed: _Heads[Any] = _Heads(
            {
                literal[::-1]: _Reversed(hit) if isinstance(hit, TextIndex | _Several) else hit
                for literal, hit in hits.items()
            }
        )

    def search(self, text: str, value: str, found: list[P]) -> None:
        if text.endswith(self._any_of):
            self._reversed.search(text[::-1], value, found)


class _Reversed(_Hit[P]):
    """A hit that needs the text in its original order."""

    __slots__ = ("_hit",)

    def __init__(self, hit: _Hit[P]) -> None:
        self._hit = hit

    def search(self, text: str, value: str, found: list[P]) -> None:
        self._hit.search(text[::-1], value, found)


class _Middles(Generic[P]):
    """Finds the whole texts, of many, that a text equals, and the pieces that occur in it."""

    __slots__ = ("_few", "_grams", "_whole")

    def __init__(self, whole: Mapping[str, P | _Hit[P]], pieces: Mapping[str, P | _Hit[P]]) -> None:
        self._whole = whole
        self._few: list[tuple[str, P | _Hit[P]]] = []
        self._grams: dict[int, dict[str, list[tuple[str, P | _Hit[P]]]]] = {}
        if len(pieces) <= _FEW_PIECES:
            self._few.extend(pieces.items())
            return
        count = Counter(gram for piece in pieces for gram in _grams(piece, min(len(piece), _GRAM)))
        for piece, hit in pieces.items():
            size = min(len(piece), _GRAM)
            rarest = min(_grams(piece, size), key=count.__getitem__)
            self._grams.setdefault(size, {}).setdefault(rarest, []).append((piece, hit))

    def find(self, value: Any, found: list[P]) -> None:
        """Add to `found` the payload of each pattern that a leaf of an event matches."""
        if isinstance(value, str):
            self.search(value, value, found)

    def search(self, text: str, value: str, found: list[P]) -> None:
        if text in self._whole:
            _take(self._whole[text], text, value, found)
        for piece, hit in self._few:
            if piece in text:
                _take(hit, text, value, found)
        for size, table in self._grams.items():
            for gram in table.keys() & _grams(text, size):
                for piece, hit in table[gram]:
                    if piece in text:
                        _take(hit, text, value, found)


def _grams(text: str, size: int) -> set[str]:
    return {text[start : start + size] for start in range(len(text) - size + 1)}


def _take(hit: P | _Hit[P], text: str, value: str, found: list[P]) -> None:
    if isinstance(hit, _Hit):
        hit.search(text, value, found)
    else:
        found.append(hit)
