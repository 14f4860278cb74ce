"""What a run that a state waits for costs: AWS's calls counted, and held against the table in docs/step-functions.md."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from fakes.ledger_table import LEDGER_TABLE
from fakes.rules import FakeRuleSource
from fakes.states import payload
from fakes.watches import FakeRuns
from integration.functions import Context, load
from mwaa_gateway.aws.ledger_table import LedgerTable
from mwaa_gateway.aws.queues import ROUND_SECONDS, TriggerQueues, VisibilityTimeout, WatchQueues
from mwaa_gateway.aws.task_tokens import Seal, TaskCallbacks
from mwaa_gateway.aws.watch_items import WatchItems
from mwaa_gateway.live_rules import LiveRules
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.run_states import RunEnd, RunState
from mwaa_gateway.task import TaskStarter
from mwaa_gateway.task_call import read_task_call
from mwaa_gateway.watch import Watcher
from mwaa_gateway.wiring.run_watcher import RunWatcherFunction

PAGE = Path(__file__).parents[2] / "docs" / "step-functions.md"
DOLLARS_PER_MILLION = {
    "state transitions": 25.0,
    "Lambda invocations": 0.20,
    "SQS requests": 0.50,  # FIFO's price; the one to the trigger queue is cheaper
    "DynamoDB write units": 0.625,
    "DynamoDB read units": 0.125,
    "KMS requests": 3.0,
}
COUNTED = [*DOLLARS_PER_MILLION, "questions to Airflow"]
POLL_SECONDS = 30
RUNNING, SUCCESS = RunState(None, started=True), RunState(RunEnd.SUCCESS, started=True)


@dataclass
class Meter:
    """Counts what AWS would bill for every call that is made while it is on."""

    billed: Counter[str] = field(default_factory=Counter)
    rests_for: int = 0  # as last asked of SQS, in seconds

    @contextmanager
    def on(self) -> Iterator[None]:
        ask = BaseClient._make_api_call

        def call(client: Any, operation: str, params: Any) -> Any:
            if operation.startswith("SendTask"):
                return {}  # free of charge, and moto knows no tokens
            answer = ask(client, operation, params)
            self._count(operation, params, answer)
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", call)
            yield

    def _count(self, operation: str, params: Any, answer: Any) -> None:
        match operation:
            case "PutItem" | "UpdateItem":
                # In the table and in its index. An item is at most as large as its JSON; one that changes, as a whole one.
                size = len(json.dumps(params.get("Item", {}), default=repr))
                self.billed["DynamoDB write units"] += 2 * max(2, math.ceil(size / 1024))
            case "GetItem":
                self.billed["DynamoDB read units"] += math.ceil(_size(answer.get("Item")) / 4096)
            case "Query":
                self.billed["DynamoDB read units"] += math.ceil(_size(answer["Items"]) / 4096) / 2
            case "BatchGetItem":
                self.billed["DynamoDB read units"] += len(params["RequestItems"][LEDGER_TABLE]["Keys"]) / 2
            case "SendMessage" | "SendMessageBatch":
                self.billed["SQS requests"] += 1
            case "ChangeMessageVisibility":
                self.billed["SQS requests"] += 1
                self.rests_for = params["VisibilityTimeout"]
            case "Encrypt" | "Decrypt":
                self.billed["KMS requests"] += 1
            case _:
                raise AssertionError(f"{operation} has no price here")


def _record(message: Any) -> dict[str, str]:
    """A message as Lambda hands it over."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
    }


def _size(found: Any) -> int:
    return max(1, len(json.dumps(found, default=repr)))


@pytest.fixture
def waited(dynamodb, sqs, monkeypatch):
    """Have runs of one DAG waited for, all at once and so long; returns what it came to for each of them."""
    trigger = sqs.create_queue(QueueName="trigger-analytics")["QueueUrl"]
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    watch = sqs.create_queue(QueueName="watch-analytics.fifo", Attributes=fifo)["QueueUrl"]
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]

    clock = [1_000_000.0]

    def wait(runs: int, minutes: int) -> dict[str, float]:
        meter, airflow = Meter(), FakeRuns()
        store = WatchItems(dynamodb, LEDGER_TABLE, Seal(boto3.client("kms"), key), now=lambda: clock[0])
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
            now=lambda: clock[0],
        )
        function = RunWatcherFunction(
            settings=SimpleNamespace(environment="analytics"),  # all that the handler reads
            watcher=Watcher(
                environment="analytics",
                store=store,
                airflow=airflow,
                callbacks=TaskCallbacks(boto3.client("stepfunctions")),
                now=lambda: clock[0],
            ),
            queue=watch_queue,
            visibility=VisibilityTimeout(sqs, watch),
            now=lambda: clock[0],
        )
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
            ledger.finish(ledger.claim(request, clock[0]), Triggered(), clock[0])
            airflow.runs[request.target.run_id] = RUNNING
        end = clock[0] + 60 * minutes
        clock[0] += ROUND_SECONDS
        while messages := sqs.receive_message(QueueUrl=watch, MaxNumberOfMessages=10).get("Messages", []):
            if clock[0] >= end:
                airflow.runs = dict.fromkeys(airflow.runs, SUCCESS)
            with meter.on():
                answer = handler({"Records": [_record(message) for message in messages]}, Context())
            meter.billed["Lambda invocations"] += 1
            meter.billed["SQS requests"] += 1  # Lambda's, which received them
            if answer["batchItemFailures"]:
                [message] = messages
                clock[0] += meter.rests_for
                sqs.change_message_visibility(
                    QueueUrl=watch, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
                continue
            meter.billed["SQS requests"] += 1  # Lambda's, which deletes them
            for message in messages:
                sqs.delete_message(QueueUrl=watch, ReceiptHandle=message["ReceiptHandle"])
            clock[0] += ROUND_SECONDS  # rounds that take no time: as many as there can be
        meter.billed["questions to Airflow"] = len(airflow.asked)
        return {name: meter.billed[name] / runs for name in COUNTED}

    return wait


def polled(minutes: int) -> dict[str, float]:
    """What a loop in the state machine comes to: start, then Wait, a Task that asks, and a Choice, until it has ended."""
    looks = 60 * minutes // POLL_SECONDS
    counted = dict.fromkeys(COUNTED, 0.0)
    counted |= {"state transitions": 1 + 3 * looks, "Lambda invocations": 1 + looks}
    return counted | {"questions to Airflow": looks}


def dollars(counted: dict[str, float]) -> float:
    """Of a million such runs."""
    return sum(counted[name] * price for name, price in DOLLARS_PER_MILLION.items())


def table(columns: dict[str, dict[str, float]]) -> str:
    """As the page has it."""
    rows = [f"| for one run of five minutes | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for name in COUNTED:
        cells = [f"{one[name]:,.2f}".removesuffix(".00") if one[name] else "none" for one in columns.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    cells = [f"**${dollars(one):,.0f}**" for one in columns.values()]
    return "\n".join([*rows, f"| **a million runs** | {' | '.join(cells)} |"])


def test_the_costs_on_the_page_are_those_that_are_counted(waited) -> None:
    """One run alone, five at a time, and a loop that looks every thirty seconds. The expected table is printed."""
    alone, together, loop = waited(1, 5), waited(5, 5), polled(5)
    expected = table({"waited for alone": alone, "of five at a time": together, "a loop": loop})
    assert expected in PAGE.read_text(), expected
    assert dollars(together) < dollars(alone) < dollars(loop)
    assert together["questions to Airflow"] < loop["questions to Airflow"] / 2
