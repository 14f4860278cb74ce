"""Executions that are over, and runs that end with theirs: `on_abort: fail_run`.

    execution over, its run may go on ────────────────────────▶ closed
    execution over ──kept──▶ not in Airflow yet ──────────────▶ looked at again
                             in Airflow ──it goes on───────────▶ marked failed ──▶ closed
                                       └──it is over, or gone──▶ left as it is ──▶ closed
                                       └──no clear answer──────▶ tried again
                             dead, or it cannot be done ───────▶ closed, and told

What is kept outlives the watcher, and a run is looked at before it is marked. So one that is over is never changed, and one
that was marked is not marked again after somebody has set it going anew, but for a watcher that dies between the two.
What fails for one of them stops no other: see `watch_failures`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, assert_never

from mwaa_gateway.airflow.run_states import (
    Marking,
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

__all__ = ["EVENT_SECONDS", "AbortedExecutions", "RunEnder"]

EVENT_SECONDS: Final = (
    300.0  # for which the event of an execution's end is waited for, where a run is to end with it
)
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0
AGE_PER_PAUSE: Final = 8  # as of questions: an eighth of the time it has been tried for
TRIED_SECONDS: Final = 86_400.0  # then it is told that the run could not be ended
OVER: Final = "its execution is over"


class RunEnder(Protocol):
    """What ends a run in one environment's Airflow. Never raises for what Airflow or MWAA do."""

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it goes on; one that is over is left as it is."""
        ...


@dataclass(slots=True, kw_only=True)
class AbortedExecutions:
    """One environment's executions that are over, and the runs that are to end; `now` gives seconds since the epoch."""

    store: WatchStore
    airflow: RunEnder
    failures: WatchFailures
    now: Callable[[], float]
    _over: dict[str, float] = field(default_factory=dict)  # by execution: when it was heard that it is over
    _tried: dict[str, float] = field(default_factory=dict)  # by token mark, of this sandbox

    def over(self, made: Round, ended_executions: Sequence[str]) -> list[Watch]:
        """Return the round's watches whose execution is over, but for those of which that is kept already."""
        self._over |= dict.fromkeys(ended_executions, made.began)
        awaited = [watch for watch in made.watches if not isinstance(watch.ending, ExecutionOver)]
        return [
            watch for watch in awaited if watch.execution_arn in ended_executions or self._was_over(watch)
        ]

    def stop(self, watch: Watch, made: Round) -> list[Watch]:
        """Stop watching, or record that the run is to end, and return the watch: that takes more than one round."""
        if self.failures.is_due(watch, Step.STOP):
            with self.failures.apart(watch, Step.STOP, made):
                return self._stop(watch, made)
        made.unstopped.add(watch.execution_arn)
        return []

    def _stop(self, watch: Watch, made: Round) -> list[Watch]:
        if watch.wait.on_abort != "fail_run" or watch.ending is not None:
            self.store.close(watch, OVER)
            made.stopped.append(Stopped(watch))
            return []
        over = ExecutionOver(self.now())
        return [replace(watch, ending=over)] if self.store.decide(watch, over) else []

    def go_on(self, watches: Sequence[Watch], made: Round, *, until: float) -> None:
        """Try those that are due, the longest untried first, and begin none after `until`."""
        self._over = {
            arn: heard
            for arn, heard in self._over.items()
            if made.began - heard < EVENT_SECONDS or arn in made.unstopped
        }
        marks = {watch.token_mark for watch in watches}
        self._tried = {mark: tried for mark, tried in self._tried.items() if mark in marks}
        due = [watch for watch in watches if self._is_due(watch)]
        states = self.store.requests(due) if due else {}
        for watch in sorted(due, key=lambda watch: self._tried.get(watch.token_mark, 0.0)):
            if self.now() > until:
                break
            self._tried[watch.token_mark] = self.now()
            with self.failures.apart(watch, Step.END_RUN, made):
                self._try(watch, states.get(watch.ledger_key), made)

    def _was_over(self, watch: Watch) -> bool:
        """Tell whether its execution was over since it waits: an index may show the watch later than the event came."""
        return watch.waiting_since < self._over.get(watch.execution_arn, float("-inf"))

    def _is_due(self, watch: Watch) -> bool:
        pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, self._age(watch) / AGE_PER_PAUSE))
        return self.now() - self._tried.get(watch.token_mark, float("-inf")) >= pause - 0.5

    def _age(self, watch: Watch) -> float:
        return self.now() - watch.ending.since if isinstance(watch.ending, ExecutionOver) else 0.0

    def _try(self, watch: Watch, request: RequestState | None, made: Round) -> None:
        if request is None or request.state in ("open", "held"):
            self._later(
                watch, "it was not in Airflow within a day, and is started when that is possible", made
            )
            return
        if request.state == "unreadable":
            if self._age(watch) <= TRIED_SECONDS:
                raise Unavailable(request.text)
            self._later(watch, request.text, made)
            return
        if request.state != "triggered":
            self._close(Stopped(watch), f"its request is {request.state}: there is no run", made)
            return
        made.questions += 1
        match self.airflow.fail_run(watch.dag_id, watch.run_id):
            case RunMarkedFailed():
                self._close(Stopped(watch, marked=True), "the run was marked failed", made)
            case RunState(end=end):
                self._close(Stopped(watch), f"the run had ended: {end}", made)
            case RunNotThere():
                self._close(Stopped(watch), "the run is not in Airflow any more", made)
            case NotAvailable(text):
                self._close(Stopped(watch, goes_on=text), f"the run goes on: {text}", made)
            case RunsUnknown(text):
                made.unclear.append(text)
                self._later(watch, text, made)
            case never:
                assert_never(never)

    def _later(self, watch: Watch, text: str, made: Round) -> None:
        """Leave it to a later round, unless it was tried for long enough."""
        if self._age(watch) > TRIED_SECONDS:
            self._close(Stopped(watch, goes_on=text), f"the run goes on: {text}", made)

    def _close(self, stopped: Stopped, said: str, made: Round) -> None:
        self.store.close(stopped.watch, f"{OVER}; {said}")
        made.stopped.append(stopped)
