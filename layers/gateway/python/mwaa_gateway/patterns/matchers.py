"""The operators of EventBridge's pattern language: each matches one value of an event.

Each is a small frozen value with one method, `matches`; `operators` reads them from a pattern. `exists: false` is not here:
it concerns a field, not a value.

Numbers compare as numbers: 1, 1.0 and 1e0 are equal. A number that a double cannot represent exactly (above 2^53, or with
more than 17 digits) equals only its own spelling and is in no range, as in EventBridge.
"""

import ipaddress
import math
import re
from decimal import Decimal
from typing import Any, Final, Protocol

from mwaa_gateway.values import value

_EXACT_INTEGERS: Final = 2**53


class ValuePattern(Protocol):
    """One alternative of a field's list."""

    def matches(self, value: Any) -> bool:
        """Return whether a leaf of an event (a string, number, boolean or null) matches."""


@value
class AnyValue:
    """`exists: true`: any leaf, including null."""

    def matches(self, value: Any) -> bool:  # noqa: ARG002
        """Return True."""
        return True


@value
class Exactly:
    """One string, true, false or null; never a value of another type."""

    value: str | bool | None

    def matches(self, value: Any) -> bool:
        """Compare type and value."""
        return type(value) is type(self.value) and value == self.value


@value
class NumberIn:
    """A number between two bounds; `[x, x]`, both included, is the number x itself."""

    bottom: float = float("-inf")
    top: float = float("inf")
    open_bottom: bool = False
    open_top: bool = False

    def matches(self, value: Any) -> bool:
        """Compare as numbers; a value that is no comparable number is in no range."""
        is_exact = type(value) is int and -_EXACT_INTEGERS <= value <= _EXACT_INTEGERS
        number = value if is_exact else comparable(value)
        if number is None:
            return False
        if self.bottom < number < self.top:
            return True
        if not self.bottom <= number <= self.top:
            return False
        return not (self.open_bottom and number == self.bottom) and not (self.open_top and number == self.top)


@value
class NumberSpelled:
    """A number that a double cannot represent: only its identical spelling matches."""

    spelling: str

    def matches(self, value: Any) -> bool:
        """Compare the spelling."""
        return isinstance(value, int | float) and spelling_of(value) == self.spelling


@value
class Prefix:
    """A string that begins with the text; an empty text matches every string."""

    text: str

    def matches(self, value: Any) -> bool:
        """Compare the beginning, strings only."""
        return isinstance(value, str) and value.startswith(self.text)


@value
class Suffix:
    """A string that ends with the text."""

    text: str

    def matches(self, value: Any) -> bool:
        """Compare the end, strings only."""
        return isinstance(value, str) and value.endswith(self.text)


@value
class IgnoringCase:
    """A string equal to the text in any case; with `anchor`, only its beginning or its end.

    Each character of the text matches its lower and its upper form, as Java maps them: the upper form of ß is SS, while the
    Kelvin sign is no k. Forms may differ in length, so `matches` tracks a set of positions.
    """

    text: str
    anchor: str = "both"  # both | prefix | suffix

    def matches(self, value: Any) -> bool:
        """Compare without case, strings only, in linear time."""
        if not isinstance(value, str):
            return False
        if self.text.isascii():
            return self._matches_plainly(value)
        if self.anchor == "suffix":
            positions = {len(value)}
            for character in reversed(self.text):
                positions = {
                    position - len(form)
                    for position in positions
                    for form in _forms(character)
                    if value.endswith(form, 0, position)
                }
            return bool(positions)
        positions = {0}
        for character in self.text:
            positions = {
                position + len(form)
                for position in positions
                for form in _forms(character)
                if value.startswith(form, position)
            }
        return bool(positions) if self.anchor == "prefix" else len(value) in positions

    def _matches_plainly(self, value: str) -> bool:
        """Compare with an ASCII text, whose characters have only ASCII forms of length one."""
        size = len(self.text)
        part = value
        if self.anchor == "prefix":
            part = value[:size]
        elif self.anchor == "suffix":
            part = value[len(value) - size :]
        return part.isascii() and part.lower() == self.text.lower()


