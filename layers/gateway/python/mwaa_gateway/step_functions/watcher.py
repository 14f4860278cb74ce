"""The watcher's round: query Airflow once per DAG for all of its watched runs, and answer the states whose run ended.

    watches of this environment ──▶ ending recorded, state not answered ───────────▶ answer, close
                                    not in Airflow yet ──ledger──▶ dead, held ─────▶ record ending, answer, close
                                    in Airflow ──one query per DAG──▶ ended ───────▶ record ending, answer, close
                                                                 └──▶ running ─────▶ heartbeat, when it is due
                                    execution over ──its run must end with it──────▶ see `aborts`

One round runs at a time (the watch queue has one message group), so that watching takes one slot of the web server. A long
round pauses, between two commands or two answers, to send the heartbeats that became due.
What a sandbox remembers of earlier rounds only saves queries; a new sandbox asks again.

A failure for one watch or one DAG does not stop the others: see `failures`. A round fails as a whole only if the watches
cannot be listed.

`poll_schedule` decides when to query a DAG, `results` what a state gets, `heartbeats` which heartbeats are due.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.airflow.port import AirflowRuns
from mwaa_gateway.airflow.run_states import RunEnd, RunState, RunsUnknown
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.aborts import AbortedExecutions
from mwaa_gateway.step_functions.failures import GIVEN_UP_SECONDS, Step, WatchFailures, describe
from mwaa_gateway.step_functions.heartbeats import Heartbeats
from mwaa_gateway.step_functions.poll_schedule import PollSchedule
from mwaa_gateway.step_functions.results import TaskResults, result_without_run
from mwaa_gateway.step_functions.round import Round
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

__all__ = ["Watcher"]

# Time limits of a round, in seconds from its start: after that it begins no further …
HEARTBEAT_SECONDS: Final = 8.0  # heartbeat, before Airflow is queried
ASKING_SECONDS: Final = 15.0  # query about a DAG: one command may take 70 s
ANSWERING_SECONDS: Final = 75.0  # answer to a state: the function times out after 90 s
RETURN_VALUES_SECONDS: Final = 25.0  # fetch of a return value, which may take 60 s
ENDING_RUNS_SECONDS: Final = 5.0  # how long a round starts to end runs; one of them may take 60 s
_TRIGGERED: Final = RequestState("triggered")


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

    def round(self, *, ended_executions: Sequence[str] = (), ended_runs: Sequence[str] = ()) -> Round:
        """Run one round.

        `ended_executions` are ARNs of executions that are over. `ended_runs` are run_ids that a DAG's callback reported as
        ended: the round asks about them at once, and only Airflow's answer counts.

        Raises:
            Unavailable: the watches cannot be listed; run the round again.
        """
        began, listed = self.now(), self.store.watched(self.environment)
        current = Round(began=began, watches=[watch for watch in listed if isinstance(watch, Watch)])
        unreadable = [watch for watch in listed if isinstance(watch, UnreadableWatch)]
        current.unreadable = self._failures.to_report(unreadable)
        self._failures.begin(current)
        over = self._aborts.watches_of_ended(current, ended_executions)
        awaited = [watch for watch in current.watches if watch not in over]
        current.waiting = {watch.token_mark: watch for watch in awaited if watch.ending is None}
        current.unanswered = {
            watch.token_mark: watch for watch in awaited if isinstance(watch.ending, Succeeded | Failed)
        }
        self._started &= {watch.run_id for watch in current.watches}
        self._failing_dags &= {watch.dag_id for watch in current.waiting.values()}
        self._results.begin(current)
        self._heartbeats.begin(current)
        self._heartbeats.send(current, until=current.began + (0 if self._asks_first else HEARTBEAT_SECONDS))
        stopping = [watch for watch in current.watches if isinstance(watch.ending, ExecutionOver)]
        for watch in over:
            self._heartbeats.interrupt(current)
            stopping += self._aborts.stop(watch, current)
        self._answer_recorded(current)
        self._aborts.end_runs(stopping, current, until=self.now() + ENDING_RUNS_SECONDS)
        self._ask(self._due(current, ended_runs), current)
        current.next_at = self._next_at(current)
        current.failing = self._failures.count() + len(unreadable) + len(self._failing_dags)
        return current

    def _next_at(self, current: Round) -> float:
        """Return when something is due; 0, for at once, if a state still must be answered or a run ended."""
        waiting, unanswered = current.waiting.values(), current.unanswered.values()
        answer_due = any(self._failures.is_due(watch, Step.ANSWER) for watch in unanswered)
        if answer_due or current.watched > len(waiting) + len(unanswered):
            return 0.0
        heartbeat_at = self._heartbeats.next_due([*waiting, *unanswered])
        return min(heartbeat_at, self._schedule.next_due(waiting), self._failures.next_due())

    def _answer_recorded(self, current: Round) -> None:
        """Answer states whose ending an earlier round recorded; those whose last answer failed come last."""
        unanswered = sorted(
            current.unanswered.values(), key=lambda watch: self._failures.again_at(watch, Step.ANSWER) > 0
        )
        for watch in unanswered:
            if (
                isinstance(watch.ending, Succeeded | Failed)
                and self.now() <= current.began + ANSWERING_SECONDS
            ):
                self._heartbeats.interrupt(current)
                self._answer_state(watch, watch.ending, current)

    def _due(self, current: Round, ended_runs: Sequence[str]) -> set[str]:
        """Return the DAGs to ask about in this round."""
        waiting = current.waiting.values()
        return self._schedule.due(waiting) | {watch.dag_id for watch in waiting if watch.run_id in ended_runs}

    def _ask(self, due: set[str], current: Round) -> None:
        """Look into the ledger, then query Airflow once for each DAG with a started run, while there is time."""
        by_dag: defaultdict[str, list[Watch]] = defaultdict(list)
        for watch in self._in_airflow(
            [one for one in current.waiting.values() if one.dag_id in due], current
        ):
            by_dag[watch.dag_id].append(watch)
        for dag_id in due - by_dag.keys():
            self._schedule.record_question(dag_id)  # the ledger answered: none of its runs is in Airflow yet
        self._asks_first = bool(by_dag) and self.now() > current.began + ASKING_SECONDS
        for dag_id in sorted(by_dag, key=self._schedule.asked_at):
            self._heartbeats.interrupt(current)
            if self.now() > current.began + ASKING_SECONDS:
                break  # the others are due in the next round, and come first
            self._ask_airflow(dag_id, by_dag[dag_id], current)

    def _in_airflow(self, due: Sequence[Watch], current: Round) -> list[Watch]:
        """Return the watches whose run is in Airflow according to the ledger; end those whose run never will be."""
        ready = [watch for watch in due if self._failures.is_due(watch, Step.LOOK_UP)]
        unseen = [watch for watch in ready if watch.run_id not in self._started]
        states = self.store.requests(unseen) if unseen else {}
        in_airflow = []
        for watch in ready:
            state = _TRIGGERED if watch.run_id in self._started else states.get(watch.ledger_key)
            with self._failures.isolate(watch, Step.LOOK_UP, current):
                if self._is_in_airflow(watch, state, current):
                    in_airflow.append(watch)
        return in_airflow

    def _is_in_airflow(self, watch: Watch, state: RequestState | None, current: Round) -> bool:
        """Return whether the run was started; end the wait if it never will be."""
        if state is None:
            return False  # the request has no row yet
        if state.state == "unreadable":
            raise Unavailable(state.text)
        if (ending := result_without_run(watch, state)) is not None:
            self._end(watch, ending, current)
            return False
        return state.state == "triggered"

    def _ask_airflow(self, dag_id: str, group: Sequence[Watch], current: Round) -> None:
        self._schedule.record_question(dag_id)
        current.questions += 1
        states = self._states(dag_id, group, current)
        if isinstance(states, RunsUnknown):
            current.unclear.append(states.text)
            self._schedule.record_answer(dag_id, clear=False)
            return
        unclear = len(current.unclear)
        self._answer_ended(dag_id, group, states, current)
        self._schedule.record_answer(dag_id, clear=len(current.unclear) == unclear)

    def _states(
        self, dag_id: str, group: Sequence[Watch], current: Round
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Query one DAG's runs; a bug in that counts as no answer, and does not stop the other DAGs."""
        try:
            states = self.airflow.states(
                dag_id, [watch.run_id for watch in group], min(watch.since for watch in group)
            )
        except Exception as error:  # noqa: BLE001  the boundary, as for one watch
            self._failing_dags.add(dag_id)
            current.bugs.append(f"DAG {dag_id}: {describe(error)}")
            return RunsUnknown(current.bugs[-1])
        self._failing_dags.discard(dag_id)
        return states

    def _answer_ended(
        self, dag_id: str, group: Sequence[Watch], states: Mapping[str, RunState], current: Round
    ) -> None:
        for watch in group:
            fetches = watch.wait.return_value_of is not None
            if self.now() > current.began + (RETURN_VALUES_SECONDS if fetches else ANSWERING_SECONDS):
                self._schedule.make_due(dag_id)  # the next round answers the rest
                continue
            if not self._failures.is_due(watch, Step.RECORD):
                continue
            self._heartbeats.interrupt(current)
            with self._failures.isolate(watch, Step.RECORD, current):
                if (ending := self._ending(watch, states.get(watch.run_id), current)) is not None:
                    self._end(watch, ending, current)

    def _ending(self, watch: Watch, state: RunState | None, current: Round) -> TaskResult | None:
        """Return the task's result, if the run ended and the result is known."""
        match state:
            case None:
                return self._results.missing_run_result(watch, current)
            case RunState(end=RunEnd() as end):
                return self._results.ended_run_result(watch, state, end, current)
            case RunState(started=True):
                self._started.add(watch.run_id)
        return None

    def _end(self, watch: Watch, ending: TaskResult, current: Round) -> None:
        recorded = self.store.record_ending(watch, ending)
        current.waiting.pop(watch.token_mark, None)
        if recorded:
            current.unanswered[watch.token_mark] = watch
            self._answer_state(watch, ending, current)

    def _answer_state(self, watch: Watch, ending: TaskResult, current: Round) -> None:
        """Send the recorded result, unless that failed a moment ago; give up after a day of failures."""
        if not self._failures.is_due(watch, Step.ANSWER):
            return
        with self._failures.isolate(watch, Step.ANSWER, current):
            self._send_answer(watch, ending, current)
            return
        since = max(watch.decided_at or self._failures.since(watch, Step.ANSWER), watch.waiting_since)
        if self.now() - since >= GIVEN_UP_SECONDS:
            with self._failures.isolate(watch, Step.ANSWER, current):
                text = current.failures[-1].text
                self.store.close(watch, f"given up, the state could not be answered: {text}")
                current.remove_waiting(watch)
                current.given_up.append((watch, text))

    def _send_answer(self, watch: Watch, ending: TaskResult, current: Round) -> None:
        """Send the result; a token that is refused was answered before, or its state no longer waits."""
        try:
            self.callbacks.send(self.store.token(watch), ending)
        except TokenClosed as closed:
            self.store.close(watch, f"answer refused: {closed}")
            current.remove_waiting(watch)
            current.abandoned.append(watch)
            return
        self.store.close(watch, "answered")
        current.remove_waiting(watch)
        current.answered.append((watch, ending))
