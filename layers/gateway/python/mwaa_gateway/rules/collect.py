"""A rule's `collect`: which events belong together, and what ends the collection.

    quiet_period      no new member for so long
    max_wait          so long after the first member
    max_items         so many members: a trigger, not a cap
    complete_when     the batch has all that the rule asks for: a marker, a number, or a list of values

The first of them releases the batch. With `complete_when`, the quiet period counts once the batch is complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from mwaa_gateway.conf.captures import Capture
from mwaa_gateway.conf.text_template import TextTemplate
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern
from mwaa_gateway.rules.fields import Duration, Integer, Own, RuleField

__all__ = [
    "LATE_QUIET_SECONDS",
    "LONGEST_OPEN_SECONDS",
    "MARKER_QUIET_SECONDS",
    "MAXIMUM_ITEMS",
    "Collect",
    "Count",
    "Marker",
    "Values",
    "compiled_patterns",
]

MARKER_QUIET_SECONDS: Final = 30  # a marker may overtake the members that its sender wrote before it
LATE_QUIET_SECONDS: Final = 300
LONGEST_OPEN_SECONDS: Final = (
    30 * 86_400
)  # whatever the rule says; the TTLs of the batches table depend on it
MAXIMUM_ITEMS: Final = 100_000


def compiled_patterns(document: Mapping[str, Any]) -> list[Pattern]:
    """Compile every pattern of a rule's stored document: its own first, then that of a marker.

    Raises:
        InvalidPattern: A pattern is invalid.
        KeyError, TypeError, AttributeError: The document is no rule's.
    """
    condition = (document.get("collect") or {}).get("complete_when") or {}
    marker = [condition["event"]["pattern"]] if "event" in condition else []
    return [compile_pattern(pattern) for pattern in (document["pattern"], *marker)]


@dataclass(frozen=True, slots=True)
class Marker:
    """Complete when an event matches `pattern`; with `count`, when the batch also has as many members as it says."""

    pattern: Pattern
    captures: tuple[Capture, ...] = ()
    count: TextTemplate | None = None

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        event: dict[str, Any] = {"pattern": self.pattern.document}
        if self.captures:
            event["captures"] = {capture.field: capture.form for capture in self.captures}
        if self.count is not None:
            event["count"] = self.count.text
        return {"event": event}


@dataclass(frozen=True, slots=True)
class Count:
    """Complete with so many different members, or values of `of`."""

    count: int
    of: TextTemplate | None = None

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        return {"count": self.count} | ({"of": self.of.text} if self.of else {})


@dataclass(frozen=True, slots=True)
class Values:
    """Complete when the value of `of` has been each of `all_of`."""

    of: TextTemplate
    all_of: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return the condition's document in a rule."""
        return {"values": {"of": self.of.text, "all_of": list(self.all_of)}}


@dataclass(frozen=True, slots=True)
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
        Marker | Count | Values | None,
        RuleField(
            Own(lambda condition: condition.document()),
            "The batch is complete: with a marker (event), with so many members (count), or with each of some values.",
        ),
    ] = None

    @property
    def key_names(self) -> list[str]:
        """The names of the key's parts: a capture's own, or the last step of a path."""
        return [part.text.strip("<>").rpartition(".")[2] for part in self.key]

    @property
    def depends_on_members(self) -> bool:
        """Whether a new member may release the batch at once."""
        return self.complete_when is not None or self.max_items is not None
