"""The watcher's round: ask once for each DAG about all of its watched runs, and tell those who wait.

    watches of this environment ──▶ decided before, not told ──────────────────────▶ tell, close
                                    not in Airflow yet ──ledger──▶ dead, held ─────▶ decide, tell, close
                                    in Airflow ──one question a DAG──▶ ended ──────▶ decide, tell, close
                                                                  └──▶ goes on ────▶ heartbeat, when it is due
                                    execution over ──its run is to end with it─────▶ see `run_stops`

One round at a time (the watch queue has one message group), so that watching takes one slot of the web server. A round
that takes long is interrupted, between two commands or two endings, for the heartbeats that have become due.
What a sandbox knows of earlier rounds only saves questions; a new one asks anew.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, assert_never

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.heartbeats import Heartbeats
from mwaa_gateway.outcomes import NotRunnable
from mwaa_gateway.questions import Questions
from mwaa_gateway.run_states import NotToBeHad, ReturnValue, RunEnd, RunState, RunsUnknown
from mwaa_gateway.run_stops import OVER, RunEnder, RunStops, Stopped
from mwaa_gateway.task_call import Token
from mwaa_gateway.watches import (
    ExecutionOver,
    Failed,
    RequestState,
    Succeeded,
    TokenClosed,
    Told,
    Watch,
    WatchStore,
)

__all__ = ["Airflow", "Callbacks", "Round", "Watcher"]

HEARING_SECONDS: Final = 8.0  # of a round, after which no further heartbeat is sent before Airflow is asked
BREAK_EVERY_SECONDS: Final = 5.0  # of asking and telling: then what has become due of heartbeats,
BREAK_SECONDS: Final = 2.0  # for so long
ASKING_SECONDS: Final = (
    15.0  # of a round, after which no further DAG is asked about: one command may take 70 s
)
TELLING_SECONDS: Final = 75.0  # after which nobody further is told: the function has 90 s
STOPPING_SECONDS: Final = 5.0  # for runs that are to end with their execution, of which one may take 60 s
FETCHING_SECONDS: Final = (
    25.0  # of a round, after which no further return value is asked for: that may take 60 s too
)
RETURN_VALUE_SECONDS: Final = 600.0  # for which a return value is asked for, round after round
EVENT_SECONDS: Final = (
    300.0  # for which the event of an execution's end is waited for, where a run is to end with it
)
LARGEST_RETURN_VALUE_BYTES: Final = 200_000  # of the 262,144 that Step Functions takes as output
NAMED_FAILED_TASKS: Final = 50  # a cause has 32,768 characters


class Airflow(RunEnder, Protocol):
    """What the watcher asks one environment's Airflow. Never raises for what Airflow or MWAA do."""

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that is there, with one question; none of them is older than `since`."""
        ...

    def is_there(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look one run up by its run_id."""
        ...

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        ...

    def return_value(self, dag_id: str, run_id: str, task_id: str) -> ReturnValue | NotToBeHad | RunsUnknown:
        """Return what the task returned."""
        ...


class Callbacks(Protocol):
    """Step Functions' side. Every call raises TokenClosed or Unavailable."""

    def send(self, token: Token, ending: Told) -> None:
        """Tell how it ended."""
        ...

    def heartbeat(self, token: Token) -> None:
        """Tell that it goes on."""
        ...


