"""What a run that a state waits for costs: AWS's calls counted, and compared with the table in docs/step-functions.md."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from fakes.claim_checks import FakeClaimChecks
from fakes.ledger_table import LEDGER_TABLE
from fakes.rules import FakeRuleSource
from fakes.states import payload
from fakes.watches import FakeRuns
from integration.billing import Bill, Meter, PriceList, read_units_of_keys, units
from integration.functions import Context, load, record_of
from mwaa_gateway.airflow.run_states import RunEnd, RunState
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.sqs.queues import TriggerQueues, VisibilityTimeout
from mwaa_gateway.aws.sqs.watch_queues import WatchQueues
from mwaa_gateway.aws.task_callbacks import TaskCallbacks, TokenCipher
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.rounds import report_round, report_unreadable
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.step_functions.delivery import WatchDeliveries
from mwaa_gateway.step_functions.starter import TaskStarter
from mwaa_gateway.step_functions.task_call import read_task_call
from mwaa_gateway.step_functions.watcher import Watcher

PAGE = Path(__file__).parents[2] / "docs" / "step-functions.md"
PRICES = PriceList(
    {
        "state transitions": 25.0,
        "Lambda invocations": 0.20,
        "SQS requests": 0.50,  # FIFO's price; the one to the trigger queue is cheaper
        "DynamoDB write units": 0.625,
        "DynamoDB read units": 0.125,
        "KMS requests": 3.0,
    },
    counted_too=("questions to Airflow",),
)
POLL_SECONDS = 30
DELAY_SECONDS = 5  # of the watch queue
RUNNING, SUCCESS = RunState(None, started=True), RunState(RunEnd.SUCCESS, started=True)


def _written(params: Any, _answer: Any) -> tuple[str, float]:
    """In the table and in its index. An item is at most as large as its JSON; one that changes, as a whole one."""
    return "DynamoDB write units", 2 * max(2, units(_size(params.get("Item", {}))))


def _request_to(queue_or_key: str) -> Bill:
    return lambda _params, _answer: (f"{queue_or_key} requests", 1)


def _size(found: Any) -> int:
    return max(1, len(json.dumps(found, default=repr)))


BILLS: dict[str, Bill] = {
    "PutItem": _written,
    "UpdateItem": _written,
    "GetItem": lambda _, answer: ("DynamoDB read units", units(_size(answer.get("Item")), kilobytes=4)),
    "Query": lambda _, answer: ("DynamoDB read units", units(_size(answer["Items"]), kilobytes=4) / 2),
    "BatchGetItem": read_units_of_keys,
    "SendMessage": _request_to("SQS"),
    "SendMessageBatch": _request_to("SQS"),
    "ChangeMessageVisibility": _request_to("SQS"),
    "Encrypt": _request_to("KMS"),
    "Decrypt": _request_to("KMS"),
}
# Free of charge, and moto knows no tokens.
FREE = ("SendTaskHeartbeat", "SendTaskSuccess", "SendTaskFailure")


def watcher_of(store: WatchItems, airflow: FakeRuns, sqs: Any, url: str, now: Callable[[], float]) -> Any:
    """Build the function as its wiring does, with another Airflow and clock."""
    return WatchDeliveries(
        watcher=Watcher(
            environment="analytics",
            store=store,
            airflow=airflow,
            callbacks=TaskCallbacks(boto3.client("stepfunctions")),
            now=now,
        ),
        queue=VisibilityTimeout(sqs, url),
        report=lambda made: report_round(made, "analytics"),
        report_unreadable=lambda notices: report_unreadable(notices, "analytics"),
        warn=logger.warning,
        now=now,
    )


@pytest.fixture
def waited(dynamodb, sqs, monkeypatch):
    """Have runs of one DAG waited for, all at once and so long; returns what it came to for each of them."""
    trigger = sqs.create_queue(QueueName="trigger-analytics")["QueueUrl"]
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    watch = sqs.create_queue(QueueName="watch-analytics.fifo", Attributes=fifo)["QueueUrl"]
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]

    clock = [1_000_000.0]

    def wait(runs: int, minutes: int) -> dict[str, float]:
        meter, airflow = Meter(BILLS, FREE), FakeRuns()
        store = WatchItems(
            dynamodb, LEDGER_TABLE, TokenCipher(boto3.client("kms"), key), now=lambda: clock[0]
        )
        watch_queue = WatchQueues(sqs, watch.replace("analytics", "{environment}"))
        starter = TaskStarter(
            rules=LiveRules(
                FakeRuleSource(), environments={"analytics"}, refresh_seconds=5, claim_check_bucket="checks"
            ),
            allowed=("analytics/*",),
            environments={"analytics"},
            queue=TriggerQueues(sqs, trigger.replace("analytics", "{environment}")),
            watches=store,
            watch_queue=watch_queue,
            claim_checks=FakeClaimChecks(),
            claim_check_bucket="checks",
            now=lambda: clock[0],
        )
        function = watcher_of(store, airflow, sqs, watch, lambda: clock[0])
        monkeypatch.setattr("mwaa_gateway.wiring.run_watcher.run_watcher", lambda: function)
        handler = load("run_watcher").handler
        requests = []
        with meter.on():
            for index in range(runs):
                # A task token has several hundred characters.
                call = read_task_call(payload(token=f"{runs}-{index:0700}", index=index, state=f"W{runs}"))
                requests.append(starter.start(call))
                meter.billed["state transitions"] += 1
                meter.billed["Lambda invocations"] += 1
        ledger = LedgerTable(dynamodb, LEDGER_TABLE)
        for request in requests:  # the dispatcher's work, which costs the same whoever waits
            ledger.finish(ledger.begin_attempt(request, clock[0]), Triggered(), clock[0])
            airflow.runs[request.target.run_id] = RUNNING
        end = clock[0] + 60 * minutes
        clock[0] += DELAY_SECONDS
        while messages := sqs.receive_message(
            QueueUrl=watch, MaxNumberOfMessages=10, AttributeNames=["All"]
        ).get("Messages", []):
            if clock[0] >= end:
                airflow.runs = dict.fromkeys(airflow.runs, SUCCESS)
            with meter.on():
                answer = handler({"Records": [record_of(message) for message in messages]}, Context())
            meter.billed["Lambda invocations"] += 1
            meter.billed["SQS requests"] += 1  # Lambda's, which received them
            resting = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            for message in messages:
                receipt = {"QueueUrl": watch, "ReceiptHandle": message["ReceiptHandle"]}
                if message["MessageId"] in resting:
                    clock[0] += meter.asked["ChangeMessageVisibility"]["VisibilityTimeout"]
                    sqs.change_message_visibility(**receipt, VisibilityTimeout=0)
                else:
                    sqs.delete_message(**receipt)
            if len(resting) < len(messages):
                meter.billed["SQS requests"] += 1  # Lambda's, which deletes them
        meter.billed["questions to Airflow"] = len(airflow.asked)
        return {name: meter.billed[name] / runs for name in PRICES.counted}

    return wait


def polled(minutes: int) -> dict[str, float]:
    """What a loop in the state machine comes to: start, then Wait, a Task that asks, and a Choice, until it has ended."""
    looks = 60 * minutes // POLL_SECONDS
    counted = dict.fromkeys(PRICES.counted, 0.0)
    counted |= {"state transitions": 1 + 3 * looks, "Lambda invocations": 1 + looks}
    return counted | {"questions to Airflow": looks}


def test_the_costs_on_the_page_are_those_that_are_counted(waited) -> None:
    """One run alone, five at a time, and a loop that looks every thirty seconds. The expected table is printed."""
    alone, together, loop = waited(1, 5), waited(5, 5), polled(5)
    columns = {"waited for alone": alone, "of five at a time": together, "a loop": loop}
    expected = PRICES.table("for one run of five minutes", "a million runs", columns, places=0)
    assert expected in PAGE.read_text(), expected
    assert PRICES.dollars(together) < PRICES.dollars(alone) < PRICES.dollars(loop)
    assert together["questions to Airflow"] < loop["questions to Airflow"] / 2


def test_what_the_ticks_of_a_month_cost(dynamodb, sqs, monkeypatch) -> None:
    """Where nobody waits: the message that EventBridge sends, and Lambda receives and deletes, and one look at the index."""
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="watch-analytics.fifo", Attributes=fifo)["QueueUrl"]
    store = WatchItems(dynamodb, LEDGER_TABLE, TokenCipher(boto3.client("kms"), "key"), now=lambda: 1.0)
    function = watcher_of(store, FakeRuns(), sqs, url, lambda: 1.0)
    monkeypatch.setattr("mwaa_gateway.wiring.run_watcher.run_watcher", lambda: function)
    tick = json.dumps({"source": "aws.events", "detail-type": "Scheduled Event"})
    meter = Meter(BILLS, FREE)
    with meter.on():
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1000000"}
        record = record_of({"MessageId": "1", "ReceiptHandle": "1", "Body": tick, "Attributes": attributes})
        assert load("run_watcher").handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    meter.billed["SQS requests"] += 3
    meter.billed["Lambda invocations"] += 1
    said = "3 SQS requests, 1 invocation and half a read unit"
    assert dict(meter.billed) == {"SQS requests": 3, "Lambda invocations": 1, "DynamoDB read units": 0.5}
    dollars = PRICES.dollars({name: meter.billed[name] for name in PRICES.counted}) * 60 * 24 * 30 / 1e6
    assert f"{said} each, ${dollars:.2f} a month" in " ".join(PAGE.read_text().split()), dollars