def _forms(character: str) -> tuple[str, ...]:
    # Java maps single UTF-16 units, so characters beyond the basic plane have no case.
    return (character,) if character > "\uffff" else tuple({character.lower(), character.upper()})


@value
class Wildcard:
    """A string of these pieces in this order, with any run of characters (`*`) between two of them.

    The leftmost place is the best for each piece, so one pass of `str.find` decides in linear time, without backtracking.
    """

    pieces: tuple[str, ...]

    def matches(self, value: Any) -> bool:
        """Compare, strings only."""
        if not isinstance(value, str):
            return False
        pieces = self.pieces
        head, tail = pieces[0], pieces[-1]
        if len(pieces) == 1:
            return value == head
        end = len(value) - len(tail)
        if end < len(head) or not value.startswith(head) or not value.endswith(tail):
            return False
        position = len(head)
        for piece in pieces[1:-1]:
            found = value.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True


@value
class InNetwork:
    """A string with an IP address in the network."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    def matches(self, value: Any) -> bool:
        """Compare addresses of the same IP version."""
        address = address_of(value)
        return address is not None and address in self.network


@value
class SameAddress:
    """A string with the same IP address in any spelling."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address

    def matches(self, value: Any) -> bool:
        """Compare addresses."""
        return address_of(value) == self.address


@value
class AnythingBut:
    """Any leaf that none of the excluded patterns matches, including values of other types."""

    excluded: tuple[ValuePattern, ...]

    def matches(self, value: Any) -> bool:
        """Return whether no excluded pattern matches."""
        for pattern in self.excluded:  # noqa: SIM110 (half the time of any())
            if pattern.matches(value):
                return False
        return True


# --- numbers and addresses ----------------------------------------------------------------------------------


def comparable(value: Any) -> float | None:
    """Return the double of a JSON number, or None if it is no number or a double cannot represent it.

    A double represents a number if its shortest spelling is the number itself. Such doubles have the same order and equality
    as their numbers.
    """
    if type(value) is int and -_EXACT_INTEGERS <= value <= _EXACT_INTEGERS:  # the common case first
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
        if not math.isfinite(number):  # 1e400 becomes infinity, which equals itself
            return None
        return number if Decimal(repr(number)) == Decimal(spelling_of(value)) else None
    except ArithmeticError:
        return None


def number_spelled(value: float) -> NumberSpelled:
    """Return the pattern of a number that a double cannot represent.

    Events lose the spelling of their numbers: all numbers beyond the range of doubles become infinity there.
    """
    return NumberSpelled(
        float.__repr__(value) if isinstance(value, float) and math.isinf(value) else spelling_of(value)
    )


def spelling_of(value: float) -> str:
    """Return a number's original spelling if it has one (see `json_text`), else its JSON form."""
    return getattr(value, "spelling", None) or repr(value)


# The form of Java's address literals, which also allow leading zeros (10.0.0.01 is 10.0.0.1).
IPV4: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
IPV6: Final = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_IPV4_MAXIMUM_CHARACTERS: Final = 15
_IPV6_MAXIMUM_CHARACTERS: Final = 64  # our limit for untrusted text; no address is longer than 39


def address_of(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address in a string, or None."""
    if not isinstance(text, str) or len(text) > _IPV6_MAXIMUM_CHARACTERS:
        return None
    try:
        if IPV4.fullmatch(text) and len(text) <= _IPV4_MAXIMUM_CHARACTERS:
            return ipaddress.IPv4Address(".".join(str(int(part)) for part in text.split(".")))
        if IPV6.fullmatch(text):
            groups = (group.lstrip("0") or "0" if group else "" for group in text.split(":"))
            address = ipaddress.IPv6Address(":".join(groups))
            return address.ipv4_mapped or address  # ::ffff:a00:1 is 10.0.0.1
    except ValueError:
        pass
    return None
