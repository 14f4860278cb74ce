"""How many of our files one event passes, from the handler to Airflow: what a newcomer has to read."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import boto3
import pytest

from fakes.catalog import FakeCatalogStore
from integration.functions import Context, Queues, load
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.pauses import PauseItems
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport
from mwaa_gateway.aws.sqs.queues import TriggerDeadLetterQueue
from mwaa_gateway.aws.sqs.trigger_messages import SqsTriggerMessages
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.delivery import Deliveries
from mwaa_gateway.dispatch.dispatcher import Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.dispatch import report_dispatch

ROOT = Path(__file__).parents[2]
RECORD = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "awsRegion": "eu-west-1",
    "eventTime": "2026-11-22T10:00:00.000Z",
    "eventName": "ObjectCreated:Put",
    "s3": {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": "acme-landing", "arn": "arn:aws:s3:::acme-landing"},
        "object": {"key": "orders/1.csv", "size": 1, "eTag": "0", "sequencer": "01"},
    },
}


def files_passed(work: Callable[[], object]) -> list[str]:
    """Return our files in which a function ran, in order of first use."""
    seen: dict[str, None] = {}

    def follow(frame: FrameType, kind: str, _argument: object) -> None:
        if kind == "call":
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(ROOT / "functions") or file.is_relative_to(ROOT / "layers"):
                seen[str(file.relative_to(ROOT))] = None

    before = sys.getprofile()
    sys.setprofile(follow)
    try:
        work()
    finally:
        sys.setprofile(before)
    return list(seen)


def record(number: int) -> dict[str, Any]:
    s3 = {**RECORD["s3"], "object": {**RECORD["s3"]["object"], "sequencer": f"{number:04x}"}}  # type: ignore[dict-item]
    return {"Records": [{**RECORD, "s3": s3}]}


@pytest.mark.usefixtures("deployed")
def test_a_warm_event_passes_few_files(
    queues: Queues, dynamodb: Any, sqs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warm: the sandbox knows its rules. Where this number rises, the reading path of README.md got longer."""
    handler = load("s3_events").handler
    handler(record(1), Context())
    ingress = files_passed(lambda: handler(record(2), Context()))

    def accept(**call: Any) -> dict[str, Any]:
        run_id = call["Body"]["dag_run_id"]
        return {
            "RestApiStatusCode": 200,
            "RestApiResponse": {"dag_run_id": run_id, "dag_id": "ingest_orders"},
        }

    client = SimpleNamespace(invoke_rest_api=accept, exceptions=boto3.client("mwaa").exceptions)
    airflow = RestTransport(client, "analytics", Pace(10.0))  # type: ignore[arg-type]
    function = Deliveries(
        dispatcher=Dispatcher(
            ledger=LedgerTable(dynamodb, "ledger"),
            airflow=airflow,
            dead_letters=TriggerDeadLetterQueue(sqs, queues.trigger_dlq),
            pauses=Pauses("analytics", PauseItems(dynamodb, "rules"), refresh_seconds=60),
            circuit_breakers=CircuitBreakers(
                "analytics", CircuitItems(dynamodb, "ledger"), dag_missing_grace_seconds=900
            ),
            catalog=LiveCatalog(
                FakeCatalogStore(), airflow, refresh_seconds=0, now=time.time, report=logger.warning
            ),
            maximum_event_age_seconds=86_400,
            now=time.time,
            jitter=lambda: 0.0,
        ),
        messages=SqsTriggerMessages(sqs, queues.trigger, time.time),
        report=lambda dispatched: report_dispatch(dispatched, "analytics"),
        warn=logger.warning,
    )
    monkeypatch.setattr("mwaa_gateway.wiring.dispatcher.dispatcher", lambda: function)
    dispatch = load("dispatcher").handler

    def deliver() -> None:
        [message] = sqs.receive_message(QueueUrl=queues.trigger, AttributeNames=["All"])["Messages"]
        answer = dispatch(
            {
                "Records": [
                    {
                        "messageId": message["MessageId"],
                        "receiptHandle": message["ReceiptHandle"],
                        "body": message["Body"],
                        "attributes": message["Attributes"],
                        "eventSource": "aws:sqs",
                    }
                ]
            },
            Context(),
        )
        assert {"batchItemFailures": []} == answer

    deliver()
    dispatched = files_passed(deliver)
    assert "functions/s3_events/app.py" == ingress[0]
    assert "functions/dispatcher/app.py" == dispatched[0]
    assert len(ingress) <= 22, ingress
    assert len(dispatched) <= 21, (
        dispatched
    )  # aws/dynamodb/values.py is one, in place of a copy in each module
