"""The command `environments check`: what it asks with the operator's credentials, what it prints, and its exit code."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner, Result

from fakes.rules_table import RULES_TABLE
from gateway_cli.main import cli
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from mwaa_gateway.rules import parse_rule

ROOT = Path(__file__).parents[2]
ANSWER: dict[str, Any] = {
    "format": 1,
    "environment": "analytics",
    "transport": "cli",
    "endpoints": [
        {"service": name, "outcome": "reached", "text": "", "milliseconds": 3}
        for name in ("airflow.env", "sqs")
    ],
    "token": {"outcome": "ok", "text": "", "milliseconds": 210},
    "web_server": {"outcome": "reached", "text": "", "milliseconds": 9},
    "airflow": {"outcome": "ok", "text": "", "milliseconds": 4100},
    "dags": {"taken_at": 0.0, "runnable": ["ingest_orders"], "paused": ["refunds"], "stale": [], "count": 2},
}


@pytest.fixture
def answers(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:  # noqa: ARG001  AWS is there first
    """What MWAA, Lambda and IAM answer; moto has neither the doctor nor MWAA. A text is an error's code."""
    answers: dict[str, Any] = {
        "GetEnvironment": {"Environment": {"Status": "AVAILABLE", "AirflowVersion": "2.10.3"}},
        "ListEnvironments": {"Environments": ["acme"]},
        "GetFunctionConfiguration": {"Role": "arn:aws:iam::123456789012:role/dispatcher"},
        "Invoke": ANSWER,
        "SimulatePrincipalPolicy": "allowed",
        "asked": [],
    }
    ask_aws = BaseClient._make_api_call

    def ask(self: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        if operation == "DescribeStacks":
            described = ask_aws(self, operation, params)
            outputs = described["Stacks"][0]["Outputs"]
            outputs.append({"OutputKey": "DoctorFunctionName", "OutputValue": "mwaa-gateway-doctor"})
            parameters = {"MwaaEnvironmentName": "acme-{environment}", **answers.get("parameters", {})}
            described["Stacks"][0]["Parameters"] = [
                {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
            ]
            return described
        if operation not in answers:
            return ask_aws(self, operation, params)
        answers["asked"].append((operation, params))
        answer = answers[operation]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            raise ClientError({"Error": {"Code": answer, "Message": "no"}}, operation)
        if operation == "Invoke":
            config = self.meta.config
            # A second try would find the first look still at work; the doctor's own time-out is 120 s.
            assert (config.retries["total_max_attempts"], config.read_timeout > 120) == (1, True)
            failed = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
            return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}
        return answer

    def simulate(self: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        if operation == "SimulatePrincipalPolicy" and answers[operation] in ("allowed", "implicitDeny"):
            answers["asked"].append((operation, params))
            return {
                "EvaluationResults": [
                    {
                        "EvalActionName": action,
                        "EvalResourceName": params["ResourceArns"][0],
                        "EvalDecision": answers[operation],
                    }
                    for action in params["ActionNames"]
                ]
            }
        return ask(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", simulate)
    return answers


@pytest.fixture
def check(answers: dict[str, Any]) -> Callable[..., Result]:  # noqa: ARG001  AWS is there first
    """Run the command for `analytics`."""
    return lambda *words: CliRunner(mix_stderr=False).invoke(
        cli, ["environments", "check", "analytics", *words], catch_exceptions=False
    )


def put_rule(operated: Gateway, dag_id: str, state: str = "ENABLED") -> None:
    document = {
        "id": f"finance.{dag_id}",
        "state": state,
        "pattern": {"source": ["acme"]},
        "target": {"environment": "analytics", "dag_id": dag_id},
    }
    RulesStore(operated.dynamodb, RULES_TABLE).put(
        parse_rule(document, environments=None), by="a test", now=datetime(2026, 1, 1, tzinfo=UTC)
    )


def test_all_is_well(operated: Gateway, answers: dict[str, Any], check: Callable[..., Result]) -> None:
    """Exit code 0; nothing but reads was asked for, of exactly this environment, and only the doctor is invoked."""
    put_rule(operated, "ingest_orders")
    put_rule(operated, "not_deployed_yet", "DISABLED")
    result = check()
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert "✗" not in result.stdout
    assert "✓ airflow" in result.stdout
    asked = dict(answers["asked"])
    assert asked["GetEnvironment"] == {"Name": "acme-analytics"}
    assert asked["Invoke"]["FunctionName"] == "mwaa-gateway-doctor"
    assert json.loads(asked["Invoke"]["Payload"]) == {"environment": "analytics"}
    assert asked["GetFunctionConfiguration"] == {"FunctionName": "mwaa-gateway-dispatcher-analytics"}
    assert set(asked) == {
        "GetEnvironment",
        "Invoke",
        "GetFunctionConfiguration",
        "SimulatePrincipalPolicy",
    }


def test_each_cross_has_its_remedy_and_the_exit_code_is_1(
    operated: Gateway, answers: dict[str, Any], check: Callable[..., Result]
) -> None:
    """Rules that name a paused DAG and one that is not there; a role that lost everything."""
    put_rule(operated, "refunds")
    put_rule(operated, "gone")
    answers["SimulatePrincipalPolicy"] = "implicitDeny"
    result = check("-o", "json")
    assert result.exit_code == 1
    [found] = json.loads(result.stdout)["environments"].values()
    crosses = [each for each in found if each["status"] == "failed"]
    assert all(each["remedy"] for each in crosses)
    assert {each["check"] for each in crosses} == {"permissions", "rules"}
    assert [each["text"] for each in crosses if each["check"] == "rules"] == [
        "DAGs missing: gone (finance.gone)",
        "DAGs paused: refunds (finance.refunds)",
    ]


def test_the_dispatchers_role_is_simulated_with_the_partition_that_its_policy_opens(
    answers: dict[str, Any], check: Callable[..., Result]
) -> None:
    """Without the leading key IAM would say that the role may not read the rules table."""
    check()
    contexts = {
        (action, params["ResourceArns"][0].rpartition("/")[2]): params.get("ContextEntries")
        for operation, params in answers["asked"]
        if operation == "SimulatePrincipalPolicy"
        for action in params["ActionNames"]
    }
    assert contexts["dynamodb:UpdateItem", "ledger"] is None
    assert contexts["dynamodb:BatchGetItem", "rules"] == [
        {
            "ContextKeyName": "dynamodb:LeadingKeys",
            "ContextKeyValues": ["brake"],
            "ContextKeyType": "stringList",
        }
    ]


def test_a_token_that_is_refused_is_a_cross(answers: dict[str, Any], check: Callable[..., Result]) -> None:
    """Of an environment that MWAA has."""
    refused = {"outcome": "access_denied", "text": "no", "milliseconds": 1}
    answers["Invoke"] = {k: v for k, v in ANSWER.items() if k not in ("web_server", "airflow", "dags")} | {
        "token": refused
    }
    result = check()
    assert (result.exit_code, "✗ token" in result.stdout) == (1, True)


def test_a_doctor_that_fails_is_quoted(answers: dict[str, Any], check: Callable[..., Result]) -> None:
    """Lambda answers with the error's type and text, and with status 200."""
    answers["Invoke"] = {"errorType": "Runtime.ImportModuleError", "errorMessage": "no module 'app'"}
    result = check()
    assert (result.exit_code, "Runtime.ImportModuleError: no module 'app'" in result.stdout) == (1, True)


def test_an_endpoint_that_is_not_reached_stops_no_other_check(
    answers: dict[str, Any], check: Callable[..., Result]
) -> None:
    """The operator's own network may have no way to MWAA."""
    answers["GetEnvironment"] = EndpointConnectionError(
        endpoint_url="https://airflow.eu-west-1.amazonaws.com"
    )
    result = check()
    assert (result.exit_code, "? environment" in result.stdout, "✓ airflow" in result.stdout) == (
        3,
        True,
        True,
    )


def test_functions_outside_any_vpc_and_a_private_web_server(
    answers: dict[str, Any], check: Callable[..., Result]
) -> None:
    """Whether they are in one, the stack's parameters say."""
    answers["GetEnvironment"]["Environment"]["WebserverAccessMode"] = "PRIVATE_ONLY"
    assert check().exit_code == 1
    answers["parameters"] = {"VpcSubnetIds": "subnet-1"}
    assert check().exit_code == 0


def test_a_rule_that_cannot_be_read_is_one_cross(operated: Gateway, check: Callable[..., Result]) -> None:
    """It stops no other rule's check."""
    put_rule(operated, "ingest_orders")
    key = {"partition": {"S": "rules"}, "sort": {"S": "broken"}}
    operated.dynamodb.put_item(
        TableName=RULES_TABLE, Item={**key, "version": {"N": "7"}, "document": {"S": "{"}}
    )
    result = check()
    assert (result.exit_code, "match nothing: broken" in result.stdout) == (1, True)


def test_a_wrong_name_is_one_cross(answers: dict[str, Any], check: Callable[..., Result]) -> None:
    """MWAA gives no token for it either: that is a consequence, and not known."""
    answers["GetEnvironment"] = "ResourceNotFoundException"
    missing = {
        "outcome": "token_unavailable",
        "text": "MWAA has no environment of this name",
        "milliseconds": 1,
    }
    answers["Invoke"] = {k: v for k, v in ANSWER.items() if k not in ("web_server", "airflow", "dags")} | {
        "token": missing
    }
    result = check("-o", "json")
    assert result.exit_code == 1
    [found] = json.loads(result.stdout)["environments"].values()
    [cross] = [each for each in found if each["status"] == "failed"]
    assert (cross["check"], "there are acme" in cross["text"]) == ("environment", True)


def test_what_may_not_be_asked_is_not_known(answers: dict[str, Any], check: Callable[..., Result]) -> None:
    """Exit code 3, and no cross; the doctor's refusal is a cross, as without it nothing is known of the network."""
    answers["GetEnvironment"] = answers["GetFunctionConfiguration"] = "AccessDeniedException"
    result = check()
    assert (result.exit_code, "✗" in result.stdout) == (3, False)
    answers["Invoke"] = "AccessDeniedException"
    result = check()
    assert result.exit_code == 1
    assert "✗ doctor" in result.stdout
    assert "OperatorPolicy" in result.stdout


@pytest.mark.usefixtures("answers")
def test_a_name_that_is_none() -> None:
    """With those there are."""
    result = CliRunner(mix_stderr=False).invoke(cli, ["environments", "check", "nowhere"])
    assert result.exit_code == 1
    assert "analytics, legacy" in result.stderr


@pytest.mark.parametrize("operation", ["GetEnvironment", "GetFunctionConfiguration"])
def test_an_answer_that_cannot_be_read_is_shown_as_such(
    answers: dict[str, Any], check: Callable[..., Result], operation: str
) -> None:
    """Botocore reads a proxy's page as an empty answer; the other checks follow."""
    answers[operation] = {}
    result = check()
    assert (result.exit_code, "✓ rules" in result.stdout) == (3, True)
    assert f"{operation}: the answer cannot be read: KeyError" in result.stdout


def test_a_list_of_dags_that_is_too_long_says_nothing_of_missing_ones(
    operated: Gateway, answers: dict[str, Any], check: Callable[..., Result]
) -> None:
    """The doctor then names paused and stale DAGs alone; a rule whose DAG is not among them is not known to run."""
    put_rule(operated, "ingest_orders")
    answers["Invoke"] = ANSWER | {"dags": ANSWER["dags"] | {"runnable": [], "count": 20_001}}
    result = check()
    assert (result.exit_code, "? rules" in result.stdout) == (3, True)
    put_rule(operated, "refunds")
    result = check()
    assert (result.exit_code, "DAGs paused: refunds" in result.stdout) == (1, True)


def test_an_environment_that_cannot_be_judged_hides_no_other(answers: dict[str, Any]) -> None:
    """The deployed doctor may be of another version, and its answer of another shape."""
    answers["Invoke"] = {"format": 2, "transport": "cli"}
    result = CliRunner(mix_stderr=False).invoke(
        cli, ["environments", "check", "-o", "json"], catch_exceptions=False
    )
    assert result.exit_code == 1
    found = json.loads(result.stdout)["environments"]
    assert {name: [each["check"] for each in those] for name, those in found.items()} == {
        "analytics": ["check"],
        "legacy": ["check"],
    }


def test_the_screen_on_the_page_is_what_the_command_prints(
    operated: Gateway, answers: dict[str, Any], check: Callable[..., Result]
) -> None:
    """For an environment with two faults."""
    put_rule(operated, "refunds")
    answers["parameters"] = {"VpcSubnetIds": "subnet-1"}
    alice = "arn:aws:sts::123456789012:assumed-role/platform/alice"
    answers["GetCallerIdentity"] = {"Account": "123456789012", "Arn": alice}
    no_way = {"service": "sqs", "outcome": "timeout", "text": "", "milliseconds": 3000}
    answers["Invoke"] = ANSWER | {
        "endpoints": [ANSWER["endpoints"][0], no_way],
        "server_time_offset_seconds": 0.4,
    }
    page = (ROOT / "docs" / "check.md").read_text()
    [screen] = re.findall(
        r"^\$ mwaa-gateway environments check analytics\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
    )
    assert screen == check().stdout
