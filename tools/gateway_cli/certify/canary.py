"""What certify needs in the account beside the gateway: a DAG to start, and a state machine that waits for it."""

from typing import Any, Final

CANARY_DAG_ID: Final = "mwaa_gateway_certify"
MISSING_DAG_ID: Final = "mwaa_gateway_certify_missing"
CANARY_STATE: Final = "WaitForTheCanary"

# Also for Airflow 2.7 on Python 3.11. `seconds` takes integers alone, so that a conf can be refused.
CANARY_DAG: Final = f'''"""The canary of `mwaa-gateway environments certify`: its task sleeps as long as the conf says."""

import time
from datetime import datetime, timezone

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

with DAG(
    "{CANARY_DAG_ID}",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=32,
    params={{"seconds": Param(0, type="integer", minimum=0, maximum=3600)}},
    tags=["mwaa-gateway"],
):

    @task
    def sleep(dag_run=None):
        time.sleep(int((dag_run.conf or {{}}).get("seconds", 0)))

    sleep()
'''


def canary_state_machine(function_arn: str) -> dict[str, Any]:
    """Return the definition of a state machine with one state that starts the canary, and waits for its end.

    It names no DAG, so that it needs no entry in TaskDags: a rule of the namespace `certify` decides.
    """
    return {
        "Comment": "The canary of `mwaa-gateway environments certify`",
        "StartAt": CANARY_STATE,
        "States": {
            CANARY_STATE: {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                "Parameters": {
                    "FunctionName": function_arn,
                    "Payload": {
                        "context.$": "$$",
                        "input.$": "$",
                        "wait": {"heartbeat_seconds": 180, "when_not_runnable": "fail"},
                    },
                },
                "HeartbeatSeconds": 180,
                "TimeoutSeconds": 1800,
                "End": True,
            }
        },
    }
