"""The functions of hybrid tasks in AWS (moto's): what a state gets, and how a watcher keeps itself going."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from fakes.ledger_table import LEDGER_TABLE
from fakes.states import EXECUTION, payload
from integration.functions import Context, lines, load
from mwaa_gateway.aws.ledger_table import LedgerTable
from mwaa_gateway.aws.mwaa_cli_runs import CliRuns
from mwaa_gateway.aws.mwaa_rest_runs import RestRuns
from mwaa_gateway.aws.mwaa_web_session import ANSWER_SECONDS, WebSession
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.task_call import InvalidTask
from mwaa_gateway.trigger_request import TriggerRequest

CANARY = "canary-task-token"
ABORTED = {
    "source": "aws.states",
    "detail-type": "Step Functions Execution Status Change",
    "detail": {"executionArn": EXECUTION, "status": "ABORTED"},
}


@dataclass
class Tasks:
    """Both handlers, and what is in their queues."""

    start: Callable[[Any, Any], dict]
    watch: Callable[[Any, Any], dict]
    read: Callable[[str], list[dict]]


@pytest.fixture
def tasks(deployed, sqs, monkeypatch) -> Tasks:  # noqa: ARG001
    """As the template sets them up, without the queue's delay."""
    from mwaa_gateway.wiring.run_watcher import run_watcher  # noqa: PLC0415
    from mwaa_gateway.wiring.step_functions_task import step_functions_task  # noqa: PLC0415

    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="gateway-watch-analytics.fifo", Attributes=fifo)["QueueUrl"]
    for name, value in {
        "WATCH_QUEUE_URL": url.replace("analytics", "{environment}"),
        "TASK_TOKEN_KEY": boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
        "TASK_DAGS": "analytics/*",
        "ENVIRONMENT": "analytics",
        "MWAA_ENVIRONMENT_NAME": "acme-analytics",
        "TRANSPORTS": "cli",
    }.items():
        monkeypatch.setenv(name, value)
    for built in (step_functions_task, run_watcher):
        built.cache_clear()

    def start(event: Any, context: Any) -> dict:
        monkeypatch.setenv("WATCH_QUEUE_URL", url.replace("analytics", "{environment}"))
        return load("step_functions_task").handler(event, context)

    def watch(event: Any, context: Any) -> dict:
        monkeypatch.setenv("WATCH_QUEUE_URL", url)
        return load("run_watcher").handler(event, context)

    def read(name: str) -> list[dict]:
        queue = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])
        return found.get("Messages", [])

    yield Tasks(start, watch, read)
    for built in (step_functions_task, run_watcher):
        built.cache_clear()


def batch(*bodies: Any) -> dict:
    """What Lambda hands over of a queue."""
    return {
        "Records": [
            {"messageId": str(n), "receiptHandle": f"handle-{n}", "body": json.dumps(body)}
            for n, body in enumerate(bodies)
        ]
    }


def test_a_state_gets_the_run_and_the_watcher_is_woken(tasks, capsys):
    """The request is on its queue, the wake-up in the one message group, and the token in neither."""
    answer = tasks.start(payload(token=CANARY), Context())
    [request] = tasks.read("gateway-trigger-analytics")
    assert answer == {
        "environment": "analytics",
        "dag_id": "load",
        "run_id": json.loads(request["Body"])["run_id"],
    }
    [wake] = tasks.read("gateway-watch-analytics.fifo")
    assert wake["Attributes"]["MessageGroupId"] == "watch"
    written = lines(capsys)
    assert [line["outcome"] for line in written if "outcome" in line] == ["Requested"]
    for text in (json.dumps(answer), request["Body"], wake["Body"], json.dumps(written)):
        assert CANARY not in text


def test_what_a_state_passes_wrong_is_its_own_error(tasks, capsys):
    """By the class's name, which the state's Catch matches."""
    with pytest.raises(InvalidTask, match="context is missing"):
        tasks.start({"dag": {"environment": "analytics", "dag_id": "load"}}, Context())
    [refused, counted] = lines(capsys)
    assert (refused["outcome"], refused["reason"]) == ("Refused", "InvalidTask")
    assert counted["TasksRefused"] == [1.0]


def test_rules_choose_the_dag_where_the_state_names_none(tasks):
    """As for any event."""
    assert tasks.start(payload(token=None, dag=None), Context())["dag_id"] == "ingest_orders"


def test_rounds_go_on_while_anything_is_watched_and_end_with_it(tasks):
    """Whatever asks for a round: SQS keeps one of those asked for within five seconds."""
    tasks.start(payload(token=CANARY), Context())
    tasks.read("gateway-watch-analytics.fifo")
    assert tasks.watch(batch({"round": "wake"}, "no round"), Context()) == {"batchItemFailures": []}
    assert tasks.watch(batch(ABORTED), Context()) == {"batchItemFailures": []}
    boto3.client("sqs").purge_queue(
        QueueUrl=boto3.client("sqs").get_queue_url(QueueName="gateway-watch-analytics.fifo")["QueueUrl"]
    )
    assert tasks.watch(batch({"round": "next"}), Context()) == {"batchItemFailures": []}
    assert tasks.read("gateway-watch-analytics.fifo") == []


