"""Follows an event to its DAG runs: first in the ledger, then in Airflow."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from local_stack.airflow_runs import AirflowRuns
from local_stack.ledger import LedgerRow, rows_about
from local_stack.state import StackState

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class SentEvent:
    """A sent event: its name, a text that only its identity contains, and when it was sent."""

    name: str
    marker: str
    sent_at: float


@dataclass(frozen=True, slots=True)
class Followed:
    """The progress of a trigger request. Milliseconds count from the sending; None: not yet."""

    event: SentEvent
    rule_id: str = ""
    environment: str = ""
    dag_id: str = ""
    run_id: str = ""
    state: str = "not dispatched"
    reason: str = ""
    dispatched_ms: int | None = None
    accepted_ms: int | None = None
    success_ms: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether Airflow says so."""
        return self.state == "success"

    @property
    def is_over(self) -> bool:
        """Whether the outcome is final."""
        return self.state in {"success", "failed", "dead"}


def follow(state: StackState, events: Iterable[SentEvent], *, seconds: float) -> list[Followed]:
    """Wait until every event's runs have ended, up to a time limit; return what is known then, in their order."""
    airflows = {name: AirflowRuns(environment) for name, environment in state.environments.items()}
    waiting = list(events)
    deadline = time.monotonic() + seconds
    while True:
        known = [each for event in waiting for each in _look(state, airflows, event)]
        if all(each.is_over for each in known) or time.monotonic() > deadline:
            return known
        time.sleep(_POLL_SECONDS)


def _look(state: StackState, airflows: Mapping[str, AirflowRuns], event: SentEvent) -> list[Followed]:
    rows = rows_about(state.aws, state.ledger_table, event.marker)
    return [_followed(event, row, airflows[row.environment]) for row in rows] or [Followed(event)]


def _followed(event: SentEvent, row: LedgerRow, airflow: AirflowRuns) -> Followed:
    run = airflow.get(row.dag_id, row.run_id) if row.state == "triggered" else None
    return Followed(
        event=event,
        rule_id=row.rule_id,
        environment=row.environment,
        dag_id=row.dag_id,
        run_id=row.run_id,
        state=run.state if run else row.state,
        reason=row.reason,
        dispatched_ms=_since(event, row.first_attempt_at),
        accepted_ms=_since(event, row.finished_at if row.state == "triggered" else None),
        success_ms=_since(event, run.ended_at if run and run.state == "success" else None),
    )


def _since(event: SentEvent, moment: float | None) -> int | None:
    return None if moment is None else round((moment - event.sent_at) * 1000)
