"""EventBridge's event patterns: which events a rule is about.

A pattern is a JSON object; its leaves are non-empty lists. All fields must match (AND), each by any entry of
its list (OR). `$or` holds alternative objects; every way through them is one *branch*, a plain list of paths
and matchers, and a pattern matches when one of its branches does.

An event is flattened to dotted paths on the way in, so `{"a": {"b": 1}}` and `{"a.b": 1}` are the same. A
list stands for any of its elements; but what matches inside objects of one list must lie in the same object
(array consistency).

Patterns are immutable and may be shared between threads.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

from mwaa_gateway.errors import InvalidPattern
from mwaa_gateway.flat_event import Fields, Leaves, Place, Wanted, merged
from mwaa_gateway.pattern_operators import value_pattern
from mwaa_gateway.payloads import is_deeper_than
from mwaa_gateway.value_patterns import Exactly, ValuePattern

__all__ = ["Branch", "Condition", "FieldMatcher", "Pattern", "compile_pattern"]

MAXIMUM_LEVELS: Final = 100  # ours, below any recursion limit a process may have; an event has 32 at most
MAXIMUM_PATHS: Final = 256  # EventBridge's, in one branch
MAXIMUM_BRANCHES: Final = 1_000  # ours: nested $or multiply


@dataclass(frozen=True, slots=True)
class FieldMatcher:
    """One field's list: exact strings as a set, the rest as they came, and whether absence will do."""

    strings: frozenset[str]
    others: tuple[ValuePattern, ...]
    absent: bool

    @classmethod
    def of(cls, entries: Iterable[Any]) -> Self:
        """Compile the entries of a field's list.

        Raises:
            InvalidPattern: EventBridge refuses one of them.
        """
        strings: set[str] = set()
        others: list[ValuePattern] = []
        absent = False
        for entry in entries:
            if isinstance(entry, Mapping) and entry.get("exists") is False and len(entry) == 1:
                absent = True
                continue
            pattern = value_pattern(entry)
            if isinstance(pattern, Exactly) and isinstance(pattern.value, str):
                strings.add(pattern.value)
            else:
                others.append(pattern)
        if not strings and not others and not absent:
            raise InvalidPattern("Empty arrays are not allowed")
        return cls(frozenset(strings), tuple(others), absent)

    @property
    def entries(self) -> tuple[str | ValuePattern, ...]:
        """The entries, any of which will do; a string stands for itself. Absence is not among them."""
        return (*self.strings, *self.others)

    @property
    def exact_strings(self) -> frozenset[str] | None:
        """The strings, where nothing but one of them can match; else None."""
        return None if self.others or self.absent else self.strings

    def matches(self, value: Any) -> bool:
        """Say whether any entry matches the leaf."""
        if isinstance(value, str) and value in self.strings:
            return True
        for pattern in self.others:  # noqa: SIM110 (half the time of any(): this is asked most often of all)
            if pattern.matches(value):
                return True
        return False


Condition = tuple[str, FieldMatcher]  # a path, and what its leaves are held against
Branch = tuple[Condition, ...]


class Pattern:
    """A compiled event pattern.

    `branches` are its alternatives, each sorted by path; patterns that have a condition in common share it, so
    that a hundred thousand of them fit into a function.
    """

    __slots__ = ("_text", "_wanted", "branches")

    def __init__(self, text: str, branches: tuple[Branch, ...]) -> None:
        self._text = text
        self._wanted: Wanted | None = None
        self.branches = branches

    @property
    def document(self) -> dict[str, Any]:
        """The pattern as a mapping, in the order it was written in; a later field of one path overrides an earlier."""
        document: dict[str, Any] = _parsed(self._text)
        return document

    @property
    def wanted(self) -> Wanted:
        """The paths that the pattern asks about."""
        if self._wanted is None:
            self._wanted = Wanted(path for branch in self.branches for path, _ in branch)
        return self._wanted

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Say whether the event (an envelope) matches."""
        return self.matches_fields(self.wanted.fields(event))

    def matches_fields(self, fields: Fields) -> bool:
        """Say whether an event matches that a `Wanted` of many patterns' paths has flattened for all."""
        return any(_branch_matches(branch, fields) for branch in self.branches)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and (self._text == other._text or self.document == other.document)

    def __hash__(self) -> int:
        return hash(json.dumps(self.document, sort_keys=True))

    def __repr__(self) -> str:
        return f"Pattern({json.dumps(self.document)})"


# --- matching -----------------------------------------------------------------------------------------------


def _branch_matches(branch: Branch, fields: Fields) -> bool:
    """Match the fields in the order of their paths, each in every place that the earlier ones leave open.

    Absence is judged within the elements that the earlier fields fixed, as event-ruler does. A place is kept
    only while a later field lies in the same list, or unrelated lists would multiply.
    """
    places: set[Place] = {()}
    for position, (path, matcher) in enumerate(branch):
        leaves = fields.get(path)
        places = _reached(places, matcher, leaves) if leaves else (places if matcher.absent else set())
        if not places:
            return False
        if places != {()}:
            later = [fields[path] for path, _ in branch[position + 1 :] if path in fields]
            ahead = {number for leaves in later for place in leaves.places for number, _ in place}
            places = {tuple(step for step in place if step[0] in ahead) for place in places}
    return True


def _reached(places: set[Place], matcher: FieldMatcher, leaves: Leaves) -> set[Place]:
    """Return each place, narrowed to the leaves beside it that match; as it is, where absence is enough."""
    is_match = [matcher.matches(value) for value in leaves.values]
    if places == {()}:
        return {place for place, matches in zip(leaves.places, is_match, strict=True) if matches}
    reached: set[Place] = set()
    for place in places:
        beside = list(leaves.beside(place))
        if matcher.absent and not beside:
            reached.add(place)
        reached.update(merged(place, leaves.places[index]) for index in beside if is_match[index])
    return reached


