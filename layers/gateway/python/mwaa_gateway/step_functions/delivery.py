"""The deliveries of a watch queue: one round for each batch, and a message whose next delivery is the next round.

    a state waits ───────────────────▶ the newest message stays until something is due: five to ten seconds
    a state waits, the batch is full ▶ it returns at once: more messages may be queued behind it
    a wake, and no watch visible ────▶ the wake stays for five seconds, twelve times: the index lags behind the table
    an end could not be recorded ────▶ its notice stays in the same way
    the watches cannot be listed ────▶ all messages return after ten seconds
    no state waits ──────────────────▶ all messages are deleted; the next wake, or the schedule's tick, starts a round

The watcher never sends to its own queue, which Lambda would stop as a recursive loop (docs/adr/0015-*.md). It keeps the
newest message, so that none grows older than a minute or two: the age of the queue's oldest message shows when the last
round was. While a message stays, SQS delivers nothing else of the queue's one message group.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.queue_message import MessageQueue, QueueMessage
from mwaa_gateway.step_functions.notices import Notices, read_notices
from mwaa_gateway.step_functions.round_report import RoundReport
from mwaa_gateway.step_functions.watcher import Watcher
from mwaa_gateway.values import value

RETRY_SECONDS: Final = 10
SHORTEST_REST_SECONDS: Final = 5
LONGEST_REST_SECONDS: Final = 10  # the longest delay of a DAG's callback or an execution's end
DELIVERIES: Final = 12  # of a wake without a watch, or of an end that cannot be recorded: a minute
FULL_BATCH: Final = 10  # messages: the BatchSize of the event source mapping


@value(kw_only=True)
class WatchDeliveries:
    """The watcher and its queue; `now` returns seconds since the epoch.

    `report` logs and counts each round, `report_unreadable` logs messages that are no notice; `warn` logs what AWS refused.
    """

    watcher: Watcher
    queue: MessageQueue
    report: Callable[[RoundReport], None]
    report_unreadable: Callable[[Notices], None]
    warn: Callable[[str], None]
    now: Callable[[], float]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Run one round; return the ids of the messages that SQS must redeliver."""
        notices = read_notices(messages)
        self.report_unreadable(notices)
        try:
            made = self.watcher.round(
                ended_executions=notices.ended_executions, ended_runs=notices.ended_runs
            )
        except Unavailable as error:
            self.warn(
                f"the round failed; no state is lost, the watcher retries in {RETRY_SECONDS} seconds: {error}"
            )
            rests: Mapping[QueueMessage, int] = dict.fromkeys(messages, RETRY_SECONDS)
        else:
            self.report(made)
            rests = rests_until_next_round(made, notices, self.now())
        for message, seconds in rests.items():
            self._give_back(message, seconds)
        return [message.id for message in rests]

    def _give_back(self, message: QueueMessage, seconds: int) -> None:
        try:
            self.queue.give_back(message, seconds)
        except Unavailable as error:
            self.warn(
                "waiting states get their answer late: the next round starts when the message's visibility timeout ends: "
                f"{error}"
            )


def rests_until_next_round(made: RoundReport, notices: Notices, now: float) -> Mapping[QueueMessage, int]:
    """Return the messages to keep in the queue, and for how many seconds; SQS deletes all others."""
    rests = {
        end.message: SHORTEST_REST_SECONDS
        for end in notices.ends
        if end.execution_arn in made.unrecorded_ends and end.message.receive_count <= DELIVERIES
    }
    wake = notices.wake
    if made.watched:
        until_due = min(LONGEST_REST_SECONDS, math.ceil(made.next_at - now))
        full = len(notices.messages) >= FULL_BATCH
        rests[notices.messages[-1]] = 0 if full else max(SHORTEST_REST_SECONDS, until_due)
    elif not made.found and wake is not None and wake.receive_count <= DELIVERIES:
        rests[wake] = SHORTEST_REST_SECONDS
    return rests
