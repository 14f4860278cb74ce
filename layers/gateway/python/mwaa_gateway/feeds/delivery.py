"""The deliveries of the feeds' queues: members to collect, and batches to look at."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mwaa_gateway.backoff import backoff_seconds
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Timers
from mwaa_gateway.feeds.collect import TICK_AHEAD_SECONDS, Collected, Collector
from mwaa_gateway.feeds.expected import NOTHING_OPENED, Opened
from mwaa_gateway.feeds.release import Looked, Releaser
from mwaa_gateway.queue_message import MessageQueue, QueueMessage
from mwaa_gateway.routing.members import CHECKS, MemberMessage, UnreadableMember, flushed_batch
from mwaa_gateway.values import value

STALLED_SECONDS: Final = 300.0  # five ticks have sent a look, and nothing came of it
_FLUSH_SECONDS: Final = 2.0
_RESTS_SECONDS: Final = 60.0  # the tick, each minute, sends the timers of later looks


@value(kw_only=True)
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
        flushes: dict[str, str] = {}  # batches, by message
        problems: list[str] = []
        for message in messages:
            try:
                if batch_id := flushed_batch(message.body):
                    flushes[message.id] = batch_id
                else:
                    members[message.id] = MemberMessage.from_json(message.body, message.sent_at)
            except UnreadableMember as error:
                problems.append(f"message {message.id}: {error}")
        results = self.collector.collect([*members.values()])
        again = {each.message for each in results if each.result == "again"}
        failed = [
            each
            for each in messages
            if each.id not in flushes and (each.id not in members or members[each.id] in again)
        ]
        troubled = {message.group for message in failed}
        for message in messages:
            if message.id in flushes:
                # A flush overtakes no member of its rule, its message group: it waits for those that failed beside it.
                problem = (
                    "members beside it failed"
                    if message.group in troubled
                    else self._flush(flushes[message.id], message.sent_at)
                )
                if problem:
                    problems.append(f"batch {flushes[message.id]} is not flushed: {problem}")
                    failed.append(message)
        self.report(results, problems)
        for message in failed:
            # SQS delivers a message 1,000 times at most: a fixed wait would not outlast a long outage.
            seconds = backoff_seconds(message.receive_count, self.jitter())
            _give_back(self.queue, message, seconds, self.warn)
        return [message.id for message in failed]

    def _flush(self, batch_id: str, sent_at: float) -> str:
        """Mark what is collected; return the problem, or ""."""
        try:
            self.collector.flush(batch_id, sent_at)
        except Exception as error:  # noqa: BLE001  trouble with one batch, bugs too, stops no other
            return str(error)
        return ""


@value(kw_only=True)
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
            self.report(looked)
            self.releaser.mark_reported(looked)
        except Exception as error:  # noqa: BLE001  trouble with one batch, bugs too, stops no other
            self.report_failed(message.body, error)
            if message.group != CHECKS:
                return True  # the batch is due: the tick sends the next look within a minute
            _give_back(self.queue, message, backoff_seconds(message.receive_count, self.jitter()), self.warn)
            return False
        if looked.result == "flushes":
            # The flush marks the batch in about a second; each further flush waits longer.
            seconds = min(_FLUSH_SECONDS * message.receive_count, _RESTS_SECONDS)
        else:
            seconds = looked.until - self.now()
            if looked.result != "waits" or seconds > _RESTS_SECONDS:
                return True
        _give_back(self.queue, message, math.ceil(max(seconds, 1)), self.warn)
        return False


@value
class Started:
    """What a tick did: the looks it sent, the batches that are not released in time, and why looks were not sent.

    `expected` are the batches of days on which nothing had arrived, `broken` the rules that expect days and cannot be read.
    """

    count: int
    stalled: Sequence[str]
    failures: Sequence[str]
    expected: Sequence[str] = ()
    broken: Sequence[str] = ()


def start_timers(
    due: Iterable[tuple[str, float]], timers: Timers, now: float, opened: Opened = NOTHING_OPENED
) -> Started:
    """Send a look at each batch that is due within TICK_AHEAD_SECONDS. A batch that cannot get its timer stops no other."""
    batches = [*due]
    looks = [(batch_id, min(max(due_at - now, 0.0), TICK_AHEAD_SECONDS)) for batch_id, due_at in batches]
    failed = timers.look(looks) if looks else {}
    return Started(
        count=len(batches) - len(failed),
        stalled=[batch_id for batch_id, due_at in batches if due_at < now - STALLED_SECONDS],
        failures=[*(f"batch {batch_id}: {reason}" for batch_id, reason in failed.items()), *opened.failures],
        expected=[batch_id for batch_id, _ in opened.batches],
        broken=opened.broken,
    )


def _give_back(
    queue: MessageQueue, message: QueueMessage, seconds: float, warn: Callable[[str], None]
) -> None:
    try:
        queue.give_back(message, seconds)
    except Unavailable as refused:
        warn(f"SQS redelivers the message only when its visibility timeout ends: {refused}")
