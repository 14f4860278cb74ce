"""The runs that the trail has: for each run_id what its lines say last."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway_cli.answers.requests import ATTEMPTS
from gateway_cli.answers.trail import TrailLine, iso

STATES = ("requested", "started", "ended", "waiting", "held", "dead")
_STATES = {
    "Requested": "requested",
    "Triggered": "started",
    "AlreadyTriggered": "started",
    "Ended": "ended",
    "Retryable": "waiting",
    "OutcomeUnknown": "waiting",
    "Held": "held",
    "Rejected": "dead",
}
_FINAL = ("ended", "started")  # a duplicate's request, or a late line, changes nothing after these
OUTCOMES = tuple(_STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRun:
    """One run by its lines; times are in seconds since the epoch."""

    run_id: str
    state: str
    rule_id: str
    environment: str
    dag_id: str
    resource: str
    event_id: str
    first_at: float
    last_at: float
    attempts: int
    reason: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        names = (
            "run_id",
            "state",
            "rule_id",
            "environment",
            "dag_id",
            "resource",
            "event_id",
            "attempts",
            "reason",
        )
        found = {name: getattr(self, name) for name in names}
        return {**found, "first_at": iso(self.first_at), "last_at": iso(self.last_at)}


def seen_runs(lines: Iterable[TrailLine]) -> list[SeenRun]:
    """Return each run that the lines name, the one with the newest line first."""
    stories: dict[str, list[TrailLine]] = {}
    for line in lines:
        if line.run_id and line.outcome in _STATES:
            stories.setdefault(line.run_id, []).append(line)
    runs = [_seen(story) for story in stories.values()]
    return sorted(runs, key=lambda run: -run.last_at)


def _seen(story: list[TrailLine]) -> SeenRun:
    story.sort(key=lambda line: line.at)
    states = [_STATES[line.outcome] for line in story]
    state = next((final for final in _FINAL if final in states), states[-1])
    last = story[-1]
    return SeenRun(
        run_id=last.run_id,
        state=state,
        rule_id=last.rule_id,
        environment=last.environment,
        dag_id=last.dag_id,
        resource=next((line.resource for line in story if line.resource), ""),
        event_id=next((line.event_id for line in story if line.event_id), ""),
        first_at=story[0].at,
        last_at=last.at,
        attempts=max((line.attempt or 0 for line in story if line.outcome in ATTEMPTS), default=0),
        reason="" if state in _FINAL else last.reason,
    )
