"""The Lambda functions as Lambda calls them: handler in, queue and log lines out."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectTimeoutError

from benchmarks.cold_start import SETTINGS, WIRED
from fakes.airflow import BUSY, FakeAirflow
from fakes.requests import a_request
from integration.functions import Context, Queues, deliveries, lines, load, record_of
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.fallback import FallbackTransport
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.observability.dispatch import report_dispatch
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    NotRunnable,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest
from mwaa_gateway.wiring.dispatcher import dispatcher

S3_RECORD = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "awsRegion": "eu-west-1",
    "eventTime": "2026-11-22T10:00:00.000Z",
    "eventName": "ObjectCreated:Put",
    "userIdentity": {"principalId": "AWS:X"},
    "requestParameters": {"sourceIPAddress": "10.0.0.1"},
    "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
    "s3": {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": "acme-landing", "arn": "arn:aws:s3:::acme-landing"},
        "object": {
            "key": "orders/a+b%2B.csv",
            "size": 1,
            "eTag": "d41d8c",
            "sequencer": "0055AED6DCD90281E5",
        },
    },
}
SNS = {
    "Records": [
        {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:topic:1",
            "Sns": {
                "Type": "Notification",
                "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
                "TopicArn": "arn:aws:sns:eu-west-1:123456789012:topic",
                "Subject": "hello",
                "Message": '{"n": 1}',
                "Timestamp": "2026-11-22T10:00:00.000Z",
                "MessageAttributes": {},
            },
        }
    ]
}
EVENT = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "Invoice Period Closed",
    "source": "acme.billing",
    "account": "123456789012",
    "time": "2026-11-22T10:00:00Z",
    "region": "eu-west-1",
    "resources": [],
    "detail": {"period": "2026-10"},
}


@pytest.mark.parametrize(
    ("function", "event", "about"),
    [
        ("s3_events", {"Records": [S3_RECORD]}, ("aws.s3", "s3://acme-landing/orders/a b+.csv")),
        ("sns_events", SNS, ("aws.sns", "sns:topic/95df01b4-ee98-5cb9-9903-4c221d41eb5e")),
        ("eventbridge_events", EVENT, ("acme.billing", None)),
    ],
)
@pytest.mark.usefixtures("deployed")
def test_an_event_of_each_source_becomes_a_request(
    function: str,
    event: dict,
    about: tuple[str, str | None],
    queues: Queues,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the environment's queue, with one log line and the metrics that the alarms watch."""
    load(function).handler(event, Context())
    (body,) = queues.read(queues.trigger)
    request = TriggerRequest.from_json(body)
    source, resource = about
    assert source == request.event["source"]
    assert "123456789012" == request.event["account"]
    log, metric = lines(capsys)
    assert (
        "run requested",
        request.target.run_id,
        "finance.everything",
        "ingest_orders",
        request.event["id"],
    ) == (
        log["message"],
        log["run_id"],
        log["rule_id"],
        log["dag_id"],
        log["event_id"],
    )
    assert (source, request.event["detail-type"]) == (log["source"], log["detail_type"])
    assert (1, resource, request.ledger_key[0]) == (log["trail"], log.get("resource"), log["identity"])
    assert ([1.0], [1.0]) == (metric["EventsMatched"], metric["RequestsEnqueued"])


@pytest.mark.guarantee(5)
@pytest.mark.parametrize(
    ("function", "event"),
    [
        ("s3_events", {"Records": [{"eventSource": "aws:s3"}]}),
        ("s3_events", {}),
        ("sns_events", {"Records": "x"}),
        ("eventbridge_events", {"id": "1"}),
    ],
)
@pytest.mark.usefixtures("deployed")
def test_a_malformed_event_is_kept_after_one_attempt(
    function: str, event: dict, queues: Queues, capsys: pytest.CaptureFixture[str]
) -> None:
    """No exception, so that Lambda does not retry it; the event is kept unchanged, logged and counted."""
    load(function).handler(event, Context())
    (body,) = queues.read(queues.ingress_dlq)
    assert ("malformed_event", event) == (json.loads(body)["reason"], json.loads(body)["payload"])
    log, metric = lines(capsys)
    assert ("ERROR", "malformed_event") == (log["level"], log["reason"])
    assert [1.0] == metric["EventsMalformed"]


