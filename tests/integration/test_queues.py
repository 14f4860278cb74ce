"""The SQS adapters: everything sent or an exception, ten at a time, and dead letters with the reason."""

import base64
import json
import zlib

import pytest

from fakes.requests import a_request
from integration.functions import record_of
from mwaa_gateway.aws.ended_executions import ForwardingQueues
from mwaa_gateway.aws.sqs.queues import (
    LARGEST_MESSAGE_BYTES,
    IngressDeadLetterQueue,
    TriggerDeadLetterQueue,
    TriggerQueues,
    VisibilityTimeout,
)
from mwaa_gateway.aws.sqs.watch_queues import WatchQueues
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events import Event
from mwaa_gateway.ingress.ingest import DeadEvent
from mwaa_gateway.outcomes import Reason, Rejected
from mwaa_gateway.queue_message import read_message
from mwaa_gateway.trigger_request import TriggerRequest


@pytest.fixture
def url(sqs) -> str:
    return sqs.create_queue(QueueName="trigger-analytics", Attributes={"MaximumMessageSize": "1048576"})[
        "QueueUrl"
    ]


@pytest.fixture
def urls(url: str) -> str:
    return url.replace("analytics", "{environment}")


def bodies(sqs, url: str) -> list[str]:
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found.extend(message["Body"] for message in messages)
    return found


def test_every_request_reaches_its_environments_queue(sqs, url: str, urls: str) -> None:
    """More than one batch, and two environments."""
    other = sqs.create_queue(QueueName="trigger-marketing")["QueueUrl"]
    here = [a_request(f"identity-{number}") for number in range(23)]
    there = [a_request("elsewhere", environment="marketing")]
    TriggerQueues(sqs, urls).enqueue([*here, *there])
    assert {request.identity for request in here} == {
        TriggerRequest.from_json(b).identity for b in bodies(sqs, url)
    }
    assert there == [TriggerRequest.from_json(body) for body in bodies(sqs, other)]


def test_an_environment_whose_queue_refuses_delays_no_other(sqs, url: str, urls: str) -> None:
    """The invocation fails all the same, and names it: what was sent ends as a duplicate."""
    elsewhere = a_request("elsewhere", environment="marketing")
    with pytest.raises(Unavailable, match=r"environment 'marketing': .*NonExistentQueue"):
        TriggerQueues(sqs, urls).enqueue([elsewhere, a_request()])
    assert [a_request()] == [TriggerRequest.from_json(body) for body in bodies(sqs, url)]


def test_a_request_travels_in_the_group_of_its_rule(sqs, url: str, urls: str) -> None:
    """SQS keeps groups from delaying each other."""
    TriggerQueues(sqs, urls).enqueue([a_request()])
    (message,) = sqs.receive_message(QueueUrl=url, AttributeNames=["MessageGroupId"])["Messages"]
    assert {"MessageGroupId": a_request().rule_id} == message["Attributes"]


def test_large_requests_are_sent_in_smaller_batches(sqs, url: str, urls: str, monkeypatch) -> None:
    """SQS limits the whole batch to what one message may contain."""
    calls: list[int] = []
    real = sqs.send_message_batch

    def counted(**arguments):
        calls.append(sum(len(entry["MessageBody"]) for entry in arguments["Entries"]))
        return real(**arguments)

    monkeypatch.setattr(sqs, "send_message_batch", counted)
    large = [a_request(f"{number}" + "x" * 250_000) for number in range(10)]
    TriggerQueues(sqs, urls).enqueue(large)
    assert max(calls) <= LARGEST_MESSAGE_BYTES
    assert 3 == len(calls)
    assert 10 == len(bodies(sqs, url))


def failing(sqs, monkeypatch, times: int) -> list[list[str]]:
    """Let the second entry of a batch fail so many times; return the ids each call was given."""
    calls: list[list[str]] = []
    real = sqs.send_message_batch

    def partial(**arguments):
        calls.append([entry["Id"] for entry in arguments["Entries"]])
        if len(calls) > times:
            return real(**arguments)
        bad = [entry for entry in arguments["Entries"] if entry["Id"] == "1"]
        good = [entry for entry in arguments["Entries"] if entry["Id"] != "1"]
        answer = real(QueueUrl=arguments["QueueUrl"], Entries=good) if good else {}
        return answer | {
            "Failed": [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in bad]
        }

    monkeypatch.setattr(sqs, "send_message_batch", partial)
    return calls


@pytest.mark.guarantee(6)
def test_what_a_batch_did_not_take_is_sent_again(sqs, url: str, urls: str, monkeypatch) -> None:
    """And only that."""
    calls = failing(sqs, monkeypatch, times=2)
    TriggerQueues(sqs, urls).enqueue([a_request(str(number)) for number in range(3)])
    assert [["0", "1", "2"], ["1"], ["1"]] == calls
    assert 3 == len(bodies(sqs, url))


