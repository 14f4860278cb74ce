"""queued_events as Lambda calls it: what AWS could not take comes again, what can never be used is put aside."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.rules_table import create_rules_table
from integration.functions import RULE, Context, Queues, lines, load, record_of
from mwaa_gateway.events import from_eventbridge, from_s3_notification, from_sns_notification
from mwaa_gateway.trigger_request import TriggerRequest
from mwaa_gateway.wiring.queued_events import queued_events

SAMPLES = Path(__file__).parents[2] / "events"
# As SQS in moto names them, and as the samples do.
RETRY_QUEUE, OWN_QUEUE, OTHER_QUEUE = "mwaa-gateway-ingress-retry", "s3-uploads", "suggestions"
UNWRAPPED = "arn:aws:sns:eu-west-1:123456789012:s3-notifications"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def body_of(name: str) -> str:
    """The body of a sample's only message."""
    (record,) = sample(name)["Records"]
    body: str = record["body"]
    return body


def upload(key: str) -> str:
    """An S3 notification of one upload."""
    notification = sample("s3_put")
    notification["Records"][0]["s3"]["object"]["key"] = key
    return json.dumps(notification)


@dataclass
class QueuedEvents:
    """The function on moto's queues, polled as Lambda polls them."""

    handler: Callable[[dict, Context], dict]
    queues: Queues
    sqs: Any
    dynamodb: Any
    urls: dict[str, str]

    def send(self, queue: str, *bodies: str) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.urls[queue], MessageBody=body)

    def deliver(self, queue: str) -> int:
        """Receive a batch, invoke the function, delete what it does not report; how many messages there were."""
        messages = self.sqs.receive_message(
            QueueUrl=self.urls[queue], MaxNumberOfMessages=10, VisibilityTimeout=180, AttributeNames=["All"]
        ).get("Messages", [])
        if not messages:
            return 0
        records = [record_of(message, queue) for message in messages]
        answer = self.handler({"Records": records}, Context())
        reported = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        assert reported <= {message["MessageId"] for message in messages}
        for message in messages:
            if message["MessageId"] not in reported:
                self.sqs.delete_message(QueueUrl=self.urls[queue], ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def waiting(self, queue: str) -> int:
        """How many messages the queue has, whether they can be received or not."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.urls[queue], AttributeNames=["All"])[
            "Attributes"
        ]
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(attributes[name]) for name in names)

    def requested(self) -> list[TriggerRequest]:
        """What is on the trigger queue."""
        return [TriggerRequest.from_json(body) for body in self.queues.read(self.queues.trigger)]

    def dead(self) -> list[dict]:
        """What is in the ingress DLQ."""
        return [json.loads(body) for body in self.queues.read(self.queues.ingress_dlq)]


@pytest.fixture
def function(
    deployed: None,  # noqa: ARG001
    queues: Queues,
    sqs,
    dynamodb,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[QueuedEvents]:
    """The settings as the template sets them; a message given back is there again at once (no jitter)."""
    urls = {
        name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in (RETRY_QUEUE, OWN_QUEUE, OTHER_QUEUE)
    }
    arn = "arn:aws:sqs:eu-west-1:123456789012:"
    monkeypatch.setenv("INGRESS_RETRY_QUEUE_ARN", arn + RETRY_QUEUE)
    monkeypatch.setenv("EVENT_QUEUE_ARNS", arn + OWN_QUEUE)
    monkeypatch.setenv("UNWRAP_TOPIC_ARNS", UNWRAPPED)
    monkeypatch.setattr("random.random", lambda: 0.0)
    queued_events.cache_clear()
    yield QueuedEvents(load("queued_events").handler, queues, sqs, dynamodb, urls)
    queued_events.cache_clear()


DIRECT = {
    "queued_given_up_s3_put": lambda: from_s3_notification(sample("s3_put"), account="123456789012"),
    "queued_given_up_sns": lambda: from_sns_notification(sample("sns_json"), frozenset()),
    "queued_given_up_eventbridge": lambda: from_eventbridge(sample("eventbridge_custom")),
}


@pytest.mark.guarantee(7)
@pytest.mark.parametrize("name", DIRECT)
def test_what_lambda_gave_up_becomes_the_request_it_was_to_become(name: str, function: QueuedEvents) -> None:
    """Event and identity of the direct route, for each function: if that one did go through, the ledger knows it."""
    function.send(RETRY_QUEUE, body_of(name))
    assert 1 == function.deliver(RETRY_QUEUE)
    (request,) = function.requested()
    (event,) = DIRECT[name]()
    assert (event.identity, event.envelope) == (request.identity, request.event)
    assert ([], 0) == (function.dead(), function.waiting(RETRY_QUEUE))


@pytest.mark.guarantee(8)
def test_an_outage_of_the_rules_table_ends_without_anybody(
    function: QueuedEvents, rules_table_away: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve deliveries, about as many as fall into 15 minutes, come to nothing; the next one is the one request."""
    function.send(RETRY_QUEUE, body_of("queued_given_up_eventbridge"))
    come_back = rules_table_away()
    for _ in range(12):
        assert 1 == function.deliver(RETRY_QUEUE)
    assert ([], [], 1) == (function.requested(), function.dead(), function.waiting(RETRY_QUEUE))
    shown = lines(capsys)
    assert 12 == sum(line.get("MessagesGivenBack", [0])[0] for line in shown)
    assert {("WARNING", "GivenBack")} == {
        (line["level"], line["outcome"]) for line in shown if "level" in line
    }
    assert [*range(1, 13)] == [line["attempt"] for line in shown if "level" in line]

    come_back()
    assert 1 == function.deliver(RETRY_QUEUE)
    assert (1, [], 0) == (len(function.requested()), function.dead(), function.waiting(RETRY_QUEUE))
    assert 0 == function.deliver(RETRY_QUEUE)


def test_a_message_given_back_stays_away_the_longer_the_more_often_it_was_received(
    function: QueuedEvents,
    rules_table_away: Callable[[], Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its own visibility, 5 s doubling, not by the queue's: here the longest of the first four."""
    monkeypatch.setattr("random.random", lambda: 1.0)
    built = queued_events()
    rules_table_away()
    seconds = []
    changed = function.sqs.change_message_visibility
    built.queues.client.change_message_visibility = lambda **given: (  # type: ignore[method-assign]
        seconds.append((given["QueueUrl"], given["VisibilityTimeout"]))
        or changed(**given | {"VisibilityTimeout": 0})
    )
    function.send(RETRY_QUEUE, body_of("queued_given_up_s3_put"))
    for _ in range(4):
        assert 1 == function.deliver(RETRY_QUEUE)
    assert [(function.urls[RETRY_QUEUE], wait) for wait in (5, 10, 20, 40)] == seconds
    assert [5.0, 10.0, 20.0, 40.0] == [line["redeliver_after"] for line in lines(capsys) if "level" in line]


@pytest.mark.guarantee(5)
def test_a_malformed_message_among_nine_good_ones_holds_up_none(
    function: QueuedEvents, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine requests; the tenth is kept after one attempt, with its reason and its queue, and is done with."""
    bodies = [upload(f"orders/{number}.csv") for number in range(9)]
    function.send(OWN_QUEUE, *bodies[:4], "not an event", *bodies[4:])
    assert 10 == function.deliver(OWN_QUEUE)
    assert 0 == function.waiting(OWN_QUEUE)
    requested = {request.event["detail"]["object"]["key"] for request in function.requested()}
    assert {f"orders/{number}.csv" for number in range(9)} == requested
    (dead,) = function.dead()
    queue = f"arn:aws:sqs:eu-west-1:123456789012:{OWN_QUEUE}"
    assert ("malformed_event", {"eventSourceARN": queue, "body": "not an event"}) == (
        dead["reason"],
        dead["payload"],
    )
    assert queue in dead["reason_text"]
    assert 1 == sum(line.get("EventsMalformed", [0])[0] for line in lines(capsys))


def test_of_a_batch_only_what_could_not_be_taken_in_comes_again(
    function: QueuedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here what is meant for an environment whose queue does not answer; the others are done with."""
    monkeypatch.setenv("ENVIRONMENTS", "analytics,marketing")
    elsewhere = RULE | {
        "id": "finance.elsewhere",
        "pattern": {"source": [sample("eventbridge_custom")["source"]]},
        "targets": [{"id": "default", "environment": "marketing", "dag_id": "a"}],
    }
    partition = {"partition": {"S": "*"}}
    function.dynamodb.put_item(
        TableName="rules",
        Item=partition
        | {
            "sort": {"S": "rule#finance.elsewhere"},
            "version": {"N": "1"},
            "document": {"S": json.dumps(elsewhere)},
        },
    )
    function.send(OWN_QUEUE, upload("orders/1.csv"), body_of("queued_eventbridge"), upload("orders/2.csv"))
    assert 3 == function.deliver(OWN_QUEUE)
    assert (1, []) == (function.waiting(OWN_QUEUE), function.dead())
    function.sqs.create_queue(QueueName="gateway-trigger-marketing")
    assert 1 == function.deliver(OWN_QUEUE)
    assert (0, []) == (function.waiting(OWN_QUEUE), function.dead())


@pytest.mark.guarantee(35)
def test_an_upload_in_a_queue_that_is_not_listed_is_not_believed(function: QueuedEvents) -> None:
    """Kept with what to do, after one attempt; the real upload, which comes later, is not taken for its duplicate."""
    function.send(OTHER_QUEUE, body_of("queued_forged_s3_put"))
    assert 1 == function.deliver(OTHER_QUEUE)
    assert ([], 0) == (function.requested(), function.waiting(OTHER_QUEUE))
    (dead,) = function.dead()
    assert "add it to that parameter of the stack" in dead["reason_text"]


def test_a_redrive_believes_a_message_no_more_than_before(function: QueuedEvents, monkeypatch) -> None:
    """What the ingress DLQ keeps can be sent to the retry queue as it is; whether its queue is listed by now decides."""
    function.send(OTHER_QUEUE, body_of("queued_forged_s3_put"))
    function.deliver(OTHER_QUEUE)
    for listed, expected in ((OWN_QUEUE, 0), (OTHER_QUEUE, 1)):
        monkeypatch.setenv("EVENT_QUEUE_ARNS", f"arn:aws:sqs:eu-west-1:123456789012:{listed}")
        queued_events.cache_clear()
        (kept, *_) = function.queues.read(function.queues.ingress_dlq)
        function.send(RETRY_QUEUE, kept)
        assert 1 == function.deliver(RETRY_QUEUE)
        assert expected == len(function.requested())


def test_a_bug_is_logged_and_the_message_stays(
    function: QueuedEvents, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Powertools would log nothing of it; the message is still there for a fixed version."""
    monkeypatch.setattr("mwaa_gateway.ingress.ingest.Ingress.ingest", lambda *_, **__: 1 / 0)
    function.send(OWN_QUEUE, upload("orders/1.csv"))
    assert 1 == function.deliver(OWN_QUEUE)
    assert ([], 1) == (function.dead(), function.waiting(OWN_QUEUE))
    log, metric = lines(capsys)
    assert ("ERROR", "ZeroDivisionError", [1.0]) == (
        log["level"],
        log["exception_name"],
        metric["MessagesGivenBack"],
    )


def test_a_message_that_cannot_be_given_back_early_still_comes_again(
    function: QueuedEvents, rules_table_away: Callable[[], Any]
) -> None:
    """When its visibility timeout ends."""
    rules_table_away()
    record = {
        **sample("queued_given_up_sns")["Records"][0],
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{RETRY_QUEUE}",
    }
    answer = function.handler({"Records": [record]}, Context())
    assert [{"itemIdentifier": record["messageId"]}] == answer["batchItemFailures"]


@pytest.fixture
def rules_table_away(dynamodb) -> Callable[[], Callable[[], None]]:
    """Takes the rules table away, and returns what brings it back with everything in it."""

    def take_away() -> Callable[[], None]:
        items = dynamodb.scan(TableName="rules")["Items"]
        dynamodb.delete_table(TableName="rules")

        def come_back() -> None:
            create_rules_table(dynamodb)
            for item in items:
                dynamodb.put_item(TableName="rules", Item=item)

        return come_back

    return take_away
