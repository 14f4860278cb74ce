"""Executions that are over, and runs that end with their execution (`on_abort: fail_run`).

    execution over, `on_abort: leave` ────────────────────────▶ closed
    execution over ──recorded──▶ run not in Airflow yet ───────▶ looked up again
                                 run in Airflow ──running──────▶ marked failed ──▶ closed
                                           └──ended, or gone───▶ left as it is ──▶ closed
                                           └──no clear answer──▶ retried
                                 request dead, or not possible ▶ closed, and reported

The record outlives the sandbox, and the watcher looks at a run before it marks it. So an ended run never changes, and a run
that somebody cleared after it was marked is not marked again, unless the sandbox dies between marking and closing.
A failure for one execution does not stop the others: see `failed_steps`.
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
from mwaa_gateway.step_functions.failed_steps import Step, WatchFailures
from mwaa_gateway.step_functions.poll_schedule import next_question
from mwaa_gateway.step_functions.round_report import (
    GRACE_SECONDS,
    FailedStep,
    Reporting,
    RoundReport,
    Stopped,
)
from mwaa_gateway.step_functions.watches import ExecutionOver, RequestState, Watch, WatchStore

EVENT_SECONDS: Final = 300.0  # how long to wait for the event that an execution with `fail_run` is over
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

    def begin(self, watches: Sequence[Watch], ended_executions: Sequence[str]) -> None:
        """Start a round of these watches: note the executions that have ended, and forget what is over."""
        now = self.now()
        awaited = {watch.execution_arn for watch in watches if not isinstance(watch.ending, ExecutionOver)}
        self._ended_at = {
            arn: ended_at
            for arn, ended_at in self._ended_at.items()
            if now - ended_at < EVENT_SECONDS or arn in awaited
        } | dict.fromkeys(ended_executions, now)
        marks = {watch.token_mark for watch in watches}
        self._tried_at = {mark: tried for mark, tried in self._tried_at.items() if mark in marks}

    def over(self, watches: Sequence[Watch], ended_executions: Sequence[str]) -> list[Watch]:
        """Return the watches whose execution has ended and that have no record of it yet."""
        return [
            watch
            for watch in watches
            if not isinstance(watch.ending, ExecutionOver)
            and (watch.execution_arn in ended_executions or self._ended_since_waiting(watch))
        ]

    def stop(self, watch: Watch) -> Reporting[Watch | None]:
        """Close the watch, or record that its run must end and return the watch: ending a run takes several rounds."""
        if self.failures.is_due(watch, Step.STOP):
            stopped = yield from self.failures.isolate(watch, Step.STOP, self._stop(watch))
            if not isinstance(stopped, FailedStep):
                return stopped
        yield RoundReport(unrecorded_ends=(watch.execution_arn,))
        return None

    def _stop(self, watch: Watch) -> Reporting[Watch | None]:
        if watch.wait.on_abort != "fail_run" or watch.ending is not None:
            self.store.close(watch, OVER)
            yield RoundReport(stopped=(Stopped(watch),))
            return None
        over = ExecutionOver(self.now())
        return replace(watch, ending=over) if self.store.record_ending(watch, over) else None

    def end_runs(self, watches: Sequence[Watch], *, until: float) -> Reporting[None]:
        """Try the runs that are due, the longest untried first; start none after `until`."""
        due = [watch for watch in watches if self._is_due(watch)]
        states = self.store.requests(due) if due else {}
        for watch in sorted(due, key=lambda watch: self._tried_at.get(watch.token_mark, 0.0)):
            if self.now() > until:
                break
            self._tried_at[watch.token_mark] = self.now()
            work = self._end_run(watch, states.get(watch.ledger_key))
            yield from self.failures.isolate(watch, Step.END_RUN, work)

    def _ended_since_waiting(self, watch: Watch) -> bool:
        """Whether its execution ended after it began to wait: the index may show a watch later than the event arrives."""
        return watch.waiting_since < self._ended_at.get(watch.execution_arn, float("-inf"))

    def _is_due(self, watch: Watch) -> bool:
        tried_at = self._tried_at.get(watch.token_mark)
        return (
            tried_at is None or self.now() >= next_question(tried_at, self._over_since(watch)) - GRACE_SECONDS
        )

    def _over_since(self, watch: Watch) -> float:
        return watch.ending.since if isinstance(watch.ending, ExecutionOver) else self.now()

    def _end_run(self, watch: Watch, request: RequestState | None) -> Reporting[None]:
        if request is None or request.state in ("open", "held"):
            text = "the run was not in Airflow within a day, and starts once that is possible"
            yield from self._give_up_after_a_day(watch, text)
        elif request.state == "unreadable":
            if self.now() - self._over_since(watch) <= TRIED_SECONDS:
                raise Unavailable(request.text)
            yield from self._give_up_after_a_day(watch, request.text)
        elif request.state != "triggered":
            yield self._close(Stopped(watch), f"its request is {request.state}: there is no run")
        else:
            yield from self._mark_failed(watch)

    def _mark_failed(self, watch: Watch) -> Reporting[None]:
        yield RoundReport(questions=1)
        match self.airflow.fail_run(watch.dag_id, watch.run_id):
            case RunMarkedFailed():
                yield self._close(Stopped(watch, marked=True), "the run was marked failed")
            case RunState(end=end):
                yield self._close(Stopped(watch), f"the run had ended: {end}")
            case RunNotThere():
                yield self._close(Stopped(watch), "the run is not in Airflow any more")
            case NotAvailable(text):
                yield self._close(Stopped(watch, not_marked=text), f"the run may still be running: {text}")
            case RunsUnknown(text):
                yield RoundReport(unclear=(text,))
                yield from self._give_up_after_a_day(watch, text)
            case never:
                assert_never(never)

    def _give_up_after_a_day(self, watch: Watch, text: str) -> Reporting[None]:
        """Close the watch after a day of tries; until then a later round tries again."""
        if self.now() - self._over_since(watch) > TRIED_SECONDS:
            yield self._close(Stopped(watch, not_marked=text), f"the run may still be running: {text}")

    def _close(self, stopped: Stopped, note: str) -> RoundReport:
        self.store.close(stopped.watch, f"{OVER}; {note}")
        return RoundReport(stopped=(stopped,))
