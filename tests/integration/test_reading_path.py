"""How many of our files one event passes, from the handler to Airflow: what a newcomer has to read."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import boto3
import pytest

from integration.functions import Context, Queues, deliveries, load, record_of
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport

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

    client = SimpleNamespace(
        invoke_rest_api=accept, close=lambda: None, exceptions=boto3.client("mwaa").exceptions
    )
    airflow = RestTransport(client, "analytics", Pace(10.0))  # type: ignore[arg-type]
    function = deliveries(queues, dynamodb, sqs, airflow, time.time)
    monkeypatch.setattr("mwaa_gateway.wiring.dispatcher.dispatcher", lambda: function)
    dispatch = load("dispatcher").handler

    def deliver() -> None:
        [message] = sqs.receive_message(QueueUrl=queues.trigger, AttributeNames=["All"])["Messages"]
        answer = dispatch({"Records": [record_of(message)]}, Context())
        assert {"batchItemFailures": []} == answer

    deliver()
    dispatched = files_passed(deliver)
    assert "functions/s3_events/app.py" == ingress[0]
    assert "functions/dispatcher/app.py" == dispatched[0]
    assert len(ingress) <= 22, ingress
    # Three serve several modules in place of a copy each: aws/dynamodb/values.py, queue_message.py and aws/mwaa/api.py.
    assert len(dispatched) <= 27, dispatched