@pytest.mark.guarantee(3)
@pytest.mark.usefixtures("deployed")
def test_s3s_test_event_is_acknowledged(queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    """Sent once when the notification is configured: no run, no dead letter."""
    load("s3_events").handler(
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "acme-landing"}, Context()
    )
    assert ([], []) == (queues.read(queues.trigger), queues.read(queues.ingress_dlq))
    assert "Ignored" == lines(capsys)[0]["outcome"]


@pytest.mark.usefixtures("deployed")
def test_a_table_that_is_gone_fails_the_invocation(dynamodb, queues: Queues) -> None:
    """Lambda tries again; the event is never taken for unmatched."""
    dynamodb.delete_table(TableName="rules")
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        load("eventbridge_events").handler(EVENT, Context())
    assert [] == queues.read(queues.trigger)


@dataclass
class Dispatching:
    """The dispatcher function on moto's queues and table, with an Airflow that follows a script."""

    airflow: FakeAirflow
    handler: Callable
    queues: Queues
    sqs: object

    def receive(self) -> dict:
        """Receive one message as Lambda's poller does."""
        (message,) = self.sqs.receive_message(  # type: ignore[attr-defined]
            QueueUrl=self.queues.trigger, VisibilityTimeout=540, AttributeNames=["All"]
        )["Messages"]
        return record_of(message)

    def invoke(self, *records: dict) -> list[str]:
        answer = self.handler({"Records": list(records)}, Context())
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def dispatching(queues: Queues, dynamodb, sqs, monkeypatch: pytest.MonkeyPatch) -> Dispatching:
    airflow = FakeAirflow()
    # A minute passes at each look, so that an open circuit breaker never keeps a test waiting.
    function = deliveries(queues, dynamodb, sqs, airflow, itertools.count(1_000.0, 60.0).__next__)
    monkeypatch.setattr("mwaa_gateway.wiring.dispatcher.dispatcher", lambda: function)
    return Dispatching(airflow, load("dispatcher").handler, queues, sqs)


def test_a_message_becomes_a_run(dispatching: Dispatching, capsys: pytest.CaptureFixture[str]) -> None:
    """And is reported as done, with a line that names everything."""
    dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=a_request().to_json())
    assert [] == dispatching.invoke(dispatching.receive())
    assert [a_request().target] == list(dispatching.airflow.runs.values())
    log, metric = lines(capsys)
    assert ("INFO", "Triggered", 1, a_request().target.run_id) == (
        log["level"],
        log["outcome"],
        log["attempt"],
        log["run_id"],
    )
    assert ([1.0], "analytics") == (metric["Triggered"], metric["environment"])


def test_a_run_that_will_not_start_is_reported_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Accepted, and yet a warning; its metric has the alarm's dimensions."""
    outcome = Triggered(NotRunnable.PAUSED)
    report_dispatch(Dispatched(a_request(), outcome, 1, None), "analytics", 1_000.0)
    log, metric = lines(capsys)
    assert ("WARNING", "Triggered", "paused") == (log["level"], log["outcome"], log["reason"])
    assert log["message"].startswith("accepted, not runnable")
    assert ([1.0], [1.0], "analytics") == (
        metric["Triggered"],
        metric["AcceptedNotRunnable"],
        metric["environment"],
    )


def test_a_message_to_come_again_is_reported_and_given_back(dispatching: Dispatching) -> None:
    """By itself, with its own delay: here none, although the queue's visibility timeout is nine minutes."""
    dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=a_request().to_json())
    dispatching.airflow.answers = [BUSY]
    record = dispatching.receive()
    assert [record["messageId"]] == dispatching.invoke(record)
    assert [] == dispatching.invoke(dispatching.receive())
    assert 1 == len(dispatching.airflow.runs)


