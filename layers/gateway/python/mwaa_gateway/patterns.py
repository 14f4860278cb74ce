"""EventBridge's event patterns: which events a rule is about.

A pattern is a JSON object; its leaves are non-empty lists. All fields must match (AND), each by any entry of its list
(OR). `$or` holds alternative objects; every way through them is one *branch*, a plain list of paths and matchers, and
a pattern matches when one of its branches does.

An event is flattened to dotted paths on the way in, so `{"a": {"b": 1}}` and `{"a.b": 1}` are the same. A list stands
for any of its elements; but what matches inside objects of one list must lie in the same object (array consistency).

Patterns are immutable and may be shared between threads.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

from mwaa_gateway.errors import InvalidPattern
from mwaa_gateway.value_patterns import Exactly, ValuePattern, value_pattern

__all__ = ["Fields", "Pattern", "Wanted", "compile_pattern"]

MAXIMUM_PATHS: Final = 256  # EventBridge's, in one branch
MAXIMUM_BRANCHES: Final = 1_000  # ours: nested $or multiply

# Where a leaf lies: the lists around it, outermost first, each with the element's position.
Place = tuple[tuple[int, int], ...]
Fields = Mapping[str, Sequence[tuple[Any, Place]]]


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
    def exact_strings(self) -> frozenset[str] | None:
        """The strings, where nothing but one of them can match; else None."""
        return None if self.others or self.absent else self.strings

    def matches(self, value: Any) -> bool:
        """Say whether any entry matches the leaf."""
        if isinstance(value, str) and value in self.strings:
            return True
        return any(pattern.matches(value) for pattern in self.others)


Branch = tuple[tuple[str, FieldMatcher], ...]


class Pattern:
    """A compiled event pattern.

    `document` is the pattern as a mapping, in the order it was written in (a later field of one path overrides an
    earlier one); `branches` are its alternatives, each sorted by path.
    """

    __slots__ = ("branches", "document", "wanted")

    def __init__(self, document: Mapping[str, Any], branches: tuple[Branch, ...]) -> None:
        self.document = document
        self.branches = branches
        self.wanted = Wanted(path for branch in branches for path, _ in branch)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Say whether the event (an envelope) matches."""
        return self.matches_fields(self.wanted.fields(event))

    def matches_fields(self, fields: Fields) -> bool:
        """Say whether an event matches that was flattened once for many patterns (by a `Wanted` of all of them)."""
        return any(_branch_matches(branch, fields) for branch in self.branches)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.document == other.document

    def __hash__(self) -> int:
        return hash(json.dumps(self.document, sort_keys=True))

    def __repr__(self) -> str:
        return f"Pattern({json.dumps(self.document)})"


# --- matching -----------------------------------------------------------------------------------------------------


class Wanted:
    """The paths somebody asks about; takes exactly these out of an event and walks into nothing else."""

    __slots__ = ("_on_the_way", "_paths")

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._on_the_way = frozenset(prefix for path in self._paths for prefix in _prefixes(path))

    def fields(self, event: Mapping[str, Any]) -> Fields:
        """Flatten the event: the leaves at each wanted path, each with its place in the lists around it.

        An object, an empty list or a list of objects is no leaf; a path that has none is absent.
        """
        fields: dict[str, list[tuple[Any, Place]]] = {}
        lists = 0
        pending: list[tuple[str, Any, Place]] = [("", event, ())]
        at_root = True
        while pending:
            path, value, place = pending.pop()
            if isinstance(value, Mapping):
                for key, child in value.items():
                    name = key if at_root else f"{path}.{key}"
                    if name in self._on_the_way:
                        pending.append((name, child, place))
                at_root = False
            elif isinstance(value, list):
                # Elements share their list's number; a plain value lies beside its list's elements, not in one.
                lists += 1
                pending.extend(
                    (path, child, (*place, (lists, position)) if isinstance(child, Mapping | list) else place)
                    for position, child in enumerate(value)
                )
            elif path in self._paths:
                fields.setdefault(path, []).append((value, place))
        return fields


def _prefixes(path: str) -> Iterator[str]:
    """Yield the path and each path on the way to it."""
    yield path
    position = path.rfind(".")
    while position >= 0:
        yield path[:position]
        position = path.rfind(".", 0, position)


