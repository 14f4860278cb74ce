"""Questions to Airflow: when each DAG is to be asked about again, for all of its watched runs at once.

An eighth of the age of its youngest wait after the question before: five seconds at first, a minute at the longest. After an
answer that told too little sooner, as a run may have ended, and then ever more seldom, as Airflow may be away.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.step_functions.watches import Watch

__all__ = ["PollSchedule"]

FIRST_INTERVAL_SECONDS: Final = 5.0
LONGEST_INTERVAL_SECONDS: Final = 60.0
AGE_PER_INTERVAL: Final = 8
GRACE_SECONDS: Final = 0.5  # rounds come every few seconds: a little early is better than a whole round late


@dataclass(slots=True)
class PollSchedule:
    """What a sandbox knows of the questions it asked; `now` gives seconds since the epoch."""

    now: Callable[[], float]
    _asked: dict[str, float] = field(default_factory=dict)  # by DAG
    _unclear: Counter[str] = field(default_factory=Counter)  # answers in a row that told too little, by DAG

    def due(self, waiting: Iterable[Watch]) -> set[str]:
        """Return the DAGs of these watches that are to be asked about now."""
        now = self.now()
        return {dag_id for dag_id, at in self._ask_at(waiting).items() if now >= at - GRACE_SECONDS}

    def next_due(self, waiting: Iterable[Watch]) -> float:
        """Return when the next of them will be, in seconds since the epoch; infinity where nobody waits."""
        return min(self._ask_at(waiting).values(), default=float("inf"))

    def asked_at(self, dag_id: str) -> float:
        """Return when the DAG was last asked about."""
        return self._asked.get(dag_id, 0.0)

    def asked(self, dag_id: str) -> None:
        """It is asked about now."""
        self._asked[dag_id] = self.now()

    def answered(self, dag_id: str, *, clear: bool) -> None:
        """Airflow answered, or did not."""
        self._unclear[dag_id] = 0 if clear else self._unclear[dag_id] + 1

    def again(self, dag_id: str) -> None:
        """There was no time for the whole answer: it is due at once."""
        self._asked.pop(dag_id, None)

    def _ask_at(self, waiting: Iterable[Watch]) -> dict[str, float]:
        youngest: dict[str, float] = {}
        for watch in waiting:
            youngest[watch.dag_id] = max(youngest.get(watch.dag_id, 0.0), watch.waiting_since)
        return {dag_id: self._after(dag_id, since) for dag_id, since in youngest.items()}

    def _after(self, dag_id: str, since: float) -> float:
        asked, longest = self.asked_at(dag_id), LONGEST_INTERVAL_SECONDS
        if unclear := self._unclear[dag_id]:
            longest = min(longest, FIRST_INTERVAL_SECONDS * 2 ** min(unclear, 4))
        # So that the interval is that part of the age when it ends.
        interval = (asked - since) / (AGE_PER_INTERVAL - 1)
        return asked + min(longest, max(FIRST_INTERVAL_SECONDS, interval))
