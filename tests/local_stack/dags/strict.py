"""Takes a number only: a conf without one is refused by Airflow. A test loosens it, as its author would."""

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

TAKES = "integer"

with DAG(
    "strict",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - an Airflow may run on an older Python
    catchup=False,
    is_paused_upon_creation=True,
    params={"amount": Param(1, type=TAKES)},  # noqa: AIR311 - where Airflow 2 has it
):
    EmptyOperator(task_id="nothing")
