"""States of state machines that start DAG runs and wait for them, on real Airflow."""

import json
import uuid
from contextlib import suppress

import pytest

from local_stack.airflow_runs import AirflowRuns
from polling import until


def test_a_state_waits_for_its_run_and_gets_its_end(gateway, environment):
    """Success comes with what ran, when, and how long."""
    [execution] = executions(gateway, [waiting_for("two_tasks", environment)])

    ended = over(gateway, execution)

    assert ended["status"] == "SUCCEEDED", ended
    output = json.loads(ended["output"])
    assert (output["environment"], output["dag_id"], output["state"]) == (environment, "two_tasks", "success")
    assert output["duration_seconds"] > 0
    assert [run.run_id for run in runs_of(gateway, environment, execution)] == [output["run_id"]]


def test_a_run_that_fails_in_its_second_task_fails_the_state_and_names_the_task(gateway, environment):
    """The error is what a Catch matches, the cause what a person reads."""
    [execution] = executions(gateway, [waiting_for("two_tasks", environment, {"fail": True})])

    ended = over(gateway, execution)

    assert (ended["status"], ended["error"]) == ("FAILED", "DagRunFailed"), ended
    assert json.loads(ended["cause"])["failed_tasks"] == ["second"]


@pytest.fixture(params=["analytics", "legacy"])
def environment(request) -> str:
    """Airflow 3 and Airflow 2."""
    return request.param


def waiting_for(dag_id: str, environment: str, conf: dict | None = None, **wait) -> dict:
    """A state that names a DAG and waits for it."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {
            "FunctionName": None,
            "Payload": {
                "context.$": "$$",
                "dag": {"environment": environment, "dag_id": dag_id},
                "input": conf or {},
                "wait": wait,
            },
        },
        "TimeoutSeconds": 120,
        "End": True,
    }


def executions(gateway, states: list[dict]) -> list[str]:
    """Start one execution of a state machine of one state each; returns their ARNs."""
    client = gateway.aws.client("stepfunctions")
    role = state_machine_role(gateway)
    started = []
    for state in states:
        state["Parameters"]["FunctionName"] = gateway.step_functions_task_arn
        machine = client.create_state_machine(
            name=f"test-{uuid.uuid4().hex[:8]}",
            roleArn=role,
            definition=json.dumps({"StartAt": "Run", "States": {"Run": state}}),
        )
        started.append(client.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"])
    return started


def state_machine_role(gateway) -> str:
    """A role that may call the gateway's function, and nothing else."""
    iam = gateway.aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": gateway.step_functions_task_arn,
    }
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="state-machine", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
        iam.put_role_policy(
            RoleName="state-machine",
            PolicyName="call",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
        )
    arn: str = iam.get_role(RoleName="state-machine")["Role"]["Arn"]
    return arn


def over(gateway, execution: str, *, seconds: float = 60) -> dict:
    """The execution once it is over."""
    client = gateway.aws.client("stepfunctions")

    def described():
        found = client.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return until("the execution's end", described, seconds=seconds, every=0.5)


def runs_of(gateway, environment: str, execution: str, dag_id: str = "two_tasks") -> list:
    """The runs in Airflow that an execution asked for."""
    found = AirflowRuns(gateway.environments[environment]).all(dag_id)
    return [run for run in found if run.conf.get("mwaa_gateway", {}).get("execution_arn") == execution]
