"""How the tests call the Lambda functions: the handler, its context, its queues, and what it writes."""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fakes.catalog import FakeCatalogStore
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.object_claims import LedgerClaims
from mwaa_gateway.aws.dynamodb.pauses import PauseItems
from mwaa_gateway.aws.sqs.queues import TriggerDeadLetterQueue
from mwaa_gateway.aws.sqs.trigger_messages import SqsTriggerMessages
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.concurrency import Concurrency
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.dispatch import report_bug, report_dispatch
from mwaa_gateway.wiring.dispatcher import side_by_side

__all__ = ["RULE", "Context", "CurrentStdout", "Queues", "deliveries", "lines", "load", "record_of"]

ROOT = Path(__file__).parent.parent.parent
RULE = {
    "id": "finance.everything",
    "pattern": {"source": [{"anything-but": ["mwaa-gateway"]}]},
    "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
}


class CurrentStdout:
    """Standard output as it is at the moment of writing: Powertools keeps the one it found when it was imported."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@dataclass
class Context:
    """What the handlers and Powertools read of Lambda's context."""

    function_name: str = "gateway"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:gateway"
    aws_request_id: str = "request-1"


def load(name: str) -> ModuleType:
    """Import functions/<name>/app.py; all of them are called app."""
    spec = importlib.util.spec_from_file_location(f"functions_{name}", ROOT / "functions" / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Queues:
    """The deployed queues."""

    trigger: str
    trigger_dlq: str
    ingress_dlq: str
    read: Callable[[str], list[str]]  # what can be received of the next ten, left there


def record_of(message: dict[str, Any], queue: str = "queue") -> dict[str, Any]:
    """A message as Lambda passes it on, from what SQS's API answered."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue}",
        "awsRegion": "eu-west-1",
    }


def deliveries(
    queues: Queues, dynamodb: Any, sqs: Any, airflow: Any, now: Callable[[], float]
) -> TriggerDeliveries:
    """What `wiring.dispatcher` builds for the environment analytics, with this Airflow and clock; no DAG catalog."""
    return TriggerDeliveries(
        dispatcher=Dispatcher(
            ledger=LedgerTable(dynamodb, "ledger"),
            claims=LedgerClaims(dynamodb, "ledger", now),
            airflow=airflow,
            dead_letters=TriggerDeadLetterQueue(sqs, queues.trigger_dlq),
            pauses=Pauses("analytics", PauseItems(dynamodb, "rules"), refresh_seconds=60),
            circuit_breakers=CircuitBreakers(
                "analytics", CircuitItems(dynamodb, "ledger"), dag_missing_grace_seconds=900
            ),
            catalog=LiveCatalog(
                FakeCatalogStore(), airflow, refresh_seconds=0, now=lambda: 1_000.0, report=print
            ),
            maximum_event_age_seconds=86_400,
            now=now,
            jitter=lambda: 0.0,
            sleep=time.sleep,
        ),
        messages=SqsTriggerMessages(sqs, queues.trigger, time.time),
        concurrency=Concurrency(1),
        side_by_side=side_by_side,
        close_connections=airflow.close,
        now=time.time,
        report=lambda dispatched: report_dispatch(dispatched, "analytics", now()),
        report_bug=report_bug,
        warn=logger.warning,
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    """The log lines and metrics that were written since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
