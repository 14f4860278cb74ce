"""One delivery of an SQS message, and what each flow does with a batch of them.

Every queue's flow has a `deliver(messages)`: it handles the messages, gives back those that must wait for a time of its
choice, and returns the ids of those that SQS must redeliver. Lambda deletes the others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from mwaa_gateway.values import value

FIRST_SENT_AT: Final = "FirstSentAt"  # the attribute of a message that replaces an earlier one


@value
class QueueMessage:
    """One delivery. Times are in seconds since the epoch, by SQS's clock.

    `queue` is the queue's ARN. `first_sent_at` is when the content joined the queue, with this message or with an earlier
    one that this one replaces.
    """

    id: str
    body: str
    receipt_handle: str
    receive_count: int
    sent_at: float
    first_sent_at: float
    group: str = ""
    queue: str = ""


class MessageQueue(Protocol):
    """A queue that takes a message back."""

    def give_back(self, message: QueueMessage, seconds: float) -> None:
        """Let SQS redeliver the message in `seconds`; raise Unavailable if SQS refuses: its visibility timeout applies."""


def deliver_batch(
    event: Mapping[str, Any], deliver: Callable[[Sequence[QueueMessage]], Sequence[str]]
) -> dict[str, Any]:
    """Deliver the event's messages; return Lambda's answer to SQS, with the ids of the messages to redeliver."""
    failed = deliver([read_message(record) for record in event["Records"]])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def read_message(record: Mapping[str, Any]) -> QueueMessage:
    """Read a record of an SQS event."""
    attributes = record["attributes"]
    sent_at = int(attributes["SentTimestamp"]) / 1000
    carried = record.get("messageAttributes", {}).get(FIRST_SENT_AT)
    return QueueMessage(
        id=record["messageId"],
        body=record["body"],
        receipt_handle=record["receiptHandle"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=sent_at,
        first_sent_at=float(carried["stringValue"]) if carried else sent_at,
        group=attributes.get("MessageGroupId", ""),
        queue=record["eventSourceARN"],
    )
