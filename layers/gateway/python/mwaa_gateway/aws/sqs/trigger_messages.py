"""The dispatcher's messages: given back for later, and replaced before SQS gives up on them.

SQS delivers a message at most 1,000 times and keeps it for four days. A request that waits longer, because its environment
is down, gets a replacement: a new message of the same request, and then the old one is deleted. A crash in between leaves
two messages of one request, like any duplicate delivery, and the ledger lets only one of them start the run.

To Lambda, a function that sends to its own queue is a recursive loop, which it stops after about sixteen invocations. So
the dispatcher's `RecursiveLoop` is Allow (docs/adr/0015-*.md). The loop is bounded: one delivery sends at most one message,
and a message is replaced only after a minute in the queue.

The message group is the rule. SQS's fair queues deliver a rule that takes more than its share of the slots last
(`docs/adr/0006-*.md`). SQS forgets that after a rule has sent nothing for five minutes, although its backlog may last for
hours. So every other minute the dispatcher sends one message of a backlog to the end of the queue again.
"""

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.errors import require, unavailable_unless_answered
from mwaa_gateway.aws.sqs.queues import VisibilityTimeout
from mwaa_gateway.queue_message import FIRST_SENT_AT, QueueMessage
from mwaa_gateway.values import value

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageRequestTypeDef

LAST_RECEIVE: Final = 900  # of 1,000: leaves room while the queue cannot be written to
SHORTEST_STAY_SECONDS: Final = 60  # in the queue, before any message is replaced
LONGEST_STAY_SECONDS: Final = 2 * 86_400  # of four days
LONGEST_DELAY_SECONDS: Final = 900  # SQS's limit for a message that is sent
# A message that waits so long for its first receive is part of a backlog
BACKLOG_SECONDS: Final = SHORTEST_STAY_SECONDS
REJOIN_EVERY_SECONDS: Final = 120  # for each rule and sandbox; SQS forgets after 300


@value
class SqsTriggerMessages:
    """Implements `mwaa_gateway.dispatch.delivery.TriggerMessages`; `now` returns seconds since the epoch."""

    client: "SQSClient"
    url: str
    now: Callable[[], float] = field(repr=False)
    _rejoined: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def give_back(self, message: QueueMessage, seconds: float) -> bool:
        """Let SQS redeliver the request in `seconds`; raises Unavailable, then the visibility timeout applies.

        True if a new message replaces this one, which is then done.
        """
        stay = self.now() - message.sent_at
        received_too_often = message.receive_count >= LAST_RECEIVE and stay >= SHORTEST_STAY_SECONDS
        if received_too_often or stay >= LONGEST_STAY_SECONDS:
            self._replace(message, seconds)
            return True
        VisibilityTimeout(self.client, self.url).give_back(message, seconds)
        return False

    def rejoin(self, message: QueueMessage) -> bool:
        """Send one message of a backlog to the end of the queue, every other minute; True if this one is done.

        Raises Unavailable: then this message stays, and the next try comes in two minutes.
        """
        now = self.now()
        if not message.group or message.receive_count > 1 or now - message.sent_at < BACKLOG_SECONDS:
            return False
        if now - self._rejoined.get(message.group, message.sent_at) < REJOIN_EVERY_SECONDS:
            return False
        self._rejoined[message.group] = now
        self._replace(message, 0)
        return True

    def _replace(self, message: QueueMessage, seconds: float) -> None:
        replacement: SendMessageRequestTypeDef = {
            "QueueUrl": self.url,
            "MessageBody": message.body,
            "DelaySeconds": min(round(seconds), LONGEST_DELAY_SECONDS),
            "MessageAttributes": {
                FIRST_SENT_AT: {"DataType": "Number", "StringValue": f"{message.first_sent_at:.3f}"}
            },
        }
        if message.group:
            replacement["MessageGroupId"] = message.group
        with unavailable_unless_answered("cannot send the message again"):
            answer = self.client.send_message(**replacement)
        require(answer, "MessageId", "cannot send the message again")
