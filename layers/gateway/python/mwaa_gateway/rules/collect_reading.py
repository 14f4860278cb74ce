"""Reads `collect` of a rule, and refuses what would wait for ever or could not be understood later."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from mwaa_gateway.conf.captures import Capture, validate_captures
from mwaa_gateway.conf.text_template import TextTemplate, parse_text_template
from mwaa_gateway.errors import InvalidPattern
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern
from mwaa_gateway.rules.collect import MAXIMUM_ITEMS, Collect, Count, Marker, Part, Parts, Values
from mwaa_gateway.rules.due import Due
from mwaa_gateway.rules.fields import Reading, names_of
from mwaa_gateway.rules.pattern_hints import with_hint
from mwaa_gateway.rules.s3_uris import pattern_of_uploads

MAXIMUM_KEY_PARTS: Final = 10
MAXIMUM_VALUES: Final = 500
MAXIMUM_VALUE_CHARACTERS: Final = 200
MAXIMUM_PARTS: Final = 20
_CONDITIONS: Final = ("event", "count", "of", "values", "parts", "require")
_PART_NAME: Final = re.compile("[a-zA-Z0-9_-]{1,40}")


def read_collect(reading: Reading, written: object, captured: Collection[str]) -> Collect | None:
    """Return the rule's `collect`, or None after refusing it; `captured` are the names of the rule's captures."""
    if not isinstance(written, Mapping):
        reading.refuse("collect", "must be an object, as in {quiet_period: 10m}")
        return None
    before = len(reading.problems)
    reading.known_fields(written, "collect.", names_of(Collect))
    values = reading.values(Collect, written, "collect.")
    of = _CollectReading(reading, captured)
    if "complete_when" in written:
        values["complete_when"] = of.condition(written["complete_when"], has_key="key" in written)
        if values["complete_when"] is None:
            return None  # the key may name what its parts capture
    if "key" in written:
        values["key"] = of.key(written["key"], values.get("complete_when"))
    if "due" in written:
        values["due"] = of.due(written["due"], Collect(key=values.get("key", ())).key_names)
    if len(reading.problems) > before:
        return None
    collect = Collect(**values)
    _refuse_contradictions(reading, collect, written)
    return collect if len(reading.problems) == before else None


def _refuse_contradictions(reading: Reading, collect: Collect, written: Mapping[str, Any]) -> None:
    """Refuse fields that make no sense together, and a batch that would wait for ever."""
    due = collect.due
    if due is None:
        for field in ("when_due", "expected"):
            if field in written:
                reading.refuse(
                    f"collect.{field}",
                    'needs collect.due, as in {at: "06:00", day: 1, date: <date>}; or remove it',
                )
    elif collect.expected is not None and (
        due.date is None or len(collect.key) != 1 or due.date.text != f"<{collect.key_names[0]}>"
    ):
        reading.refuse(
            "collect.expected",
            "needs a key of one date, and a due time on it: key: [<date>] and due.date: <date>; the gateway makes the key "
            "of a day on which nothing arrives from the day alone",
        )
    if not collect.key and "late" in written:
        reading.refuse(
            "collect.late", "needs a key: without one, members that come later open the next batch"
        )
    ends_when_due = due is not None and due.after is not None and collect.when_due != "report"
    if collect.max_wait is None and not ends_when_due:
        if collect.complete_when is not None:
            why = "complete_when may never come true"
        elif collect.quiet_period is None:
            why = "nothing ends the collection"
        else:
            return
        reading.refuse(
            "collect.max_wait", f"is missing, and {why}; write how long a batch waits at most, as in 3h"
        )


class _CollectReading:
    """Reads the fields of one `collect`."""

    def __init__(self, reading: Reading, captured: Collection[str]) -> None:
        self._reading = reading
        self._captured = captured

    def key(self, written: object, condition: object) -> tuple[TextTemplate, ...]:
        texts: list[Any] = written if isinstance(written, list) else [written]
        if not 0 < len(texts) <= MAXIMUM_KEY_PARTS:
            self._reading.refuse(
                "collect.key",
                f"is {written!r}; write a list of 1 to {MAXIMUM_KEY_PARTS} values, as in [<date>]",
            )
            return ()
        captured = self._captured
        if isinstance(condition, Parts):
            captured = [name for part in condition.parts.values() for c in part.captures for name in c.names]
        parts = [part for text in texts if (part := self._value(text, "collect.key", captured))]
        if isinstance(condition, Parts):
            self._refuse_incomplete_parts(parts, condition)
        names = Collect(key=tuple(parts)).key_names
        for name in {name for name in names if names.count(name) > 1}:
            self._reading.refuse(
                "collect.key", f"has two values with the name {name!r}; capture one under its own name"
            )
        return tuple(parts)

    def _refuse_incomplete_parts(self, key: Collection[TextTemplate], condition: Parts) -> None:
        """Refuse parts without a capture that the batch's key names."""
        for name, part in condition.parts.items():
            captured = {piece for capture in part.captures for piece in capture.names}
            for value in key:
                needed = value.text.strip("<>")
                if not needed.startswith("$") and needed not in captured:
                    self._reading.refuse(
                        f"collect.complete_when.parts.{name}.captures",
                        f"has no <{needed}>, which collect.key names: capture it in every part",
                    )

    def due(self, written: object, key_names: Collection[str]) -> Due | None:
        where = "collect.due"
        if not isinstance(written, Mapping) or ("after" in written) == ("at" in written):
            self._reading.refuse(
                where, 'must have either `after`, as in {after: 3h}, or `at`, as in {at: "06:00"}'
            )
            return None
        self._reading.known_fields(written, f"{where}.", names_of(Due))
        values = self._reading.values(Due, written, f"{where}.")
        if "after" in written:
            for field in set(written) - {"after"}:
                self._reading.refuse(f"{where}.{field}", "is only for `at`; remove it")
        if not _is_time_zone(values.get("timezone", "UTC")):
            self._reading.refuse(
                f"{where}.timezone",
                f"is {written['timezone']!r}, which is no time zone; write one as in Europe/Zurich",
            )
        if "date" not in written:
            for field in ("day", "date_format"):
                if field in written:
                    self._reading.refuse(f"{where}.{field}", "needs due.date, as in <date>; or remove it")
            return Due(**values)
        text = written["date"]
        try:
            template = parse_text_template(text if isinstance(text, str) else "", key_names)
        except ValueError as error:
            self._reading.refuse(f"{where}.date", f"{error}; it may name the values of collect.key only")
            return None
        if template.is_plain or "<$" in template.text:
            self._reading.refuse(
                f"{where}.date",
                f"is {text!r}; name the values of collect.key that are the date, as in <date>",
            )
            return None
        return Due(**values, date=template)

    def condition(self, written: object, *, has_key: bool) -> Marker | Count | Values | Parts | None:
        where = "collect.complete_when"
        if (
            not isinstance(written, Mapping)
            or len({"event", "count", "values", "parts"}.intersection(written)) != 1
        ):
            self._reading.refuse(where, "must have exactly one of event, count, values and parts")
            return None
        self._reading.known_fields(written, f"{where}.", _CONDITIONS)
        if "require" in written and "parts" not in written:
            self._reading.refuse(f"{where}.require", "is only for parts: how many of them must be complete")
        if "parts" in written:
            return self._parts(written["parts"], written.get("require"))
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

    def _parts(self, written: object, require: object) -> Parts | None:
        where = "collect.complete_when.parts"
        if not isinstance(written, Mapping) or not 2 <= len(written) <= MAXIMUM_PARTS:  # noqa: PLR2004
            self._reading.refuse(
                where,
                f"must name 2 to {MAXIMUM_PARTS} feeds, as in {{orders: {{s3: s3://landing/orders/*}}, …}}",
            )
            return None
        before = len(self._reading.problems)
        parts = {str(name): part for name, value in written.items() if (part := self._part(name, value))}
        if require is not None and (type(require) is not int or not 0 < require <= len(written)):
            self._reading.refuse(
                "collect.complete_when.require",
                f"is {require!r}; write a number from 1 to {len(written)}, the parts",
            )
        if len(self._reading.problems) > before:
            return None
        return Parts(parts, require if isinstance(require, int) else len(parts))

    def _part(self, name: object, written: object) -> Part | None:
        where = f"collect.complete_when.parts.{name}"
        if not isinstance(name, str) or not _PART_NAME.fullmatch(name):
            self._reading.refuse(where, "has a name that is not 1 to 40 letters, digits, '_' or '-'")
            return None
        if not isinstance(written, Mapping) or ("pattern" in written) == ("s3" in written):
            self._reading.refuse(where, "must be an object with either `pattern` or `s3`")
            return None
        self._reading.known_fields(written, f"{where}.", ("pattern", "s3", "captures", "at_least"))
        pattern = self._pattern(written, where)
        captures = self._captures(written, where)
        at_least = written.get("at_least", 1)
        if type(at_least) is not int or not 0 < at_least <= MAXIMUM_ITEMS:
            self._reading.refuse(
                f"{where}.at_least", f"is {at_least!r}; write a number from 1 to {MAXIMUM_ITEMS}"
            )
            return None
        return Part(pattern, captures, at_least) if pattern else None

    def _captures(self, written: Mapping[str, Any], where: str) -> tuple[Capture, ...]:
        captures, problems = validate_captures(written["captures"]) if "captures" in written else ((), [])
        for problem in problems:
            self._reading.refuse(f"{where}.{problem.field}", problem.message)
        return captures

    def _marker(self, written: object) -> Marker | None:
        where = "collect.complete_when.event"
        if not isinstance(written, Mapping) or not isinstance(written.get("pattern"), Mapping):
            self._reading.refuse(where, "must be an object with the `pattern` of the marker")
            return None
        self._reading.known_fields(written, f"{where}.", ("pattern", "captures", "count"))
        pattern = self._pattern(written, where)
        captures = self._captures(written, where)
        names = [name for capture in captures for name in capture.names]
        count = self._value(written["count"], f"{where}.count", names) if "count" in written else None
        return Marker(pattern, captures, count) if pattern else None

    def _pattern(self, written: Mapping[str, Any], where: str) -> Pattern | None:
        """Return the pattern in the field `pattern`, or that of the uploads in `s3`."""
        field = "s3" if "s3" in written else "pattern"
        if field == "pattern" and not isinstance(written["pattern"], Mapping):
            self._reading.refuse(f"{where}.pattern", "must be an event pattern, as in {source: [aws.s3]}")
            return None
        try:
            return compile_pattern(pattern_of_uploads(written["s3"]) if field == "s3" else written["pattern"])
        except InvalidPattern as error:
            for problem in error.problems:
                inside = problem.field if field == "pattern" else ""
                self._reading.refuse(f"{where}.{field}.{inside}".removesuffix("."), with_hint(problem))
        except ValueError as error:
            self._reading.refuse(f"{where}.{field}", str(error))
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


def _is_time_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo  # noqa: PLC0415  only for a rule with a due time: see mwaa_gateway.rules.due

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
