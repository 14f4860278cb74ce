"""Reads one entry of a pattern's list, and refuses what EventBridge refuses, with EventBridge's texts.

`pattern` reads `exists: false`, because it concerns a field, not a value.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mwaa_gateway.errors import InvalidPattern
from mwaa_gateway.patterns.json_text import DuplicateNames
from mwaa_gateway.patterns.matchers import (
    IPV4,
    IPV6,
    AnythingBut,
    AnyValue,
    Exactly,
    IgnoringCase,
    InNetwork,
    NumberIn,
    Prefix,
    SameAddress,
    Suffix,
    ValuePattern,
    Wildcard,
    address_of,
    comparable,
    number_spelled,
    spelling_of,
)

# EventBridge refuses wildcards with more active prefixes than about this: of two recorded verdicts, 7 passes and 11 fails.
MAXIMUM_WILDCARD_COMPLEXITY: Final = 10


def value_pattern(entry: Any) -> ValuePattern:
    """Compile one entry of a field's list, except `exists: false`.

    Raises:
        InvalidPattern: EventBridge refuses the entry; the text is its own.
    """
    match entry:
        case str():
            address = address_of(entry)
            return Exactly(entry) if address is None else SameAddress(address)
        case bool() | None:
            return Exactly(entry)
        case int() | float():
            number = comparable(entry)
            return number_spelled(entry) if number is None else NumberIn(number, number)
        case Mapping():
            return _operator(entry)
        case _:
            raise InvalidPattern("Match value must be String, number, true, false, or null")


def _operator(entry: Mapping[str, Any]) -> ValuePattern:
    if not entry:
        raise InvalidPattern("Match expression name not found")
    name, operand = _first(entry)
    reader = _READERS.get(name)
    if reader is None:
        raise InvalidPattern(f"Unrecognized match type {name}")
    pattern = reader(operand)
    if _has_another(entry):
        raise InvalidPattern(_TOO_MANY if name in {"numeric", "anything-but"} else _ONE_KEY)
    return pattern


def _first(entry: Mapping[str, Any]) -> tuple[str, Any]:
    return entry.pairs[0] if isinstance(entry, DuplicateNames) else next(iter(entry.items()))


def _has_another(entry: Mapping[str, Any]) -> bool:
    return len(entry) > 1 or isinstance(entry, DuplicateNames)


_ONE_KEY: Final = "Only one key allowed in match expression"
_TOO_MANY: Final = "Too many elements in numeric expression"


def _string(operand: Any, name: str) -> str:
    if not isinstance(operand, str):
        raise InvalidPattern(f"{name} match pattern must be a string")
    return operand


def _exactly(operand: Any) -> ValuePattern:
    return Exactly(_string(operand, "exact"))


def _affix(operand: Any, name: str, pattern: Callable[[str], ValuePattern]) -> ValuePattern:
    return _ignoring_case(operand, name) if isinstance(operand, Mapping) else pattern(_string(operand, name))


def _ignoring_case(operand: Mapping[str, Any], anchor: str) -> ValuePattern:
    if not operand:
        raise InvalidPattern(f"{anchor.capitalize()} expression name not found")
    name, text = _first(operand)
    if name != "equals-ignore-case":
        raise InvalidPattern(f"Unsupported {anchor} pattern: {name}")
    pattern = IgnoringCase(_string(text, "equals-ignore-case"), anchor)
    if _has_another(operand):
        raise InvalidPattern(_ONE_KEY)
    return pattern


def _equals_ignore_case(operand: Any) -> ValuePattern:
    return IgnoringCase(_string(operand, "equals-ignore-case"))


def _exists(operand: Any) -> ValuePattern:
    if not isinstance(operand, bool):
        raise InvalidPattern("exists match pattern must be either true or false.")
    return AnyValue()  # false comes here only with a second key, which the caller refuses


def _cidr(operand: Any) -> ValuePattern:
    text = _string(operand, "prefix")  # EventBridge's own text says prefix
    base, slash, bits = text.partition("/")
    if not slash or not bits or "/" in bits:
        raise InvalidPattern("Malformed CIDR, one '/' required")
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", bits):
        raise InvalidPattern("Malformed CIDR, mask bits must be an integer")
    if int(bits) < 0:
        raise InvalidPattern("Malformed CIDR, mask bits must not be negative")
    address = address_of(base)
    if address is None:
        is_address = IPV4.fullmatch(base) or IPV6.fullmatch(base)
        raise InvalidPattern(f"{'Invalid' if is_address else 'Nonstandard'} IP address: {base}")
    if int(bits) >= address.max_prefixlen:
        raise InvalidPattern(f"IPv{address.version} mask bits must be < {address.max_prefixlen}")
    return InNetwork(ipaddress.ip_network((address, int(bits)), strict=False))


def _numeric(operand: Any) -> ValuePattern:
    if not isinstance(operand, list):
        raise InvalidPattern("Value of numeric must be an array.")
    operator, *rest = operand or ["]"]
    if not isinstance(operator, str) or not operand:
        raise InvalidPattern(f"Invalid member in numeric match: {_quoted_token(operator)}")
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
    """Compile `[">"|">=", a, "<"|"<=", b]`, with the lower bound first."""
    if not isinstance(rest[1], str):
        raise InvalidPattern(f"Bad value in numeric range: {_quoted_token(rest[1])}")
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


def _quoted_token(value: Any) -> str:
    """Return the token that EventBridge quotes when it refuses a value: the bracket of a list or an object."""
    match value:
        case list():
            return "["
        case Mapping():
            return "{"
        case bool() | None:
            return json.dumps(value)
        case int() | float():
            return spelling_of(value)
        case _:
            return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bound(value: float) -> float:
    number = comparable(value)
    if number is None:
        raise InvalidPattern(f"Cannot compare number : {spelling_of(value)}")
    return number


def _anything_but(operand: Any) -> ValuePattern:
    if not isinstance(operand, Mapping):
        return AnythingBut(_excluded_values(operand))
    if not operand:
        raise InvalidPattern("Anything-But expression name not found")
    name, variant = _first(operand)
    reader = _EXCLUSIONS.get(name)
    if reader is None:
        raise InvalidPattern(f"Unsupported anything-but pattern: {name}")
    if not isinstance(variant, str | list) and not _is_number(variant):
        raise InvalidPattern(_ANYTHING_BUT_OPERAND)
    if variant == []:
        raise InvalidPattern("Empty arrays are not allowed")  # event-ruler raises a NullPointerException here
    excluded = tuple(reader(item) for item in (variant if isinstance(variant, list) else [variant]))
    if _has_another(operand):
        raise InvalidPattern(_TOO_MANY)
    return AnythingBut(excluded)


_ANYTHING_BUT_OPERAND: Final = "Value of anything-but must be an array or single string/number value."


def _excluded_values(operand: Any) -> tuple[ValuePattern, ...]:
    """Compile a string, a number, or a list of one kind; strings are text here, never addresses."""
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


# --- wildcards ----------------------------------------------------------------------------------------------


def _wildcard(operand: Any) -> ValuePattern:
    pieces = _pieces(_string(operand, "wildcard"))
    if complexity_of(pieces) > MAXIMUM_WILDCARD_COMPLEXITY:
        raise InvalidPattern(
            "Rule is too complex - try using fewer wildcard characters or fewer repeating character "
            "sequences after a wildcard character"
        )
    return Wildcard(pieces)


def _pieces(text: str) -> tuple[str, ...]:
    r"""Split at each `*`; `\*` and `\\` are literal characters. Positions in errors are bytes after an opening quote."""
    if "\\" not in text and "**" not in text:
        return tuple(text.split("*"))
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


def complexity_of(pieces: tuple[str, ...]) -> int:
    """Count the prefixes of the pattern that can be active at once for the worst value; stop above the maximum.

    Active are each `*` that the value has reached, and each beginning of a later piece that the value read so far ends with.
    The worst such end is itself the beginning of a piece, so an automaton over the pieces (Aho-Corasick) gives the answer.
    """
    later = pieces[1:]  # the piece before the first * is inactive once the value reaches that *
    stars = worst = len(later)
    if stars > MAXIMUM_WILDCARD_COMPLEXITY:
        return stars
    # Nodes are the beginnings of pieces, in order of length from the empty one. Each has the number of beginnings active
    # with it, and its longest proper end that is a beginning, too.
    alive, ends, following = [0], [0], dict[tuple[int, str], int]()
    queue: list[tuple[int, int, Sequence[str]]] = [(0, 0, later)]
    for node, length, sharing in queue:  # the loop appends to it: breadth first
        longer: dict[str, list[str]] = {}
        for piece in sharing:
            if length < len(piece):
                longer.setdefault(piece[length], []).append(piece)
        for character, members in longer.items():
            end, found = node, None
            while end and found is None:
                end = ends[end]
                found = following.get((end, character))
            following[node, character] = child = len(alive)
            ends.append(found or 0)
            alive.append(len(members) + alive[found or 0])
            if alive[child] > worst - stars:
                worst = stars + alive[child]
                if worst > MAXIMUM_WILDCARD_COMPLEXITY:
                    return worst
            queue.append((child, length + 1, members))
    return worst


_READERS: Final[dict[str, Callable[[Any], ValuePattern]]] = {
    "exactly": _exactly,
    "prefix": lambda operand: _affix(operand, "prefix", Prefix),
    "suffix": lambda operand: _affix(operand, "suffix", Suffix),
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
    "cidr": _cidr,
}
OPERATORS: Final = tuple(_READERS)
_EXCLUSIONS: Final[dict[str, Callable[[Any], ValuePattern]]] = {
    "prefix": lambda item: _excluded_affix(item, Prefix),
    "suffix": lambda item: _excluded_affix(item, Suffix),
    "equals-ignore-case": _excluded_ignoring_case,
    "wildcard": _wildcard,
}
