"""The functions of hybrid tasks in AWS (moto's): what a state gets, and how the watcher's rounds follow from one another."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fakes.ledger_table import LEDGER_TABLE
from fakes.states import EXECUTION, payload
from integration.functions import Context, lines, load
from mwaa_gateway.airflow.run_states import RunsUnknown
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.mwaa import web_session
from mwaa_gateway.aws.mwaa.runs import CliRuns, RestRuns
from mwaa_gateway.aws.mwaa.web_session import ANSWER_SECONDS, WebSession
from mwaa_gateway.outcomes import Reason, Rejected, Retryable, Triggered
from mwaa_gateway.step_functions.task_call import InvalidTask
from mwaa_gateway.trigger_request import TriggerRequest

CANARY = "canary-task-token"
ABORTED = {
    "source": "aws.states",
    "detail-type": "Step Functions Execution Status Change",
    "detail": {"executionArn": EXECUTION, "status": "ABORTED"},
}


TICK = {"source": "aws.events", "detail-type": "Scheduled Event"}


def in_the_queue(sqs, url: str) -> tuple[int, int]:
    """How many messages are visible, and how many are in flight or rest."""
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    return int(found[counts[0]]), int(found[counts[1]])


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
            {
                "messageId": str(n),
                "receiptHandle": f"handle-{n}",
                "body": json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1000000"},
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue",
            }
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


def test_rounds_follow_while_a_state_waits_and_end_with_it(tasks, sqs):
    """By the newest message of the batch, which rests in the queue; nothing is ever sent there."""
    url = sqs.get_queue_url(QueueName="gateway-watch-analytics.fifo")["QueueUrl"]
    tasks.start(payload(token=CANARY), Context())
    [wake] = tasks.read("gateway-watch-analytics.fifo")
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(TICK), MessageGroupId="watch")

    event = batch(TICK, {"round": "wake"})
    event["Records"][1]["receiptHandle"] = wake["ReceiptHandle"]
    assert tasks.watch(event, Context()) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert in_the_queue(sqs, url) == (1, 1)  # the tick that was sent above; the wake that rests

    assert tasks.watch(batch(ABORTED, TICK), Context()) == {"batchItemFailures": []}
    assert in_the_queue(sqs, url) == (1, 1)


def test_a_message_that_cannot_be_given_back_comes_when_its_visibility_timeout_ends(tasks, capsys):
    """Then the next round is late, and still made; the log says so."""
    tasks.start(payload(token=CANARY), Context())
    lines(capsys)
    assert tasks.watch(batch(TICK), Context()) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    [late] = [line for line in lines(capsys) if line.get("level") == "WARNING"]
    assert "waiting states get their answer late" in late["message"]
    assert "ReceiptHandleIsInvalid" in late["message"]


def test_a_message_that_is_no_notice_is_reported_and_stops_no_round(tasks, capsys):
    """With its id; its text may be anybody's."""
    tasks.start(payload(token=CANARY), Context())
    lines(capsys)
    answer = tasks.watch(batch({"hello": CANARY}, ABORTED), Context())
    assert answer == {"batchItemFailures": []}
    written = lines(capsys)
    [ignored] = [line for line in written if "message_id" in line]
    assert (ignored["level"], ignored["message_id"]) == ("WARNING", "0")
    assert [line["outcome"] for line in written if "outcome" in line] == ["Stopped"]
    assert CANARY not in json.dumps(written)


def test_a_round_that_cannot_be_made_comes_again(tasks, dynamodb, capsys):
    """An outage loses no notice and ends no watching."""
    dynamodb.delete_table(TableName="ledger")
    answer = tasks.watch(batch(ABORTED, TICK), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}, {"itemIdentifier": "1"}]}
    assert "the round failed; no state is lost" in lines(capsys)[0]["message"]


@pytest.mark.guarantee(42)
@pytest.mark.parametrize("transports", ["cli", "rest"])
def test_a_run_that_could_not_be_ended_with_its_execution_is_told(
    tasks, dynamodb, capsys, monkeypatch, transports
):
    """In the log with the remedy, and in a metric: no caller waits for an error any more."""
    monkeypatch.setenv("TRANSPORTS", transports)
    run_id = tasks.start(payload(wait={"on_abort": "fail_run"}), Context())["run_id"]
    [message] = tasks.read("gateway-trigger-analytics")
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    ledger.finish(ledger.begin_attempt(TriggerRequest.from_json(message["Body"]), 1.0), Triggered(), 2.0)
    lines(capsys)

    tasks.watch(batch(ABORTED), Context())

    written = lines(capsys)
    [reported] = [line for line in written if line.get("outcome") == "RunNotMarkedFailed"]
    assert (reported["level"], reported["run_id"], reported["resource"]) == (
        "WARNING",
        run_id,
        EXECUTION,
    )
    assert "set the parameter WebLoginRole to User" in reported["message"]
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
    built = []

    class Recorded(WebSession):
        def __init__(self, client, environment, web_server, parameter, **more):
            built.append((environment, web_server.read_timeout_seconds, parameter))
            super().__init__(client, environment, web_server, parameter, **more)

    monkeypatch.setattr(web_session, "WebSession", Recorded)
    assert isinstance(run_watcher().watcher.airflow, over)
    assert built == ([("acme-analytics", ANSWER_SECONDS, "WebLoginRole")] if role else [])


