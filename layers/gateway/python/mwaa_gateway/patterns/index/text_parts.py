"""The literal parts of text patterns: the beginning, end and middle pieces of every matching text."""

from collections import Counter
from dataclasses import replace
from typing import Generic, TypeVar

from mwaa_gateway.patterns.matchers import IgnoringCase, Prefix, Suffix, ValuePattern, Wildcard
from mwaa_gateway.values import value

P = TypeVar("P")


def folded(text: str) -> str:
    """Return the text without case, equal for all spellings that `IgnoringCase` treats as equal.

    Both mappings work on single characters, so beginnings and ends fold to beginnings and ends.
    """
    return text.lower() if text.isascii() else text.upper().casefold()


@value
class Parts(Generic[P]):
    """The literal parts that every text has that matches a pattern, with the pattern's payload.

    `test` decides whether a text with these parts matches; None if the parts alone decide.
    """

    payload: P
    test: ValuePattern | None = None
    whole: str | None = None
    head: str | None = None
    tail: str | None = None
    pieces: tuple[str, ...] = ()


def text_parts(item: tuple[ValuePattern, P]) -> Parts[P]:
    """Return the parts of an entry for texts; those of `IgnoringCase` are folded."""
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
            raise TypeError(f"{entry!r} is not a text pattern")


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


class Rarity:
    """Counts the patterns of an index that share a part; the rarest part leads to the fewest."""

    def __init__(self, items: list[Parts[P]]) -> None:
        self._heads = Counter(item.head for item in items)
        self._tails = Counter(item.tail for item in items)
        self._pieces = Counter(piece for item in items for piece in set(item.pieces))

    def rarest(self, item: Parts[P]) -> tuple[str, str, Parts[P]]:
        """Return the kind and the literal of the rarest part, and the item without it."""
        if item.whole is not None:
            return "whole", item.whole, item
        if item.test is None:  # its only part decides
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
