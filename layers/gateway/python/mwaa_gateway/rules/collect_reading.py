"""Reads `collect` of a rule, and refuses what would wait for ever or could not be understood later."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from mwaa_gateway.conf.captures import validate_captures
from mwaa_gateway.conf.text_template import TextTemplate, parse_text_template
from mwaa_gateway.errors import InvalidPattern
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern
from mwaa_gateway.rules.collect import MAXIMUM_ITEMS, Collect, Count, Marker, Values
from mwaa_gateway.rules.fields import Reading, names_of

__all__ = ["read_collect"]

MAXIMUM_KEY_PARTS: Final = 10
MAXIMUM_VALUES: Final = 500
MAXIMUM_VALUE_CHARACTERS: Final = 200
_FIELDS_LATER: Final = ("due", "when_due", "expected", "late", "versions")
_CONDITIONS: Final = ("event", "count", "of", "values")
_CONDITIONS_LATER: Final = ("parts",)


def read_collect(reading: Reading, written: object, captured: Collection[str]) -> Collect | None:
    """Return the rule's `collect`, or None after refusing it; `captured` are the names of the rule's captures."""
    if not isinstance(written, Mapping):
        reading.refuse("collect", "must be an object, as in {quiet_period: 10m}")
        return None
    before = len(reading.problems)
    reading.known_fields(written, "collect.", names_of(Collect), _FIELDS_LATER)
    values = reading.values(Collect, written, "collect.")
    of = _CollectReading(reading, captured)
    if "key" in written:
        values["key"] = of.key(written["key"])
    if "complete_when" in written:
        values["complete_when"] = of.condition(written["complete_when"], has_key="key" in written)
    if "max_wait" not in written and ("complete_when" in written or "quiet_period" not in written):
        why = (
            "complete_when may never come true"
            if "complete_when" in written
            else "nothing ends the collection"
        )
        reading.refuse(
            "collect.max_wait", f"is missing, and {why}; write how long a batch waits at most, as in 3h"
        )
    return Collect(**values) if len(reading.problems) == before else None


class _CollectReading:
    """Reads the fields of one `collect`."""

    def __init__(self, reading: Reading, captured: Collection[str]) -> None:
        self._reading = reading
        self._captured = captured

    def key(self, written: object) -> tuple[TextTemplate, ...]:
        texts: list[Any] = written if isinstance(written, list) else [written]
        if not 0 < len(texts) <= MAXIMUM_KEY_PARTS:
            self._reading.refuse(
                "collect.key",
                f"is {written!r}; write a list of 1 to {MAXIMUM_KEY_PARTS} values, as in [<date>]",
            )
            return ()
        parts = [part for text in texts if (part := self._value(text, "collect.key", self._captured))]
        names = Collect(key=tuple(parts)).key_names
        for name in {name for name in names if names.count(name) > 1}:
            self._reading.refuse(
                "collect.key", f"has two values with the name {name!r}; capture one under its own name"
            )
        return tuple(parts)

    def condition(self, written: object, *, has_key: bool) -> Marker | Count | Values | None:
        where = "collect.complete_when"
        if not isinstance(written, Mapping) or len({"event", "count", "values"}.intersection(written)) != 1:
            self._reading.refuse(where, "must have exactly one of event, count and values")
            return None
        self._reading.known_fields(written, f"{where}.", _CONDITIONS, _CONDITIONS_LATER)
        if "of" in written and "count" not in written:
            self._reading.refuse(f"{where}.of", "is only for count; values has an `of` inside")
        if "event" in written:
            if not has_key:
                self._reading.refuse(
                    f"{where}.event",
                    "needs a key: without one, a marker that comes late would complete the next batch; add collect.key, as "
                    "in [<date>], with the same values in the marker's captures",
                )
            return self._marker(written["event"])
        if "count" in written:
            count = written["count"]
            if type(count) is not int or not 0 < count <= MAXIMUM_ITEMS:
                self._reading.refuse(
                    f"{where}.count", f"is {count!r}; write a number from 1 to {MAXIMUM_ITEMS}"
                )
                return None
            of = self._value(written["of"], f"{where}.of", self._captured) if "of" in written else None
            return Count(count, of)
        return self._values(written["values"])

    def _marker(self, written: object) -> Marker | None:
        where = "collect.complete_when.event"
        if not isinstance(written, Mapping) or not isinstance(written.get("pattern"), Mapping):
            self._reading.refuse(where, "must be an object with the `pattern` of the marker")
            return None
        self._reading.known_fields(written, f"{where}.", ("pattern", "captures", "count"))
        pattern = self._pattern(written["pattern"], f"{where}.pattern")
        captures, problems = validate_captures(written["captures"]) if "captures" in written else ((), [])
        for problem in problems:
            self._reading.refuse(f"{where}.{problem.field}", problem.message)
        names = [name for capture in captures for name in capture.names]
        count = self._value(written["count"], f"{where}.count", names) if "count" in written else None
        return Marker(pattern, captures, count) if pattern else None

    def _pattern(self, written: Mapping[str, Any], where: str) -> Pattern | None:
        try:
            return compile_pattern(written)
        except InvalidPattern as error:
            for problem in error.problems:
                self._reading.refuse(f"{where}.{problem.field}".removesuffix("."), problem.message)
            return None

    def _values(self, written: object) -> Values | None:
        where = "collect.complete_when.values"
        if not isinstance(written, Mapping):
            self._reading.refuse(where, "must be an object, as in {of: <region>, all_of: [eu, us]}")
            return None
        self._reading.known_fields(written, f"{where}.", ("of", "all_of"))
        of = self._value(written.get("of"), f"{where}.of", self._captured)
        all_of = written.get("all_of")
        if (
            not isinstance(all_of, list)
            or not 0 < len(all_of) <= MAXIMUM_VALUES
            or not all(
                isinstance(value, str) and 0 < len(value) <= MAXIMUM_VALUE_CHARACTERS for value in all_of
            )
            or len(set(all_of)) < len(all_of)
        ):
            self._reading.refuse(
                f"{where}.all_of",
                f"must be a list of 1 to {MAXIMUM_VALUES} different texts of at most {MAXIMUM_VALUE_CHARACTERS} characters: "
                "quote numbers",
            )
            return None
        return Values(of, tuple(all_of)) if of else None

    def _value(self, text: object, where: str, names: Collection[str]) -> TextTemplate | None:
        """Return a template of exactly one placeholder."""
        try:
            template = parse_text_template(text, names) if isinstance(text, str) else None
        except ValueError as error:
            self._reading.refuse(where, str(error))
            return None
        if template is None or len(template.parts) != 1 or template.is_plain:
            self._reading.refuse(
                where,
                f"has {text!r}; write one value of the event, as in <date> (a capture) or <$.detail.day>",
            )
            return None
        return template
