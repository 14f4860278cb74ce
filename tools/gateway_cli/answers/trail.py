"""One line of the trail, as the functions write it (docs/trail.md). Fields of later versions are ignored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_TEXTS = (
    "outcome",
    "message",
    "event_id",
    "identity",
    "source",
    "detail_type",
    "event_time",
    "resource",
    "rule_id",
    "target_id",
    "environment",
    "dag_id",
    "run_id",
    "batch_id",
    "batch_key",
    "reason",
    "partitions",
    "rules_generation",
    "missing",
    "state",
    "by",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLine:
    """One decision about an event; `at` is when the function wrote it, in seconds. A field it lacks is "" or None."""

    at: float
    outcome: str
    message: str = ""
    event_id: str = ""
    identity: str = ""
    source: str = ""
    detail_type: str = ""
    event_time: str = ""
    resource: str = ""
    rule_id: str = ""
    rule_version: int | None = None
    target_id: str = ""
    environment: str = ""
    dag_id: str = ""
    run_id: str = ""
    batch_id: str = ""
    batch_key: str = ""
    attempt: int | None = None
    reason: str = ""
    redeliver_after: float | None = None
    rules_tried: int | None = None
    partitions: str = ""
    rules_generation: str = ""
    missing: str = ""
    state: str = ""
    by: str = ""

    @property
    def generations(self) -> dict[str, int]:
        """The generation of each partition whose rules the event met; without those that are not known."""
        met = self.rules_generation.split(" | ")
        names = self.partitions.rsplit(" | ", len(met) - 1)
        return {
            name: int(generation)
            for name, generation in zip(names, met, strict=False)
            if generation.isdecimal()
        }

    def document(self) -> dict[str, Any]:
        """Return it as JSON: the time, and the fields that it has."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "at"}
        return {
            "at": iso(self.at),
            **{name: value for name, value in fields.items() if value not in ("", None)},
        }


def read_line(message: str, logged_at: float | None = None) -> TrailLine | None:
    """Read one log message; None if it is no line of the trail. `logged_at` stands in for a missing timestamp."""
    try:
        document = json.loads(message)
    except ValueError:
        return None
    if not isinstance(document, Mapping) or "trail" not in document:
        return None
    at = seconds(document.get("timestamp"))
    if at is None:
        at = logged_at
    if at is None or not isinstance(document.get("outcome"), str):
        return None
    texts = {name: value for name in _TEXTS if isinstance(value := document.get(name), str)}
    return TrailLine(
        at=at,
        rule_version=_whole(document.get("rule_version")),
        attempt=_whole(document.get("attempt")),
        rules_tried=_whole(document.get("rules_tried")),
        redeliver_after=_number(document.get("redeliver_after")),
        **texts,
    )


def seconds(text: Any) -> float | None:
    """Return an ISO time in seconds since the epoch; None if it is none. A time without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(str(text).replace(",", "."))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso(at: float) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    """Return a whole number, which Powertools may have written as text."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    number = _number(value)
    return None if number is None else int(number)
