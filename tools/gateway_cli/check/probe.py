"""Asks for `environments check`: AWS with the operator's credentials, and the doctor inside the network."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.check.findings import Expected, Failed, Needed
from gateway_cli.connection import Connection
from gateway_cli.output import Refused
from mwaa_gateway.errors import GatewayError

Answer = TypeVar("Answer")
# The doctor has 120 s. No retry: it would start a second examination while the first one still runs.
_DOCTOR_CLIENT: Final[Mapping[str, Any]] = {
    "read_timeout": 125,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}


def answer_of(call: str, ask: Callable[[], Answer]) -> Answer | Failed:
    """Return an AWS call's answer, or why there is none that can be read."""
    try:
        return ask()
    except ClientError as error:
        answer = error.response["Error"]
        return Failed(call, answer.get("Code", ""), answer.get("Message", ""))
    except (BotoCoreError, GatewayError) as error:
        return Failed(call, "", str(error))
    except Refused as error:
        return Failed(call, "", error.message)
    except (
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # botocore reads a body that is not JSON as an empty answer
        return Failed(call, "", f"the answer cannot be read: {error!r}")


@dataclass(frozen=True)
class EnvironmentProbe:
    """Reads the state of a gateway's environments; changes nothing."""

    connection: Connection

    @cached_property
    def caller(self) -> Mapping[str, Any]:
        """The caller's account and ARN; raises botocore's errors."""
        caller: Mapping[str, Any] = self.connection.client("sts").get_caller_identity()
        return caller

    def expected(self, environment: str) -> Expected:
        """Return the environment to check, and where it is."""
        parameters = self.connection.stack_parameters
        return Expected(
            environment=environment,
            mwaa_name=parameters.get("MwaaEnvironmentName", "{environment}").replace(
                "{environment}", environment
            ),
            region=self._mwaa.meta.region_name,
            account=self.caller["Account"],
            in_vpc=bool(parameters.get("VpcSubnetIds")),
        )

    def describe(self, mwaa_name: str) -> Mapping[str, Any] | Failed:
        """Ask MWAA for an environment's description."""
        return answer_of("GetEnvironment", lambda: self._mwaa.get_environment(Name=mwaa_name)["Environment"])

    def list_names(self) -> Sequence[str] | None:
        """Ask MWAA for the names of all environments; None without an answer."""
        answer = answer_of(
            "ListEnvironments",
            lambda: [
                name
                for page in self._mwaa.get_paginator("list_environments").paginate()
                for name in page["Environments"]
            ],
        )
        return None if isinstance(answer, Failed) else answer

    def examine(self, environment: str) -> Mapping[str, Any] | Failed:
        """Let the doctor examine an environment."""
        client = self.connection.client("lambda", **_DOCTOR_CLIENT)

        def invoked() -> Mapping[str, Any] | Failed:
            answer = client.invoke(
                FunctionName=self.connection.stack_output("DoctorFunctionName"),
                Payload=json.dumps({"environment": environment}).encode(),
            )
            payload: Any = json.loads(answer["Payload"].read() or b"null")
            if "FunctionError" not in answer and isinstance(payload, dict):
                return payload
            error = payload if isinstance(payload, dict) else {}
            return Failed(
                "the doctor", str(error.get("errorType", "")), str(error.get("errorMessage", "no answer"))
            )

        return answer_of("the doctor", invoked)

    def simulate(self, environment: str, needed: Sequence[Needed]) -> list[Mapping[str, Any]] | Failed:
        """Simulate the permissions of an environment's dispatcher in IAM; nothing is executed."""
        name = f"{self.connection.stack}-dispatcher-{environment}"
        role = answer_of(
            "GetFunctionConfiguration",
            lambda: self.connection.client("lambda").get_function_configuration(FunctionName=name)["Role"],
        )
        if isinstance(role, Failed):
            return role
        return answer_of("SimulatePrincipalPolicy", lambda: list(self._simulated(str(role), needed)))

    def _simulated(self, role: str, needed: Sequence[Needed]) -> Iterator[Mapping[str, Any]]:
        for each in needed:
            context = [
                {
                    "ContextKeyName": "dynamodb:LeadingKeys",
                    "ContextKeyValues": [each.leading_key],
                    "ContextKeyType": "stringList",
                }
            ]
            pages = (
                self.connection.client("iam")
                .get_paginator("simulate_principal_policy")
                .paginate(
                    PolicySourceArn=role,
                    ActionNames=list(each.actions),
                    ResourceArns=[each.resource],
                    **({"ContextEntries": context} if each.leading_key else {}),
                )
            )
            for page in pages:
                yield from page["EvaluationResults"]

    @cached_property
    def _mwaa(self) -> Any:
        return self.connection.client("mwaa")
