"""A rule's `collect`: which events belong together, and what ends the collection.

    quiet_period      no new member for so long
    max_wait          so long after the first member
    max_items         so many members: a trigger, not a cap
    complete_when     the batch has all that the rule asks for: a marker, a number, a list of values, or several feeds
    due               by then the batch should be complete; `when_due` says what becomes of one that is not

The first of them releases the batch. With `complete_when`, the quiet period counts once the batch is complete.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from mwaa_gateway.conf.captures import Capture
from mwaa_gateway.conf.text_template import TextTemplate
from mwaa_gateway.patterns.pattern import Pattern
from mwaa_gateway.rules.due import EXPECTED, LONGEST_OPEN_SECONDS, Due
from mwaa_gateway.rules.fields import Duration, Integer, OneOf, Own, RuleField, Text, document_of
from mwaa_gateway.values import value

WhenDue = Literal["report", "release", "cancel"]
Late = Literal["new_batch", "dead_letter", "ignore"]
Versions = Literal["all", "latest"]

MARKER_QUIET_SECONDS: Final = 30  # a marker may overtake the members that its sender wrote before it
LATE_QUIET_SECONDS: Final = 300
MAXIMUM_ITEMS: Final = 100_000


@value
class Marker:
    """Complete when an event matches `pattern`; with `count`, when the batch also has as many members as it says."""

    pattern: Pattern
    captures: tuple[Capture, ...] = ()
    count: TextTemplate | None = None

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The pattern of the marker."""
        return (self.pattern,)

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        event: dict[str, Any] = {"pattern": self.pattern.document}
        if self.captures:
            event["captures"] = {capture.field: capture.form for capture in self.captures}
        if self.count is not None:
            event["count"] = self.count.text
        return {"event": event}


@value
class Count:
    """Complete with so many different members, or values of `of`."""

    count: int
    of: TextTemplate | None = None

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        return {"count": self.count} | ({"of": self.of.text} if self.of else {})


@value
class Values:
    """Complete when the value of `of` has been each of `all_of`."""

    of: TextTemplate
    all_of: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        return {"values": {"of": self.of.text, "all_of": list(self.all_of)}}


@value
class Part:
    """One of several feeds: its events, and how many different members of them make it complete."""

    pattern: Pattern
    captures: tuple[Capture, ...] = ()
    at_least: int = 1

    def document(self) -> dict[str, Any]:
        """Return the part's document in a rule."""
        part: dict[str, Any] = {"pattern": self.pattern.document}
        if self.captures:
            part["captures"] = {capture.field: capture.form for capture in self.captures}
        return part | ({"at_least": self.at_least} if self.at_least > 1 else {})


@value
class Parts:
    """Complete when `require` of several feeds are. An event belongs to the first part whose pattern it matches."""

    parts: Mapping[str, Part]
    require: int

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The pattern of each part."""
        return tuple(part.pattern for part in self.parts.values())

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        parts = {name: part.document() for name, part in self.parts.items()}
        return {"parts": parts} | ({"require": self.require} if self.require < len(self.parts) else {})


@value
class Collect:
    """What belongs together, and when it is released. Times are in seconds.

    `key` is empty where the rule has one open batch at a time.
    """

    key: Annotated[
        tuple[TextTemplate, ...],
        RuleField(
            Own(lambda parts: [part.text for part in parts]),
            "Events with the same values belong together: [<date>]. Without a key, the rule has one open batch at a time.",
        ),
    ] = ()
    quiet_period: Annotated[
        int | None,
        RuleField(
            Duration(LONGEST_OPEN_SECONDS, "30s, 10m or 2h"),
            "Release the batch once no new member has arrived for so long; with complete_when, once it is complete, too.",
        ),
    ] = None
    max_wait: Annotated[
        int | None,
        RuleField(
            Duration(LONGEST_OPEN_SECONDS, "10m, 3h or 2d"),
            "Release the batch so long after its first member, with what is there.",
        ),
    ] = None
    max_items: Annotated[
        int | None,
        RuleField(
            Integer(2, MAXIMUM_ITEMS), "Release the batch once it has so many members: a trigger, not a cap."
        ),
    ] = None
    complete_when: Annotated[
        Marker | Count | Values | Parts | None,
        RuleField(
            Own(lambda condition: condition.document()),
            "The batch is complete: with a marker (event), with so many members (count), with each of some values, or with "
            "members of several feeds (parts).",
        ),
    ] = None
    due: Annotated[
        Due | None,
        RuleField(
            Own(document_of),
            'The batch should be complete by then: {after: 3h}, or {at: "06:00", day: 1, date: <date>, timezone: '
            "Europe/Zurich}. A batch that opens later than that has no due time.",
        ),
    ] = None
    when_due: Annotated[
        WhenDue,
        RuleField(
            OneOf(WhenDue),
            "A batch that is not complete when it is due: report it and wait, release it with what is there, or cancel it.",
        ),
    ] = "report"
    expected: Annotated[
        str | None,
        RuleField(
            Text(EXPECTED, "daily, mon-fri or mon,wed"),
            "Days that have a batch, by the date in the key: one on which nothing arrives is reported when it is due.",
        ),
    ] = None
    late: Annotated[
        Late,
        RuleField(
            OneOf(Late),
            "Members that arrive after their batch was released as complete or when due: open a new batch, send them to the "
            "ingress dead-letter queue, or ignore them.",
        ),
    ] = "new_batch"
    versions: Annotated[
        Versions,
        RuleField(
            OneOf(Versions),
            "An S3 object that was written twice: the manifest lists all versions, or only the latest.",
        ),
    ] = "all"

    @property
    def key_names(self) -> list[str]:
        """The names of the key's parts: a capture's own, or the last step of a path."""
        return [part.text.strip("<>").rpartition(".")[2] for part in self.key]

    def due_at(self, key: Mapping[str, str], first_at: float, *, is_expected: bool = False) -> float | None:
        """Return when a batch is due, by its key and first member; None if it is not, or was due before it opened."""
        if self.due is None:
            return None
        due_at = self.due.time_of(key, first_at)
        return due_at if is_expected or first_at < due_at else None

    @property
    def pattern_fields(self) -> dict[str, Pattern]:
        """The patterns of the condition by their field: that of a marker, or those of the parts."""
        match self.complete_when:
            case Marker(pattern=pattern):
                return {"collect.complete_when.event.pattern": pattern}
            case Parts(parts=parts):
                return {
                    f"collect.complete_when.parts.{name}.pattern": part.pattern
                    for name, part in parts.items()
                }
        return {}

    @property
    def depends_on_members(self) -> bool:
        """Whether a new member may release the batch at once."""
        return self.complete_when is not None or self.max_items is not None
