"""Questions about runs over Airflow's REST API, beside `airflow_rest`: a hundred runs of a DAG in one call.

    states         POST  /dags/~/dagRuns/list                         run_after_gte on Airflow 3, execution_date_gte on 2
    failed tasks   POST  /dags/~/dagRuns/~/taskInstances/list
    return value   GET   /dags/…/taskInstances/<task>/xcomEntries/return_value   where the path fits, which is hardly ever
    fail a run     PATCH /dags/<dag_id>/dagRuns/<run_id>                         where the path fits

Only runs of the time asked for are read, by an index of the database: a DAG's old runs cost nothing.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from mwaa_gateway.airflow_rest import LONGEST_PATH, RestAnswer, RestCall
from mwaa_gateway.run_states import RunState, RunsUnknown, run_state

__all__ = [
    "RUNS_PER_CALL",
    "fail_run_call",
    "failed_tasks_call",
    "list_runs_call",
    "read_failed_tasks",
    "read_return_value",
    "read_runs",
    "return_value_call",
    "wants_other_form",
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


def return_value_call(dag_id: str, run_id: str, task_id: str) -> RestCall | RunsUnknown:
    """Write the call that reads what a task returned."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    return _fitting("GET", path)


def read_return_value(answer: RestAnswer) -> Any:
    """Read it; `RunsUnknown` where there is none."""
    document = answer.document
    if answer.status == 200 and isinstance(document, Mapping) and "value" in document:  # noqa: PLR2004  HTTP's OK
        return document["value"]
    return RunsUnknown(answer.said())


def fail_run_call(dag_id: str, run_id: str) -> RestCall | RunsUnknown:
    """Write the call that marks a run failed."""
    return _fitting("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})


def _fitting(method: str, path: str, body: Mapping[str, Any] | None = None) -> RestCall | RunsUnknown:
    if len(path) > LONGEST_PATH:
        return RunsUnknown(
            f"InvokeRestApi takes paths of {LONGEST_PATH} characters, and {method} {path} has {len(path)}"
        )
    return RestCall(method, path, body=body)
