"""The deliveries of the event queues: ingest each message, or let SQS redeliver it after a back-off."""

from collections.abc import Callable, Sequence

from mwaa_gateway.backoff import backoff_seconds
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events import TrustedQueues, from_queue
from mwaa_gateway.ingress.ingest import Ingress, IngressReport
from mwaa_gateway.queue_message import MessageQueue, QueueMessage
from mwaa_gateway.values import value


@value(kw_only=True)
class EventDeliveries:
    """An ingress and the queues that it reads.

    `report` logs and counts each result, `report_given_back` each failure, its attempt and its back-off; `warn` logs what
    SQS refused. `jitter` returns a random number in [0, 1).
    """

    ingress: Ingress
    trusted: TrustedQueues
    queues: MessageQueue
    report: Callable[[IngressReport], None]
    report_given_back: Callable[[Exception, int, float], None]
    warn: Callable[[str], None]
    jitter: Callable[[], float]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Turn each message's events into trigger requests; return the ids of the messages that SQS must redeliver."""
        return [message.id for message in messages if not self._deliver(message)]

    def _deliver(self, message: QueueMessage) -> bool:
        try:
            if message.queue == self.trusted.retry_queue and self._redriven(message):
                return True
            queued = from_queue(message.body, message.queue, self.trusted)
            self.report(self.ingress.ingest(queued.events, payload=queued.payload))
        except Exception as error:  # noqa: BLE001  bugs too: the message survives until a fixed version is deployed
            self._give_back(message, error)
            return False
        return True

    def _redriven(self, message: QueueMessage) -> bool:
        """Collect the member of a batch that somebody redrives. Only the gateway's own roles write to the retry queue."""
        from mwaa_gateway.routing.members import redriven_member  # noqa: PLC0415  no other queue brings members

        member = redriven_member(message.body)
        if member is not None:
            self.ingress.collect_queue.collect([member])
        return member is not None

    def _give_back(self, message: QueueMessage, error: Exception) -> None:
        seconds = backoff_seconds(message.receive_count, self.jitter())
        self.report_given_back(error, message.receive_count, seconds)
        try:
            self.queues.give_back(message, seconds)
        except Unavailable as refused:
            self.warn(f"SQS redelivers the message only when its visibility timeout ends: {refused}")
