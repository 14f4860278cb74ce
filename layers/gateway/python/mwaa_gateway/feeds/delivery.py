"""The deliveries of the feeds' queues: members to collect, and batches to look at."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Timers
from mwaa_gateway.feeds.collect import TICK_AHEAD_SECONDS, Collected, Collector
from mwaa_gateway.feeds.release import Looked, Releaser
from mwaa_gateway.queue_message import MessageQueue, QueueMessage
from mwaa_gateway.routing.members import MemberMessage, UnreadableMember

__all__ = ["LookDeliveries", "MemberDeliveries", "start_timers"]

_AGAIN_SECONDS: Final = 5.0  # a release takes about as long
_FAILED_SECONDS: Final = 60.0
_RESTS_SECONDS: Final = 60.0  # the tick, each minute, sends the timers of later looks


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDeliveries:
    """A collector and its queue. `report` logs and counts the results; `warn` logs what failed."""

    collector: Collector
    queue: MessageQueue
    report: Callable[[Sequence[Collected]], None]
    warn: Callable[[str], None]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Collect each message's member; return the ids of the messages that SQS must redeliver."""
        by_id = {message.id: message for message in messages}
        members: dict[str, MemberMessage] = {}
        for message in messages:
            try:
                members[message.id] = MemberMessage.from_json(message.body, message.sent_at)
            except UnreadableMember as error:
                self.warn(f"message {message.id} of the collect queue stays there: {error}")
        results = dict(zip(members, self.collector.collect([*members.values()]), strict=True))
        self.report([*results.values()])
        failed = [each for each in by_id if each not in results or results[each].result == "again"]
        for each in failed:
            seconds = _AGAIN_SECONDS if each in results else _FAILED_SECONDS
            _give_back(self.queue, by_id[each], seconds, self.warn)
        return failed


@dataclass(frozen=True, slots=True, kw_only=True)
class LookDeliveries:
    """A releaser and its queue, whose messages are ids of batches.

    `report` logs and counts each result, `report_failed` each failure; `warn` logs what SQS refused.
    """

    releaser: Releaser
    queue: MessageQueue
    report: Callable[[Looked], None]
    report_failed: Callable[[str, Exception], None]
    warn: Callable[[str], None]
    now: Callable[[], float]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Look at each message's batch; return the ids of the messages that SQS must redeliver."""
        return [message.id for message in messages if not self._deliver(message)]

    def _deliver(self, message: QueueMessage) -> bool:
        try:
            looked = self.releaser.look(message.body)
        except Exception as error:  # noqa: BLE001  trouble with one batch, bugs too, stops no other
            self.report_failed(message.body, error)
            _give_back(self.queue, message, _FAILED_SECONDS, self.warn)
            return False
        self.report(looked)
        seconds = looked.until - self.now()
        if looked.result != "waits" or seconds > _RESTS_SECONDS:
            return True
        _give_back(self.queue, message, math.ceil(max(seconds, 1)), self.warn)
        return False


def start_timers(due: Iterable[tuple[str, float]], timers: Timers, now: float) -> int:
    """Send a look at each batch that is due within TICK_AHEAD_SECONDS; return how many.

    A batch that cannot get its timer stops no other.

    Raises:
        Unavailable: some batches got no timer; the next tick sends it.
    """
    count = 0
    failures: list[str] = []
    for batch_id, due_at in due:
        try:
            timers.look(batch_id, min(max(due_at - now, 0.0), TICK_AHEAD_SECONDS))
            count += 1
        except Unavailable as error:
            failures.append(str(error))
    if failures:
        raise Unavailable(f"{len(failures)} of {count + len(failures)} batches got no timer: {failures[0]}")
    return count


def _give_back(
    queue: MessageQueue, message: QueueMessage, seconds: float, warn: Callable[[str], None]
) -> None:
    try:
        queue.give_back(message, seconds)
    except Unavailable as refused:
        warn(f"SQS redelivers the message only when its visibility timeout ends: {refused}")
