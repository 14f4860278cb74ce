"""A user's DAG with the example's callback: a state that waits for its run gets the answer at once."""

import os
from datetime import datetime, timezone
from pathlib import Path

from gateway_callbacks import tell_gateway

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:  # Airflow 2
    from airflow.operators.empty import EmptyOperator

# Both environments read this folder; a local Airflow's home is called like its environment.
TELL = tell_gateway(environment=Path(os.environ["AIRFLOW_HOME"]).name, event_bus="mwaa-gateway-events")

with DAG(
    "tells",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - an Airflow may run on an older Python
    catchup=False,
    on_success_callback=TELL,
    on_failure_callback=TELL,
):
    EmptyOperator(task_id="nothing")
