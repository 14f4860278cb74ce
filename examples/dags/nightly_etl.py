"""Two DAGs that a state machine starts in parallel and waits for: examples/state_machines/nightly_etl.asl.json.

A state passes `input`, and that is the run's conf:

    {"day": "2026-11-22"}                     what to load
    {"day": "2026-11-22", "fail": true}       to see what the state machine makes of a run that fails

Nothing here knows of Step Functions. The run is started once however often its state is tried again, and its end is
told to the state that waits; a task that fails is named in the state's error.
"""

from datetime import UTC, date, datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

START = datetime(2024, 1, 1, tzinfo=UTC)


@task
def load(table: str, dag_run=None) -> None:
    conf = dag_run.conf or {}
    if conf.get("fail"):
        raise ValueError(f"{table} cannot be loaded: the state's input asks for a failure")
    day = date.fromisoformat(conf["day"])
    print(f"Loading {table} of {day:%A, %d %B %Y}")


@dag(schedule=None, start_date=START, catchup=False, tags=["example"])
def nightly_orders():
    load("orders")


@dag(schedule=None, start_date=START, catchup=False, tags=["example"])
def nightly_customers():
    load("customers")


nightly_orders()
nightly_customers()
