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
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Self

from mwaa_gateway.errors import InvalidPattern, MalformedEvent, Problem, kind_of
from mwaa_gateway.patterns.flat_event import Fields, Leaves, Place, Wanted, merged
from mwaa_gateway.patterns.json_text import NamedTwice, parsed
from mwaa_gateway.patterns.matchers import Exactly, ValuePattern
from mwaa_gateway.patterns.operators import value_pattern

__all__ = ["Branch", "Condition", "FieldMatcher", "Pattern", "compile_pattern"]

MAXIMUM_LEVELS: Final = 100  # ours, below any recursion limit a process may have; an event has 32 at most
MAXIMUM_PATHS: Final = 256  # EventBridge's, in one branch
MAXIMUM_BRANCHES: Final = 1_000  # ours: nested $or multiply
FEW_PAIRS: Final = 10_000  # of an element of a list and a leaf, that are always looked at


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
            if (
                isinstance(entry, Mapping)
                and entry.get("exists") is False
                and len(entry) == 1
                and not isinstance(entry, NamedTwice)
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
        document: dict[str, Any] = parsed(self._text)
        return document

    @property
    def wanted(self) -> Wanted:
        """The paths that the pattern asks about."""
        if self._wanted is None:
            self._wanted = Wanted(path for branch in self.branches for path, _ in branch)
        return self._wanted

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Say whether the event (an envelope) matches.

        Raises:
            MalformedEvent: It is no object, or its lists can be read in too many ways: see `_reached`.
        """
        if not isinstance(event, Mapping):
            raise MalformedEvent(f"the event is {kind_of(event)}; expected a JSON object")
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


_EVERYWHERE: Final[AbstractSet[Place]] = frozenset({()})


def _branch_matches(branch: Branch, fields: Fields) -> bool:
    """Match the fields in the order of their paths, each in every place that the earlier ones leave open.

    Absence is judged within the elements that the earlier fields fixed, as event-ruler does. A place is kept
    only while a later field lies in the same list, or unrelated lists would multiply.
    """
    places = _EVERYWHERE
    lists: frozenset[int] = frozenset()  # those that the places may lie in
    for position, (path, matcher) in enumerate(branch):
        leaves = fields.get(path)
        if leaves:
            places = _reached(places, matcher, leaves)
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


def _reached(places: AbstractSet[Place], matcher: FieldMatcher, leaves: Leaves) -> AbstractSet[Place]:
    """Return each place, narrowed to the leaves beside it that match; as it is, where absence is enough.

    A leaf lies beside one of the places, so this is linear in the leaves. Only where a path has two spellings, each of
    them with a list (`{"a": [{"b": {"c": 1}}], "a.b": [{"c": 2}]}`), lies every element of the one beside every element
    of the other: a stranger's few kilobytes would keep the gateway busy for minutes.

    Raises:
        MalformedEvent: There are too many such pairs to look at.
    """
    matched = leaves.matched(matcher)
    if places == _EVERYWHERE:
        return matched
    if len(leaves.arounds) == 1 and places <= leaves.all_places:  # as of the fields of one list's objects
        return places & matched
    reached: set[Place] = set()
    left = max(FEW_PAIRS, 2 * len(leaves.values))
    for place in places:
        beside = list(leaves.beside(place))
        left -= len(beside)
        if left < 0:
            raise MalformedEvent(
                "the event names the same path with a dot and with an object, each with a long list: there are too many "
                "ways to read it; send one of the two"
            )
        if matcher.absent and not beside:
            reached.add(place)
        reached.update(
            [merged(place, other) for index in beside if (other := leaves.places[index]) in matched]
        )
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
        before). It holds every problem.
    """
    document = parsed(pattern) if isinstance(pattern, str) else pattern
    if not isinstance(document, Mapping):
        raise InvalidPattern("Filter is not an object")
    if _is_deeper_than(MAXIMUM_LEVELS, document):
        raise InvalidPattern("Pattern is nested too deeply")
    reading = _Reading()
    try:
        branches = reading.object([{}], None, "", document, inside_or=False)
        # kept as text: a fifth of the mapping's memory, and nobody can change it
        text = pattern if isinstance(pattern, str) else json.dumps(document, allow_nan=False, default=dict)
    except RecursionError:  # in what a name's second value has replaced
        raise InvalidPattern("Pattern is nested too deeply") from None
    except ValueError:  # in the words of a Python version
        raise InvalidPattern("Pattern is not JSON: it has a number that is not finite") from None
    if reading.problems:
        raise reading.refusal()
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


_Branches = list[dict[str, Condition]]


class _Reading:
    """One reading of one pattern: what is wrong is added to `problems`, and reading goes on.

    Of an object or a list, `path` is what events are asked for (None of the pattern itself), `where` its place in the
    pattern: `$or[1]` is part of the latter alone.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def object(
        self, branches: _Branches, path: str | None, where: str, value: Mapping[str, Any], *, inside_or: bool
    ) -> _Branches:
        """Add an object's fields to every branch; `$or` makes a branch for each of its alternatives."""
        if not value:
            self._refuse(where, "Empty objects are not allowed")
        for name, child in value.pairs if isinstance(value, NamedTwice) else value.items():
            place = f"{where}.{name}" if where else str(name)
            if not isinstance(name, str):
                self._refuse(place, f"Field name {name!r} must be a string")
            elif name == "$or":
                branches = self._alternatives(branches, path, place, child)
            elif inside_or and name in _RESERVED_INSIDE_OR:
                self._refuse(place, f"{name} is Ruler reserved fieldName which cannot be used inside $or.")
            elif isinstance(child, list):
                # event-ruler forgets a first step without a name, if the list is the second
                self._list(branches, f"{path}.{name}" if path else name, place, child)
            elif isinstance(child, Mapping):
                inner = name if path is None else f"{path}.{name}"
                branches = self.object(branches, inner, place, child, inside_or=inside_or)
            else:
                self._refuse(place, f'"{name}" must be an object or an array')
        return branches

    def refusal(self) -> InvalidPattern:
        """Return everything that is wrong as one error."""
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
                raise self.refusal()  # at once: the next one would multiply them again
        if len(value) < 2:  # noqa: PLR2004
            self._refuse(where, "There must have at least 2 Objects in $or relationship.")
        return forked

    def _refuse_entries(self, where: str, entries: list[Any], message: str) -> None:
        """Refuse a field's list, of which something is wrong: each entry by itself."""
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


def _is_deeper_than(levels: int, document: Mapping[str, Any]) -> bool:
    """Return whether objects and lists nest deeper than so many levels, without recursion."""
    containers: list[Any] = [document]
    for _ in range(levels):
        values = (
            value
            for inner in containers
            for value in (inner.values() if isinstance(inner, Mapping) else inner)
        )
        containers = [value for value in values if isinstance(value, Mapping | list)]
    return bool(containers)
