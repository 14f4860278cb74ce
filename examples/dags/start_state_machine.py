"""The other direction: a DAG that starts a state machine, and goes on when it is done.

Plain boto3, so that the file is read with and without the Amazon provider. MWAA has the provider:
StepFunctionStartExecutionOperator(deferrable=True) does the waiting in its triggerer, if you keep one.

    start        names the execution after the DAG run, so that a task that is tried again finds the one it had started
    wait         looks every 30 seconds; between two looks it holds no worker ("reschedule")
    go_on        gets what the state machine returned

MWAA's execution role needs states:StartExecution on the state machine and states:DescribeExecution on its executions.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

STATE_MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:nightly_etl"  # yours
GOES_ON = ("RUNNING", "PENDING_REDRIVE")


def started(state_machine: str, name: str, given: dict) -> str:
    """Start the execution of this name, once; returns its ARN."""
    import boto3

    client = boto3.client("stepfunctions")
    try:
        # While it runs, Step Functions answers the same name and input with the same execution.
        answer = client.start_execution(stateMachineArn=state_machine, name=name, input=json.dumps(given))
    except client.exceptions.ExecutionAlreadyExists:  # and this way when it is over
        return state_machine.replace(":stateMachine:", ":execution:") + f":{name}"
    return answer["executionArn"]


def is_done(execution: str) -> bool:
    """Tell whether the execution has succeeded; raise RuntimeError when it ended otherwise."""
    import boto3

    found = boto3.client("stepfunctions").describe_execution(executionArn=execution)
    if found["status"] in GOES_ON:
        return False
    if found["status"] != "SUCCEEDED":
        raise RuntimeError(
            f"{execution} is {found['status']}: {found.get('error', '')} {found.get('cause', '')}"
        )
    return True


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
)
def start_state_machine():
    @task(retries=2)
    def start(dag_run=None) -> str:
        name = sha256(f"{dag_run.dag_id}/{dag_run.run_id}".encode()).hexdigest()
        return started(STATE_MACHINE, name, (dag_run.conf or {}).get("input", {}))

    @task.sensor(poke_interval=30, timeout=2 * 3600, mode="reschedule")
    def wait(execution: str) -> bool:
        return is_done(execution)

    @task
    def go_on(execution: str) -> None:
        import boto3

        found = boto3.client("stepfunctions").describe_execution(executionArn=execution)
        print("The state machine returned", found.get("output", "nothing"))

    execution = start()
    wait(execution) >> go_on(execution)


start_state_machine()
