"""The deliveries of a trigger queue: dispatch each message, or let SQS redeliver it after its own delay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mwaa_gateway.dispatch.dispatcher import Dispatched, Dispatcher
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.queue_message import QueueMessage


class TriggerMessages(Protocol):
    """The trigger queue of one environment. Every call raises Unavailable if SQS does not answer."""

    def rejoin(self, message: QueueMessage) -> bool:
        """Move a message of a backlog to the end of its queue, if it is time; True when this delivery is done."""

    def give_back(self, message: QueueMessage, seconds: float) -> bool:
        """Let SQS redeliver the request in `seconds`; True when a new message does so, and this delivery is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerDeliveries:
    """The dispatcher and its queue.

    `report` logs and counts each result, `report_bug` logs a bug that a message meets; `warn` logs what SQS refused.
    """

    dispatcher: Dispatcher
    messages: TriggerMessages
    report: Callable[[Dispatched], None]
    report_bug: Callable[[Exception], None]
    warn: Callable[[str], None]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Take each message as far as it goes; return the ids of the messages that SQS must redeliver."""
        return [message.id for message in messages if not self._deliver(message)]

    def _deliver(self, message: QueueMessage) -> bool:
        """Return whether the message is done, so that Lambda may delete it."""
        try:
            if self._rejoin(message):
                return True
            dispatched = self.dispatcher.dispatch(message.body, message.receive_count, message.first_sent_at)
            self.report(dispatched)
            return dispatched.redeliver_after is None or self._give_back(message, dispatched.redeliver_after)
        except Exception as error:  # noqa: BLE001  a bug that one message meets does not stop the others
            self.report_bug(error)
            return False

    def _rejoin(self, message: QueueMessage) -> bool:
        try:
            return self.messages.rejoin(message)
        except Unavailable as error:  # the message is still here: it is dispatched now
            self.warn(f"a rule with a long backlog may overtake the others: {error}")
            return False

    def _give_back(self, message: QueueMessage, seconds: float) -> bool:
        try:
            return self.messages.give_back(message, seconds)
        except Unavailable as error:
            self.warn(f"SQS redelivers the message only when its visibility timeout ends: {error}")
            return False
