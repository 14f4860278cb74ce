"""The watcher's round: query Airflow once per DAG for all of its watched runs, and answer the states whose run ended.

    watches of this environment ──▶ ending recorded, state not answered ───────────▶ answer, close
                                    not in Airflow yet ──ledger──▶ dead, held ─────▶ record ending, answer, close
                                    in Airflow ──one query per DAG──▶ ended ───────▶ record ending, answer, close
                                                                 └──▶ running ─────▶ heartbeat, when it is due
                                    execution over ──its run must end with it──────▶ see `aborts`

One round runs at a time (the watch queue has one message group), so that watching takes one slot of the web server. A long
round pauses, between two commands or two answers, to send the heartbeats that became due.
What a sandbox remembers of earlier rounds only saves queries; a new sandbox asks again.

A failure for one watch or one DAG does not stop the others: see `failed_steps`. A round fails as a whole only if the watches
cannot be listed.

A step is a generator: it yields what it did, as a part of the round's report, and returns what it found. `round` runs the
steps and adds the parts up.

`poll_schedule` decides when to query a DAG, `task_results` what a state gets, `heartbeats` which heartbeats are due.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mwaa_gateway.airflow.port import AirflowRuns
from mwaa_gateway.airflow.run_states import RunEnd, RunState, RunsUnknown
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.aborts import AbortedExecutions
from mwaa_gateway.step_functions.failed_steps import GIVEN_UP_SECONDS, Step, WatchFailures, describe
from mwaa_gateway.step_functions.heartbeats import Heartbeats
from mwaa_gateway.step_functions.poll_schedule import PollSchedule
from mwaa_gateway.step_functions.round_report import FailedStep, Reporting, RoundReport
from mwaa_gateway.step_functions.task_results import TaskResults, result_without_run
from mwaa_gateway.step_functions.watches import (
    Callbacks,
    ExecutionOver,
    Failed,
    RequestState,
    Succeeded,
    TaskResult,
    TokenClosed,
    UnreadableWatch,
    Watch,
    WatchStore,
)
from mwaa_gateway.values import value

# Time limits of a round, in seconds from its start: after that it begins no further …
HEARTBEAT_SECONDS: Final = 8.0  # heartbeat, before Airflow is queried
ASKING_SECONDS: Final = 15.0  # query about a DAG: one command may take 70 s
ANSWERING_SECONDS: Final = 75.0  # answer to a state: the function times out after 90 s
RETURN_VALUES_SECONDS: Final = 25.0  # fetch of a return value, which may take 60 s
ENDING_RUNS_SECONDS: Final = 5.0  # how long a round starts to end runs; one of them may take 60 s
_TRIGGERED: Final = RequestState("triggered")


@value
class _Waits:
    """The waits of a round that are not over yet, by token mark; the round `began` then.

    The runs of `waiting` have not ended. The endings of `unanswered` are recorded, and their states have no answer yet.
    """

    began: float
    waiting: dict[str, Watch] = field(default_factory=dict)
    unanswered: dict[str, Watch] = field(default_factory=dict)

    @property
    def all(self) -> list[Watch]:
        return [*self.waiting.values(), *self.unanswered.values()]

    def remove(self, watch: Watch) -> None:
        self.waiting.pop(watch.token_mark, None)
        self.unanswered.pop(watch.token_mark, None)


@dataclass(slots=True, kw_only=True)
class Watcher:
    """One environment's watcher with its collaborators; `now` returns seconds since the epoch."""

    environment: str
    store: WatchStore
    airflow: AirflowRuns
    callbacks: Callbacks
    now: Callable[[], float]
    _failures: WatchFailures = field(init=False)
    _heartbeats: Heartbeats = field(init=False)
    _aborts: AbortedExecutions = field(init=False)
    _schedule: PollSchedule = field(init=False)
    _results: TaskResults = field(init=False)
    _started: set[str] = field(default_factory=set)  # run_ids that need no look into the ledger any more
    _failing_dags: set[str] = field(default_factory=set)  # DAGs whose last query failed by a bug
    _asks_first: bool = False  # the last round had no time left to query Airflow

    def __post_init__(self) -> None:
        self._failures = WatchFailures(self.now)
        self._heartbeats = Heartbeats(
            store=self.store, callbacks=self.callbacks, failures=self._failures, now=self.now
        )
        self._aborts = AbortedExecutions(
            store=self.store, airflow=self.airflow, failures=self._failures, now=self.now
        )
        self._schedule = PollSchedule(self.now)
        self._results = TaskResults(airflow=self.airflow, now=self.now)

    def round(self, *, ended_executions: Sequence[str] = (), ended_runs: Sequence[str] = ()) -> RoundReport:
        """Run one round.

        `ended_executions` are ARNs of executions that are over. `ended_runs` are run_ids that a DAG's callback reported as
        ended: the round asks about them at once, and only Airflow's answer counts.

        Raises:
            Unavailable: the watches cannot be listed; run the round again.
        """
        began, listed = self.now(), self.store.watched(self.environment)
        watches = [watch for watch in listed if isinstance(watch, Watch)]
        unreadable = [watch for watch in listed if isinstance(watch, UnreadableWatch)]
        self._aborts.begin(watches, ended_executions)
        over = self._aborts.over(watches, ended_executions)
        waits = _Waits(began)
        for watch in watches:
            if watch not in over and not isinstance(watch.ending, ExecutionOver):
                ended = watch.ending is not None
                (waits.unanswered if ended else waits.waiting)[watch.token_mark] = watch
        self._started &= {watch.run_id for watch in watches}
        self._failing_dags &= {watch.dag_id for watch in waits.waiting.values()}
        self._failures.begin(watches)
        self._results.begin(watches)
        self._heartbeats.begin(watches, waits.all)
        stopping = [watch for watch in watches if isinstance(watch.ending, ExecutionOver)]
        done = RoundReport.of(self._steps(waits, over, stopping, ended_runs))
        done = replace(done, found=len(watches), unreadable=self._failures.take_unreported(unreadable))
        failing = self._failures.count() + len(unreadable) + len(self._failing_dags)
        return replace(done, failing=failing, next_at=self._next_at(waits, watched=done.watched))

    def _steps(
        self, waits: _Waits, over: Sequence[Watch], stopping: Sequence[Watch], ended_runs: Sequence[str]
    ) -> Reporting[None]:
        """Take the steps of a round; `over` are watches of executions that are over, the runs of `stopping` must end."""
        yield from self._send_heartbeats(
            waits, until=waits.began + (0 if self._asks_first else HEARTBEAT_SECONDS)
        )
        stopped: list[Watch] = []
        for watch in over:
            yield from self._send_heartbeats(waits)
            if (stopping_too := (yield from self._aborts.stop(watch))) is not None:
                stopped.append(stopping_too)
        yield from self._answer_recorded(waits)
        yield from self._aborts.end_runs([*stopping, *stopped], until=self.now() + ENDING_RUNS_SECONDS)
        waiting = waits.waiting.values()
        reported_ended = {watch.dag_id for watch in waiting if watch.run_id in ended_runs}
        yield from self._ask(self._schedule.due(waiting) | reported_ended, waits)

    def _next_at(self, waits: _Waits, *, watched: int) -> float:
        """Return when something is due; 0, for at once, if a state still must be answered or a run ended."""
        waiting, unanswered = waits.waiting.values(), waits.unanswered.values()
        answer_due = any(self._failures.is_due(watch, Step.ANSWER) for watch in unanswered)
        if answer_due or watched > len(waits.all):
            return 0.0
        heartbeat_at = self._heartbeats.next_due(waits.all)
        return min(heartbeat_at, self._schedule.next_due(waiting), self._failures.next_due())

    def _send_heartbeats(self, waits: _Waits, *, until: float | None = None) -> Reporting[None]:
        """Send the heartbeats that are due, without `until` only every few seconds; leave out states that no longer wait."""
        if until is None:
            yield from self._heartbeats.interrupt(waits.all)
        else:
            yield from self._heartbeats.send(waits.all, until=until)
        for watch in waits.all:
            if self._heartbeats.is_refused(watch):
                waits.remove(watch)

    def _answer_recorded(self, waits: _Waits) -> Reporting[None]:
        """Answer states whose ending an earlier round recorded; those whose last answer failed come last."""
        unanswered = sorted(
            waits.unanswered.values(), key=lambda watch: self._failures.again_at(watch, Step.ANSWER) > 0
        )
        for watch in unanswered:
            if isinstance(watch.ending, Succeeded | Failed) and self.now() <= waits.began + ANSWERING_SECONDS:
                yield from self._send_heartbeats(waits)
                yield from self._answer_state(watch, watch.ending, waits)

    def _ask(self, due: set[str], waits: _Waits) -> Reporting[None]:
        """Look into the ledger, then query Airflow once for each DAG with a started run, while there is time."""
        by_dag: defaultdict[str, list[Watch]] = defaultdict(list)
        in_airflow = yield from self._in_airflow(
            [watch for watch in waits.waiting.values() if watch.dag_id in due], waits
        )
        for watch in in_airflow:
            by_dag[watch.dag_id].append(watch)
        for dag_id in due - by_dag.keys():
            self._schedule.record_question(dag_id)  # the ledger answered: none of its runs is in Airflow yet
        self._asks_first = bool(by_dag) and self.now() > waits.began + ASKING_SECONDS
        for dag_id in sorted(by_dag, key=self._schedule.asked_at):
            yield from self._send_heartbeats(waits)
            if self.now() > waits.began + ASKING_SECONDS:
                break  # the others are due in the next round, and come first
            yield from self._ask_airflow(dag_id, by_dag[dag_id], waits)

    def _in_airflow(self, due: Sequence[Watch], waits: _Waits) -> Reporting[list[Watch]]:
        """Return the watches whose run is in Airflow according to the ledger; end those whose run never will be."""
        ready = [watch for watch in due if self._failures.is_due(watch, Step.LOOK_UP)]
        unseen = [watch for watch in ready if watch.run_id not in self._started]
        states = self.store.requests(unseen) if unseen else {}
        in_airflow = []
        for watch in ready:
            state = _TRIGGERED if watch.run_id in self._started else states.get(watch.ledger_key)
            there = yield from self._failures.isolate(watch, Step.LOOK_UP, self._look_up(watch, state, waits))
            if there is True:
                in_airflow.append(watch)
        return in_airflow

    def _look_up(self, watch: Watch, state: RequestState | None, waits: _Waits) -> Reporting[bool]:
        """Return whether the run was started; end the wait if it never will be."""
        if state is None:
            return False  # the request has no row yet
        if state.state == "unreadable":
            raise Unavailable(state.text)
        if (ending := result_without_run(watch, state)) is not None:
            yield from self._end(watch, ending, waits)
            return False
        return state.state == "triggered"

    def _ask_airflow(self, dag_id: str, group: Sequence[Watch], waits: _Waits) -> Reporting[None]:
        """Query one DAG's runs, and answer the states whose run ended."""
        self._schedule.record_question(dag_id)
        states = yield from self._states(dag_id, group)
        if isinstance(states, RunsUnknown):
            yield RoundReport(unclear=(states.text,))
            self._schedule.record_answer(dag_id, clear=False)
            return
        clear = True
        for part in self._answer_ended(dag_id, group, states, waits):
            clear = clear and not part.unclear
            yield part
        self._schedule.record_answer(dag_id, clear=clear)

    def _states(self, dag_id: str, group: Sequence[Watch]) -> Reporting[Mapping[str, RunState] | RunsUnknown]:
        """Query one DAG's runs; a bug in that counts as no answer, and does not stop the other DAGs."""
        yield RoundReport(questions=1)
        try:
            states = self.airflow.states(
                dag_id, [watch.run_id for watch in group], min(watch.since for watch in group)
            )
        except Exception as error:  # noqa: BLE001  the boundary, as for one watch
            self._failing_dags.add(dag_id)
            text = f"DAG {dag_id}: {describe(error)}"
            yield RoundReport(bugs=(text,))
            return RunsUnknown(text)
        self._failing_dags.discard(dag_id)
        return states

    def _answer_ended(
        self, dag_id: str, group: Sequence[Watch], states: Mapping[str, RunState], waits: _Waits
    ) -> Reporting[None]:
        for watch in group:
            fetches = watch.wait.return_value_of is not None
            if self.now() > waits.began + (RETURN_VALUES_SECONDS if fetches else ANSWERING_SECONDS):
                self._schedule.make_due(dag_id)  # the next round answers the rest
                continue
            if not self._failures.is_due(watch, Step.RECORD):
                continue
            yield from self._send_heartbeats(waits)
            work = self._end_if_ended(watch, states.get(watch.run_id), waits)
            yield from self._failures.isolate(watch, Step.RECORD, work)

    def _end_if_ended(self, watch: Watch, state: RunState | None, waits: _Waits) -> Reporting[None]:
        """End the wait, if the run ended and the result is known."""
        ending: TaskResult | None = None
        match state:
            case None:
                ending = yield from self._results.missing_run_result(watch)
            case RunState(end=RunEnd() as end):
                ending = yield from self._results.ended_run_result(watch, state, end)
            case RunState(started=True):
                self._started.add(watch.run_id)
        if ending is not None:
            yield from self._end(watch, ending, waits)

    def _end(self, watch: Watch, ending: TaskResult, waits: _Waits) -> Reporting[None]:
        """Record how the wait ends, and answer the state."""
        recorded = self.store.record_ending(watch, ending)
        waits.waiting.pop(watch.token_mark, None)
        if recorded:
            waits.unanswered[watch.token_mark] = watch
            yield from self._answer_state(watch, ending, waits)

    def _answer_state(self, watch: Watch, ending: TaskResult, waits: _Waits) -> Reporting[None]:
        """Send the recorded result, unless that failed a moment ago; give up after a day of failures."""
        if not self._failures.is_due(watch, Step.ANSWER):
            return
        sent = yield from self._failures.isolate(watch, Step.ANSWER, self._send_answer(watch, ending, waits))
        since = max(watch.decided_at or self._failures.since(watch, Step.ANSWER), watch.waiting_since)
        if isinstance(sent, FailedStep) and self.now() - since >= GIVEN_UP_SECONDS:
            yield from self._failures.isolate(watch, Step.ANSWER, self._give_up(watch, sent.text, waits))

    def _send_answer(self, watch: Watch, ending: TaskResult, waits: _Waits) -> Reporting[None]:
        """Send the result; a token that is refused was answered before, or its state no longer waits."""
        try:
            self.callbacks.send(self.store.token(watch), ending)
        except TokenClosed as closed:
            self.store.close(watch, f"answer refused: {closed}")
            waits.remove(watch)
            yield RoundReport(abandoned=(watch,))
            return
        self.store.close(watch, "answered")
        waits.remove(watch)
        yield RoundReport(answered=((watch, ending),))

    def _give_up(self, watch: Watch, text: str, waits: _Waits) -> Reporting[None]:
        self.store.close(watch, f"given up, the state could not be answered: {text}")
        waits.remove(watch)
        yield RoundReport(given_up=((watch, text),))
