"""What Airflow's REST API says, of both majors, in Airflow's own recorded words; its runs are those of `airflow`."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from simulation.airflow import Airflow, Run, Taken, written

__all__ = ["Said", "answer"]

FIXTURES = Path(__file__).parent.parent / "fixtures" / "airflow_rest"
TASKS = "/dags/~/dagRuns/~/taskInstances/list"
RUNS = "/dags/~/dagRuns/list"


@dataclass(frozen=True, slots=True)
class Said:
    """Airflow's own status and document."""

    status: int
    document: Any


def answer(airflow: Airflow, request: dict[str, Any], checked_at: float, now: float) -> Said:
    """Answer a call that looked at the database at `checked_at` and writes to it now."""
    method, path = request["Method"], request["Path"]
    if (method, path) == ("POST", TASKS):
        return _tasks(airflow, request["Body"], checked_at)
    if (method, path) == ("POST", RUNS):
        return _run_of_date(airflow, request["Body"], checked_at)
    if (method, path) == ("GET", "/dags"):
        return _list(airflow, request["QueryParameters"])
    if (method, path) == ("GET", "/importErrors"):
        return _import_errors(airflow)
    parts = path.split("/")
    if method == "GET" and parts[3:4] == ["dagRuns"] and len(parts) == len(("", "dags", "d", "dagRuns", "r")):
        return _run(airflow, parts[2], unquote(parts[4]), checked_at)
    assert (parts[0], parts[1], parts[3:]) == ("", "dags", ["dagRuns"]), path
    if method == "POST":
        return _create(airflow, parts[2], request["Body"], checked_at, now)
    assert method == "GET"
    return _runs(airflow, parts[2], request["QueryParameters"], checked_at)


def _list(airflow: Airflow, query: dict[str, Any]) -> Said:
    if airflow.is_2 and "exclude_stale" in query:
        return _recorded(airflow.version, "dags_list")
    dags = sorted(airflow.dags)
    if not airflow.is_2 and query.get("exclude_stale", True):
        dags = sorted(airflow.dags - airflow.stale)
    name = "is_active" if airflow.is_2 else "is_stale"
    rows = [
        {
            "dag_id": dag_id,
            "is_paused": dag_id in airflow.paused,
            name: (dag_id in airflow.stale) != airflow.is_2,
        }
        for dag_id in dags[query["offset"] : query["offset"] + query["limit"]]
    ]
    return Said(200, {"dags": rows, "total_entries": len(dags)})


def _import_errors(airflow: Airflow) -> Said:
    rows = [{"filename": path, "stack_trace": trace} for path, trace in airflow.import_errors.items()]
    return Said(200, {"import_errors": rows, "total_entries": len(rows)})


def _create(airflow: Airflow, dag_id: str, body: dict[str, Any], checked_at: float, now: float) -> Said:
    run_id = body["dag_run_id"]
    asked = body.get("logical_date")
    if asked is None and ("logical_date" in body) == airflow.is_2:
        return _recorded(airflow.version, "logical_date_null" if airflow.is_2 else "logical_date_missing")
    if dag_id not in airflow.known(over_rest=True):
        return _quoting(airflow.version, "dag_missing", {"no_such_dag": dag_id})
    if not airflow.allowed_run_ids.fullmatch(run_id):
        return _quoting(airflow.version, "bad_run_id", {"a/b c": run_id})
    # Airflow 2 keeps the microseconds here; two runs of one DAG may still meet, and its text tells the two apart.
    date = round(checked_at, 6) if airflow.is_2 else None
    if asked is not None:
        date = round(datetime.fromisoformat(asked).timestamp(), 6)
    ours = airflow.find(dag_id, run_id, checked_at)
    conf = json.dumps(body["conf"])
    match airflow.create(dag_id, run_id, conf, date=date, checked_at=checked_at, now=now):
        case Run() as run:
            created = _quoting(
                airflow.version, "triggered", {_RECORDED_RUN: run.run_id, "ingest_orders": dag_id}
            )
            return Said(created.status, {**created.document, "conf": body["conf"]})
        case Taken(run_id=True, seen=True) if not airflow.is_2 or ours is None or ours.logical_date != date:
            return _quoting(
                airflow.version, "duplicate_run_id", {_RECORDED_RUN: run_id, "ingest_orders": dag_id}
            )
        case Taken(seen=True) if (
            airflow.is_2
        ):  # it compares the date first, and says so even if the run is ours
            assert date is not None
            detail = (
                f"DAGRun with DAG ID: '{dag_id}' and DAGRun logical date: '{written(date)}' already exists"
            )
            return Said(409, {**_recorded(airflow.version, "duplicate_run_id").document, "detail": detail})
        case _ if airflow.is_2:
            # The database refused the row between the look and the write: a page, and nothing that names the run.
            return _recorded(airflow.version, "bad_run_id")
        case _:
            return _recorded(airflow.version, "duplicate_run_id")