def test_how_long_an_environment_has_been_away_is_a_metric(
    dispatching: Dispatching, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each attempt that finds the environment away publishes it; not while the breaker is still closed."""
    shown: list[float | None] = []
    for number in range(5):
        body = a_request(str(number)).to_json()
        dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=body)
        dispatching.airflow.answers = [BUSY]
        dispatching.invoke(dispatching.receive())
        _, metric = lines(capsys)
        shown.append(metric.get("EnvironmentAwaySeconds", [None])[0])
    assert [None, None] == shown[:2]
    assert all(earlier < later for earlier, later in itertools.pairwise(shown[2:]))


@pytest.mark.parametrize("trouble", ["an answer in between", "no ledger"])
def test_failures_that_open_no_breaker_are_counted_too(
    dispatching: Dispatching, dynamodb, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    """What AirflowNotReachedAlarm has for itself, by the share: EnvironmentAwayAlarm hears nothing of them."""
    if trouble == "no ledger":
        dynamodb.delete_table(TableName="ledger")
    else:
        dispatching.airflow.answers = [BUSY, BUSY, Triggered()] * 3
    failed: list[float] = []
    for number in range(9):
        body = a_request(str(number)).to_json()
        dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=body)
        dispatching.invoke(dispatching.receive())
        metric = lines(capsys)[-1]
        assert "EnvironmentAwaySeconds" not in metric
        assert ("Retryable" in metric) == (metric["AttemptFailed"] == [1.0])
        failed += metric["AttemptFailed"]
    assert failed == ([1.0] * 9 if trouble == "no ledger" else [1.0, 1.0, 0.0] * 3)


def test_an_attempt_without_a_clear_outcome_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """Over REST every 5xx is one: without it the share of failed attempts has no data while nothing starts."""
    unknown = OutcomeUnknown(Reason.UNCLEAR_ANSWER, "HTTP 503")
    report_dispatch(Dispatched(a_request(), unknown, 1, 5.0), "analytics", 1_000.0)
    metric = lines(capsys)[-1]
    assert ([1.0], [1.0]) == (metric["OutcomeUnknown"], metric["AttemptFailed"])


@pytest.mark.parametrize("reason", [Reason.OVERTAKEN, Reason.PINNED_ELSEWHERE, Reason.DAG_CATALOG_AWAITED])
def test_who_was_overtaken_or_waits_has_not_failed(
    capsys: pytest.CaptureFixture[str], reason: Reason
) -> None:
    """Every other message of an upload that comes by both routes: the alarm must not take it for a failure."""
    report_dispatch(Dispatched(a_request(), Retryable(reason, "another's"), 1, 5.0), "analytics", 1_000.0)
    metric = lines(capsys)[-1]
    assert [1.0] == metric["Retryable"]
    assert "AttemptFailed" not in metric


def test_a_message_sent_anew_is_done_with(dispatching: Dispatching) -> None:
    """Its last receives are near: another message carries the request on, and becomes the run."""
    dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=a_request().to_json())
    dispatching.airflow.answers = [BUSY]
    record = dispatching.receive()
    record["attributes"]["ApproximateReceiveCount"] = "900"
    a_minute_ago = int(record["attributes"]["SentTimestamp"]) - 60_000
    record["attributes"]["SentTimestamp"] = str(a_minute_ago)
    assert [] == dispatching.invoke(record)
    assert [] == dispatching.invoke(dispatching.receive())
    assert 1 == len(dispatching.airflow.runs)


@pytest.mark.guarantee(25)
def test_one_message_of_a_batch_does_not_hold_up_the_others(dispatching: Dispatching) -> None:
    """Partial batch response: only what must come again comes again."""
    for number in range(3):
        dispatching.sqs.send_message(
            QueueUrl=dispatching.queues.trigger, MessageBody=a_request(str(number)).to_json()
        )
    records = [dispatching.receive() for _ in range(3)]
    records[1]["body"] = "{}"
    records[2]["receiptHandle"] = "stale"
    dispatching.airflow.answers = [BUSY]
    assert [records[0]["messageId"]] == dispatching.invoke(*records)
    assert 1 == len(dispatching.airflow.runs)
    assert 1 == len(dispatching.queues.read(dispatching.queues.trigger_dlq))


def test_a_row_that_was_changed_by_hand_stops_its_own_request_only(
    dispatching: Dispatching, dynamodb
) -> None:
    """Its message is kept in the dead-letter queue, with the row to repair; the next message becomes a run."""
    event, request = a_request("broken").ledger_key
    dynamodb.put_item(TableName="ledger", Item={"event": {"S": event}, "request": {"S": request}})
    for identity in ("broken", "good"):
        dispatching.sqs.send_message(
            QueueUrl=dispatching.queues.trigger, MessageBody=a_request(identity).to_json()
        )
    assert [] == dispatching.invoke(*(dispatching.receive() for _ in range(2)))
    assert [a_request("good").target] == list(dispatching.airflow.runs.values())
    (body,) = dispatching.queues.read(dispatching.queues.trigger_dlq)
    dead = json.loads(body)
    assert ("message_unreadable", a_request("broken").to_json()) == (dead["reason"], dead["body"])
    assert event in dead["reason_text"]


def test_a_message_that_cannot_be_sent_to_the_end_of_its_queue_is_dispatched_at_once(
    dispatching: Dispatching, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the log says what that costs."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
    dispatching.sqs.send_message(
        QueueUrl=dispatching.queues.trigger,
        MessageBody=a_request().to_json(),
        MessageGroupId="finance.orders",
    )
    record = dispatching.receive()
    record["attributes"] |= {"SentTimestamp": "0", "MessageGroupId": "finance.orders"}

    def refuse(request: AWSPreparedRequest, **_: object) -> None:
        raise ConnectTimeoutError(endpoint_url=request.url)

    dispatching.sqs.meta.events.register_first("before-send.sqs.SendMessage", refuse)
    assert [] == dispatching.invoke(record)
    assert 1 == len(dispatching.airflow.runs)
    assert "may overtake the others" in lines(capsys)[0]["message"]


def test_a_message_that_cannot_be_given_back_early_still_comes_again(dispatching: Dispatching) -> None:
    """When its visibility timeout ends."""
    dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=a_request().to_json())
    dispatching.airflow.answers = [BUSY]
    record = dispatching.receive() | {"receiptHandle": "stale"}
    assert [record["messageId"]] == dispatching.invoke(record)


def test_a_dead_request_is_done_with_and_rings(
    dispatching: Dispatching, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message is deleted; the dead-letter queue says why; the log line is a warning with the reason."""
    dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=a_request().to_json())
    dispatching.airflow.answers = [Rejected(Reason.CONF_REFUSED, "Airflow said no")]
    assert [] == dispatching.invoke(dispatching.receive())
    (body,) = dispatching.queues.read(dispatching.queues.trigger_dlq)
    assert "Airflow said no" == json.loads(body)["reason_text"]
    log, _ = lines(capsys)
    assert ("WARNING", "Rejected", "conf_refused") == (log["level"], log["outcome"], log["reason"])


