"""The deliveries of a trigger queue: dispatch the messages, or let SQS redeliver each after its own delay.

CLI tokens allow one command at a time in each slot, so their batches have one message. Over `rest` and `web` up to ten
messages of a batch are dispatched side by side.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from mwaa_gateway.dispatch.concurrency import Concurrency
from mwaa_gateway.dispatch.dispatcher import Dispatched, Dispatcher
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.values import value

# After so many seconds no other message of the batch is begun: an attempt that hangs must fit into the function's timeout.
LATEST_START_SECONDS = 5.0


class TriggerMessages(Protocol):
    """The trigger queue of one environment. Every call raises Unavailable if SQS does not answer."""

    def rejoin(self, message: QueueMessage) -> bool:
        """Move a message of a backlog to the end of its queue, if it is time; True when this delivery is done."""

    def give_back(self, message: QueueMessage, seconds: float) -> bool:
        """Let SQS redeliver the request in `seconds`; True when a new message does so, and this delivery is done."""


@value(kw_only=True)
class TriggerDeliveries:
    """The dispatcher and its queue.

    `side_by_side` runs a function so many times at once, and returns when all have ended; `close_connections` is called
    at the end of each batch. `report` logs and counts each result, `report_bug` logs a bug that a message meets; `warn`
    logs what SQS refused.
    """

    dispatcher: Dispatcher
    messages: TriggerMessages
    concurrency: Concurrency
    side_by_side: Callable[[Callable[[], None], int], None]
    close_connections: Callable[[], None]
    now: Callable[[], float]
    report: Callable[[Dispatched], None]
    report_bug: Callable[[Exception], None]
    warn: Callable[[str], None]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Take each message as far as it goes; return the ids of the messages that SQS must redeliver."""
        suspects = self._suspects(messages)
        # A crash ends every attempt that the sandbox has begun, and five such ends make a request dead. So nothing is begun
        # beside a suspect, and the others need not wait for the end of their visibility timeout.
        others = [message for message in messages if suspects and message not in suspects]
        done = {message.id for message in others if self._give_back(message, 0)}
        waiting, began = deque(suspects or messages), self.now()

        def at_once() -> int:
            return 1 if suspects else self.concurrency.limit(self.now())

        def work() -> None:
            working.append(None)
            # A load signal ends half of the workers
            while len(working) <= at_once():
                try:
                    message = waiting.popleft()
                except IndexError:
                    break
                late = self.now() - began > LATEST_START_SECONDS
                if self._give_back(message, 0) if late else self._deliver(message):
                    done.add(message.id)
            working.pop()

        working: list[None] = []
        while waiting:
            self.side_by_side(work, min(len(waiting), at_once()))
        # A sandbox freezes between two invocations, and a POST on a connection that was closed meanwhile is ambiguous.
        self.close_connections()
        return [message.id for message in messages if message.id not in done]

    def _suspects(self, messages: Sequence[QueueMessage]) -> list[QueueMessage]:
        if len(messages) == 1:
            return []
        try:
            return [each for each in messages if self.dispatcher.is_suspect(each.body, each.receive_count)]
        except Unavailable:  # their attempts say so themselves
            return []

    def _deliver(self, message: QueueMessage) -> bool:
        """Return whether the message is done, so that Lambda may delete it."""
        try:
            if self._rejoin(message):
                return True
            began = self.now()
            dispatched = self.dispatcher.dispatch(message.body, message.receive_count, message.first_sent_at)
            self.concurrency.record(dispatched.outcome, began, self.now())
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