# --- compiling ----------------------------------------------------------------------------------------------

_RESERVED_INSIDE_OR: Final = frozenset(
    {
        *(
            "exactly",
            "equals-ignore-case",
            "prefix",
            "suffix",
            "anything-but",
            "exists",
            "wildcard",
            "numeric",
            "cidr",
        ),
        *("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"),
        *("date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"),
        *("ip-address-in-range", "ip-address-not-in-range"),
    }
)


def compile_pattern(pattern: Mapping[str, Any] | str) -> Pattern:
    """Compile an event pattern, given as a mapping or as JSON text.

    Raises:
        InvalidPattern: EventBridge refuses the pattern; the text is its own (without the prefix its API puts
        before).
    """
    document = _parsed(pattern) if isinstance(pattern, str) else pattern
    if not isinstance(document, Mapping):
        raise InvalidPattern("Filter is not an object")
    if is_deeper_than(MAXIMUM_LEVELS, document):
        raise InvalidPattern("Pattern is nested too deeply")
    try:
        branches = _object([{}], "", document, inside_or=False)
        # kept as text: a fifth of the mapping's memory, and nobody can change it
        text = pattern if isinstance(pattern, str) else json.dumps(document, allow_nan=False, default=dict)
    except ValueError as error:
        raise InvalidPattern(f"Pattern is not JSON: {error}") from None
    if any(len(branch) > MAXIMUM_PATHS for branch in branches):
        raise InvalidPattern(f"Pattern has more than {MAXIMUM_PATHS} fields")
    # event-ruler sorts paths as Java does, by UTF-16 units; absence inside lists depends on it
    return Pattern(
        text,
        tuple(
            tuple(sorted(branch.values(), key=lambda field: field[0].encode("utf-16-be", "surrogatepass")))
            for branch in branches
        ),
    )


def _object(
    branches: list[dict[str, Condition]], path: str, value: Mapping[str, Any], *, inside_or: bool
) -> list[dict[str, Condition]]:
    """Add an object's fields to every branch; `$or` makes a branch for each of its alternatives."""
    if not value:
        raise InvalidPattern("Empty objects are not allowed")
    for name, child in value.items():
        if not isinstance(name, str):
            raise InvalidPattern(f"Field name {name!r} must be a string")
        if name == "$or":
            branches = _alternatives(branches, path, child)
            continue
        if inside_or and name in _RESERVED_INSIDE_OR:
            raise InvalidPattern(f"{name} is Ruler reserved fieldName which cannot be used inside $or.")
        full = f"{path}.{name}" if path else name
        if isinstance(child, list):
            condition = _condition(full, child)
            for branch in branches:
                branch[full] = condition
        elif isinstance(child, Mapping):
            branches = _object(branches, full, child, inside_or=inside_or)
        else:
            raise InvalidPattern(f'"{name}" must be an object or an array')
    return branches


_SHARED_MAXIMUM: Final = 10_000
_shared: dict[tuple[str, str], Condition] = {}


def _condition(path: str, entries: list[Any]) -> Condition:
    """Return the condition, the same object for the same entries as long as it is remembered."""
    key = path, repr(entries)
    condition = _shared.get(key)
    if condition is None:
        condition = path, FieldMatcher.of(entries)
        if len(_shared) >= _SHARED_MAXIMUM:
            _shared.clear()
        _shared[key] = condition
    return condition


def _alternatives(branches: list[dict[str, Condition]], path: str, value: Any) -> list[dict[str, Condition]]:
    if not isinstance(value, list):
        raise InvalidPattern("It must be an Array followed with $or.")
    forked: list[dict[str, Condition]] = []
    for alternative in value:
        if not isinstance(alternative, Mapping):
            raise InvalidPattern("Only JSON object is allowed in array of $or relationship.")
        forked += _object([dict(branch) for branch in branches], path, alternative, inside_or=True)
        if len(forked) > MAXIMUM_BRANCHES:
            raise InvalidPattern(f"$or gives more than {MAXIMUM_BRANCHES} combinations; split the rule")
    if len(value) < 2:  # noqa: PLR2004
        raise InvalidPattern("There must have at least 2 Objects in $or relationship.")
    return forked


# --- JSON text ----------------------------------------------------------------------------------------------


class _Integer(int):
    """An integer that remembers how it was written."""

    spelling: str

    def __repr__(self) -> str:
        return self.spelling


class _Float(float):
    """A float that remembers how it was written: a double cannot hold every number of JSON."""

    spelling: str

    def __repr__(self) -> str:
        return self.spelling


def _integer(text: str) -> _Integer:
    number = _Integer(text)
    number.spelling = text
    return number


def _float(text: str) -> _Float:
    number = _Float(text)
    number.spelling = text
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _parsed(text: str) -> Any:
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_no_constant,
            object_pairs_hook=_merging,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidPattern(f"Pattern is not JSON: {error}") from None


def _merging(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; of a name given twice, objects merge, two `$or` both hold, else the last one wins."""
    merged: dict[str, Any] = {}
    for name, value in pairs:
        earlier = merged.get(name)
        if isinstance(earlier, dict) and isinstance(value, dict):
            merged[name] = _merging([*earlier.items(), *value.items()])
        elif name == "$or" and isinstance(earlier, list) and isinstance(value, list):
            merged[name] = [
                _merging([*branch.items(), (name, value)]) if isinstance(branch, dict) else branch
                for branch in earlier
            ]
        else:
            merged[name] = value
    return merged
