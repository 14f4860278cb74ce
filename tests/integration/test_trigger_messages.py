"""A trigger queue's messages: given back for later, and sent anew before SQS would give them up."""

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.functions import record_of
from mwaa_gateway.aws.sqs.trigger_messages import (
    BACKLOG_SECONDS,
    LAST_RECEIVE,
    LONGEST_STAY_SECONDS,
    REJOIN_EVERY_SECONDS,
    SHORTEST_STAY_SECONDS,
    SqsTriggerMessages,
)
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.queue_message import QueueMessage, read_message


@pytest.fixture
def url(sqs) -> str:
    return sqs.create_queue(QueueName="trigger-analytics")["QueueUrl"]


def receive(sqs, url: str) -> dict | None:
    """The next message, as Lambda hands it to a function."""
    answer = sqs.receive_message(
        QueueUrl=url, VisibilityTimeout=600, AttributeNames=["All"], MessageAttributeNames=["All"]
    )
    for message in answer.get("Messages", []):
        return record_of(message)
    return None


def received(sqs, url: str, *, receives: int = 1) -> QueueMessage:
    sqs.send_message(QueueUrl=url, MessageBody="a request")
    record = receive(sqs, url)
    assert record is not None
    record["attributes"]["ApproximateReceiveCount"] = str(receives)
    return read_message(record)


def test_a_message_given_back_comes_again(sqs, url: str) -> None:
    """The same message, after the seconds asked for, here none."""
    message = received(sqs, url)
    assert not SqsTriggerMessages(sqs, url, time.time).give_back(message, 0.2)
    again = receive(sqs, url)
    assert again is not None
    assert "2" == again["attributes"]["ApproximateReceiveCount"]


@pytest.mark.parametrize(("receives", "later"), [(LAST_RECEIVE, 0.0), (1, LONGEST_STAY_SECONDS + 1.0)])
def test_what_sqs_would_soon_give_up_is_sent_anew(sqs, url: str, receives: int, later: float) -> None:
    """By the count of receives, or by the time it has been there; the new message knows since when it all waits."""
    message = received(sqs, url, receives=receives)
    assert SqsTriggerMessages(sqs, url, lambda: time.time() + SHORTEST_STAY_SECONDS + later).give_back(
        message, 0.0
    )
    record = receive(sqs, url)
    assert record is not None
    anew = read_message(record)
    assert (message.body, 1) == (anew.body, anew.receive_count)
    assert anew.sent_at >= message.sent_at
    assert message.first_sent_at == pytest.approx(anew.first_sent_at, abs=0.001)


def test_a_message_sent_anew_is_delayed_as_one_given_back(sqs, url: str, monkeypatch) -> None:
    """Up to the quarter of an hour that SQS allows."""
    sent: list[dict] = []
    monkeypatch.setattr(sqs, "send_message", lambda **given: sent.append(given) or {"MessageId": "1"})
    message = QueueMessage("1", "a request", "handle", LAST_RECEIVE, 940.0, 500.0)
    for seconds in (50.4, 900.0):
        assert SqsTriggerMessages(sqs, url, lambda: 1_000.0).give_back(message, seconds)
    assert [50, 900] == [given["DelaySeconds"] for given in sent]
    assert {"500.000"} == {given["MessageAttributes"]["FirstSentAt"]["StringValue"] for given in sent}


@pytest.mark.guarantee(53)
@given(
    receives=st.integers(1, 1_000),
    stay=st.floats(0, SHORTEST_STAY_SECONDS, exclude_max=True),
    seconds=st.floats(0, 43_200),
    group=st.sampled_from(["", "sales.orders"]),
)
def test_no_message_is_sent_anew_within_its_first_minute(receives, stay, seconds, group) -> None:
    """However often it was received: a chain of messages grows by one a minute at most, in whatever state it is."""
    client = CountingClient()
    messages = SqsTriggerMessages(client, "url", lambda: 1_000_000.0)  # type: ignore[arg-type]
    message = QueueMessage("1", "a request", "handle", receives, 1_000_000.0 - stay, 0.0, group)
    assert not messages.rejoin(message)
    messages.give_back(message, seconds)
    assert client.sent == 0


