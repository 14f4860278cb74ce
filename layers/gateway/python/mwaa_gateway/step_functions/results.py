"""Endings: what a state is told of its run, and what Airflow has to be asked for that.

    the request is dead ─────────────────────────────▶ DagRunRejected
    it is held, or the DAG is paused or stale ───────▶ DagRunNotRunnable, where the state chose not to wait then
    started, and not in the list ──looked up──gone───▶ DagRunDeleted
    failed ──its failed tasks────────────────────────▶ DagRunFailed
    success ──its return value, where one is wanted──▶ the state's output

There is none yet while Airflow does not say what is needed: the round keeps why, and the next one asks again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, assert_never

from mwaa_gateway.airflow.run_states import NotAvailable, ReturnValue, RunEnd, RunState, RunsUnknown
from mwaa_gateway.outcomes import NotRunnable, Reason
from mwaa_gateway.step_functions.round import Round
from mwaa_gateway.step_functions.watches import Failed, RequestState, Succeeded, TaskResult, Watch

__all__ = ["RunDetails", "TaskResults", "never_runs"]

RETURN_VALUE_SECONDS: Final = 600.0  # for which a return value is asked for, round after round
LARGEST_RETURN_VALUE_BYTES: Final = 200_000  # of the 262,144 that Step Functions takes as output
NAMED_FAILED_TASKS: Final = 50  # a cause has 32,768 characters


class RunDetails(Protocol):
    """What one environment's Airflow is asked about a single run. Never raises for what Airflow or MWAA do."""

    def is_there(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look one run up by its run_id."""
        ...

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        ...

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return what the task returned."""
        ...


@dataclass(slots=True, kw_only=True)
class TaskResults:
    """One environment's endings; `now` gives seconds since the epoch."""

    airflow: RunDetails
    now: Callable[[], float]
    _fetching: dict[str, float] = field(default_factory=dict)  # by token mark: since when, in vain so far

    def begin(self, made: Round) -> None:
        """Forget whoever is not watched any more."""
        marks = {watch.token_mark for watch in made.watches}
        self._fetching = {mark: since for mark, since in self._fetching.items() if mark in marks}

    def of_a_missing_run(self, watch: Watch, made: Round) -> TaskResult | None:
        """The ledger says that it was started, and the list does not have it: clocks apart, or deleted. Look it up."""
        made.questions += 1
        there = self.airflow.is_there(watch.dag_id, watch.run_id)
        if isinstance(there, RunsUnknown):
            made.unclear.append(there.text)
            return None
        if there:
            return None
        text = "the run was started, and is not in Airflow any more: somebody deleted it"
        return Failed("DagRunDeleted", _about(watch) | {"reason": text})

    def of_an_ended_run(self, watch: Watch, state: RunState, end: RunEnd, made: Round) -> TaskResult | None:
        """Return what to tell of a run that ended; None while Airflow does not say what is needed for that."""
        about = _about(watch) | state.document()
        match end:
            case RunEnd.SUCCESS:
                if watch.wait.return_value_of is not None:
                    returned = self._returned(watch, watch.wait.return_value_of, made)
                    return None if returned is None else Succeeded(about | returned)
                return Succeeded(about)
            case RunEnd.FAILED:
                made.questions += 1
                failed = self.airflow.failed_tasks(watch.dag_id, watch.run_id)
                if isinstance(failed, RunsUnknown):
                    made.unclear.append(failed.text)
                    return None
                return Failed("DagRunFailed", about | {"failed_tasks": list(failed[:NAMED_FAILED_TASKS])})
            case _:
                assert_never(end)

    def _returned(self, watch: Watch, task_id: str, made: Round) -> dict[str, Any] | None:
        """Return the part of the output that says what the task returned; None while it is worth asking again."""
        made.questions += 1
        value = self.airflow.return_value(watch.dag_id, watch.run_id, task_id)
        match value:
            case ReturnValue():
                return _return_value(value.value)
            case NotAvailable(text):
                return {"return_value_missing": text}
            case RunsUnknown(text):
                since = self._fetching.setdefault(watch.token_mark, self.now())
                if self.now() - since >= RETURN_VALUE_SECONDS:
                    return {
                        "return_value_missing": f"asked for {RETURN_VALUE_SECONDS / 60:.0f} minutes: {text}"
                    }
                made.unclear.append(text)
                return None
            case _:
                assert_never(value)


# What concerns the DAG, and not this run of it, of the reasons to be dead.
_OF_THE_DAG: Final = frozenset({Reason.DAG_BROKEN, Reason.DAG_MISSING, Reason.DAG_PAUSED})


def never_runs(watch: Watch, state: RequestState) -> TaskResult | None:
    """Return how a wait ends whose run will not be executed, or None: it may still be."""
    text = NotRunnable(state.not_runnable).text if state.not_runnable else state.text
    about = _about(watch) | {"reason": state.reason or state.not_runnable, "text": text}
    if watch.wait.when_not_runnable == "fail" and (
        state.state == "held" or state.not_runnable or (state.state == "dead" and state.reason in _OF_THE_DAG)
    ):
        return Failed("DagRunNotRunnable", about)
    return Failed("DagRunRejected", about) if state.state == "dead" else None


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