def test_what_is_never_taken_fails_the_whole(sqs, url: str, urls: str, monkeypatch) -> None:  # noqa: ARG001
    """The invocation is repeated; what was sent ends as a duplicate."""
    failing(sqs, monkeypatch, times=9)
    with pytest.raises(Unavailable, match="the queue refused 1 of 3 messages 3 times: InternalError"):
        TriggerQueues(sqs, urls).enqueue([a_request(str(number)) for number in range(3)])


def test_messages_that_a_queue_refuses_delay_no_later_ones(sqs, url: str, urls: str, monkeypatch) -> None:
    """One of the first batch of 23; the batches after it are sent all the same."""
    calls = failing(sqs, monkeypatch, times=3)
    with pytest.raises(Unavailable, match="the queue refused 1 of 10 messages 3 times: InternalError"):
        TriggerQueues(sqs, urls).enqueue([a_request(str(number)) for number in range(23)])
    assert [10, 1, 1, 10, 3] == list(map(len, calls))
    assert 22 == len(bodies(sqs, url))


@pytest.mark.guarantee(44)
def test_an_answer_that_names_no_message_is_no_success(sqs, url: str, urls: str, monkeypatch) -> None:
    """Botocore reads a body that is no JSON as an empty answer."""
    monkeypatch.setattr(sqs, "send_message_batch", lambda **_: {})
    with pytest.raises(Unavailable, match="the queue refused 1 of 1 messages 3 times: no answer"):
        TriggerQueues(sqs, urls).enqueue([a_request()])
    monkeypatch.setattr(sqs, "send_message", lambda **_: {})
    with pytest.raises(Unavailable, match="the answer has no MessageId"):
        TriggerDeadLetterQueue(sqs, url).publish_unreadable("{", Rejected(Reason.MESSAGE_UNREADABLE, "no"))
    with pytest.raises(
        Unavailable, match="the watch queue did not accept the message: the answer has no MessageId"
    ):
        WatchQueues(sqs, urls).wake("analytics", 1.0)
    with pytest.raises(Unavailable, match="did not accept the notice: the answer has no MessageId"):
        ForwardingQueues(sqs, urls).forward("analytics", "{}", "1")


def test_a_missing_queue_is_unavailable(sqs, urls: str) -> None:
    """A wrong deployment loses nothing."""
    with pytest.raises(Unavailable, match="NonExistentQueue"):
        TriggerQueues(sqs, urls).enqueue([a_request(environment="nowhere")])


def test_a_dead_event_is_kept_with_its_reason(sqs, url: str) -> None:
    """Everything a person needs to repair it and send it again."""
    dead = DeadEvent(
        DeadEventReason.BROKEN_RULE, "it is broken", {"id": "e-1"}, Event({"id": "e-1"}, "i"), "a.b", 3
    )
    IngressDeadLetterQueue(sqs, url).publish([dead])
    (body,) = bodies(sqs, url)
    assert {
        "format": 1,
        "reason": "broken_rule",
        "reason_text": "it is broken",
        "event_id": "e-1",
        "rule_id": "a.b",
        "rule_version": 3,
        "payload": {"id": "e-1"},
    } == json.loads(body)


def test_a_dead_event_too_large_for_a_message_is_kept_compressed(sqs, url: str) -> None:
    """A message has at most 1 MiB, and ASCII JSON may be longer than what Lambda was given."""
    payload = {"text": "é" * 300_000}
    IngressDeadLetterQueue(sqs, url).publish(
        [DeadEvent(DeadEventReason.MALFORMED_EVENT, "too large", payload)]
    )
    document = json.loads(bodies(sqs, url)[0])
    assert payload == json.loads(zlib.decompress(base64.b64decode(document["payload_zlib_base64"])))


def test_a_dead_request_rings_with_its_reason(sqs, url: str) -> None:
    """The message contains the request itself."""
    TriggerDeadLetterQueue(sqs, url).publish(a_request(), Rejected(Reason.DAG_MISSING, "no such DAG"), 7)
    document = json.loads(bodies(sqs, url)[0])
    assert ("dag_missing", "no such DAG", 7) == (
        document["reason"],
        document["reason_text"],
        document["attempt"],
    )
    assert a_request() == TriggerRequest.from_json(json.dumps(document["request"]))


def test_an_unreadable_message_is_kept_as_it_came(sqs, url: str) -> None:
    """Nobody could read it; nobody changed it."""
    TriggerDeadLetterQueue(sqs, url).publish_unreadable("{", Rejected(Reason.MESSAGE_UNREADABLE, "no"))
    assert "{" == json.loads(bodies(sqs, url)[0])["body"]


def test_a_message_given_back_comes_again(sqs, url: str) -> None:
    """After the seconds asked for, here none."""
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600, AttributeNames=["All"])["Messages"]
    assert [] == bodies(sqs, url)
    VisibilityTimeout(sqs, url).give_back(read_message(record_of(message)), 0.2)
    assert ["x"] == bodies(sqs, url)
