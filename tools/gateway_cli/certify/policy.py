"""The IAM policy that one certification needs with its options; detach it afterwards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.certify.gateway_probe import NAMESPACE

_RULES_ACTIONS: Final = (
    "BatchGetItem",
    "ConditionCheckItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "UpdateItem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The parts of the stack that a certification uses; `bucket` and `state_machine` are "" for none."""

    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    stack: str
    environment: str
    mwaa_name: str
    transport: str
    bucket: str
    state_machine: str
    disruptive: bool

    def policy(self) -> dict[str, Any]:
        """Return the policy document."""
        statements = [*self._airflow(), *self._gateway(), *self._sources()]
        if self.disruptive:
            statements += self._disruptive()
        if key := self.parameters.get("KmsKeyArn"):
            statements.append(_allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], key))
        return {"Version": "2012-10-17", "Statement": statements}

    def _arn(self, service: str, resource: str) -> str:
        _, partition, _, region, account, *_ = self.outputs["EventBusArn"].split(":")
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    def _airflow(self) -> Iterator[dict[str, Any]]:
        environment = self._arn("airflow", f"environment/{self.mwaa_name}")
        yield _allow("SeeEnvironment", ["airflow:GetEnvironment"], environment)
        if self.transport == "cli":
            yield _allow("RunAirflowCommands", ["airflow:CreateCliToken"], environment)
        else:
            role = self.parameters.get("RestApiRole", "User")
            action = "airflow:CreateWebLoginToken" if self.transport == "web" else "airflow:InvokeRestApi"
            yield _allow(
                "CallAirflow",
                [action],
                self._arn("airflow", f"role/{self.mwaa_name}/{role}"),
            )
        if login := self.parameters.get("WebLoginRole"):
            role = self._arn("airflow", f"role/{self.mwaa_name}/{login}")
            yield _allow("LogIn", ["airflow:CreateWebLoginToken"], role)

    def _gateway(self) -> Iterator[dict[str, Any]]:
        yield _allow(
            "ReadStackOutputs",
            ["cloudformation:DescribeStacks"],
            self._arn("cloudformation", f"stack/{self.stack}/*"),
        )
        yield _allow(
            "AskTheDoctor",
            ["lambda:InvokeFunction"],
            self._arn("lambda", f"function:{self.outputs['DoctorFunctionName']}"),
        )
        rules = self._arn("dynamodb", f"table/{self.outputs['RulesTableName']}")
        yield _allow("WriteAndDeleteRules", [f"dynamodb:{each}" for each in _RULES_ACTIONS], rules)
        yield _allow("ReadRequests", ["dynamodb:GetItem", "dynamodb:Query"], self._ledger)

    @property
    def _ledger(self) -> str:
        return self._arn("dynamodb", f"table/{self.outputs['LedgerTableName']}")

    def _sources(self) -> Iterator[dict[str, Any]]:
        yield _allow("PutEvents", ["events:PutEvents"], self.outputs["EventBusArn"])
        yield _allow("Publish", ["sns:Publish"], self.outputs["TopicArn"])
        if self.bucket:
            partition = self.outputs["EventBusArn"].split(":")[1]
            objects = f"arn:{partition}:s3:::{self.bucket}/{NAMESPACE}/*"
            yield _allow("UploadAndDelete", ["s3:DeleteObject", "s3:PutObject"], objects)
        if queues := [
            each.strip() for each in self.parameters.get("EventQueueArns", "").split(",") if each.strip()
        ]:
            yield _allow("SendToQueues", ["sqs:GetQueueUrl", "sqs:SendMessage"], queues)
        if self.state_machine:
            executions = self.state_machine.replace(":stateMachine:", ":execution:") + ":*"
            yield _allow("Execute", ["states:StartExecution"], self.state_machine)
            yield _allow("FollowExecutions", ["states:DescribeExecution", "states:StopExecution"], executions)
            # CloudWatch knows no resources for its metrics.
            yield _allow("CountDroppedInvocations", ["cloudwatch:GetMetricData"], "*")

    def _disruptive(self) -> Iterator[dict[str, Any]]:
        trigger_dlq = self.outputs["TriggerDlqUrlTemplate"].replace("{environment}", self.environment)
        yield _allow(
            "ReadDeadLetters",
            ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"],
            [self._queue(self.outputs["IngressDlqUrl"]), self._queue(trigger_dlq)],
        )
        yield _allow("Redrive", ["sqs:SendMessage"], self._queue(self.outputs["IngressRetryQueueUrl"]))
        attributes = ["event", "request", "stopped_shard", "stopped_at"]
        yield {
            **_allow("PutAway", ["dynamodb:UpdateItem"], self._ledger),
            "Condition": {"ForAllValues:StringEquals": {"dynamodb:Attributes": attributes}},
        }
        bus, topic = self.outputs["EventBusName"], self.outputs["TopicArn"]
        yield _allow("FindTheBusRule", ["events:ListRules"], "*")  # as for Unsubscribe, AWS knows no resource
        yield _allow(
            "AddATarget",
            ["events:PutTargets", "events:RemoveTargets"],
            self._arn("events", f"rule/{bus}/{self.stack}-EventBusRule-*"),
        )
        yield _allow("Subscribe", ["sns:Subscribe"], topic)
        yield _allow("Unsubscribe", ["sns:Unsubscribe"], "*")

    def _queue(self, url: str) -> str:
        return self._arn("sqs", url.rpartition("/")[2])


def _allow(sid: str, actions: list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
