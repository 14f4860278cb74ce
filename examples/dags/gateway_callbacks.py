"""Ends a state's wait at once: a DAG tells the gateway itself that its run has ended. No DAG; other files import it.

    from gateway_callbacks import tell_gateway

    TELL = tell_gateway(environment="analytics", event_bus="mwaa-gateway-events")

    @dag(schedule=None, on_success_callback=TELL, on_failure_callback=TELL)
    def nightly_orders(): ...

Without it the end is told by the watcher's next question, within a minute at most. Nothing depends on it: the gateway
looks at the run itself before it believes anything, and a callback that fails is a line in Airflow's log.

MWAA's execution role needs events:PutEvents on the bus: docs/dag-authors.md has the policy.
"""

import json


def tell_gateway(environment: str, event_bus: str):
    """Return a callback for a DAG's end.

    `environment` is what the gateway calls this Airflow (its parameter Environments), `event_bus` the name or ARN of the
    stack's bus, `<stack>-events`.
    """

    def tell(context) -> None:
        if not _is_awaited(context):
            return
        # Here, and not above: Airflow reads this file at every parse of a DAG that imports it.
        import boto3
        from botocore.config import Config

        detail = {
            "environment": environment,
            "dag_id": context["dag"].dag_id,
            "run_id": context["run_id"],
        }
        # Callbacks run in the scheduler or the DAG processor, which others wait for: be brief.
        patience = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})
        answer = boto3.client("events", config=patience).put_events(
            Entries=[
                {
                    "EventBusName": event_bus,
                    "Source": "mwaa-gateway.callbacks",
                    "DetailType": "DAG Run Ended",
                    "Detail": json.dumps(detail),
                }
            ]
        )
        if answer["FailedEntryCount"]:
            print("The gateway was not told, and will find out by itself:", answer["Entries"])

    return tell


def _is_awaited(context) -> bool:
    """Whether a state may wait: only runs that a state started are worth an event. Airflow 3.0 has no run here."""
    if (dag_run := context.get("dag_run")) is None:
        return True
    return ((dag_run.conf or {}).get("mwaa_gateway") or {}).get("source") == "aws.states"
