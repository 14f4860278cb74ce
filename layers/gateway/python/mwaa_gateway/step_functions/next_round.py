"""When the next round starts: the watcher keeps a message of its batch in the queue, whose next delivery is that round.

    a state waits ───────────────────▶ the newest message stays until something is due: five to ten seconds
    a state waits, the batch is full ▶ it returns at once: more messages may be queued behind it
    a wake, and no watch visible ────▶ the wake stays for five seconds, twelve times: the index lags behind the table
    an end could not be recorded ────▶ its notice stays in the same way
    no state waits ──────────────────▶ all messages are deleted; the next wake, or the schedule's tick, starts a round

The watcher never sends to its own queue, which Lambda would stop as a recursive loop (docs/adr/0015-*.md). It keeps the
newest message, so that none grows older than a minute or two: the age of the queue's oldest message shows when the last
round was. While a message stays, SQS delivers nothing else of the queue's one message group.
"""

import math
from collections.abc import Mapping
from typing import Final

from mwaa_gateway.step_functions.notices import Notices
from mwaa_gateway.step_functions.round import Round

__all__ = ["schedule_next_round"]

SHORTEST_REST_SECONDS: Final = 5
LONGEST_REST_SECONDS: Final = 10  # the longest delay of a DAG's callback or an execution's end
DELIVERIES: Final = 12  # of a wake without a watch, or of an end that cannot be recorded: a minute
FULL_BATCH: Final = 10  # messages: the BatchSize of the event source mapping


def schedule_next_round(current: Round, notices: Notices, now: float) -> Mapping[int, int]:
    """Return the messages to keep, by their place in the batch, and for how many seconds; SQS deletes all others."""
    rests = {
        end.message: SHORTEST_REST_SECONDS
        for end in notices.ends
        if end.execution_arn in current.unrecorded_ends and end.deliveries <= DELIVERIES
    }
    wake = notices.wake
    if current.watched:
        until_due = min(LONGEST_REST_SECONDS, math.ceil(current.next_at - now))
        full = notices.messages >= FULL_BATCH
        rests[notices.messages - 1] = 0 if full else max(SHORTEST_REST_SECONDS, until_due)
    elif not current.found and wake is not None and wake.deliveries <= DELIVERIES:
        rests[wake.message] = SHORTEST_REST_SECONDS
    return rests
