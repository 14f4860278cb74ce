"""What one round of the watcher did. Each step yields its part of the report, and `RoundReport.of` adds the parts up."""

from collections.abc import Generator, Iterable
from dataclasses import fields
from typing import Any, TypeVar

from mwaa_gateway.step_functions.watches import TaskResult, UnreadableWatch, Watch
from mwaa_gateway.values import value

GRACE_SECONDS = 0.5  # rounds are seconds apart: a little early is better than a whole round late


@value
class Stopped:
    """A watch closed because its execution is over. `marked`: its run is marked failed; `not_marked`: why it is not."""

    watch: Watch
    marked: bool = False
    not_marked: str = ""


@value
class FailedStep:
    """A step that failed for one watch, and why; `again_at` is when it may be tried again."""

    watch: Watch
    step: str
    text: str
    again_at: float


@value(kw_only=True)
class RoundReport:
    """The results of one round, or of one of its steps.

    The round began with `found` watches. `unclear` are answers of Airflow or the ledger that left something open, `failures`
    the steps that failed for one watch, `bugs` the queries about a whole DAG that raised, `unreadable` the items to report;
    `failing` counts the watches with a failed step, the unreadable items, and the DAGs whose last query raised.
    `unrecorded_ends` are executions that are over and could not be recorded as such. `next_at` is when the next query or
    heartbeat is due, in seconds since the epoch; 0 if a state still must be answered, or a run ended.
    """

    found: int = 0
    answered: tuple[tuple[Watch, TaskResult], ...] = ()
    abandoned: tuple[Watch, ...] = ()
    stopped: tuple[Stopped, ...] = ()
    given_up: tuple[tuple[Watch, str], ...] = ()
    unclear: tuple[str, ...] = ()
    failures: tuple[FailedStep, ...] = ()
    bugs: tuple[str, ...] = ()
    unreadable: tuple[UnreadableWatch, ...] = ()
    unrecorded_ends: tuple[str, ...] = ()
    failing: int = 0
    heartbeats: int = 0
    questions: int = 0  # commands or calls to Airflow, not counting further pages
    next_at: float = 0.0

    @classmethod
    def of(cls, parts: Iterable["RoundReport"]) -> "RoundReport":
        """Run the steps that yield these parts, and add the parts up."""
        found = list(parts)
        sums: dict[str, Any] = {
            field.name: sum((getattr(part, field.name) for part in found), start=getattr(cls(), field.name))
            for field in fields(cls)
        }
        return cls(**sums)

    @property
    def watched(self) -> int:
        """The number of watches left: with none, no further round is needed."""
        ended = len(self.answered) + len(self.abandoned) + len(self.stopped) + len(self.given_up)
        return self.found - ended


Found = TypeVar("Found")
# A step: it yields what it did, as parts of the report, and returns what it found.
Reporting = Generator[RoundReport, None, Found]