@pytest.mark.guarantee(53)
@given(receives=st.integers(1, 1_000), stay=st.floats(0, 14 * 86_400), group=st.sampled_from(["", "r"]))
def test_one_delivery_sends_one_message_at_most(receives, stay, group) -> None:
    """And where it did, the delivery is done with: a message never becomes two."""
    client = CountingClient()
    messages = SqsTriggerMessages(client, "url", lambda: 2_000_000.0)  # type: ignore[arg-type]
    message = QueueMessage("1", "a request", "handle", receives, 2_000_000.0 - stay, 0.0, group)
    done_with = messages.rejoin(message) or messages.give_back(message, 5.0)  # as the handler does
    assert client.sent == int(done_with)


@dataclass
class CountingClient:
    """Counts what is sent."""

    sent: int = 0

    def send_message(self, **_: object) -> dict[str, str]:
        self.sent += 1
        return {"MessageId": "1"}

    def change_message_visibility(self, **_: object) -> None:
        pass


@pytest.mark.parametrize("receives", [1, LAST_RECEIVE])
def test_a_queue_that_does_not_answer_is_unavailable(sqs, url: str, receives: int) -> None:
    """The message is not deleted: it comes back by itself."""
    message = received(sqs, url, receives=receives)
    with pytest.raises(Unavailable):
        SqsTriggerMessages(sqs, url + "-gone", time.time).give_back(message, 5.0)


@pytest.fixture
def backlog(sqs, url: str) -> tuple[SqsTriggerMessages, list[float]]:
    """A dispatcher's queue, and its clock, which the test moves."""
    clock = [1_000.0]
    return SqsTriggerMessages(sqs, url, lambda: clock[0]), clock


def waited(
    seconds: float, clock: list[float], *, group: str = "sales.orders", receives: int = 1
) -> QueueMessage:
    return QueueMessage("1", "a request", "handle", receives, clock[0] - seconds, clock[0] - seconds, group)


def test_a_rule_with_a_backlog_sends_something_every_other_minute(
    sqs, url: str, backlog: tuple[SqsTriggerMessages, list[float]]
) -> None:
    """One message of it goes to the end of the queue, in the same group; the others are worked on."""
    messages, clock = backlog
    long = REJOIN_EVERY_SECONDS + BACKLOG_SECONDS
    assert [True, False] == [messages.rejoin(waited(long, clock)) for _ in range(2)]
    assert messages.rejoin(waited(long, clock, group="another.rule"))
    record = receive(sqs, url)
    assert record is not None
    assert ("sales.orders", clock[0] - long) == (
        record["attributes"]["MessageGroupId"],
        read_message(record).first_sent_at,
    )
    clock[0] += REJOIN_EVERY_SECONDS
    assert messages.rejoin(waited(long, clock))


def test_only_a_backlog_is_sent_to_the_end_of_the_queue(
    backlog: tuple[SqsTriggerMessages, list[float]],
) -> None:
    """Not what has just come, what was given back, or what has no group."""
    messages, clock = backlog
    clock[0] += 10_000
    assert not messages.rejoin(waited(BACKLOG_SECONDS - 1, clock))
    assert not messages.rejoin(waited(500, clock, receives=2))
    assert not messages.rejoin(waited(500, clock, group=""))


def test_a_message_that_cannot_be_sent_anew_is_worked_on(sqs, url: str) -> None:
    """The backlog is no reason to wait: the message is still there, and the next one is tried two minutes later."""
    messages = SqsTriggerMessages(sqs, url + "-gone", lambda: 1_000.0)
    backlogged = QueueMessage("1", "a request", "handle", 1, 500.0, 500.0, "sales.orders")
    with pytest.raises(Unavailable, match="cannot send the message again"):
        messages.rejoin(backlogged)
    assert not messages.rejoin(backlogged)
