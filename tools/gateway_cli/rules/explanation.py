"""Why an event matches a rule or not: field by field, with the value in the event.

Each field of the pattern is tested as a pattern of its own, by the code that routes events: no second matcher could
disagree.
"""

import difflib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mwaa_gateway.patterns.flat_event import Wanted
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern
from mwaa_gateway.rules import Rule

_MOST: Final = 64  # alternatives through a pattern's `$or` that are examined
_FEW: Final = 5  # values of one field that are shown


@dataclass(frozen=True, slots=True)
class FieldVerdict:
    """One field of a pattern: what it wants, and what the event has there (nothing, one value or several)."""

    field: str
    wanted: list[Any]
    seen: list[Any]
    matches: bool
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The fields of one alternative of the pattern: the one that matches, else the closest one.

    `way` of `ways` is its number, counted from 1; `reason` is set if every field matches by itself but the event does not.
    `field` is the field of the rule that has the pattern: its own, that of its marker, or that of a part.
    """

    matches: bool
    fields: tuple[FieldVerdict, ...]
    way: int
    ways: int
    reason: str = ""
    field: str = "pattern"

    @property
    def wrong(self) -> int:
        """How many fields do not match."""
        return sum(not field.matches for field in self.fields)


def explain_rule(rule: Rule, envelope: Mapping[str, Any]) -> Explanation:
    """Compare an event with each pattern of the rule; return the one that matches, else the closest one.

    An event that matches the rule's own pattern and that of its marker is a marker.
    """
    explained = [
        replace(explain(pattern, envelope), field=field) for field, pattern in rule.pattern_fields.items()
    ]
    return min(
        explained, key=lambda one: (not one.matches, one.wrong, one.matches and one.field == "pattern")
    )


def explain(pattern: Pattern, envelope: Mapping[str, Any]) -> Explanation:
    """Compare an event with a pattern field by field."""
    ways = list(itertools.islice(_ways("", pattern.document), _MOST))
    explained = [_way(fields, envelope, number, len(ways)) for number, fields in enumerate(ways, start=1)]
    return max(
        explained,
        key=lambda one: (one.matches, -one.wrong, -one.way),
    )


def _way(fields: Mapping[str, list[Any]], envelope: Mapping[str, Any], number: int, ways: int) -> Explanation:
    matches = compile_pattern(fields).matches(envelope)
    verdicts = tuple(_verdict(path, wanted, envelope) for path, wanted in fields.items())
    reason = ""
    if not matches and all(verdict.matches for verdict in verdicts):
        reason = (
            "each field matches somewhere, but not all in the same element of a list: fields of a list's objects must "
            "match within one object"
        )
    return Explanation(matches, verdicts, number, ways, reason)


def _verdict(path: str, wanted: list[Any], envelope: Mapping[str, Any]) -> FieldVerdict:
    matches = compile_pattern({path: wanted}).matches(envelope)
    leaves = Wanted([path]).fields(envelope).get(path)
    seen = list(leaves.values) if leaves else []
    return FieldVerdict(path, wanted, seen, matches, "" if matches else _hint(path, wanted, seen, envelope))


def _hint(path: str, wanted: list[Any], seen: list[Any], envelope: Mapping[str, Any]) -> str:
    """Return the likely mistake, "" if there is none."""
    if not seen:
        paths = list(_paths("", envelope))
        alike = next((one for one in paths if one.lower() == path.lower()), "")
        if alike:
            return f"the event has {alike}: only upper and lower case differ"
        near = difflib.get_close_matches(path, paths, n=1, cutoff=0.8)
        return f"the event has {near[0]}: did you mean that?" if near else "the event has no such field"
    if any(isinstance(value, str) and _matches_in_lower_case(wanted, value) for value in seen):
        return "only upper and lower case differ: use equals-ignore-case if that is meant"
    texts = [entry for entry in wanted if isinstance(entry, str)]
    for value in seen:
        for text in texts:
            if isinstance(value, str) and value.strip("/ ") == text.strip("/ "):
                return "only slashes or blanks at the ends differ"
            if not isinstance(value, str) and str(value) == text:
                return f"the event has a number or boolean here, the pattern has text: write {value}"
    if any(isinstance(value, str) and str(entry) == value for value in seen for entry in wanted):
        return "the event has text here: quote the value in the pattern"
    return ""


def _matches_in_lower_case(wanted: list[Any], value: str) -> bool:
    """Return whether a text, prefix, suffix or wildcard matches the value if case is ignored."""
    lowered: list[Any] = []
    for entry in wanted:
        match entry:
            case str(text):
                lowered.append(text.lower())
            case {"prefix": str(_)} | {"suffix": str(_)} | {"wildcard": str(_)}:
                lowered.append({operator: text.lower() for operator, text in entry.items()})
    return bool(lowered) and compile_pattern({"value": lowered}).matches({"value": value.lower()})


def _paths(path: str, value: Any) -> Iterator[str]:
    match value:
        case Mapping():
            for name, child in value.items():
                yield from _paths(f"{path}.{name}" if path else name, child)
        case list():
            for child in value[:_FEW]:
                yield from _paths(path, child)
        case _:
            yield path


def _ways(path: str, pattern: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """Yield each alternative of a pattern: its fields by dotted path."""
    choices: list[list[dict[str, list[Any]]]] = []
    for name, child in pattern.items():
        full = f"{path}.{name}" if path else name
        if name == "$or":
            choices.append([fields for option in child for fields in _ways(path, option)][:_MOST])
        elif isinstance(child, Mapping):
            choices.append(list(itertools.islice(_ways(full, child), _MOST)))
        else:
            choices.append([{full: child}])
    for chosen in itertools.product(*choices):
        yield {field: wanted for fields in chosen for field, wanted in fields.items()}
