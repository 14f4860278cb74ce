"""What one value of an event is held against: the operators of EventBridge's pattern language.

Each operator is a small frozen value with one question, `matches`. `value_pattern` reads one entry of a pattern's list
and refuses what EventBridge refuses, in its words. Exists false is not here: it asks about a field, not about a value.

Numbers compare as numbers: 1, 1.0 and 1e0 are one. A number that no double holds to the last digit (above 2^53, or
with more than 17 digits) equals only its own spelling and lies in no range, as in EventBridge.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from mwaa_gateway.errors import InvalidPattern

__all__ = [
    "AnyValue",
    "AnythingBut",
    "Exactly",
    "IgnoringCase",
    "InNetwork",
    "NumberIn",
    "NumberSpelled",
    "Prefix",
    "SameAddress",
    "Suffix",
    "ValuePattern",
    "Wildcard",
    "comparable",
    "value_pattern",
]

# EventBridge refuses wildcards with more live prefixes than about this; of the two recorded verdicts 7 passes, 11 fails.
MAXIMUM_WILDCARD_COMPLEXITY: Final = 10
_EXACT_INTEGERS: Final = 2**53


class ValuePattern(Protocol):
    """One alternative of a field's list."""

    def matches(self, value: Any) -> bool:
        """Say whether a leaf of an event (a string, number, boolean or null) is meant."""
        ...


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Exists true: any leaf, null included."""

    def matches(self, value: Any) -> bool:  # noqa: ARG002
        """Say yes."""
        return True


@dataclass(frozen=True, slots=True)
class Exactly:
    """One string, true, false or null; never a value of another type."""

    value: str | bool | None

    def matches(self, value: Any) -> bool:
        """Compare type and value."""
        return type(value) is type(self.value) and value == self.value


@dataclass(frozen=True, slots=True)
class NumberIn:
    """A number between two bounds; `[x, x]`, both included, is the number x itself."""

    bottom: float = float("-inf")
    top: float = float("inf")
    open_bottom: bool = False
    open_top: bool = False

    def matches(self, value: Any) -> bool:
        """Compare as numbers; what is not a comparable number lies in no range."""
        number = comparable(value)
        if number is None or not self.bottom <= number <= self.top:
            return False
        return not (self.open_bottom and number == self.bottom) and not (self.open_top and number == self.top)


@dataclass(frozen=True, slots=True)
class NumberSpelled:
    """A number beyond comparison: only its identical spelling matches."""

    spelling: str

    def matches(self, value: Any) -> bool:
        """Compare the spelling."""
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and _spelling(value) == self.spelling
        )


@dataclass(frozen=True, slots=True)
class Prefix:
    """A string that begins with the text; every string, when the text is empty."""

    text: str

    def matches(self, value: Any) -> bool:
        """Compare the beginning, strings only."""
        return isinstance(value, str) and value.startswith(self.text)


@dataclass(frozen=True, slots=True)
class Suffix:
    """A string that ends with the text."""

    text: str

    def matches(self, value: Any) -> bool:
        """Compare the end, strings only."""
        return isinstance(value, str) and value.endswith(self.text)


@dataclass(frozen=True, slots=True)
class IgnoringCase:
    """A string equal to the text whatever its case, or with `anchor` only its beginning or its end.

    Each character of the text stands for its lower and its upper form, as Java maps them: the upper form of ß is SS,
    while the Kelvin sign is no k. Forms may differ in length, so the positions reached are carried as a set.
    """

    text: str
    anchor: str = "both"  # both | prefix | suffix

    def matches(self, value: Any) -> bool:
        """Compare without case, strings only, in linear time."""
        if not isinstance(value, str):
            return False
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


def _forms(character: str) -> tuple[str, ...]:
    if character.isascii():
        return (character.lower(), character.upper()) if character.isalpha() else (character,)
    # Java maps UTF-16 units one by one, so nothing beyond the basic plane has case.
    return (character,) if character > "\uffff" else tuple({character.lower(), character.upper()})


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A string made of these pieces in this order, with any run of characters (`*`) between two of them.

    The leftmost place for each piece is the best, so one pass of `str.find` decides: no backtracking, whatever keys
    strangers choose.
    """

    pieces: tuple[str, ...]

    def matches(self, value: Any) -> bool:
        """Compare, strings only."""
        if not isinstance(value, str):
            return False
        head, *middle = self.pieces
        if not middle:
            return value == head
        tail = middle.pop()
        end = len(value) - len(tail)
        if end < len(head) or not value.startswith(head) or not value.endswith(tail):
            return False
        position = len(head)
        for piece in middle:
            found = value.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class InNetwork:
    """A string that is an IP address of the network."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    def matches(self, value: Any) -> bool:
        """Compare addresses of the network's own version."""
        address = _address(value)
        return address is not None and address in self.network