def test_a_bug_is_logged_and_the_message_redelivered(
    dispatching: Dispatching, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch processor keeps exceptions to itself; the one on call sees this one, with its traceback."""

    def mistaken(_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(dispatching.airflow, "trigger", mistaken)
    dispatching.sqs.send_message(QueueUrl=dispatching.queues.trigger, MessageBody=a_request().to_json())
    record = dispatching.receive()
    assert [record["messageId"]] == dispatching.invoke(record)
    (log,) = lines(capsys)
    assert ("ERROR", "ZeroDivisionError") == (log["level"], log["exception_name"])


@pytest.fixture
def wired(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TriggerDeliveries]]:
    """Build a dispatcher from the settings it needs, and others."""

    def build(**others: str) -> TriggerDeliveries:
        needed = {
            "ENVIRONMENT": "analytics",
            "MWAA_ENVIRONMENT_NAME": "acme-analytics",
            "TRANSPORTS": "cli",
            "RULES_TABLE": "rules",
            "LEDGER_TABLE": "ledger",
            "TRIGGER_QUEUE_URL": queues.trigger,
            "TRIGGER_DLQ_URL": queues.trigger_dlq,
        }
        for name, value in (needed | others).items():
            monkeypatch.setenv(name, value)
        dispatcher.cache_clear()
        return dispatcher()

    yield build
    dispatcher.cache_clear()


def test_wiring_builds_a_dispatcher_from_its_settings(wired: Callable[..., TriggerDeliveries]) -> None:
    """The composition root needs the settings and makes no call."""
    dispatcher = wired().dispatcher
    assert 86_400 == dispatcher.maximum_event_age_seconds
    assert 900 == dispatcher.circuit_breakers.dag_missing_grace_seconds


@pytest.mark.parametrize(
    ("transports", "expected"),
    [
        ("cli", CliTransport),
        ("legacy=rest,analytics=cli", CliTransport),
        ("rest", RestTransport),
        ("legacy=cli,analytics=rest", RestTransport),
        ("legacy=rest,analytics=web", WebTransport),
    ],
)
def test_wiring_chooses_the_transport_of_its_environment(
    wired: Callable[..., TriggerDeliveries], monkeypatch: pytest.MonkeyPatch, transports: str, expected: type
) -> None:
    """By the name that rules use; over REST with its share of the calls, and each call made once."""
    built: list[tuple[int, float]] = []

    class Recorded(RestTransport):
        def __init__(self, client: Any, environment: str, pace: Pace) -> None:
            built.append((client.meta.config.retries["total_max_attempts"], pace.calls_per_second))
            super().__init__(client, environment, pace)

    monkeypatch.setattr("mwaa_gateway.wiring.transport.RestTransport", Recorded)
    airflow = wired(TRANSPORTS=transports, SLOTS_PER_ENVIRONMENT="4").dispatcher.airflow
    assert isinstance(airflow, expected)
    assert built == ([(1, 2.0)] if expected is RestTransport else [])


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    ("transports", "fallback"), [("web/rest", RestTransport), ("analytics=web/cli", CliTransport)]
)
def test_wiring_builds_a_web_login_with_its_fallback(
    wired: Callable[..., TriggerDeliveries],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    transports: str,
    fallback: type,
) -> None:
    """A refused login is reported with the environment and the fallback in use, and counted for the alarm."""
    airflow = wired(TRANSPORTS=transports).dispatcher.airflow
    assert isinstance(airflow, FallbackTransport)
    denied = Retryable(Reason.ACCESS_DENIED, "no web login token")
    monkeypatch.setattr(WebSession, "sign_in", lambda _: denied)
    tried: list[object] = []
    monkeypatch.setattr(fallback, "look_up", lambda self, _: tried.append(self))
    airflow.look_up(ResolvedTarget("analytics", "d", "evt__a__1", {}))
    assert [type(each) for each in tried] == [fallback]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (warning,) = [line for line in lines if line.get("level") == "WARNING"]
    assert warning["environment"] == "analytics"
    assert f"fallback {fallback.name}," in warning["message"]  # type: ignore[attr-defined]
    assert [line["WebLoginRefused"] for line in lines if "WebLoginRefused" in line] == [[1.0]]


def test_importing_the_functions_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client and no setting at import: a function without its settings imports."""
    for name in ("RULES_TABLE", "ENVIRONMENT", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("s3_events", "sns_events", "eventbridge_events", "queued_events", "dispatcher"):
        assert callable(load(name).handler)


DISPATCH = ("dispatch.dispatcher", "dispatch.circuit_breaker", "settings.airflow")
STEP_FUNCTIONS = ("step_functions.starter", "step_functions.watcher")
RULES = ("rules", "patterns", "routing.live_rules", "ingress.ingest", "settings.ingress")
FEEDS = (
    "feeds",
    "rules.collect",
    "rules.collect_reading",
    "rules.due",
    "settings.feeds",
    "aws.sqs.feed_queues",
)
INGRESS = (
    *DISPATCH,
    "dispatch.ledger",
    "outcomes",
    *FEEDS,
    "routing.members",
    "step_functions",
    "ingress.delivery",
    "queue_message",
    "airflow.cli",
    "airflow.dag_list",
    "aws.mwaa",
    "aws.dynamodb.ledger_table",
)
NOT_LOADED = {
    "s3_events": INGRESS,
    "sns_events": INGRESS,
    "eventbridge_events": INGRESS,
    "queued_events": (
        *DISPATCH,
        "outcomes",
        *FEEDS,
        "routing.members",
        "step_functions",
        "airflow.cli",
        "aws.mwaa",
    ),
    "dispatcher": (*RULES, "events", *FEEDS, *STEP_FUNCTIONS),
    "step_functions_task": (
        *DISPATCH,
        "dispatch.dag_catalog",
        *FEEDS,
        "step_functions.watcher",
        "airflow.cli",
        "aws.mwaa",
    ),
    "ended_executions": (*DISPATCH, *RULES, *FEEDS, *STEP_FUNCTIONS),
    "run_watcher": (
        *RULES,
        *FEEDS,
        "dispatch.dispatcher",
        "dispatch.circuit_breaker",
        "step_functions.starter",
    ),
    "batch_collector": (*DISPATCH, *STEP_FUNCTIONS, "ingress"),
    "batch_releaser": (*DISPATCH, *STEP_FUNCTIONS, "ingress"),
    "batch_timers": (*DISPATCH, *STEP_FUNCTIONS, "ingress"),
}
# What a function builds before its first event: SQS's client comes with the first event that a rule matches, or that fails.
CLIENTS = {"dispatcher": ["dynamodb", "mwaa"], "ended_executions": ["dynamodb", "sqs"]}
STARTED = """
import gc, json, sys
import botocore.session
built, create = [], botocore.session.Session.create_client
def counted(self, service, *arguments, **settings):
    built.append(service)
    return create(self, service, *arguments, **settings)
botocore.session.Session.create_client = counted
import app
modules, collects = list(sys.modules), gc.isenabled()
{wired}; wired()
print(json.dumps([modules, collects, built, gc.isenabled(), gc.get_freeze_count() > 0]))
"""


@pytest.mark.parametrize("function", NOT_LOADED)
def test_a_cold_start_loads_what_its_function_works_with(function: str) -> None:
    """Everything else would cost each new sandbox for nothing; and no garbage collector looks for garbage meanwhile."""
    started = subprocess.run(
        [sys.executable, "-c", STARTED.replace("{wired}", WIRED[function])],
        cwd=Path(__file__).parents[2] / "functions" / function,
        env=SETTINGS,
        check=True,
        capture_output=True,
        text=True,
    )

    loaded, collected_meanwhile, clients, collects, frozen = json.loads(started.stdout)
    modules = set(loaded)
    assert "aws_lambda_powertools" in modules
    assert "mwaa_gateway.errors" in modules
    names = {f"mwaa_gateway.{name}" for name in NOT_LOADED[function]}
    root = Path(__file__).parents[2] / "layers/gateway/python"
    for name in names:  # a name that is gone would pass for a module that is not loaded
        assert (root / f"{name.replace('.', '/')}.py").exists() or (root / name.replace(".", "/")).is_dir()
    assert set() == {"requests", "difflib", *names} & modules
    assert (False, True, True) == (collected_meanwhile, collects, frozen)
    if function in CLIENTS or function.endswith("_events"):
        assert CLIENTS.get(function, ["dynamodb"]) == clients


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (Triggered(), [90.5]),
        (AlreadyTriggered("it is there"), None),
        (Rejected(Reason.CONF_REFUSED, "no"), None),
    ],
)
def test_the_time_from_an_event_to_its_accepted_run_is_published_once(
    outcome: Outcome, seconds: list[float] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the attempt that Airflow accepted: a duplicate comes later, and says nothing about the first."""
    event = a_request().event | {"time": "1970-01-01T00:15:00Z"}
    report_dispatch(Dispatched(replace(a_request(), event=event), outcome, 1, None), "analytics", 990.5)
    _, metric = lines(capsys)
    assert seconds == metric.get("EventToAcceptedSeconds")
