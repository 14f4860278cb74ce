"""One delivery of a trigger queue's message: dispatch it, and delete it or let SQS redeliver it after its own delay."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mwaa_gateway.dispatch.dispatcher import Dispatched, Dispatcher
from mwaa_gateway.errors import Unavailable

__all__ = ["Deliveries", "TriggerMessage", "TriggerMessages"]


@dataclass(frozen=True, slots=True)
class TriggerMessage:
    """One delivery. Times are in seconds since the epoch, by SQS's clock.

    `first_sent_at` is when the request joined the queue, with this message or with an earlier one that this one replaces.
    """

    body: str
    receipt_handle: str
    receive_count: int
    sent_at: float
    first_sent_at: float
    group: str = ""


class TriggerMessages(Protocol):
    """The trigger queue of one environment. Every call raises Unavailable if SQS does not answer."""

    def rejoin(self, message: TriggerMessage) -> bool:
        """Move a message of a backlog to the end of its queue, if it is time; True when this delivery is done."""
        ...

    def give_back(self, message: TriggerMessage, seconds: float) -> bool:
        """Let SQS redeliver the request in `seconds`; True when a new message does so, and this delivery is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """The dispatcher and its queue. `report` logs and counts each result; `warn` logs what SQS refused."""

    dispatcher: Dispatcher
    messages: TriggerMessages
    report: Callable[[Dispatched], None]
    warn: Callable[[str], None]

    def deliver(self, message: TriggerMessage) -> bool:
        """Take the message as far as it goes; return whether it is done, so that SQS may delete it."""
        if self._rejoin(message):
            return True
        dispatched = self.dispatcher.dispatch(message.body, message.receive_count, message.first_sent_at)
        self.report(dispatched)
        return dispatched.redeliver_after is None or self._give_back(message, dispatched.redeliver_after)

    def _rejoin(self, message: TriggerMessage) -> bool:
        try:
            return self.messages.rejoin(message)
        except Unavailable as error:  # the message is still here: it is dispatched now
            self.warn(f"a rule with a long backlog may overtake the others: {error}")
            return False

    def _give_back(self, message: TriggerMessage, seconds: float) -> bool:
        try:
            return self.messages.give_back(message, seconds)
        except Unavailable as error:
            self.warn(f"the message comes back only when its visibility timeout ends: {error}")
            return False
