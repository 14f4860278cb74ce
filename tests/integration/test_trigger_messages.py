"""A trigger queue's messages: given back for later, and sent anew before SQS would give them up."""

import time

import pytest

from mwaa_gateway.aws.trigger_messages import (
    LAST_RECEIVE,
    LONGEST_STAY_SECONDS,
    TriggerMessage,
    TriggerMessages,
)
from mwaa_gateway.errors import Unavailable


@pytest.fixture
def url(sqs) -> str:
    return sqs.create_queue(QueueName="trigger-analytics")["QueueUrl"]


def receive(sqs, url: str) -> dict | None:
    """The next message, as Lambda hands it to a function."""
    answer = sqs.receive_message(
        QueueUrl=url, VisibilityTimeout=600, AttributeNames=["All"], MessageAttributeNames=["All"]
    )
    for message in answer.get("Messages", []):
        return {
            "body": message["Body"],
            "receiptHandle": message["ReceiptHandle"],
            "attributes": message["Attributes"],
            "messageAttributes": {
                name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                for name, value in message.get("MessageAttributes", {}).items()
            },
        }
    return None


def received(sqs, url: str, *, receives: int = 1) -> TriggerMessage:
    sqs.send_message(QueueUrl=url, MessageBody="a request")
    record = receive(sqs, url)
    assert record is not None
    record["attributes"]["ApproximateReceiveCount"] = str(receives)
    return TriggerMessage.from_record(record)


def test_a_message_given_back_comes_again(sqs, url: str) -> None:
    """The same message, after the seconds asked for, here none."""
    message = received(sqs, url)
    assert not TriggerMessages(sqs, url, time.time).give_back(message, 0.2)
    again = receive(sqs, url)
    assert again is not None
    assert "2" == again["attributes"]["ApproximateReceiveCount"]


@pytest.mark.parametrize(("receives", "later"), [(LAST_RECEIVE, 0.0), (1, LONGEST_STAY_SECONDS + 1.0)])
def test_what_sqs_would_soon_give_up_is_sent_anew(sqs, url: str, receives: int, later: float) -> None:
    """By the count of receives, or by the time it has been there; the new message knows since when it all waits."""
    message = received(sqs, url, receives=receives)
    assert TriggerMessages(sqs, url, lambda: time.time() + later).give_back(message, 0.0)
    record = receive(sqs, url)
    assert record is not None
    anew = TriggerMessage.from_record(record)
    assert (message.body, 1) == (anew.body, anew.receive_count)
    assert anew.sent_at >= message.sent_at
    assert message.first_sent_at == pytest.approx(anew.first_sent_at, abs=0.001)


def test_a_message_sent_anew_is_delayed_as_one_given_back(sqs, url: str, monkeypatch) -> None:
    """Up to the quarter of an hour that SQS allows."""
    sent: list[dict] = []
    monkeypatch.setattr(sqs, "send_message", lambda **given: sent.append(given))
    message = TriggerMessage("a request", "handle", LAST_RECEIVE, 1_000.0, 500.0)
    for seconds in (50.4, 900.0):
        assert TriggerMessages(sqs, url, lambda: 1_000.0).give_back(message, seconds)
    assert [50, 900] == [given["DelaySeconds"] for given in sent]
    assert {"500.000"} == {given["MessageAttributes"]["FirstSentAt"]["StringValue"] for given in sent}


@pytest.mark.parametrize("receives", [1, LAST_RECEIVE])
def test_a_queue_that_does_not_answer_is_unavailable(sqs, url: str, receives: int) -> None:
    """The message is not deleted: it comes back by itself."""
    message = received(sqs, url, receives=receives)
    with pytest.raises(Unavailable):
        TriggerMessages(sqs, url + "-gone", time.time).give_back(message, 5.0)