@dataclass(slots=True)
class Round:
    """What one round came to.

    `found` says how many watches there were, `watched` how many are left: with none, no further round is needed.
    `next_at` is when the next question or heartbeat is due, in seconds since the epoch; 0 where somebody is left to be told,
    or a run to be ended.
    """

    told: list[tuple[Watch, Told]] = field(default_factory=list)
    abandoned: list[Watch] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    heartbeats: int = 0
    questions: int = 0  # to Airflow: commands or calls, but for further pages
    found: int = 0
    watched: int = 0
    next_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Watcher:
    """One environment's watcher and everything it works with; `now` gives seconds since the epoch."""

    environment: str
    store: WatchStore
    airflow: Airflow
    callbacks: Callbacks
    now: Callable[[], float]
    _questions: Questions = field(init=False)
    _started: set[str] = field(default_factory=set)
    _heartbeats: Heartbeats = field(init=False)
    _stops: RunStops = field(init=False)
    _waiting: dict[str, Watch] = field(default_factory=dict)  # in this round, by token mark
    # By token mark, since when heartbeats are refused, and return values asked for in vain.
    _refused: dict[str, float] = field(default_factory=dict)
    _fetching: dict[str, float] = field(default_factory=dict)
    _over: dict[str, float] = field(default_factory=dict)  # when it was heard of an execution that it is over
    _break_at: float = 0.0
    _asks_first: bool = False  # the round before had no time left to ask

    def __post_init__(self) -> None:
        self._questions = Questions(self.now)
        self._heartbeats = Heartbeats(self.now)
        self._stops = RunStops(store=self.store, airflow=self.airflow, now=self.now)

    def round(self, *, ended_executions: Sequence[str] = (), ended_runs: Sequence[str] = ()) -> Round:
        """Make one round.

        `ended_executions` are ARNs of executions that are over, whoever waited there; `ended_runs` are run_ids of runs that
        say they have ended: those are asked about at once, and believed only when Airflow says so too.

        Raises:
            Unavailable: the watches cannot be read or written; the round is to be made again.
        """
        began = self.now()
        watches = self.store.watched(self.environment)
        report = Round(found=len(watches))
        self._over |= dict.fromkeys(ended_executions, began)
        stopping = [watch for watch in watches if isinstance(watch.ending, ExecutionOver)]
        awaited = [watch for watch in watches if not isinstance(watch.ending, ExecutionOver)]
        over = [
            watch for watch in awaited if watch.execution_arn in ended_executions or self._was_over(watch)
        ]
        awaited = [watch for watch in awaited if watch not in over]
        self._waiting = {watch.token_mark: watch for watch in awaited if watch.ending is None}
        self._heartbeats.watch_over(self._waiting.values())
        self._send_heartbeats(report, until=began + (0 if self._asks_first else HEARING_SECONDS))
        for watch in over:
            self._break(report)
            stopping += self._stop(watch, report)
        for watch in awaited:
            if isinstance(watch.ending, Succeeded | Failed) and self.now() <= began + TELLING_SECONDS:
                self._break(report)
                self._tell(watch, watch.ending, report)
        self._end_runs(stopping, report)
        due = self._questions.due(self._waiting.values())
        due |= {watch.dag_id for watch in self._waiting.values() if watch.run_id in ended_runs}
        by_dag: defaultdict[str, list[Watch]] = defaultdict(list)
        for watch in self._in_airflow([one for one in self._waiting.values() if one.dag_id in due], report):
            by_dag[watch.dag_id].append(watch)
        for dag_id in due - by_dag.keys():
            self._questions.asked(dag_id)  # the ledger was: none of its runs is in Airflow yet
        self._asks_first = bool(by_dag) and self.now() > began + ASKING_SECONDS
        for dag_id in sorted(by_dag, key=self._questions.asked_at):
            self._break(report)
            if self.now() > began + ASKING_SECONDS:
                break  # the others are due in the next round, and come first there
            self._ask(dag_id, by_dag[dag_id], report, began=began)
        report.watched = report.found - len(report.told) - len(report.abandoned) - len(report.stopped)
        self._forget(watches, began)
        if report.watched == len(self._waiting):  # else there is somebody left to tell, or a run to end
            waiting = self._waiting.values()
            report.next_at = min(self._heartbeats.next_due(waiting), self._questions.next_due(waiting))
        return report

    def _in_airflow(self, due: Sequence[Watch], report: Round) -> list[Watch]:
        """Return the watches whose run is in Airflow, as far as the ledger knows; end those whose run will not be."""
        unseen = [watch for watch in due if watch.run_id not in self._started]
        states = self.store.requests(unseen) if unseen else {}
        in_airflow = []
        for watch in due:
            state = _TRIGGERED if watch.run_id in self._started else states.get(watch.ledger_key)
            if state is None:
                continue
            if (ending := _never_runs(watch, state)) is not None:
                self._end(watch, ending, report)
            elif state.state == "triggered":
                in_airflow.append(watch)
        return in_airflow

    def _ask(self, dag_id: str, group: Sequence[Watch], report: Round, *, began: float) -> None:
        self._questions.asked(dag_id)
        report.questions += 1
        states = self.airflow.states(
            dag_id, [watch.run_id for watch in group], min(watch.since for watch in group)
        )
        if isinstance(states, RunsUnknown):
            report.unclear.append(states.text)
            self._questions.answered(dag_id, clear=False)
            return
        unclear = len(report.unclear)
        self._tell_ends(dag_id, group, states, report, began=began)
        self._questions.answered(dag_id, clear=len(report.unclear) == unclear)

    def _tell_ends(
        self,
        dag_id: str,
        group: Sequence[Watch],
        states: Mapping[str, RunState],
        report: Round,
        *,
        began: float,
    ) -> None:
        for watch in group:
            fetches = watch.wait.return_value_of is not None
            if self.now() > began + (FETCHING_SECONDS if fetches else TELLING_SECONDS):
                self._questions.again(dag_id)  # the rest is told in the next round
                continue
            self._break(report)
            match states.get(watch.run_id):
                case None:
                    self._missing(watch, report)
                case RunState(end=None, started=started):
                    if started:
                        self._started.add(watch.run_id)
                case RunState(end=RunEnd() as end) as state:
                    if (ending := self._ending(watch, state, end, report)) is not None:
                        self._end(watch, ending, report)

    def _missing(self, watch: Watch, report: Round) -> None:
        """The ledger says that it was started, and the list does not have it: clocks apart, or deleted. Look it up."""
        report.questions += 1
        there = self.airflow.is_there(watch.dag_id, watch.run_id)
        if isinstance(there, RunsUnknown):
            report.unclear.append(there.text)
        elif not there:
            text = "the run was started, and is not in Airflow any more: somebody deleted it"
            self._end(watch, Failed("DagRunDeleted", _about(watch) | {"reason": text}), report)

    def _ending(self, watch: Watch, state: RunState, end: RunEnd, report: Round) -> Told | None:
        """Return what to tell of a run that ended; None while Airflow does not say what is needed for that."""
        about = _about(watch) | state.document()
        match end:
            case RunEnd.SUCCESS:
                if watch.wait.return_value_of is not None:
                    returned = self._returned(watch, watch.wait.return_value_of, report)
                    return None if returned is None else Succeeded(about | returned)
                return Succeeded(about)
            case RunEnd.FAILED:
                report.questions += 1
                failed = self.airflow.failed_tasks(watch.dag_id, watch.run_id)
                if isinstance(failed, RunsUnknown):
                    report.unclear.append(failed.text)
                    return None
                return Failed("DagRunFailed", about | {"failed_tasks": list(failed[:NAMED_FAILED_TASKS])})
            case _:
                assert_never(end)

    def _returned(self, watch: Watch, task_id: str, report: Round) -> dict[str, Any] | None:
        """Return the part of the output that says what the task returned; None while it is worth asking again."""
        report.questions += 1
        value = self.airflow.return_value(watch.dag_id, watch.run_id, task_id)
        match value:
            case ReturnValue():
                return _return_value(value.value)
            case NotToBeHad(text):
                return {"return_value_missing": text}
            case RunsUnknown(text):
                since = self._fetching.setdefault(watch.token_mark, self.now())
                if self.now() - since >= RETURN_VALUE_SECONDS:
                    return {
                        "return_value_missing": f"asked for {RETURN_VALUE_SECONDS / 60:.0f} minutes: {text}"
                    }
                report.unclear.append(text)
                return None
            case _:
                assert_never(value)

    def _end(self, watch: Watch, ending: Told, report: Round) -> None:
        self._waiting.pop(watch.token_mark, None)
        if self.store.decide(watch, ending):
            self._tell(watch, ending, report)

    def _tell(self, watch: Watch, ending: Told, report: Round) -> None:
        """Tell what is decided. A token that takes no answer had it already, or nobody waits there any more."""
        try:
            self.callbacks.send(self.store.token(watch), ending)
        except TokenClosed as closed:
            self.store.close(watch, f"not taken: {closed}")
            report.abandoned.append(watch)
            return
        self.store.close(watch, "told")
        report.told.append((watch, ending))

    def _was_over(self, watch: Watch) -> bool:
        """Tell whether its execution was over since it waits: an index may show the watch later than the event came."""
        return watch.waiting_since < self._over.get(watch.execution_arn, float("-inf"))

    def _stop(self, watch: Watch, report: Round) -> list[Watch]:
        """Stop watching, or keep that the run is to end, and return the watch: it has ended, or not all at once."""
        over = ExecutionOver(self.now())
        if watch.wait.on_abort != "fail_run" or watch.ending is not None:
            self.store.close(watch, OVER)
            report.stopped.append(Stopped(watch))
            return []
        return [replace(watch, ending=over)] if self.store.decide(watch, over) else []

    def _end_runs(self, stopping: Sequence[Watch], report: Round) -> None:
        made = self._stops.go_on(stopping, until=self.now() + STOPPING_SECONDS)
        report.stopped += made.stopped
        report.unclear += made.unclear
        report.questions += made.questions

    def _break(self, report: Round) -> None:
        """Interrupt a long round for the heartbeats that have become due in it."""
        if self.now() >= self._break_at:
            self._send_heartbeats(report, until=self.now() + BREAK_SECONDS)

    def _send_heartbeats(self, report: Round, *, until: float) -> None:
        """Send those that are due, as long as there is time; a new sandbox may owe one to everybody."""
        for watch in self._heartbeats.due(self._waiting.values()):
            if self.now() >= until:
                break  # the others are more urgent the next time
            self._send_heartbeat(watch, report)
        self._break_at = self.now() + BREAK_EVERY_SECONDS

    def _send_heartbeat(self, watch: Watch, report: Round) -> None:
        """Send one; where nobody waits for the run any more, the watch ends."""
        try:
            self.callbacks.heartbeat(self.store.token(watch))
        except TokenClosed as closed:
            self._waiting.pop(watch.token_mark)
            refused = self._refused.setdefault(watch.token_mark, self.now())
            # Of a run that is to end with its execution it has to be known whether that is over, or the state alone.
            if watch.wait.on_abort != "fail_run" or self.now() - refused >= EVENT_SECONDS:
                self.store.close(watch, f"nobody waits any more: {closed}")
                report.abandoned.append(watch)
        except Unavailable as error:
            report.unclear.append(str(error))
        else:
            self._heartbeats.sent(watch)
            report.heartbeats += 1

    def _forget(self, watches: Sequence[Watch], began: float) -> None:
        self._over = {arn: heard for arn, heard in self._over.items() if began - heard < EVENT_SECONDS}
        self._started &= {watch.run_id for watch in watches}
        marks = {watch.token_mark for watch in watches}
        for known in (self._refused, self._fetching):
            for mark in known.keys() - marks:
                del known[mark]


_TRIGGERED: Final = RequestState("triggered")


def _never_runs(watch: Watch, state: RequestState) -> Told | None:
    """Return how a wait ends whose run will not be executed, or None: it may still be."""
    text = NotRunnable(state.not_runnable).text if state.not_runnable else state.text
    about = _about(watch) | {"reason": state.reason or state.not_runnable, "text": text}
    if state.state == "dead":
        return Failed("DagRunRejected", about)
    if watch.wait.when_not_runnable == "fail" and (state.state == "held" or state.not_runnable):
        return Failed("DagRunNotRunnable", about)
    return None


def _return_value(value: Any) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False))
    except ValueError:
        return {"return_value_missing": "it holds NaN or Infinity, which is no JSON"}
    if size > LARGEST_RETURN_VALUE_BYTES:
        text = f"it has {size} bytes of JSON, and Step Functions takes {LARGEST_RETURN_VALUE_BYTES}: pass its place in S3"
        return {"return_value_missing": text}
    return {"return_value": value}


def _about(watch: Watch) -> dict[str, Any]:
    return {"environment": watch.environment, "dag_id": watch.dag_id, "run_id": watch.run_id}
