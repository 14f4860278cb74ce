"""EventBridge's event patterns: compiles them, and matches events.

A pattern is a JSON object whose leaves are non-empty lists. All fields must match (AND), each by any entry of its list (OR).
`$or` contains alternative objects. Each combination of alternatives is one *branch*, a flat list of paths and matchers, and
a pattern matches if one of its branches does.

Events are flattened to dotted paths, so `{"a": {"b": 1}}` and `{"a.b": 1}` are the same. A list matches by any of its
elements; but fields inside the objects of one list must match in the same object (array consistency).

Patterns are immutable, and threads may share them.
"""

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Self

from mwaa_gateway.errors import InvalidPattern, MalformedEvent, Problem, kind_of
from mwaa_gateway.patterns.flat_event import Fields, Leaves, Place, Wanted, merged
from mwaa_gateway.patterns.json_text import DuplicateNames, parse_json
from mwaa_gateway.patterns.matchers import Exactly, ValuePattern
from mwaa_gateway.patterns.operators import value_pattern
from mwaa_gateway.values import value

MAXIMUM_LEVELS: Final = 100  # our limit, below any recursion limit; an event has at most 32
MAXIMUM_PATHS: Final = 256  # EventBridge's limit for one branch
MAXIMUM_BRANCHES: Final = 1_000  # our limit: nested $or multiply
FEW_PAIRS: Final = 10_000  # pairs of a place and a leaf that are always compared


@value
class FieldMatcher:
    """The list of one field: exact strings as a set, other entries in order, and whether absence matches."""

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
            if (
                isinstance(entry, Mapping)
                and entry.get("exists") is False
                and len(entry) == 1
                and not isinstance(entry, DuplicateNames)
            ):
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
        """The entries, of which any may match: strings and patterns, without absence."""
        return (*self.strings, *self.others)

    @property
    def exact_strings(self) -> frozenset[str] | None:
        """The strings, if only these can match; else None."""
        return None if self.others or self.absent else self.strings

    def matches(self, value: Any) -> bool:
        """Return whether any entry matches the leaf."""
        if isinstance(value, str) and value in self.strings:
            return True
        for pattern in self.others:  # noqa: SIM110 (half the time of any(), in the most frequent call)
            if pattern.matches(value):
                return True
        return False


Condition = tuple[str, FieldMatcher]  # a path, and the matcher of its leaves
Branch = tuple[Condition, ...]


