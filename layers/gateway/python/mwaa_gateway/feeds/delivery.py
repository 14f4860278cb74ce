"""The deliveries of the feeds' queues: members to collect, and batches to look at."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mwaa_gateway.backoff import backoff_seconds
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Timers
from mwaa_gateway.feeds.collect import TICK_AHEAD_SECONDS, Collected, Collector
from mwaa_gateway.feeds.release import Looked, Releaser
from mwaa_gateway.queue_message import CHECKS, MessageQueue, QueueMessage
from mwaa_gateway.routing.members import MemberMessage, UnreadableMember

__all__ = ["LookDeliveries", "MemberDeliveries", "Started", "start_timers"]

STALLED_SECONDS: Final = 300.0  # five ticks have sent a look, and nothing came of it
_RESTS_SECONDS: Final = 60.0  # the tick, each minute, sends the timers of later looks


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDeliveries:
    """A collector and its queue.

    `report` logs and counts the results, and the texts about messages that cannot be read; `warn` logs what SQS refused.
    `jitter` returns a random number in [0, 1).
    """

    collector: Collector
    queue: MessageQueue
    report: Callable[[Sequence[Collected], Sequence[str]], None]
    warn: Callable[[str], None]
    jitter: Callable[[], float]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Collect each message's member; return the ids of the messages that SQS must redeliver."""
        members: dict[str, MemberMessage] = {}
        unreadable: list[str] = []
        for message in messages:
            try:
                members[message.id] = MemberMessage.from_json(message.body, message.sent_at)
            except UnreadableMember as error:
                unreadable.append(f"message {message.id}: {error}")
        results = self.collector.collect([*members.values()])
        self.report(results, unreadable)
        again = {each.message for each in results if each.result == "again"}
        failed = [each for each in messages if each.id not in members or members[each.id] in again]
        for message in failed:
            # SQS delivers a message 1,000 times at most: a fixed wait would not outlast a long outage.
            seconds = backoff_seconds(message.receive_count, self.jitter())
            _give_back(self.queue, message, seconds, self.warn)
        return [message.id for message in failed]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookDeliveries:
    """A releaser and its queue, whose messages are ids of batches.

    `report` logs and counts each result, `report_failed` each failure; `warn` logs what SQS refused. `jitter` returns a
    random number in [0, 1).
    """

    releaser: Releaser
    queue: MessageQueue
    report: Callable[[Looked], None]
    report_failed: Callable[[str, Exception], None]
    warn: Callable[[str], None]
    now: Callable[[], float]
    jitter: Callable[[], float]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Look at each message's batch; return the ids of the messages that SQS must redeliver."""
        return [message.id for message in messages if not self._deliver(message)]

    def _deliver(self, message: QueueMessage) -> bool:
        try:
            looked = self.releaser.look(message.body)
        except Exception as error:  # noqa: BLE001  trouble with one batch, bugs too, stops no other
            self.report_failed(message.body, error)
            if message.group != CHECKS:
                return True  # the batch is due: the tick sends the next look within a minute
            _give_back(self.queue, message, backoff_seconds(message.receive_count, self.jitter()), self.warn)
            return False
        self.report(looked)
        seconds = looked.until - self.now()
        if looked.result != "waits" or seconds > _RESTS_SECONDS:
            return True
        _give_back(self.queue, message, math.ceil(max(seconds, 1)), self.warn)
        return False


@dataclass(frozen=True, slots=True)
class Started:
    """What a tick did: the looks it sent, the batches that are not released in time, and why looks were not sent."""

    count: int
    stalled: Sequence[str]
    failures: Sequence[str]


def start_timers(due: Iterable[tuple[str, float]], timers: Timers, now: float) -> Started:
    """Send a look at each batch that is due within TICK_AHEAD_SECONDS. A batch that cannot get its timer stops no other."""
    count = 0
    stalled: list[str] = []
    failures: list[str] = []
    for batch_id, due_at in due:
        if due_at < now - STALLED_SECONDS:
            stalled.append(batch_id)
        try:
            timers.look(batch_id, min(max(due_at - now, 0.0), TICK_AHEAD_SECONDS))
            count += 1
        except Unavailable as error:
            failures.append(f"batch {batch_id}: {error}")
    return Started(count, stalled, failures)


def _give_back(
    queue: MessageQueue, message: QueueMessage, seconds: float, warn: Callable[[str], None]
) -> None:
    try:
        queue.give_back(message, seconds)
    except Unavailable as refused:
        warn(f"SQS redelivers the message only when its visibility timeout ends: {refused}")
