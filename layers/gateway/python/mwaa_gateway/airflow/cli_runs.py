"""Run queries on Airflow's command line: one command for all runs of a DAG.

    states         dags list-runs [-d] <dag_id> --start-date=<since>     option -d on Airflow 2, an argument on Airflow 3
    failed tasks   tasks states-for-dag-run <dag_id> <run_id>            finds a run by its run_id on every Airflow

The database compares the start date with each run's logical date, so a DAG's old runs cost nothing. Airflow 3 sets no
logical date on a run that a command starts, and then never lists it: the gateway starts watched runs with one.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from mwaa_gateway.airflow.cli import CommandOutput
from mwaa_gateway.airflow.ids import check_ids
from mwaa_gateway.airflow.run_states import RunState, RunsUnknown, run_state

__all__ = ["list_runs_command", "read_failed_tasks", "read_runs", "tasks_command", "wants_other_form"]

_FAILED = ("failed", "upstream_failed")


def list_runs_command(dag_id: str, since: float, *, airflow_2: bool) -> str:
    """Return the command that lists a DAG's runs since `since` (seconds since the epoch), with their states.

    Raises:
        InvalidId: dag_id has a character that could end its word.
    """
    check_ids(dag_id)
    date = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    flag = "-d " if airflow_2 else ""
    return f"dags list-runs -o json --start-date={date} {flag}{dag_id}"


def tasks_command(dag_id: str, run_id: str) -> str:
    """Return the command that lists the tasks of a run with their states."""
    check_ids(dag_id, run_id)
    return f"tasks states-for-dag-run -o json {dag_id} {run_id}"


def wants_other_form(body: bytes) -> bool:
    """Return whether Airflow refused the options of `list_runs_command`, as the other major version does."""
    output = CommandOutput.decode(body)
    failure = output.failure() if output is not None else None
    return failure is not None and failure[0] == "usage"


def read_runs(status: int, body: bytes, run_ids: Collection[str]) -> Mapping[str, RunState] | RunsUnknown:
    """Return the states of the runs in `run_ids` that the list contains."""
    output = CommandOutput.decode(body)
    rows = output.rows() if output is not None else None
    if rows is None:
        return RunsUnknown(f"the list of runs got HTTP {status}: {_summary(output)}")
    return {
        run_id: run_state(row.get("state"), row.get("start_date"), row.get("end_date"))
        for row in rows
        if (run_id := str(row.get("run_id"))) in run_ids
    }


def read_failed_tasks(status: int, body: bytes) -> list[str] | RunsUnknown:
    """Return the failed tasks, those with an error of their own before those with a failed upstream task."""
    output = CommandOutput.decode(body)
    rows = output.rows() if output is not None else None
    if rows is None:
        return RunsUnknown(f"the list of the run's tasks got HTTP {status}: {_summary(output)}")
    failed = [row for row in rows if row.get("state") in _FAILED]
    failed.sort(key=lambda row: _FAILED.index(row["state"]))
    return [str(row.get("task_id")) for row in failed]


def _summary(output: CommandOutput | None) -> str:
    if output is None:
        return "no command's output"
    return " ".join(output.failure() or ("neither a list nor an error",))[:300]
