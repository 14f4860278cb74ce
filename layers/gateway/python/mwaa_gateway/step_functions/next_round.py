"""What follows a watcher's round: a message of its batch rests in the queue, and its next delivery is the next round.

    a state waits ───────────────────▶ the newest message rests until something is due: five to ten seconds
    and the batch was full ──────────▶ it comes back at once: more messages may lie behind it
    a wake, and no watch to be seen ─▶ the wake rests for five seconds, twelve times: the index lags behind the table
    an end could not be recorded ────▶ its notice rests likewise
    nobody waits ────────────────────▶ every message is done with; the next wake, or the schedule's tick, starts a round

The watcher never sends to its own queue: Lambda takes that for a recursive loop (docs/adr/0015-*.md). It keeps the newest
message, so that none grows older than a minute or two: the age of the queue's oldest message says when the last round was.
While a message rests, SQS delivers nothing else of the queue's one message group.
"""

import math
from collections.abc import Mapping
from typing import Final

from mwaa_gateway.step_functions.notices import Notices
from mwaa_gateway.step_functions.round import Round

__all__ = ["schedule_next_round"]

SHORTEST_REST_SECONDS: Final = 5
LONGEST_REST_SECONDS: Final = 10  # a DAG's callback, or an execution's end, waits so long
DELIVERIES: Final = 12  # of a wake that finds no watch, or of an end that cannot be recorded: a minute
FULL_BATCH: Final = 10  # messages: the BatchSize of the event source mapping


def schedule_next_round(made: Round, notices: Notices, now: float) -> Mapping[int, int]:
    """Return the messages that rest, by their place in the batch, and for how many seconds; all others are done with."""
    rests = {
        end.message: SHORTEST_REST_SECONDS
        for end in notices.ends
        if end.execution_arn in made.unstopped and end.deliveries <= DELIVERIES
    }
    wake = notices.wake
    if made.watched:
        until_due = min(LONGEST_REST_SECONDS, math.ceil(made.next_at - now))
        full = notices.messages >= FULL_BATCH
        rests[notices.messages - 1] = 0 if full else max(SHORTEST_REST_SECONDS, until_due)
    elif not made.found and wake is not None and wake.deliveries <= DELIVERIES:
        rests[wake.message] = SHORTEST_REST_SECONDS
    return rests
