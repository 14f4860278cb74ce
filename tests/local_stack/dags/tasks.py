"""For states that wait: a run that ends as its conf says, in its second task."""

from datetime import datetime, timezone

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

START = datetime(2024, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - an Airflow may run on an older Python

with DAG("two_tasks", schedule=None, start_date=START, catchup=False, max_active_runs=50):

    @task
    def first(dag_run=None):
        return {"rows": len(dag_run.conf)}

    @task
    def second(counted, dag_run=None):
        if dag_run.conf.get("fail"):
            raise ValueError(f"as asked, after {counted['rows']} fields")

    second(first())


# Paused until a test goes on: its runs are accepted, and wait.
with DAG("paused_at_first", schedule=None, start_date=START, catchup=False, is_paused_upon_creation=True):

    @task
    def only():
        return "done"

    only()


# A conf without a number is refused by Airflow.
with DAG(
    "numbers_only",
    schedule=None,
    start_date=START,
    catchup=False,
    is_paused_upon_creation=True,
    params={"amount": Param(1, type="integer")},  # noqa: AIR311 - where Airflow 2 has it
):

    @task
    def counted():
        return "done"

    counted()
