"""When the watcher polls Airflow: one query per DAG covers all of its watched runs.

The interval is an eighth of the age of the DAG's youngest wait: at first five seconds, at most a minute. After an unclear
answer the next query comes sooner, because a run may have ended; then the interval grows, because Airflow may be down.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.backoff import growing_pause
from mwaa_gateway.step_functions.round_report import GRACE_SECONDS
from mwaa_gateway.step_functions.watches import Watch

FIRST_INTERVAL_SECONDS: Final = 5.0
LONGEST_INTERVAL_SECONDS: Final = 60.0
AGE_PER_INTERVAL: Final = 8


def next_question(asked_at: float, since: float, longest: float = LONGEST_INTERVAL_SECONDS) -> float:
    """Return when to ask again about something that began at `since`: after an eighth of its age by then."""
    interval = (asked_at - since) / (AGE_PER_INTERVAL - 1)
    return asked_at + min(longest, max(FIRST_INTERVAL_SECONDS, interval))


@dataclass(slots=True)
class PollSchedule:
    """The queries that one sandbox sent; `now` returns seconds since the epoch."""

    now: Callable[[], float]
    _asked: dict[str, float] = field(default_factory=dict)  # by DAG: the time of the last query
    _unclear: Counter[str] = field(default_factory=Counter)  # by DAG: unclear answers in a row

    def due(self, waiting: Iterable[Watch]) -> set[str]:
        """Return the DAGs of these watches that are due for a query."""
        now = self.now()
        return {dag_id for dag_id, at in self._ask_at(waiting).items() if now >= at - GRACE_SECONDS}

    def next_due(self, waiting: Iterable[Watch]) -> float:
        """Return when the next query is due, in seconds since the epoch; infinity if no state waits."""
        return min(self._ask_at(waiting).values(), default=float("inf"))

    def asked_at(self, dag_id: str) -> float:
        """Return the time of the last query about the DAG."""
        return self._asked.get(dag_id, 0.0)

    def record_question(self, dag_id: str) -> None:
        """Record a query that is sent now."""
        self._asked[dag_id] = self.now()

    def record_answer(self, dag_id: str, *, clear: bool) -> None:
        """Record the answer; `clear` is False if it left the state of a run open."""
        self._unclear[dag_id] = 0 if clear else self._unclear[dag_id] + 1

    def make_due(self, dag_id: str) -> None:
        """Make the DAG due at once: there was no time to use the whole answer."""
        self._asked.pop(dag_id, None)

    def _ask_at(self, waiting: Iterable[Watch]) -> dict[str, float]:
        youngest: dict[str, float] = {}
        for watch in waiting:
            youngest[watch.dag_id] = max(youngest.get(watch.dag_id, 0.0), watch.waiting_since)
        return {dag_id: self._after(dag_id, since) for dag_id, since in youngest.items()}

    def _after(self, dag_id: str, since: float) -> float:
        asked, longest = self.asked_at(dag_id), LONGEST_INTERVAL_SECONDS
        if unclear := self._unclear[dag_id]:
            longest = growing_pause(unclear + 1, FIRST_INTERVAL_SECONDS, longest)
        return next_question(asked, since, longest)
