"""Questions about runs over Airflow's REST API, beside `airflow_rest`: a hundred runs of a DAG in one call.

    states         POST  /dags/~/dagRuns/list                         run_after_gte on Airflow 3, execution_date_gte on 2
    failed tasks   POST  /dags/~/dagRuns/~/taskInstances/list
    one run        GET   /dags/<dag_id>/dagRuns/<run_id>
    fail a run     PATCH /dags/<dag_id>/dagRuns/<run_id>
    return value   GET   /dags/<dag_id>/dagRuns/<run_id>/taskInstances/<task_id>/xcomEntries/return_value

Only runs of the time asked for are listed, by an index of the database: a DAG's old runs cost nothing. The last three name
the run in their path, which hardly ever fits InvokeRestApi then: see `mwaa_gateway.aws.mwaa.web_session`.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

from mwaa_gateway.airflow.ids import LONGEST_REST_PATH, checked_ids
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
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

__all__ = [
    "RUNS_PER_CALL",
    "fail_run_call",
    "failed_tasks_call",
    "fits_invoke_rest_api",
    "list_runs_call",
    "read_failed_run",
    "read_failed_tasks",
    "read_return_value",
    "read_run",
    "read_runs",
    "return_value_call",
    "run_call",
    "wants_other_form",
    "wants_stringify",
]

RUNS_PER_CALL = 100  # Airflow's own limit of a page


def list_runs_call(dag_id: str, since: float, *, offset: int, airflow_2: bool) -> RestCall:
    """Write the call that lists a DAG's runs of `since` (seconds since the epoch) and later, from the `offset`-th on."""
    date = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    body = {
        "dag_ids": [dag_id],
        "execution_date_gte" if airflow_2 else "run_after_gte": date,
        "page_limit": RUNS_PER_CALL,
        "page_offset": offset,
        "order_by": "id",
    }
    return RestCall("POST", "/dags/~/dagRuns/list", body=body)


def wants_other_form(answer: RestAnswer) -> bool:
    """Tell whether Airflow refused the field for the date, as the other major version does."""
    if answer.status == 422:  # noqa: PLR2004  Airflow 3's answer to what is not as it should be
        return ("extra_forbidden", "execution_date_gte") in answer.problem_locations()
    return answer.status == 400 and "run_after_gte" in answer.detail()  # noqa: PLR2004  Airflow 2's


def read_runs(
    answer: RestAnswer, run_ids: Collection[str]
) -> tuple[Mapping[str, RunState], bool] | RunsUnknown:
    """Read the states of the runs asked for out of one page, and whether it was a full one."""
    rows = answer.rows("dag_runs")
    if rows is None:
        return RunsUnknown(answer.said())
    states = {
        run_id: run_state(row.get("state"), row.get("start_date"), row.get("end_date"))
        for row in rows
        if (run_id := str(row.get("dag_run_id"))) in run_ids
    }
    return states, len(rows) == RUNS_PER_CALL


def failed_tasks_call(dag_id: str, run_id: str) -> RestCall:
    """Write the call that lists the tasks which made a run fail."""
    body = {
        "dag_ids": [dag_id],
        "dag_run_ids": [run_id],
        "state": ["failed", "upstream_failed"],
        "page_limit": 100,
    }
    return RestCall("POST", "/dags/~/dagRuns/~/taskInstances/list", body=body)


def read_failed_tasks(answer: RestAnswer) -> list[str] | RunsUnknown:
    """Read them, those that failed themselves first."""
    rows = answer.rows("task_instances")
    if rows is None:
        return RunsUnknown(answer.said())
    rows = sorted(rows, key=lambda row: str(row.get("state")))
    return [str(row.get("task_id")) for row in rows]


def return_value_call(dag_id: str, run_id: str, task_id: str, *, stringify: bool) -> RestCall:
    """Write the call that reads what a task returned.

    `stringify`: leave it to Airflow in which form. Airflow 2.10 and 2.11 write Python's text of a value unless they are
    told not to; older ones know no other form, and refuse to be told.

    Raises:
        ValueError: one of the ids cannot be a piece of a path.
    """
    if not TASK_ID.fullmatch(task_id):
        raise ValueError(f"task_id {task_id!r} cannot be sent: it must match {TASK_ID.pattern}")
    path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}/xcomEntries/return_value"
    return RestCall("GET", path, query=None if stringify else {"stringify": "false"})


def wants_stringify(answer: RestAnswer) -> bool:
    """Tell whether Airflow knows no other form than its own."""
    return answer.status == HTTPStatus.BAD_REQUEST and "stringify" in answer.detail()


def read_return_value(answer: RestAnswer) -> ReturnValue | NotAvailable | RunsUnknown:
    """Read what the task returned."""
    document = answer.document
    if not isinstance(document, Mapping):
        return RunsUnknown(answer.said())
    match answer.status:
        case HTTPStatus.OK if "value" in document:
            return ReturnValue(document["value"])
        case HTTPStatus.NOT_FOUND:
            return NotAvailable(f"the task returned nothing, or there is no such task: {answer.said()}")
        case _:
            return _refused(answer)


def run_call(dag_id: str, run_id: str) -> RestCall:
    """Write the call that looks at one run. Raises ValueError as above."""
    return RestCall("GET", _run_path(dag_id, run_id))


def read_run(answer: RestAnswer) -> RunState | RunNotThere | NotAvailable | RunsUnknown:
    """Read how far the run is."""
    match answer:
        case RestAnswer(HTTPStatus.OK, {"state": str(state), **run}):
            return run_state(state, run.get("start_date"), run.get("end_date"))
        case RestAnswer(HTTPStatus.NOT_FOUND) if _is_about_a_run(answer):
            return RunNotThere()
        case _:
            return _refused(answer)


def fail_run_call(dag_id: str, run_id: str) -> RestCall:
    """Write the call that marks a run failed, whatever its state: one that succeeded too. Raises ValueError as above."""
    return RestCall("PATCH", _run_path(dag_id, run_id), body={"state": str(RunEnd.FAILED)})


def read_failed_run(answer: RestAnswer) -> Marking:
    """Read whether it is marked."""
    found = read_run(answer)
    if not isinstance(found, RunState):
        return found
    if found.end is RunEnd.FAILED:
        return RunMarkedFailed()
    # Airflow 2 says OK and does nothing where it does not find the DAG's file.
    return NotAvailable("Airflow took word of it and left the run as it is: is the DAG's file gone?")


def fits_invoke_rest_api(call: RestCall) -> bool:
    """Tell whether InvokeRestApi takes the call's path."""
    return len(call.path) <= LONGEST_REST_PATH


def _run_path(dag_id: str, run_id: str) -> str:
    checked_ids(dag_id, run_id)
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _is_about_a_run(answer: RestAnswer) -> bool:
    """Tell Airflow's word that it has no such run from a 404 of whatever stands in front of it."""
    return isinstance(answer.document, Mapping) and "run" in answer.detail().lower()


def _refused(answer: RestAnswer) -> NotAvailable | RunsUnknown:
    """Tell a refusal for good from what may be otherwise the next time."""
    for_good = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
    return NotAvailable(answer.said()) if answer.status in for_good else RunsUnknown(answer.said())
