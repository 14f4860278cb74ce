"""The messages of one trigger queue as the dispatcher gets them: given back for later, and sent anew before SQS gives up.

SQS delivers a message 1,000 times at most and keeps it for four days. What waits for longer (its environment is away) is
sent anew: a new message of the same request, and then the old one is deleted. Who dies in between leaves two messages of
one request, as any duplicate delivery does, and the ledger lets one of them start the run.

A function that sends to its own queue is a recursive loop to Lambda, which stops it after some sixteen invocations; so the
dispatcher's `RecursiveLoop` is Allow (docs/adr/0015-*.md). The loop is bounded: one delivery sends one message at most, and
no message is sent anew before it has been in the queue for a minute.

A message's group is its rule: a rule that takes more than its share of the slots is received last (SQS's fair queues,
`docs/adr/0006-*.md`). SQS forgets that of a rule that has sent nothing for five minutes, although its backlog may last for
hours; so now and then a message of a backlog is sent anew, to the end of the queue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.errors import require, unavailable_unless_answered
from mwaa_gateway.dispatch.delivery import TriggerMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageRequestTypeDef

__all__ = ["SqsTriggerMessages", "read_message"]

LAST_RECEIVE: Final = 900  # of 1,000: room for a queue that cannot be written to for a while
SHORTEST_STAY_SECONDS: Final = 60  # in the queue, before a message is sent anew, whatever for
LONGEST_STAY_SECONDS: Final = 2 * 86_400  # of four days
LONGEST_DELAY_SECONDS: Final = 900  # SQS's, of a message that is sent
BACKLOG_SECONDS: Final = (
    SHORTEST_STAY_SECONDS  # waiting so long for its first receive, a message is one of a backlog
)
REJOIN_EVERY_SECONDS: Final = 120  # for each rule and sandbox; SQS forgets after 300

_FIRST_SENT_AT: Final = "FirstSentAt"


def read_message(record: Mapping[str, Any]) -> TriggerMessage:
    """Read a record of an SQS event."""
    attributes = record["attributes"]
    sent_at = int(attributes["SentTimestamp"]) / 1000
    carried = record.get("messageAttributes", {}).get(_FIRST_SENT_AT)
    return TriggerMessage(
        body=record["body"],
        receipt_handle=record["receiptHandle"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=sent_at,
        first_sent_at=float(carried["stringValue"]) if carried else sent_at,
        group=attributes.get("MessageGroupId", ""),
    )


@dataclass(frozen=True, slots=True)
class SqsTriggerMessages:
    """Implements `mwaa_gateway.dispatch.delivery.TriggerMessages`; `now` returns seconds since the epoch."""

    client: "SQSClient"
    url: str
    now: Callable[[], float] = field(repr=False)
    _rejoined: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def give_back(self, message: TriggerMessage, seconds: float) -> bool:
        """Let the request be delivered again in `seconds`; raises Unavailable, then the message comes back by itself.

        True when that is by a new message, so that this one is done with.
        """
        stay = self.now() - message.sent_at
        received_too_often = message.receive_count >= LAST_RECEIVE and stay >= SHORTEST_STAY_SECONDS
        if received_too_often or stay >= LONGEST_STAY_SECONDS:
            self._send_anew(message, seconds)
            return True
        with unavailable_unless_answered("the message could not be given back early"):
            self.client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message.receipt_handle, VisibilityTimeout=round(seconds)
            )
        return False

    def rejoin(self, message: TriggerMessage) -> bool:
        """Send one message of a backlog to the end of the queue, every other minute; True when this one is done with.

        Raises Unavailable: then this message is still there, and the next is tried in two minutes.
        """
        now = self.now()
        if not message.group or message.receive_count > 1 or now - message.sent_at < BACKLOG_SECONDS:
            return False
        if now - self._rejoined.get(message.group, message.sent_at) < REJOIN_EVERY_SECONDS:
            return False
        self._rejoined[message.group] = now
        self._send_anew(message, 0)
        return True

    def _send_anew(self, message: TriggerMessage, seconds: float) -> None:
        anew: SendMessageRequestTypeDef = {
            "QueueUrl": self.url,
            "MessageBody": message.body,
            "DelaySeconds": min(round(seconds), LONGEST_DELAY_SECONDS),
            "MessageAttributes": {
                _FIRST_SENT_AT: {"DataType": "Number", "StringValue": f"{message.first_sent_at:.3f}"}
            },
        }
        if message.group:
            anew["MessageGroupId"] = message.group
        with unavailable_unless_answered("the message could not be sent anew"):
            answer = self.client.send_message(**anew)
        require(answer, "MessageId", "the message could not be sent anew")
