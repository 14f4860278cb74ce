"""DAGs in every condition a DAG can be in; each file is read by every Airflow from 2.7 on."""

from pathlib import Path
from typing import Final

_DAG: Final = """
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
try:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.empty import EmptyOperator
    from airflow.operators.python import PythonOperator
try:
    from airflow.sdk import PartitionedAtRuntime
except ImportError:  # before 3.3, every DAG takes a partition key, or none does
    PartitionedAtRuntime = lambda: None
from datetime import datetime, timezone

with DAG(
    "{dag_id}",
    schedule={schedule},
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation={paused},
):
    {task}
"""
_NO_WORK: Final = 'EmptyOperator(task_id="nothing")'
_WORK: Final = 'PythonOperator(task_id="work", python_callable=lambda: None)'
# With the words that make Airflow take a file for one with DAGs.
_BROKEN: Final = "from airflow import DAG\nimport no_such_module_anywhere\n"
_DAGS: Final = {  # by DAG id: whether it is paused, so that its runs are counted without any task running; its task
    "waiting": (True, _NO_WORK),
    "working": (False, _WORK),
    "breaks_later": (True, _NO_WORK),
    "gone": (True, _NO_WORK),
    "dated": (True, _NO_WORK),
    "dated_without_tasks": (True, "pass"),
    "partitioned": (True, _NO_WORK),
}


def write(folder: Path) -> None:
    """Write all of them, and one that never was a DAG."""
    folder.mkdir(parents=True)
    for dag_id, (paused, task) in _DAGS.items():
        schedule = "PartitionedAtRuntime()" if dag_id == "partitioned" else "None"
        text = _DAG.format(dag_id=dag_id, paused=paused, task=task, schedule=schedule)
        (folder / f"{dag_id}.py").write_text(text)
    (folder / "broken.py").write_text(_BROKEN)


def ruin(folder: Path) -> None:
    """Break one that Airflow knows, and remove another."""
    (folder / "breaks_later.py").write_text(_BROKEN)
    (folder / "gone.py").unlink()