@pytest.mark.parametrize("transports", ["web", "web/cli", "web/rest"])
def test_a_watcher_over_a_web_login_needs_no_other_session(tasks, monkeypatch, transports):
    """The transport's own session reads return values and ends runs, which wait while the login is refused."""
    from mwaa_gateway.wiring.run_watcher import run_watcher  # noqa: PLC0415  as above

    del tasks
    monkeypatch.setenv("TRANSPORTS", transports)
    denied, asked = Retryable(Reason.ACCESS_DENIED, "no web login token"), []
    monkeypatch.setattr(WebSession, "sign_in", lambda _: denied)
    monkeypatch.setattr(WebSession, "ask", lambda self, _: asked.append(self.parameter) or denied)
    airflow = run_watcher().watcher.airflow
    assert airflow.return_value("d", "evt__a__1", "count") == RunsUnknown(denied.text)
    assert airflow.fail_run("d", "evt__a__1" * 9) == RunsUnknown(denied.text)
    assert asked == ["RestApiRole"] * 2


@pytest.mark.guarantee(43)
def test_a_state_that_cannot_be_answered_is_in_the_log_and_in_a_metric(tasks, dynamodb, capsys, monkeypatch):
    """With its run, the reason and the remedy; and nothing of its token."""
    states = boto3.client("stepfunctions")
    build = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda name, **given: states if name == "stepfunctions" else build(name, **given)
    )
    tasks.watch(batch(TICK), Context())  # builds the watcher
    run_id = tasks.start(payload(token=CANARY), Context())["run_id"]
    [message] = tasks.read("gateway-trigger-analytics")
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    ledger.finish(
        ledger.begin_attempt(TriggerRequest.from_json(message["Body"]), 1.0),
        Rejected(Reason.DAG_MISSING, "gone"),
        2.0,
    )
    lines(capsys)
    with Stubber(states) as stubber:
        stubber.add_client_error("send_task_failure", "KmsAccessDeniedException", f"Value {CANARY!r}")
        answer = tasks.watch(batch(TICK), Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    written = lines(capsys)
    [reported] = [line for line in written if line.get("outcome") == "StepFailed"]
    assert (reported["level"], reported["run_id"], reported["reason"]) == (
        "WARNING",
        run_id,
        "answer the state",
    )
    assert "KmsAccessDeniedException; the KMS key of the state machine must let" in reported["message"]
    [counted] = [line for line in written if "WaitsUnanswered" in line]
    assert (counted["WaitsUnanswered"], counted["RunsWatched"]) == ([1.0], [1.0])
    assert CANARY not in json.dumps(written)


@pytest.fixture
def forward(tasks, monkeypatch, sqs):
    """ended_executions, with an environment that has no queue of its own yet."""
    from mwaa_gateway.wiring.ended_executions import ended_executions  # noqa: PLC0415  as above

    del tasks

    def handler(event: Any) -> dict:
        url = sqs.get_queue_url(QueueName="gateway-watch-analytics.fifo")["QueueUrl"]
        monkeypatch.setenv("WATCH_QUEUE_URL", url.replace("analytics", "{environment}"))
        monkeypatch.setenv("ENVIRONMENTS", "analytics,legacy")
        ended_executions.cache_clear()
        return load("ended_executions").handler(event, Context())

    yield handler
    ended_executions.cache_clear()


def test_the_end_of_an_execution_reaches_the_watcher_it_concerns(tasks, forward, capsys):
    """The watch that step_functions_task wrote is found; the watcher stops at what it is sent."""
    tasks.start(payload(token=CANARY), Context())
    tasks.read("gateway-watch-analytics.fifo")  # the wake is in flight
    lines(capsys)
    other = {**ABORTED, "detail": {"executionArn": f"{EXECUTION}-other", "status": "FAILED"}}

    assert forward(batch(other)) == {"batchItemFailures": []}
    assert lines(capsys) == []  # nobody's: no line, no metric, no message
    assert forward(batch(other, ABORTED, {"hello": CANARY})) == {"batchItemFailures": []}

    written = lines(capsys)
    [ignored] = [line for line in written if "message_id" in line]
    assert (ignored["level"], ignored["message_id"]) == ("WARNING", "2")
    [counted] = [line for line in written if "EndsForwarded" in line]
    assert counted["EndsForwarded"] == [1.0]
    assert CANARY not in json.dumps(written)
    tasks.watch(batch(ABORTED), Context())
    assert [line["outcome"] for line in lines(capsys) if "outcome" in line] == ["Stopped"]


@pytest.mark.guarantee(29)
def test_a_notice_that_cannot_be_sent_on_comes_again_and_is_counted(tasks, forward, sqs, dynamodb, capsys):
    """The queue is away, then the table; sent twice, the FIFO queue has it once."""
    tasks.start(payload(token=CANARY), Context())
    url = sqs.get_queue_url(QueueName="gateway-watch-analytics.fifo")["QueueUrl"]
    for _ in range(2):
        assert forward(batch(ABORTED)) == {"batchItemFailures": []}
    assert in_the_queue(sqs, url)[0] == 2  # the wake, and the notice
    lines(capsys)

    dynamodb.delete_table(TableName="ledger")
    assert forward(batch(ABORTED)) == {"batchItemFailures": [{"itemIdentifier": "0"}]}

    written = lines(capsys)
    [reported] = [line for line in written if line.get("outcome") == "GivenBack"]
    assert reported["level"] == "WARNING"
    assert "environment 'legacy': cannot list the watches: ResourceNotFoundException" in reported["message"]
    [counted] = [line for line in written if "MessagesGivenBack" in line]
    assert counted["MessagesGivenBack"] == [1.0]


def test_an_idle_watcher_publishes_nothing(tasks, capsys):
    """A metric costs as much a month as the ticks of four."""
    tasks.watch(batch(TICK), Context())
    assert [line for line in lines(capsys) if "_aws" in line] == []
