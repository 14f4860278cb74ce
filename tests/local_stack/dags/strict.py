"""Two DAGs that take a number only: Airflow refuses a conf without one. A test loosens the first, as its author would."""

from datetime import datetime, timezone

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:  # Airflow 2
    from airflow.operators.empty import EmptyOperator

TAKES, DEFAULT = "integer", 1

for dag_id, takes, default in (("strict", TAKES, DEFAULT), ("always_strict", "integer", 1)):
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - an Airflow may run on an older Python
        catchup=False,
        is_paused_upon_creation=True,
        params={"amount": Param(default, type=takes)},  # noqa: AIR311 - where Airflow 2 has it
    ):
        EmptyOperator(task_id="nothing")