@dataclass(frozen=True, slots=True)
class SameAddress:
    """A string that spells the same IP address; where a pattern's string is an address, any spelling is meant."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address

    def matches(self, value: Any) -> bool:
        """Compare addresses."""
        return _address(value) == self.address


@dataclass(frozen=True, slots=True)
class AnythingBut:
    """Any leaf that none of the excluded patterns matches; a value of another type is one."""

    excluded: tuple[ValuePattern, ...]

    def matches(self, value: Any) -> bool:
        """Say whether the value is not excluded."""
        return not any(pattern.matches(value) for pattern in self.excluded)


# --- numbers and addresses ----------------------------------------------------------------------------------------


def comparable(value: Any) -> float | None:
    """Return the double that stands for a JSON number, or None for what is no number or beyond comparison.

    The doubles that are kept are those whose shortest spelling is the number itself; between them, order and equality
    of doubles are order and equality of the numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and -_EXACT_INTEGERS <= value <= _EXACT_INTEGERS:
        return float(value)
    try:
        number = float(value)
        return number if Decimal(repr(number)) == Decimal(_spelling(value)) else None
    except (OverflowError, ArithmeticError, ValueError):
        return None


def _spelling(value: float) -> str:
    """Return a number as it was written, where that is known (see `patterns`), else as JSON writes it."""
    return getattr(value, "spelling", None) or repr(value)


# Java's idea of an address literal; it also takes leading zeros (10.0.0.01 is 10.0.0.1).
_IPV4: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_IPV6: Final = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_IPV4_MAXIMUM_CHARACTERS: Final = 15
_IPV6_MAXIMUM_CHARACTERS: Final = 64  # our bound: addresses come from strangers, and none is longer than 39