@pytest.fixture
def waited_for(tasks, dynamodb, sqs) -> Callable[..., tuple[list[str], int, int]]:
    """Make a round about a state that has waited so long; returns what comes again, what is there, what rests."""
    url = sqs.get_queue_url(QueueName="gateway-watch-analytics.fifo")["QueueUrl"]

    def make(
        *others: Any, since: float = 100, sent: float = 5, handle: str | None = None
    ) -> tuple[list[str], int, int]:
        tasks.start(payload(token=CANARY, wait={"heartbeat_seconds": 3_600}), Context())
        [item] = [one for one in dynamodb.scan(TableName="ledger")["Items"] if "watched_in" in one]
        item["waiting_since"] = {"N": str(time.time() - since)}
        dynamodb.put_item(TableName="ledger", Item=item)
        sqs.purge_queue(QueueUrl=url)
        message = json.dumps({"round": "next", "sent_at": time.time() - sent})
        sqs.send_message(QueueUrl=url, MessageBody=message, MessageGroupId="watch")
        [received] = tasks.read("gateway-watch-analytics.fifo")
        event = batch(json.loads(message), *others)
        event["Records"][0]["receiptHandle"] = handle or received["ReceiptHandle"]
        failed = [each["itemIdentifier"] for each in tasks.watch(event, Context())["batchItemFailures"]]
        if "0" not in failed:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
        return failed, *(int(found[count]) for count in counts)

    return make


def test_where_nothing_is_due_sooner_the_rounds_message_rests(waited_for):
    """It comes again by itself, instead of another that is sent, received and deleted."""
    assert waited_for() == (["0"], 0, 1)


@pytest.mark.parametrize(
    ("otherwise", "given"),
    [
        ("a young wait is asked about in five seconds", {"since": 0}),
        ("a message that lives too long would be given up by its queue", {"sent": 100_000}),
        ("it cannot be given back", {"handle": "unknown"}),
    ],
)
def test_a_round_that_cannot_rest_has_another_one_sent(waited_for, otherwise, given):
    """One message takes the place of the one before, whatever happens."""
    assert waited_for(**given) == ([], 1, 0), otherwise


def test_where_others_send_word_too_nobody_rests(waited_for):
    """Fifty executions that are stopped are heard ten by ten, one round after the other."""
    assert waited_for({"round": "wake"}) == ([], 1, 0)


def test_a_round_that_cannot_be_made_comes_again(tasks, dynamodb, capsys):
    """An outage loses no notice and ends no watching."""
    dynamodb.delete_table(TableName="ledger")
    answer = tasks.watch(batch({"round": "next"}, {"round": "next"}), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}, {"itemIdentifier": "1"}]}
    assert "the round is made again" in lines(capsys)[0]["message"]


@pytest.mark.guarantee(42)
@pytest.mark.parametrize("transports", ["cli", "rest"])
def test_a_run_that_could_not_be_ended_with_its_execution_is_told(
    tasks, dynamodb, capsys, monkeypatch, transports
):
    """In the log with what would bring it, and in a metric: nobody waits there any more to be told."""
    monkeypatch.setenv("TRANSPORTS", transports)
    run_id = tasks.start(payload(wait={"on_abort": "fail_run"}), Context())["run_id"]
    [message] = tasks.read("gateway-trigger-analytics")
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    ledger.finish(ledger.claim(TriggerRequest.from_json(message["Body"]), 1.0), Triggered(), 2.0)
    lines(capsys)

    tasks.watch(batch(ABORTED), Context())

    written = lines(capsys)
    [told] = [line for line in written if line.get("outcome") == "RunNotMarkedFailed"]
    assert (told["level"], told["run_id"], told["execution_arn"]) == ("WARNING", run_id, EXECUTION)
    assert "set the parameter WebLoginRole to User" in told["message"]
    [counted] = [line for line in written if "RunsNotMarkedFailed" in line]
    assert (counted["RunsNotMarkedFailed"], counted["WaitsStopped"]) == ([1.0], [1.0])


@pytest.mark.parametrize(("transports", "over"), [("cli", CliRuns), ("rest", RestRuns)])
@pytest.mark.parametrize("role", ["", "Viewer"])
def test_a_watcher_logs_in_over_either_transport_where_it_may(tasks, monkeypatch, transports, over, role):
    """And builds nothing for it where it may not."""
    from mwaa_gateway.wiring.run_watcher import run_watcher  # noqa: PLC0415  as above

    del tasks
    monkeypatch.setenv("TRANSPORTS", transports)
    monkeypatch.setenv("WEB_LOGIN_ROLE", role)
    runs = run_watcher().watcher.airflow
    assert isinstance(runs, over)
    assert isinstance(runs._calls.session, WebSession if role else type(None))
    if role:
        assert runs._calls.session._way.web_server.read_timeout_seconds == ANSWER_SECONDS