class Pattern:
    """A compiled event pattern.

    `branches` are its alternatives, each sorted by path. Patterns share equal conditions, so that a hundred thousand
    patterns fit into a function's memory.
    """

    __slots__ = ("_text", "_wanted", "branches")

    def __init__(self, text: str, branches: tuple[Branch, ...]) -> None:
        self._text = text
        self._wanted: Wanted | None = None
        self.branches = branches

    @property
    def document(self) -> dict[str, Any]:
        """The pattern as a mapping, in its author's order; of two fields with one path, the later one counts."""
        document: dict[str, Any] = parse_json(self._text)
        return document

    @property
    def wanted(self) -> Wanted:
        """The paths that the pattern names."""
        if self._wanted is None:
            self._wanted = Wanted(path for branch in self.branches for path, _ in branch)
        return self._wanted

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether the event (an envelope) matches.

        Raises:
            MalformedEvent: It is no object, or its lists have too many combinations: see `_matching_places`.
        """
        if not isinstance(event, Mapping):
            raise MalformedEvent(f"the event is {kind_of(event)}; expected a JSON object")
        return self.matches_fields(self.wanted.fields(event))

    def matches_fields(self, fields: Fields) -> bool:
        """Return whether a flattened event matches; `Wanted` flattens it once for the paths of many patterns."""
        return any(_branch_matches(branch, fields) for branch in self.branches)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and (self._text == other._text or self.document == other.document)

    def __hash__(self) -> int:
        return hash(json.dumps(self.document, sort_keys=True))

    def __repr__(self) -> str:
        return f"Pattern({json.dumps(self.document)})"


# --- matching -----------------------------------------------------------------------------------------------


_EVERYWHERE: Final[AbstractSet[Place]] = frozenset({()})


def _branch_matches(branch: Branch, fields: Fields) -> bool:
    """Match the fields in the order of their paths, each within the places that the earlier fields matched.

    As in event-ruler, a field must be absent only from the elements that earlier fields matched. Places drop the lists that
    no later field is in; otherwise unrelated lists would multiply.
    """
    places = _EVERYWHERE
    lists: frozenset[int] = frozenset()  # the lists that the places name
    for position, (path, matcher) in enumerate(branch):
        leaves = fields.get(path)
        if leaves:
            places = _matching_places(places, matcher, leaves)
            lists = lists.union(*leaves.arounds)
        elif not matcher.absent:
            return False
        if not places:
            return False
        if lists:
            later = [fields[path].arounds for path, _ in branch[position + 1 :] if path in fields]
            ahead = frozenset(number for arounds in later for around in arounds for number in around)
            if not lists <= ahead:
                places = {tuple([step for step in place if step[0] in ahead]) for place in places}
    return True


def _matching_places(places: AbstractSet[Place], matcher: FieldMatcher, leaves: Leaves) -> AbstractSet[Place]:
    """Return the places narrowed to the leaves in them that match, and unchanged those without a leaf if absence matches.

    Each leaf is in one of the places, so this is linear in the leaves, with one exception. If a path has two spellings, each
    with a list (`{"a": [{"b": {"c": 1}}], "a.b": [{"c": 2}]}`), every element of one list goes with every element of the
    other: a few kilobytes from a stranger would keep the gateway busy for minutes.

    Raises:
        MalformedEvent: There are too many such pairs.
    """
    matched = leaves.matched(matcher)
    if places == _EVERYWHERE:
        return matched
    if len(leaves.arounds) == 1 and places <= leaves.all_places:  # fields of the objects in one list
        return places & matched
    narrowed: set[Place] = set()
    left = max(FEW_PAIRS, 2 * len(leaves.values))
    for place in places:
        beside = list(leaves.beside(place))
        left -= len(beside)
        if left < 0:
            raise MalformedEvent(
                "the event has the same path with a dotted name and with nested objects, each with a long list: these have "
                "too many combinations; send only one of the two"
            )
        if matcher.absent and not beside:
            narrowed.add(place)
        narrowed.update(
            [merged(place, other) for index in beside if (other := leaves.places[index]) in matched]
        )
    return narrowed


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
    """Compile an event pattern, a mapping or JSON text.

    Raises:
        InvalidPattern: EventBridge refuses the pattern. The text is EventBridge's own, without the prefix that its API adds;
            the error lists all problems.
    """
    document = parse_json(pattern) if isinstance(pattern, str) else pattern
    if not isinstance(document, Mapping):
        raise InvalidPattern("Filter is not an object")
    if _is_deeper_than(MAXIMUM_LEVELS, document):
        raise InvalidPattern("Pattern is nested too deeply")
    reading = _Reading()
    try:
        branches = reading.object([{}], None, "", document, inside_or=False)
        # Text is immutable, and takes a fifth of the mapping's memory.
        text = pattern if isinstance(pattern, str) else json.dumps(document, allow_nan=False, default=dict)
    except RecursionError:  # in a value that a second one of the same name has replaced
        raise InvalidPattern("Pattern is nested too deeply") from None
    except ValueError:  # Python's text differs between versions
        raise InvalidPattern("Pattern is not JSON: it has a number that is not finite") from None
    if reading.problems:
        raise reading.refusal()
    if any(len(branch) > MAXIMUM_PATHS for branch in branches):
        raise InvalidPattern(f"Pattern has more than {MAXIMUM_PATHS} fields")
    # event-ruler sorts paths by UTF-16 units, as Java does; absence inside lists depends on the order
    return Pattern(
        text,
        tuple(
            tuple(sorted(branch.values(), key=lambda field: field[0].encode("utf-16-be", "surrogatepass")))
            for branch in branches
        ),
    )


_Branches = list[dict[str, Condition]]


class _Reading:
    """One pass over one pattern; collects all problems.

    `path` is the path in events of an object or list (None for the pattern itself), `where` its place in the pattern. They
    differ inside `$or`: only the latter contains `$or[1]`.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def object(
        self, branches: _Branches, path: str | None, where: str, value: Mapping[str, Any], *, inside_or: bool
    ) -> _Branches:
        """Add the fields of an object to every branch; `$or` creates a branch for each alternative."""
        if not value:
            self._refuse(where, "Empty objects are not allowed")
        for name, child in value.pairs if isinstance(value, DuplicateNames) else value.items():
            place = f"{where}.{name}" if where else str(name)
            if not isinstance(name, str):
                self._refuse(place, f"Field name {name!r} must be a string")
            elif name == "$or":
                branches = self._alternatives(branches, path, place, child)
            elif inside_or and name in _RESERVED_INSIDE_OR:
                self._refuse(place, f"{name} is Ruler reserved fieldName which cannot be used inside $or.")
            elif isinstance(child, list):
                # event-ruler drops an empty first name if the second step is the list
                self._list(branches, f"{path}.{name}" if path else name, place, child)
            elif isinstance(child, Mapping):
                inner = name if path is None else f"{path}.{name}"
                branches = self.object(branches, inner, place, child, inside_or=inside_or)
            else:
                self._refuse(place, f'"{name}" must be an object or an array')
        return branches

    def refusal(self) -> InvalidPattern:
        """Return one error with all problems."""
        return InvalidPattern(self.problems[0].message, tuple(self.problems))

    def _list(self, branches: _Branches, path: str, where: str, value: list[Any]) -> None:
        try:
            condition = _condition(path, value)
        except InvalidPattern as error:
            self._refuse_entries(where, value, str(error))
        else:
            for branch in branches:
                branch[path] = condition

    def _alternatives(self, branches: _Branches, path: str | None, where: str, value: Any) -> _Branches:
        if not isinstance(value, list):
            self._refuse(where, "It must be an Array followed with $or.")
            return branches
        forked: _Branches = []
        for number, alternative in enumerate(value):
            place = f"{where}[{number}]"
            if not isinstance(alternative, Mapping):
                self._refuse(place, "Only JSON object is allowed in array of $or relationship.")
                continue
            forked += self.object(
                [dict(branch) for branch in branches], path, place, alternative, inside_or=True
            )
            if len(forked) > MAXIMUM_BRANCHES:
                self._refuse(where, f"$or gives more than {MAXIMUM_BRANCHES} combinations; split the rule")
                raise self.refusal()  # stop here: the next alternatives would multiply the branches again
        if len(value) < 2:  # noqa: PLR2004
            self._refuse(where, "There must have at least 2 Objects in $or relationship.")
        return forked

    def _refuse_entries(self, where: str, entries: list[Any], message: str) -> None:
        """Refuse each invalid entry of a field's list; the list itself with `message` if every entry is valid."""
        known = len(self.problems)
        for number, entry in enumerate(entries):
            try:
                value_pattern(entry)
            except InvalidPattern as error:
                self._refuse(f"{where}[{number}]", str(error))
        if len(self.problems) == known:
            self._refuse(where, message)

    def _refuse(self, where: str, message: str) -> None:
        self.problems.append(Problem(where, message))


SHARED_MAXIMUM: Final = 10_000
shared_conditions: dict[tuple[str, str], Condition] = {}


def _condition(path: str, entries: list[Any]) -> Condition:
    """Return the condition; the same object for the same path and entries while the cache contains it."""
    key = path, repr(entries)
    condition = shared_conditions.get(key)
    if condition is None:
        condition = path, FieldMatcher.of(entries)
        if len(shared_conditions) >= SHARED_MAXIMUM:
            shared_conditions.clear()
        shared_conditions[key] = condition
    return condition


def _is_deeper_than(levels: int, document: Mapping[str, Any]) -> bool:
    """Return whether objects and lists nest deeper than `levels`, without recursion."""
    containers: list[Any] = [document]
    for _ in range(levels):
        values = (
            value
            for inner in containers
            for value in (inner.values() if isinstance(inner, Mapping) else inner)
        )
        containers = [value for value in values if isinstance(value, Mapping | list)]
    return bool(containers)
