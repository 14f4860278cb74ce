"""Executions that are over, and runs that end with their execution (`on_abort: fail_run`).

    execution over, `on_abort: leave` ────────────────────────▶ closed
    execution over ──recorded──▶ run not in Airflow yet ───────▶ looked up again
                                 run in Airflow ──running──────▶ marked failed ──▶ closed
                                           └──ended, or gone───▶ left as it is ──▶ closed
                                           └──no clear answer──▶ retried
                                 request dead, or not possible ▶ closed, and reported

The record outlives the sandbox, and the watcher looks at a run before it marks it. So an ended run never changes, and a run
that somebody cleared after it was marked is not marked again, unless the sandbox dies between marking and closing.
A failure for one execution does not stop the others: see `failures`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from mwaa_gateway.airflow.port import AirflowRuns
from mwaa_gateway.airflow.run_states import (
    NotAvailable,
    RunMarkedFailed,
    RunNotThere,
    RunState,
    RunsUnknown,
)
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.failures import Step, WatchFailures
from mwaa_gateway.step_functions.round import Round, Stopped
from mwaa_gateway.step_functions.watches import ExecutionOver, RequestState, Watch, WatchStore

__all__ = ["EVENT_SECONDS", "AbortedExecutions"]

EVENT_SECONDS: Final = 300.0  # how long to wait for the event that an execution with `fail_run` is over
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0
AGE_PER_PAUSE: Final = 8  # as in `poll_schedule`: a pause is an eighth of the time since the first try
TRIED_SECONDS: Final = 86_400.0  # then the watcher reports that it could not end the run
OVER: Final = "its execution is over"


@dataclass(slots=True, kw_only=True)
class AbortedExecutions:
    """One environment's executions that are over, and the runs to end; `now` returns seconds since the epoch."""

    store: WatchStore
    airflow: AirflowRuns
    failures: WatchFailures
    now: Callable[[], float]
    _ended_at: dict[str, float] = field(default_factory=dict)  # by execution: when its event arrived
    _tried_at: dict[str, float] = field(default_factory=dict)  # by token mark, in this sandbox

    def watches_of_ended(self, current: Round, ended_executions: Sequence[str]) -> list[Watch]:
        """Note the ended executions, and return the watches of ended executions that have no record of it yet."""
        self._ended_at |= dict.fromkeys(ended_executions, current.began)
        awaited = [watch for watch in current.watches if not isinstance(watch.ending, ExecutionOver)]
        return [
            watch
            for watch in awaited
            if watch.execution_arn in ended_executions or self._ended_since_waiting(watch)
        ]

    def stop(self, watch: Watch, current: Round) -> list[Watch]:
        """Close the watch, or record that its run must end and return the watch: ending a run takes several rounds."""
        if self.failures.is_due(watch, Step.STOP):
            with self.failures.isolate(watch, Step.STOP, current):
                return self._stop(watch, current)
        current.unrecorded_ends.add(watch.execution_arn)
        return []

    def _stop(self, watch: Watch, current: Round) -> list[Watch]:
        if watch.wait.on_abort != "fail_run" or watch.ending is not None:
            self.store.close(watch, OVER)
            current.stopped.append(Stopped(watch))
            return []
        over = ExecutionOver(self.now())
        return [replace(watch, ending=over)] if self.store.record_ending(watch, over) else []

    def end_runs(self, watches: Sequence[Watch], current: Round, *, until: float) -> None:
        """Try the runs that are due, the longest untried first; start none after `until`."""
        self._ended_at = {
            arn: ended_at
            for arn, ended_at in self._ended_at.items()
            if current.began - ended_at < EVENT_SECONDS or arn in current.unrecorded_ends
        }
        marks = {watch.token_mark for watch in watches}
        self._tried_at = {mark: tried for mark, tried in self._tried_at.items() if mark in marks}
        due = [watch for watch in watches if self._is_due(watch)]
        states = self.store.requests(due) if due else {}
        for watch in sorted(due, key=lambda watch: self._tried_at.get(watch.token_mark, 0.0)):
            if self.now() > until:
                break
            self._tried_at[watch.token_mark] = self.now()
            with self.failures.isolate(watch, Step.END_RUN, current):
                self._try(watch, states.get(watch.ledger_key), current)

    def _ended_since_waiting(self, watch: Watch) -> bool:
        """Whether its execution ended after it began to wait: the index may show a watch later than the event arrives."""
        return watch.waiting_since < self._ended_at.get(watch.execution_arn, float("-inf"))

    def _is_due(self, watch: Watch) -> bool:
        pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, self._age(watch) / AGE_PER_PAUSE))
        return self.now() - self._tried_at.get(watch.token_mark, float("-inf")) >= pause - 0.5

    def _age(self, watch: Watch) -> float:
        return self.now() - watch.ending.since if isinstance(watch.ending, ExecutionOver) else 0.0

    def _try(self, watch: Watch, request: RequestState | None, current: Round) -> None:
        if request is None or request.state in ("open", "held"):
            self._retry_later(
                watch, "the run was not in Airflow within a day, and starts once that is possible", current
            )
            return
        if request.state == "unreadable":
            if self._age(watch) <= TRIED_SECONDS:
                raise Unavailable(request.text)
            self._retry_later(watch, request.text, current)
            return
        if request.state != "triggered":
            self._close(Stopped(watch), f"its request is {request.state}: there is no run", current)
            return
        current.questions += 1
        match self.airflow.fail_run(watch.dag_id, watch.run_id):
            case RunMarkedFailed():
                self._close(Stopped(watch, marked=True), "the run was marked failed", current)
            case RunState(end=end):
                self._close(Stopped(watch), f"the run had ended: {end}", current)
            case RunNotThere():
                self._close(Stopped(watch), "the run is not in Airflow any more", current)
            case NotAvailable(text):
                self._close(Stopped(watch, not_marked=text), f"the run may still be running: {text}", current)
            case RunsUnknown(text):
                current.unclear.append(text)
                self._retry_later(watch, text, current)
            case never:
                assert_never(never)

    def _retry_later(self, watch: Watch, text: str, current: Round) -> None:
        """Leave the run to a later round, or close the watch after a day of tries."""
        if self._age(watch) > TRIED_SECONDS:
            self._close(Stopped(watch, not_marked=text), f"the run may still be running: {text}", current)

    def _close(self, stopped: Stopped, note: str, current: Round) -> None:
        self.store.close(stopped.watch, f"{OVER}; {note}")
        current.stopped.append(stopped)
