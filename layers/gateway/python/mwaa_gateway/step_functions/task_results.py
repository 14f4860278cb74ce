"""What a state gets as the result of its task, and what Airflow must answer for that.

    the request is dead ─────────────────────────────▶ DagRunRejected
    it is held, or the DAG is paused or stale ───────▶ DagRunNotRunnable, if the state chose `when_not_runnable: fail`
    started, but not in the list ──looked up──gone───▶ DagRunDeleted
    failed ──its failed tasks────────────────────────▶ DagRunFailed
    success ──its return value, if requested─────────▶ the state's output

While Airflow does not answer what is needed, there is no result: the round reports why, and the next round asks again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from mwaa_gateway.airflow.port import AirflowRuns
from mwaa_gateway.airflow.run_states import NotAvailable, ReturnValue, RunEnd, RunState, RunsUnknown
from mwaa_gateway.outcomes import NotRunnable, Reason
from mwaa_gateway.step_functions.round_report import Reporting, RoundReport
from mwaa_gateway.step_functions.watches import Failed, RequestState, Succeeded, TaskResult, Watch

RETURN_VALUE_SECONDS: Final = 600.0  # how long the watcher asks for a return value, round after round
LARGEST_RETURN_VALUE_BYTES: Final = 200_000  # of the 262,144 that Step Functions accepts as output
NAMED_FAILED_TASKS: Final = 50  # a cause is limited to 32,768 characters


@dataclass(slots=True, kw_only=True)
class TaskResults:
    """Builds one environment's task results; `now` returns seconds since the epoch."""

    airflow: AirflowRuns
    now: Callable[[], float]
    _fetching_since: dict[str, float] = field(default_factory=dict)  # by token mark: the first failed fetch

    def begin(self, watches: Sequence[Watch]) -> None:
        """Start a round: forget the watches that are gone."""
        marks = {watch.token_mark for watch in watches}
        self._fetching_since = {mark: since for mark, since in self._fetching_since.items() if mark in marks}

    def missing_run_result(self, watch: Watch) -> Reporting[TaskResult | None]:
        """Look up a run that the ledger calls started and the list does not contain: clocks differ, or it was deleted."""
        yield RoundReport(questions=1)
        there = self.airflow.run_exists(watch.dag_id, watch.run_id)
        if isinstance(there, RunsUnknown):
            yield RoundReport(unclear=(there.text,))
            return None
        if there:
            return None
        text = "the run was started and is no longer in Airflow: somebody deleted it"
        return Failed("DagRunDeleted", _about(watch) | {"reason": text})

    def ended_run_result(self, watch: Watch, state: RunState, end: RunEnd) -> Reporting[TaskResult | None]:
        """Return the result of an ended run; None while Airflow does not answer what is needed."""
        about = _about(watch) | state.document()
        match end:
            case RunEnd.SUCCESS:
                if watch.wait.return_value_of is not None:
                    returned = yield from self._fetch_return_value(watch, watch.wait.return_value_of)
                    return None if returned is None else Succeeded(about | returned)
                return Succeeded(about)
            case RunEnd.FAILED:
                yield RoundReport(questions=1)
                failed = self.airflow.failed_tasks(watch.dag_id, watch.run_id)
                if isinstance(failed, RunsUnknown):
                    yield RoundReport(unclear=(failed.text,))
                    return None
                return Failed("DagRunFailed", about | {"failed_tasks": list(failed[:NAMED_FAILED_TASKS])})
            case _:
                assert_never(end)

    def _fetch_return_value(self, watch: Watch, task_id: str) -> Reporting[dict[str, Any] | None]:
        """Return the part of the output with the task's return value; None if the next round must ask again."""
        yield RoundReport(questions=1)
        value = self.airflow.return_value(watch.dag_id, watch.run_id, task_id)
        match value:
            case ReturnValue():
                return _return_value(value.value)
            case NotAvailable(text):
                return {"return_value_missing": text}
            case RunsUnknown(text):
                since = self._fetching_since.setdefault(watch.token_mark, self.now())
                if self.now() - since >= RETURN_VALUE_SECONDS:
                    return {
                        "return_value_missing": f"no answer for {RETURN_VALUE_SECONDS / 60:.0f} minutes: {text}"
                    }
                yield RoundReport(unclear=(text,))
                return None
            case _:
                assert_never(value)


# Reasons to be dead that concern the DAG, not this run of it.
_OF_THE_DAG: Final = frozenset({Reason.DAG_BROKEN, Reason.DAG_MISSING, Reason.DAG_PAUSED})


def result_without_run(watch: Watch, state: RequestState) -> TaskResult | None:
    """Return the result of a run that will not be executed, or None if it still may be."""
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
        return {"return_value_missing": "it contains NaN or Infinity, which is not JSON"}
    if size > LARGEST_RETURN_VALUE_BYTES:
        text = f"its JSON has {size} bytes and the limit is {LARGEST_RETURN_VALUE_BYTES}: write it to S3 and return the URI"
        return {"return_value_missing": text}
    return {"return_value": value}


def _about(watch: Watch) -> dict[str, Any]:
    return {"environment": watch.environment, "dag_id": watch.dag_id, "run_id": watch.run_id}
