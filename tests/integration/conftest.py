"""AWS in this process: moto, with credentials that reach nothing."""

import os
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from fakes.ledger_table import create_ledger_table
from fakes.rules_table import create_rules_table

# As the template sets them: Powertools reads its own settings when it is imported.
os.environ |= {"POWERTOOLS_SERVICE_NAME": "gateway", "POWERTOOLS_METRICS_NAMESPACE": "MwaaTriggerGateway"}


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
