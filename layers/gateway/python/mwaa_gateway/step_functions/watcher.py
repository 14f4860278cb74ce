"""The watcher's round: ask once for each DAG about all of its watched runs, and tell those who wait.

    watches of this environment ──▶ decided before, not told ──────────────────────▶ tell, close
                                    not in Airflow yet ──ledger──▶ dead, held ─────▶ decide, tell, close
                                    in Airflow ──one question a DAG──▶ ended ──────▶ decide, tell, close
                                                                  └──▶ goes on ────▶ heartbeat, when it is due
                                    execution over ──its run is to end with it─────▶ see `run_stops`

One round at a time (the watch queue has one message group), so that watching takes one slot of the web server. A round
that takes long is interrupted, between two commands or two endings, for the heartbeats that have become due.
What a sandbox knows of earlier rounds only saves questions; a new one asks anew.

A failure of one watch, or of one DAG, stops no other: see `watch_failures`. A round fails as a whole only if the watches
cannot be listed.

When a DAG is asked about is `questions`; what is told of a run that ended, `endings`; who is owed a heartbeat, `heartbeats`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from mwaa_gateway.airflow.run_states import RunEnd, RunState, RunsUnknown
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.aborts import AbortedExecutions, RunEnder
from mwaa_gateway.step_functions.failures import GIVEN_UP_SECONDS, Step, WatchFailures, described
from mwaa_gateway.step_functions.heartbeats import Heartbeats
from mwaa_gateway.step_functions.poll_schedule import PollSchedule
from mwaa_gateway.step_functions.results import RunDetails, TaskResults, never_runs
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

__all__ = ["Airflow", "Watcher"]

HEARING_SECONDS: Final = 8.0  # of a round, after which no further heartbeat is sent before Airflow is asked
ASKING_SECONDS: Final = (
    15.0  # of a round, after which no further DAG is asked about: one command may take 70 s
)
TELLING_SECONDS: Final = 75.0  # after which nobody further is told: the function has 90 s
STOPPING_SECONDS: Final = 5.0  # for runs that are to end with their execution, of which one may take 60 s
FETCHING_SECONDS: Final = (
    25.0  # of a round, after which no further return value is asked for: that may take 60 s too
)
_TRIGGERED: Final = RequestState("triggered")


class Airflow(RunDetails, RunEnder, Protocol):
    """What the watcher asks one environment's Airflow. Never raises for what Airflow or MWAA do."""

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that is there, with one question; none of them is older than `since`."""
        ...


@dataclass(slots=True, kw_only=True)
class Watcher:
    """One environment's watcher and everything it works with; `now` gives seconds since the epoch."""

    environment: str
    store: WatchStore
    airflow: Airflow
    callbacks: Callbacks
    now: Callable[[], float]
    _failures: WatchFailures = field(init=False)
    _heartbeats: Heartbeats = field(init=False)
    _stops: AbortedExecutions = field(init=False)
    _questions: PollSchedule = field(init=False)
    _endings: TaskResults = field(init=False)
    _started: set[str] = field(
        default_factory=set
    )  # runs that have begun: the ledger need not be asked of them
    _mistaken: set[str] = field(default_factory=set)  # DAGs whose last question failed by a mistake of ours
    _asks_first: bool = False  # the round before had no time left to ask

    def __post_init__(self) -> None:
        self._failures = WatchFailures(self.now)
        self._heartbeats = Heartbeats(
            store=self.store, callbacks=self.callbacks, failures=self._failures, now=self.now
        )
        self._stops = AbortedExecutions(
            store=self.store, airflow=self.airflow, failures=self._failures, now=self.now
        )
        self._questions = PollSchedule(self.now)
        self._endings = TaskResults(airflow=self.airflow, now=self.now)

    def round(self, *, ended_executions: Sequence[str] = (), ended_runs: Sequence[str] = ()) -> Round:
        """Make one round.

        `ended_executions` are ARNs of executions that are over, whoever waited there; `ended_runs` are run_ids of runs that
        say they have ended: those are asked about at once, and believed only when Airflow says so too.

        Raises:
            Unavailable: the watches cannot be listed; make the round again.
        """
        began, listed = self.now(), self.store.watched(self.environment)
        made = Round(began=began, watches=[watch for watch in listed if isinstance(watch, Watch)])
        unreadable = [watch for watch in listed if isinstance(watch, UnreadableWatch)]
        made.unreadable = self._failures.to_report(unreadable)
        self._failures.begin(made)
        over = self._stops.over(made, ended_executions)
        awaited = [watch for watch in made.watches if watch not in over]
        made.waiting = {watch.token_mark: watch for watch in awaited if watch.ending is None}
        made.untold = {
            watch.token_mark: watch for watch in awaited if isinstance(watch.ending, Succeeded | Failed)
        }
        self._started &= {watch.run_id for watch in made.watches}
        self._mistaken &= {watch.dag_id for watch in made.waiting.values()}
        self._endings.begin(made)
        self._heartbeats.begin(made)
        self._heartbeats.send(made, until=made.began + (0 if self._asks_first else HEARING_SECONDS))
        stopping = [watch for watch in made.watches if isinstance(watch.ending, ExecutionOver)]
        for watch in over:
            self._heartbeats.interrupt(made)
            stopping += self._stops.stop(watch, made)
        self._tell_decided(made)
        self._stops.go_on(stopping, made, until=self.now() + STOPPING_SECONDS)
        self._ask(self._due(made, ended_runs), made)
        made.next_at = self._next_at(made)
        made.unanswered = self._failures.count() + len(unreadable) + len(self._mistaken)
        return made

    def _next_at(self, made: Round) -> float:
        """Return when there is something to do; 0, which is at once, where somebody is left to tell, or a run to end."""
        waiting, untold = made.waiting.values(), made.untold.values()
        told_at_once = any(self._failures.is_due(watch, Step.ANSWER) for watch in untold)
        if told_at_once or made.watched > len(waiting) + len(untold):
            return 0.0
        heartbeat_at = self._heartbeats.next_due([*waiting, *untold])
        return min(heartbeat_at, self._questions.next_due(waiting), self._failures.next_due())

    def _tell_decided(self, made: Round) -> None:
        """Tell those whose watcher died in between, or had no time left; last those that could not be answered before."""
        untold = sorted(
            made.untold.values(), key=lambda watch: self._failures.again_at(watch, Step.ANSWER) > 0
        )
        for watch in untold:
            if isinstance(watch.ending, Succeeded | Failed) and self.now() <= made.began + TELLING_SECONDS:
                self._heartbeats.interrupt(made)
                self._tell(watch, watch.ending, made)

    def _due(self, made: Round, ended_runs: Sequence[str]) -> set[str]:
        """Return the DAGs that are to be asked about in this round."""
        waiting = made.waiting.values()
        return self._questions.due(waiting) | {
            watch.dag_id for watch in waiting if watch.run_id in ended_runs
        }

    def _ask(self, due: set[str], made: Round) -> None:
        """Ask the ledger, and about what is in Airflow by that one question for each DAG, as long as there is time."""
        by_dag: defaultdict[str, list[Watch]] = defaultdict(list)
        for watch in self._in_airflow([one for one in made.waiting.values() if one.dag_id in due], made):
            by_dag[watch.dag_id].append(watch)
        for dag_id in due - by_dag.keys():
            self._questions.asked(dag_id)  # the ledger was: none of its runs is in Airflow yet
        self._asks_first = bool(by_dag) and self.now() > made.began + ASKING_SECONDS
        for dag_id in sorted(by_dag, key=self._questions.asked_at):
            self._heartbeats.interrupt(made)
            if self.now() > made.began + ASKING_SECONDS:
                break  # the others are due in the next round, and come first there
            self._ask_airflow(dag_id, by_dag[dag_id], made)

    def _in_airflow(self, due: Sequence[Watch], made: Round) -> list[Watch]:
        """Return the watches whose run is in Airflow, as far as the ledger knows; end those whose run will not be."""
        ready = [watch for watch in due if self._failures.is_due(watch, Step.LOOK_UP)]
        unseen = [watch for watch in ready if watch.run_id not in self._started]
        states = self.store.requests(unseen) if unseen else {}
        in_airflow = []
        for watch in ready:
            state = _TRIGGERED if watch.run_id in self._started else states.get(watch.ledger_key)
            with self._failures.apart(watch, Step.LOOK_UP, made):
                if self._is_in_airflow(watch, state, made):
                    in_airflow.append(watch)
        return in_airflow

    def _is_in_airflow(self, watch: Watch, state: RequestState | None, made: Round) -> bool:
        """Say whether the run was started; end the wait of one that never will be."""
        if state is None:
            return False  # the request has no row yet
        if state.state == "unreadable":
            raise Unavailable(state.text)
        if (ending := never_runs(watch, state)) is not None:
            self._end(watch, ending, made)
            return False
        return state.state == "triggered"

    def _ask_airflow(self, dag_id: str, group: Sequence[Watch], made: Round) -> None:
        self._questions.asked(dag_id)
        made.questions += 1
        states = self._states(dag_id, group, made)
        if isinstance(states, RunsUnknown):
            made.unclear.append(states.text)
            self._questions.answered(dag_id, clear=False)
            return
        unclear = len(made.unclear)
        self._tell_ends(dag_id, group, states, made)
        self._questions.answered(dag_id, clear=len(made.unclear) == unclear)

    def _states(
        self, dag_id: str, group: Sequence[Watch], made: Round
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Ask about one DAG's runs; a mistake of ours in that is no answer, and costs the other DAGs none."""
        try:
            states = self.airflow.states(
                dag_id, [watch.run_id for watch in group], min(watch.since for watch in group)
            )
        except Exception as error:  # noqa: BLE001  as of one watch: one DAG stops no other
            self._mistaken.add(dag_id)
            made.mistakes.append(f"DAG {dag_id}: {described(error)}")
            return RunsUnknown(made.mistakes[-1])
        self._mistaken.discard(dag_id)
        return states

    def _tell_ends(
        self, dag_id: str, group: Sequence[Watch], states: Mapping[str, RunState], made: Round
    ) -> None:
        for watch in group:
            fetches = watch.wait.return_value_of is not None
            if self.now() > made.began + (FETCHING_SECONDS if fetches else TELLING_SECONDS):
                self._questions.again(dag_id)  # the rest is told in the next round
                continue
            if not self._failures.is_due(watch, Step.RECORD):
                continue
            self._heartbeats.interrupt(made)
            with self._failures.apart(watch, Step.RECORD, made):
                if (ending := self._ending(watch, states.get(watch.run_id), made)) is not None:
                    self._end(watch, ending, made)

    def _ending(self, watch: Watch, state: RunState | None, made: Round) -> TaskResult | None:
        """Return how the run ended, if it did and that is known."""
        match state:
            case None:
                return self._endings.of_a_missing_run(watch, made)
            case RunState(end=RunEnd() as end):
                return self._endings.of_an_ended_run(watch, state, end, made)
            case RunState(started=True):
                self._started.add(watch.run_id)
        return None

    def _end(self, watch: Watch, ending: TaskResult, made: Round) -> None:
        recorded = self.store.decide(watch, ending)
        made.waiting.pop(watch.token_mark, None)
        if recorded:
            made.untold[watch.token_mark] = watch
            self._tell(watch, ending, made)

    def _tell(self, watch: Watch, ending: TaskResult, made: Round) -> None:
        """Tell what is recorded, if that has not failed a moment ago; give it up after it has failed for a day."""
        if not self._failures.is_due(watch, Step.ANSWER):
            return
        with self._failures.apart(watch, Step.ANSWER, made):
            self._answer(watch, ending, made)
            return
        since = max(watch.decided_at or self._failures.since(watch, Step.ANSWER), watch.waiting_since)
        if self.now() - since >= GIVEN_UP_SECONDS:
            with self._failures.apart(watch, Step.ANSWER, made):
                text = made.failures[-1].text
                self.store.close(watch, f"given up, the state could not be answered: {text}")
                made.waits_no_more(watch)
                made.given_up.append((watch, text))

    def _answer(self, watch: Watch, ending: TaskResult, made: Round) -> None:
        """Answer the state. A token that takes no answer had it already, or nobody waits there any more."""
        try:
            self.callbacks.send(self.store.token(watch), ending)
        except TokenClosed as closed:
            self.store.close(watch, f"not taken: {closed}")
            made.waits_no_more(watch)
            made.abandoned.append(watch)
            return
        self.store.close(watch, "told")
        made.waits_no_more(watch)
        made.told.append((watch, ending))