def _branch_matches(branch: Branch, fields: Fields) -> bool:
    """Match the fields in the order of their paths, each with every place the earlier ones leave open.

    Absence is judged within the elements that the earlier fields fixed, as event-ruler does. A place is kept only
    while a later field can lie in the same list; this bounds the work by the size of the event, not by a product of
    its lists.
    """
    places: set[Place] = {()}
    for position, (path, matcher) in enumerate(branch):
        leaves = fields.get(path, ())
        reached: set[Place] = set()
        matching: list[Place] | None = None
        for place in places:
            if matcher.absent and not any(_merged(place, other) is not None for _, other in leaves):
                reached.add(place)
            if matching is None:
                matching = [other for value, other in leaves if matcher.matches(value)]
            reached.update(merged for other in matching if (merged := _merged(place, other)) is not None)
        if not reached:
            return False
        if reached != {()}:
            ahead = {
                number
                for later, _ in branch[position + 1 :]
                for _, other in fields.get(later, ())
                for number, _ in other
            }
            reached = {tuple(step for step in place if step[0] in ahead) for place in reached}
        places = reached
    return True


def _merged(place: Place, other: Place) -> Place | None:
    """Return both places as one, or None where they lie in different elements of one list."""
    if not place or not other:
        return place or other
    steps = dict(place)
    for number, position in other:
        if steps.setdefault(number, position) != position:
            return None
    return tuple(sorted(steps.items()))


# --- compiling ----------------------------------------------------------------------------------------------------

_RESERVED_INSIDE_OR: Final = frozenset(
    "exactly equals-ignore-case prefix suffix anything-but exists wildcard numeric cidr = < <= > >= regex not-wildcard "
    "not-equals-ignore-case date-after date-on-or-after date-before date-on-or-before in-date-range ip-address-in-range "
    "ip-address-not-in-range".split()
)


def compile_pattern(pattern: Mapping[str, Any] | str) -> Pattern:
    """Compile an event pattern, given as a mapping or as JSON text.

    Raises:
        InvalidPattern: EventBridge refuses the pattern; the text is its own (without the prefix its API puts before).
    """
    document = _parsed(pattern) if isinstance(pattern, str) else pattern
    if not isinstance(document, Mapping):
        raise InvalidPattern("Filter is not an object")
    try:
        branches = _object([{}], "", document, inside_or=False)
    except RecursionError:
        raise InvalidPattern("Pattern is nested too deeply") from None
    if any(len(branch) > MAXIMUM_PATHS for branch in branches):
        raise InvalidPattern(f"Pattern has more than {MAXIMUM_PATHS} fields")
    # event-ruler sorts paths as Java does, by UTF-16 units; absence inside lists depends on it
    return Pattern(
        document,
        tuple(
            tuple(sorted(branch.items(), key=lambda field: field[0].encode("utf-16-be", "surrogatepass")))
            for branch in branches
        ),
    )


def _object(
    branches: list[dict[str, FieldMatcher]], path: str, value: Mapping[str, Any], *, inside_or: bool
) -> list[dict[str, FieldMatcher]]:
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
        if isinstance(child, Mapping):
            branches = _object(branches, full, child, inside_or=inside_or)
        elif isinstance(child, list):
            matcher = FieldMatcher.of(child)
            for branch in branches:
                branch[full] = matcher
        else:
            raise InvalidPattern(f'"{name}" must be an object or an array')
    return branches


def _alternatives(
    branches: list[dict[str, FieldMatcher]], path: str, value: Any
) -> list[dict[str, FieldMatcher]]:
    if not isinstance(value, list):
        raise InvalidPattern("It must be an Array followed with $or.")
    forked: list[dict[str, FieldMatcher]] = []
    for alternative in value:
        if not isinstance(alternative, Mapping):
            raise InvalidPattern("Only JSON object is allowed in array of $or relationship.")
        forked += _object([dict(branch) for branch in branches], path, alternative, inside_or=True)
        if len(forked) > MAXIMUM_BRANCHES:
            raise InvalidPattern(f"$or gives more than {MAXIMUM_BRANCHES} combinations; split the rule")
    if len(value) < 2:  # noqa: PLR2004
        raise InvalidPattern("There must have at least 2 Objects in $or relationship.")
    return forked


# --- JSON text ----------------------------------------------------------------------------------------------------


class _Integer(int):
    """An integer that remembers how it was written."""

    spelling: str


class _Float(float):
    """A float that remembers how it was written: a double cannot hold every number of JSON."""

    spelling: str


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
    """Build an object; where a name comes twice, objects merge, two `$or` both hold, and else the last one wins."""
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
