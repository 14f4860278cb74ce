"""Run queries over Airflow's REST API: up to a hundred runs of a DAG in one call.

    states         POST  /dags/~/dagRuns/list                         run_after_gte on Airflow 3, execution_date_gte on 2
    failed tasks   POST  /dags/~/dagRuns/~/taskInstances/list
    one run        GET   /dags/<dag_id>/dagRuns/<run_id>
    fail a run     PATCH /dags/<dag_id>/dagRuns/<run_id>
    return value   GET   /dags/<dag_id>/dagRuns/<run_id>/taskInstances/<task_id>/xcomEntries/return_value

The database selects the runs by date with an index, so a DAG's old runs cost nothing. The last three calls have the run_id
in their path, which is then nearly always too long for InvokeRestApi: see `mwaa_gateway.aws.mwaa.web_session`.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

from mwaa_gateway.airflow.rest import RestAnswer, RestCall, run_path
from mwaa_gateway.airflow.run_states import (
    TASK_ID,
    Marking,
    NotAvailable,
    ReturnValue,
    RunEnd,
    RunMarkedFailed,
    RunNotThere,
    RunState,
    RunsUnknown,
    run_state,
)

RUNS_PER_CALL = 100  # Airflow's own limit of a page


def list_runs_call(dag_id: str, since: float, *, offset: int, run_after: bool) -> RestCall:
    """Return the call that lists a DAG's runs since `since` (seconds since the epoch), from position `offset`.

    `run_after`: use the name that the date has on Airflow 3.
    """
    date = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    body = {
        "dag_ids": [dag_id],
        "run_after_gte" if run_after else "execution_date_gte": date,
        "page_limit": RUNS_PER_CALL,
        "page_offset": offset,
        "order_by": "id",
    }
    return RestCall("POST", "/dags/~/dagRuns/list", body=body)


def read_runs(
    answer: RestAnswer, run_ids: Collection[str]
) -> tuple[Mapping[str, RunState], bool] | RunsUnknown:
    """Return the states of the runs in `run_ids` that the page contains, and whether the page is full."""
    rows = answer.rows("dag_runs")
    if rows is None:
        return RunsUnknown(answer.summary())
    states = {
        run_id: run_state(row.get("state"), row.get("start_date"), row.get("end_date"))
        for row in rows
        if (run_id := str(row.get("dag_run_id"))) in run_ids
    }
    return states, len(rows) == RUNS_PER_CALL


def failed_tasks_call(dag_id: str, run_id: str) -> RestCall:
    """Return the call that lists the failed tasks of a run."""
    body = {
        "dag_ids": [dag_id],
        "dag_run_ids": [run_id],
        "state": ["failed", "upstream_failed"],
        "page_limit": 100,
    }
    return RestCall("POST", "/dags/~/dagRuns/~/taskInstances/list", body=body)


def read_failed_tasks(answer: RestAnswer) -> list[str] | RunsUnknown:
    """Return the failed tasks, those with an error of their own before those with a failed upstream task."""
    rows = answer.rows("task_instances")
    if rows is None:
        return RunsUnknown(answer.summary())
    rows = sorted(rows, key=lambda row: str(row.get("state")))
    return [str(row.get("task_id")) for row in rows]


def return_value_call(dag_id: str, run_id: str, task_id: str, *, as_json: bool) -> RestCall:
    """Return the call that reads the return value of an Airflow task.

    `as_json`: ask for JSON; without, Airflow 2.10 and 2.11 return Python text.

    Raises:
        ValueError: an id cannot be part of a path.
    """
    if not TASK_ID.fullmatch(task_id):
        raise ValueError(f"task_id {task_id!r} cannot be sent: it must match {TASK_ID.pattern}")
    path = f"{run_path(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}/xcomEntries/return_value"
    return RestCall("GET", path, query={"stringify": "false"} if as_json else None)


def read_return_value(answer: RestAnswer) -> ReturnValue | NotAvailable | RunsUnknown:
    """Return the task's return value, or why there is none."""
    document = answer.document
    if not isinstance(document, Mapping):
        return RunsUnknown(answer.summary())
    match answer.status:
        case HTTPStatus.OK if "value" in document:
            return ReturnValue(document["value"])
        case HTTPStatus.NOT_FOUND:
            return NotAvailable(f"the task returned nothing, or does not exist: {answer.summary()}")
        case _:
            return _refused(answer)


def run_call(dag_id: str, run_id: str) -> RestCall:
    """Return the call that reads one run. Raises ValueError as `return_value_call` does."""
    return RestCall("GET", run_path(dag_id, run_id))


def read_run(answer: RestAnswer) -> RunState | RunNotThere | NotAvailable | RunsUnknown:
    """Return the state of the run, or why it is unknown."""
    match answer:
        case RestAnswer(HTTPStatus.OK, {"state": str(state), **run}):
            return run_state(state, run.get("start_date"), run.get("end_date"))
        case RestAnswer(HTTPStatus.NOT_FOUND) if _is_about_a_run(answer):
            return RunNotThere()
        case _:
            return _refused(answer)


def fail_run_call(dag_id: str, run_id: str) -> RestCall:
    """Return the call that marks a run failed in any state, even success. Raises ValueError as `return_value_call` does."""
    return RestCall("PATCH", run_path(dag_id, run_id), body={"state": str(RunEnd.FAILED)})


def read_failed_run(answer: RestAnswer) -> Marking:
    """Return whether Airflow marked the run failed."""
    found = read_run(answer)
    if not isinstance(found, RunState):
        return found
    if found.end is RunEnd.FAILED:
        return RunMarkedFailed()
    # Airflow 2 answers OK and does nothing if it does not find the DAG's file.
    return NotAvailable("Airflow accepted the call and did not change the run: is the DAG's file gone?")


def _is_about_a_run(answer: RestAnswer) -> bool:
    """Return whether a 404 is Airflow's own, about the run, and not one of a proxy before it."""
    return isinstance(answer.document, Mapping) and "run" in answer.detail().lower()


def _refused(answer: RestAnswer) -> NotAvailable | RunsUnknown:
    """Distinguish a permanent refusal from one that a retry may overcome."""
    permanent = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
    return NotAvailable(answer.summary()) if answer.status in permanent else RunsUnknown(answer.summary())