def _run_of_date(airflow: Airflow, body: dict[str, Any], checked_at: float) -> Said:
    """The run of a logical date; what each major says to the other's name of it."""
    name, other = ("execution_date", "logical_date") if airflow.is_2 else ("logical_date", "execution_date")
    if f"{other}_gte" in body and airflow.is_2:
        return Said(400, {"detail": f"{{'{other}_gte': ['Unknown field.']}}", "status": 400})
    if f"{other}_gte" in body:
        problem = {
            "type": "extra_forbidden",
            "loc": ["body", f"{other}_gte"],
            "msg": "Extra inputs are not permitted",
        }
        return Said(422, {"detail": [problem]})
    assert body[f"{name}_gte"] == body[f"{name}_lte"]
    [dag_id] = body["dag_ids"]
    date = round(datetime.fromisoformat(body[f"{name}_gte"]).timestamp(), 6)
    run = airflow.dates.get((dag_id, date))
    found = [run] if run is not None and run.created_at <= checked_at else []
    rows = [{"dag_id": dag_id, "dag_run_id": each.run_id} for each in found]
    return Said(200, {"dag_runs": rows, "total_entries": len(rows)})


def _tasks(airflow: Airflow, body: dict[str, Any], checked_at: float) -> Said:
    [dag_id], [run_id] = body["dag_ids"], body["dag_run_ids"]
    if dag_id in airflow.without_tasks or airflow.find(dag_id, run_id, checked_at) is None:
        return _recorded(airflow.version, "lookup_missing")
    return _quoting(airflow.version, "lookup_found", {_RECORDED_RUN: run_id, "ingest_orders": dag_id})


def _run(airflow: Airflow, dag_id: str, run_id: str, checked_at: float) -> Said:
    if airflow.find(dag_id, run_id, checked_at) is not None:
        return Said(200, {"dag_id": dag_id, "dag_run_id": run_id, "state": "queued"})
    if airflow.is_2:
        detail = f"DAGRun with DAG ID: '{dag_id}' and DagRun ID: '{run_id}' not found"
        return Said(404, {"detail": detail, "status": 404, "title": "DAGRun not found"})
    return Said(404, {"detail": f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found"})


def _runs(airflow: Airflow, dag_id: str, query: dict[str, Any], checked_at: float) -> Said:
    if airflow.is_2:
        return _recorded(airflow.version, "lookup_run_missing")
    if dag_id not in airflow.dags:
        return _quoting(airflow.version, "lookup_run_dag_missing", {"no_such_dag": dag_id})
    run_id = query["run_id_pattern"]
    if airflow.find(dag_id, run_id, checked_at) is None:
        return _recorded(airflow.version, "lookup_run_missing")
    return _quoting(
        airflow.version, "lookup_run_no_tasks", {f"{_RECORDED_RUN[:-1]}3": run_id, "no_tasks": dag_id}
    )


_RECORDED_RUN = "evt__finance.orders-landing__00000000000000000000000000000001"


@cache
def _text(version: str, name: str) -> tuple[int, str]:
    document = json.loads((FIXTURES / version / f"{name}.json").read_text())
    return document["status"], json.dumps(document["response"])


@cache
def _recorded(version: str, name: str) -> Said:
    status, text = _text(version, name)
    return Said(status, json.loads(text))


def _quoting(version: str, name: str, instead: dict[str, str]) -> Said:
    """A recorded answer about other ids."""
    status, text = _text(version, name)
    for recorded, ours in instead.items():
        text = text.replace(recorded, json.dumps(ours)[1:-1])
    return Said(status, json.loads(text))
