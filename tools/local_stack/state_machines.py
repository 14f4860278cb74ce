"""A state machine of examples/state_machines on a running stack: made, started, and followed to its end."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.state import StackState

_ROLE = "example-state-machines"
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """The outcome of an execution; `status` is RUNNING if it outlasted the wait."""

    arn: str
    status: str
    milliseconds: int
    error: str = ""
    cause: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether Step Functions says so."""
        return self.status == "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class StateMachine:
    """One state machine of a stack."""

    name: str
    arn: str
    stack: StackState

    def start(self, given: Mapping[str, Any]) -> str:
        """Start an execution; returns its ARN."""
        client = self.stack.aws.client("stepfunctions")
        arn: str = client.start_execution(stateMachineArn=self.arn, input=json.dumps(given))["executionArn"]
        return arn

    def wait(self, execution: str, *, seconds: float) -> EndedExecution:
        """Wait for the end of an execution, up to a time limit."""
        client = self.stack.aws.client("stepfunctions")
        deadline = time.monotonic() + seconds
        while True:
            found = client.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING" or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        took = found.get("stopDate", found["startDate"]) - found["startDate"]
        return EndedExecution(
            arn=execution,
            status=found["status"],
            milliseconds=round(took.total_seconds() * 1000),
            error=found.get("error", ""),
            cause=found.get("cause", ""),
        )


def make_state_machine(stack: StackState, file: Path, *, topic_arn: str) -> StateMachine:
    """Make the state machine of a file, and its role, which may call the gateway's function and publish to the topic.

    `${StepFunctionsTaskFunctionArn}` and `${TopicArn}` in the file are what SAM's DefinitionSubstitutions would fill in.
    """
    definition = file.read_text()
    for name, value in {
        "StepFunctionsTaskFunctionArn": stack.step_functions_task_arn,
        "TopicArn": topic_arn,
    }.items():
        definition = definition.replace(f"${{{name}}}", value)
    name = file.name.removesuffix(".asl.json")
    machine = stack.aws.client("stepfunctions").create_state_machine(
        name=name, roleArn=_role(stack, topic_arn), definition=definition
    )
    return StateMachine(name, machine["stateMachineArn"], stack)


def _role(stack: StackState, topic_arn: str) -> str:
    iam = stack.aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = [
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": stack.step_functions_task_arn},
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic_arn},
    ]
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=_policy(trust))
    iam.put_role_policy(RoleName=_ROLE, PolicyName="states", PolicyDocument=_policy(*allowed))
    arn: str = iam.get_role(RoleName=_ROLE)["Role"]["Arn"]
    return arn


def _policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
