"""AWS in this process: moto, with credentials that reach nothing."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from click.testing import Result
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from fakes.ledger_table import LEDGER_TABLE, create_ledger_table
from fakes.rules_table import RULES_TABLE, create_rules_table
from integration.functions import RULE, CurrentStdout, Queues
from integration.operated import operated
from integration.scripted_mwaa import control_plane, proxy_and_netrc, server
from integration.shell import shell
from service_models import service_models_are_read_once

__all__ = ["control_plane", "operated", "proxy_and_netrc", "server", "service_models_are_read_once"]


@pytest.fixture(autouse=True, scope="session")
def _what_moto_does_is_not_measured() -> Iterator[None]:
    """Coverage would stop at every line of moto to find that it is not ours, which takes as long as moto itself."""
    answer = BotocoreStubber.__call__

    def answer_unmeasured(stubber: BotocoreStubber, *given: Any, **named: Any) -> Any:
        measuring = sys.gettrace()
        sys.settrace(None)
        try:
            return answer(stubber, *given, **named)
        finally:
            sys.settrace(measuring)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", answer_unmeasured)
        yield


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every boto3 client made while it lasts talks to moto."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


@pytest.fixture
def dynamodb(aws: None):  # noqa: ARG001
    """A DynamoDB client with the gateway's two tables."""
    client = boto3.client("dynamodb")
    create_ledger_table(client)
    create_rules_table(client)
    return client


@pytest.fixture
def sqs(aws: None):  # noqa: ARG001
    """An SQS client."""
    return boto3.client("sqs")


@pytest.fixture(autouse=True)
def _log_to_current_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    from mwaa_gateway.observability import logger  # noqa: PLC0415  after the settings above

    for handler in logger.handlers:
        monkeypatch.setattr(handler, "stream", CurrentStdout())


@pytest.fixture
def queues(sqs) -> Queues:
    """The queues that every ingress function writes to, and a dispatcher's."""

    def url(name: str) -> str:
        return sqs.create_queue(QueueName=name)["QueueUrl"]

    def read(url: str) -> list[str]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get(
            "Messages", []
        )
        return [message["Body"] for message in messages]

    return Queues(
        url("gateway-trigger-analytics"), url("gateway-trigger-dlq-analytics"), url("gateway-dlq"), read
    )


@pytest.fixture
def deployed(queues: Queues, dynamodb, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings as the template sets them, and one rule that takes everything."""
    from mwaa_gateway.wiring.ingress import ingress  # noqa: PLC0415

    for name, value in {
        "RULES_TABLE": "rules",
        "INGRESS_DLQ_URL": queues.ingress_dlq,
        "LEDGER_TABLE": "ledger",
        "CLAIM_CHECK_BUCKET": "large-confs",
        "TRIGGER_QUEUE_URL": queues.trigger.replace("analytics", "{environment}"),
        "ENVIRONMENTS": "analytics",
    }.items():
        monkeypatch.setenv(name, value)
    document = {"S": json.dumps(RULE)}
    copy = {
        "partition": {"S": "*"},
        "sort": {"S": f"rule#{RULE['id']}"},
        "version": {"N": "1"},
        "document": document,
    }
    dynamodb.put_item(TableName="rules", Item=copy)
    head = {"partition": {"S": "*"}, "sort": {"S": "head"}, "generation": {"N": "1"}}
    dynamodb.put_item(TableName="rules", Item=head)
    ingress.cache_clear()
    yield
    ingress.cache_clear()


@pytest.fixture
def gateway_outputs(dynamodb, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:  # noqa: ARG001
    """The outputs of the gateway's stack in this account; moto's CloudFormation needs packages nothing else does."""
    for name in ("AWS_PROFILE", "AWS_REGION", "RULES_TABLE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    outputs = {
        "RulesTableName": RULES_TABLE,
        "LedgerTableName": LEDGER_TABLE,
        "EnvironmentNames": "analytics,reporting",
        "ClaimCheckBucketArn": "arn:aws:s3:::large-confs",
    }
    ask_aws = BaseClient._make_api_call

    def call(self: Any, operation: str, params: Any) -> Any:
        if operation != "DescribeStacks":
            return ask_aws(self, operation, params)
        shown = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        return {"Stacks": [{"StackName": params["StackName"], "Outputs": shown}]}

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return outputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a person stands in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway(gateway_outputs: dict[str, str], folder: Path) -> Callable[..., Result]:  # noqa: ARG001
    """Run `mwaa-gateway` in that account and folder, as a shell would."""

    def run(*words: str, typed: str | None = None, exit_code: int = 0) -> Result:
        result = shell(*words, typed=typed)
        assert exit_code == result.exit_code, f"{result.stdout}{result.stderr}"
        return result

    return run
