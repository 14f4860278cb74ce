"""Paused: its runs are accepted and stay queued, so that a hundred of them cost no task a processor."""

from datetime import datetime, timezone

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:  # Airflow 2
    from airflow.operators.empty import EmptyOperator

START = datetime(2024, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - an Airflow may run on an older Python

with DAG("waiting", schedule=None, start_date=START, catchup=False, is_paused_upon_creation=True):
    EmptyOperator(task_id="nothing")

# Not paused: succeeds within a round of the scheduler.
with DAG("quick", schedule=None, start_date=START, catchup=False):
    EmptyOperator(task_id="nothing")

# Paused until everybody waits; then its runs succeed within a round of the scheduler, however many they are.
with DAG(
    "gathers",
    schedule=None,
    start_date=START,
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=200,
    max_active_tasks=200,
):
    EmptyOperator(task_id="nothing")
