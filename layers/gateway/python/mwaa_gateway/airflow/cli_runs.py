"""Run queries on Airflow's command line: one command for all runs of a DAG.

    states         dags list-runs [-d] <dag_id> --start-date=<since>     option -d on Airflow 2 only
    failed tasks   tasks states-for-dag-run <dag_id> <run_id>            finds a run by its run_id on every Airflow

The database compares the start date with each run's logical date, so a DAG's old runs cost nothing. Airflow 3 sets no
logical date on a run that a command starts, and then never lists it: the gateway starts watched runs with one.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from mwaa_gateway.airflow.cli import CommandAnswer
from mwaa_gateway.airflow.ids import check_ids
from mwaa_gateway.airflow.run_states import RunState, RunsUnknown, run_state

_FAILED = ("failed", "upstream_failed")


def list_runs_command(dag_id: str, since: float, *, dag_argument: bool) -> str:
    """Return the command that lists a DAG's runs since `since` (seconds since the epoch), with their states.

    `dag_argument`: name the DAG as an argument, as Airflow 3 does, and not with an option.

    Raises:
        InvalidId: dag_id has a character that could end its word.
    """
    check_ids(dag_id)
    date = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    flag = "" if dag_argument else "-d "
    return f"dags list-runs -o json --start-date={date} {flag}{dag_id}"


def read_runs(answer: CommandAnswer, run_ids: Collection[str]) -> Mapping[str, RunState] | RunsUnknown:
    """Return the states of the runs in `run_ids` that the list contains."""
    rows = answer.rows()
    if rows is None:
        return RunsUnknown(f"the list of runs got HTTP {answer.status}: {_summary(answer)}")
    return {
        run_id: run_state(row.get("state"), row.get("start_date"), row.get("end_date"))
        for row in rows
        if (run_id := str(row.get("run_id"))) in run_ids
    }


def read_failed_tasks(answer: CommandAnswer) -> list[str] | RunsUnknown:
    """Return the failed tasks, those with an error of their own before those with a failed upstream task."""
    rows = answer.rows()
    if rows is None:
        return RunsUnknown(f"the list of the run's tasks got HTTP {answer.status}: {_summary(answer)}")
    failed = [row for row in rows if row.get("state") in _FAILED]
    failed.sort(key=lambda row: _FAILED.index(row["state"]))
    return [str(row.get("task_id")) for row in failed]


def _summary(answer: CommandAnswer) -> str:
    if answer.body is not None:
        return "no command's output"
    return " ".join(answer.failure() or ("neither a list nor an error",))[:300]