def _address(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not isinstance(text, str) or len(text) > _IPV6_MAXIMUM_CHARACTERS:
        return None
    try:
        if _IPV4.fullmatch(text) and len(text) <= _IPV4_MAXIMUM_CHARACTERS:
            return ipaddress.IPv4Address(".".join(str(int(part)) for part in text.split(".")))
        if _IPV6.fullmatch(text):
            groups = (group.lstrip("0") or "0" if group else "" for group in text.split(":"))
            address = ipaddress.IPv6Address(":".join(groups))
            return address.ipv4_mapped or address  # ::ffff:a00:1 is 10.0.0.1
    except ValueError:
        pass
    return None


# --- reading one entry of a pattern's list ------------------------------------------------------------------------


def value_pattern(entry: Any) -> ValuePattern:
    """Compile one entry of a field's list, other than exists false.

    Raises:
        InvalidPattern: EventBridge refuses the entry; the text is its own.
    """
    match entry:
        case str():
            address = _address(entry)
            return Exactly(entry) if address is None else SameAddress(address)
        case bool() | None:
            return Exactly(entry)
        case int() | float():
            number = comparable(entry)
            return NumberSpelled(_spelling(entry)) if number is None else NumberIn(number, number)
        case Mapping():
            return _operator(entry)
        case _:
            raise InvalidPattern("Match value must be String, number, true, false, or null")


def _operator(entry: Mapping[str, Any]) -> ValuePattern:
    if not entry:
        raise InvalidPattern("Match expression name not found")
    name, operand = next(iter(entry.items()))
    reader = _OPERATORS.get(name)
    if reader is None:
        raise InvalidPattern(f"Unrecognized match type {name}")
    pattern = reader(operand)
    if len(entry) > 1:
        raise InvalidPattern(_TOO_MANY if name in {"numeric", "anything-but"} else _ONE_KEY)
    return pattern


_ONE_KEY: Final = "Only one key allowed in match expression"
_TOO_MANY: Final = "Too many elements in numeric expression"


def _string(operand: Any, name: str) -> str:
    if not isinstance(operand, str):
        raise InvalidPattern(f"{name} match pattern must be a string")
    return operand


def _exactly(operand: Any) -> ValuePattern:
    return Exactly(_string(operand, "exact"))


def _prefix(operand: Any) -> ValuePattern:
    return (
        _ignoring_case(operand, "prefix")
        if isinstance(operand, Mapping)
        else Prefix(_string(operand, "prefix"))
    )


def _suffix(operand: Any) -> ValuePattern:
    return (
        _ignoring_case(operand, "suffix")
        if isinstance(operand, Mapping)
        else Suffix(_string(operand, "suffix"))
    )


def _ignoring_case(operand: Mapping[str, Any], anchor: str) -> ValuePattern:
    if not operand:
        raise InvalidPattern(f"{anchor.capitalize()} expression name not found")
    name, text = next(iter(operand.items()))
    if name != "equals-ignore-case":
        raise InvalidPattern(f"Unsupported {anchor} pattern: {name}")
    pattern = IgnoringCase(_string(text, "equals-ignore-case"), anchor)
    if len(operand) > 1:
        raise InvalidPattern(_ONE_KEY)
    return pattern


def _equals_ignore_case(operand: Any) -> ValuePattern:
    return IgnoringCase(_string(operand, "equals-ignore-case"))


def _exists(operand: Any) -> ValuePattern:
    if not isinstance(operand, bool):
        raise InvalidPattern("exists match pattern must be either true or false.")
    return AnyValue()  # false is read by `patterns`; it comes here only beside a second key, which is refused


def _cidr(operand: Any) -> ValuePattern:
    text = _string(operand, "prefix")  # EventBridge's own slip: its text says prefix
    base, slash, bits = text.partition("/")
    if not slash or not bits or "/" in bits:
        raise InvalidPattern("Malformed CIDR, one '/' required")
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", bits):
        raise InvalidPattern("Malformed CIDR, mask bits must be an integer")
    if int(bits) < 0:
        raise InvalidPattern("Malformed CIDR, mask bits must not be negative")
    address = _address(base)
    if address is None:
        is_address = _IPV4.fullmatch(base) or _IPV6.fullmatch(base)
        raise InvalidPattern(f"{'Invalid' if is_address else 'Nonstandard'} IP address: {base}")
    if int(bits) >= address.max_prefixlen:
        raise InvalidPattern(f"IPv{address.version} mask bits must be < {address.max_prefixlen}")
    return InNetwork(ipaddress.ip_network((address, int(bits)), strict=False))


def _numeric(operand: Any) -> ValuePattern:
    if not isinstance(operand, list):
        raise InvalidPattern("Value of numeric must be an array.")
    match operand:
        case []:
            raise InvalidPattern("Invalid member in numeric match: ]")
        case [str() as operator, *rest]:
            pass
        case [first, *_]:
            raise InvalidPattern(f"Invalid member in numeric match: {first}")
    if operator not in {"=", "<", "<=", ">", ">="}:
        raise InvalidPattern(f"Unrecognized numeric range operator: {operator}")
    word = "equals" if operator == "=" else operator
    if not rest or not _is_number(rest[0]):
        raise InvalidPattern(f"Value of {word} must be numeric")
    if len(rest) > 1 and operator in {"=", "<", "<="}:
        raise InvalidPattern(_TOO_MANY)
    if len(rest) > 1:
        return _between(operator, rest)
    number = _bound(rest[0])
    match operator:
        case "=":
            return NumberIn(number, number)
        case "<" | "<=":
            return NumberIn(top=number, open_top=operator == "<")
        case _:
            return NumberIn(bottom=number, open_bottom=operator == ">")


def _between(operator: str, rest: list[Any]) -> ValuePattern:
    """Read `[">"|">=", a, "<"|"<=", b]`, the lower bound first."""
    if not isinstance(rest[1], str):
        raise InvalidPattern(f"Bad value in numeric range: {rest[1]}")
    if rest[1] not in {"<", "<="}:
        raise InvalidPattern(f"Bad numeric range operator: {rest[1]}")
    if len(rest) < 3 or not _is_number(rest[2]):  # noqa: PLR2004
        raise InvalidPattern(f"Value of {rest[1]} must be numeric")
    if len(rest) > 3:  # noqa: PLR2004
        raise InvalidPattern("Too many terms in numeric range expression")
    bottom, top = _bound(rest[0]), _bound(rest[2])
    if not bottom < top:
        raise InvalidPattern("Bottom must be less than top")
    return NumberIn(bottom, top, open_bottom=operator == ">", open_top=rest[1] == "<")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bound(value: float) -> float:
    number = comparable(value)
    if number is None:
        raise InvalidPattern(f"Cannot compare number : {_spelling(value)}")
    return number


def _anything_but(operand: Any) -> ValuePattern:
    if not isinstance(operand, Mapping):
        return AnythingBut(_excluded_values(operand))
    if not operand:
        raise InvalidPattern("Anything-But expression name not found")
    name, variant = next(iter(operand.items()))
    reader = _EXCLUSIONS.get(name)
    if reader is None:
        raise InvalidPattern(f"Unsupported anything-but pattern: {name}")
    if not isinstance(variant, str | list) and not _is_number(variant):
        raise InvalidPattern(_ANYTHING_BUT_OPERAND)
    if variant == []:
        raise InvalidPattern(
            "Empty arrays are not allowed"
        )  # event-ruler ends in a NullPointerException here
    excluded = tuple(reader(item) for item in (variant if isinstance(variant, list) else [variant]))
    if len(operand) > 1:
        raise InvalidPattern(_TOO_MANY)
    return AnythingBut(excluded)


_ANYTHING_BUT_OPERAND: Final = "Value of anything-but must be an array or single string/number value."


def _excluded_values(operand: Any) -> tuple[ValuePattern, ...]:
    """Read a string, a number, or a list of all strings or all numbers. Strings are text here, never addresses."""
    if not isinstance(operand, str | list) and not _is_number(operand):
        raise InvalidPattern(_ANYTHING_BUT_OPERAND)
    values = operand if isinstance(operand, list) else [operand]
    excluded: list[ValuePattern] = []
    for value in values:
        if isinstance(value, str):
            excluded.append(Exactly(value))
        elif _is_number(value):
            number = _bound(value)
            excluded.append(NumberIn(number, number))
        else:
            raise InvalidPattern("Inside anything but list, start|null|boolean is not supported.")
    if len({type(pattern) for pattern in excluded}) != 1:
        raise InvalidPattern(
            "Inside anything but list, either all values are number or string, mixed type is not supported"
        )
    return tuple(excluded)


def _excluded_affix(item: Any, pattern: Callable[[str], ValuePattern]) -> ValuePattern:
    text = _string(item, "prefix/suffix")
    if not text:
        raise InvalidPattern("Null prefix/suffix not allowed")
    return pattern(text)


def _excluded_ignoring_case(item: Any) -> ValuePattern:
    if not isinstance(item, str):
        raise InvalidPattern(
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
        )
    return IgnoringCase(item)


# --- wildcards ----------------------------------------------------------------------------------------------------


def _wildcard(operand: Any) -> ValuePattern:
    pieces = _pieces(_string(operand, "wildcard"))
    if _complexity(pieces) > MAXIMUM_WILDCARD_COMPLEXITY:
        raise InvalidPattern(
            "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a "
            "wildcard character"
        )
    return Wildcard(pieces)


def _pieces(text: str) -> tuple[str, ...]:
    r"""Split at each `*`; `\*` and `\\` stand for themselves. Positions count bytes, the opening quote included."""
    pieces = [""]
    position = 0
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        if character == "*":
            if following == "*":
                raise InvalidPattern(f"Consecutive wildcard characters at pos {_byte(text, position)}")
            pieces.append("")
        elif character == "\\":
            if following not in {"*", "\\"}:
                raise InvalidPattern(f"Invalid escape character at pos {_byte(text, position)}")
            pieces[-1] += following
            position += 1
        else:
            pieces[-1] += character
        position += 1
    return tuple(pieces)


def _byte(text: str, position: int) -> int:
    return 1 + len(text[:position].encode(errors="surrogatepass"))


def _complexity(pieces: tuple[str, ...]) -> int:
    """Count the prefixes of the pattern that can be alive at once, for the worst value.

    That is: each `*` once reached, and each beginning of a later piece that is an end of the value read so far. The
    worst such end is itself the beginning of a piece, so an automaton over the pieces (Aho-Corasick) holds the answer.
    """
    later = pieces[1:]
    following: list[dict[str, int]] = [{}]
    alive = [0]  # by node: how many pieces begin this way; then, with what is alive at its longest proper end
    for piece in later:
        node = 0
        for character in piece:
            if character not in following[node]:
                following[node][character] = len(following)
                following.append({})
                alive.append(0)
            node = following[node][character]
            alive[node] += 1
    shorter = [0] * len(following)
    queue = list(following[0].values())
    for node in queue:  # grows while it is read: breadth first
        alive[node] += alive[shorter[node]]
        for character, child in following[node].items():
            end = shorter[node]
            while end and character not in following[end]:
                end = shorter[end]
            shorter[child] = following[end].get(character, 0)
            queue.append(child)
    return len(later) + max(alive)


_OPERATORS: Final[dict[str, Callable[[Any], ValuePattern]]] = {
    "exactly": _exactly,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
    "cidr": _cidr,
}
_EXCLUSIONS: Final[dict[str, Callable[[Any], ValuePattern]]] = {
    "prefix": lambda item: _excluded_affix(item, Prefix),
    "suffix": lambda item: _excluded_affix(item, Suffix),
    "equals-ignore-case": _excluded_ignoring_case,
    "wildcard": _wildcard,
}
