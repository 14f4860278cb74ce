"""What follows a watcher's round: another one, sooner or later, as long as somebody waits.

    nothing is due for a while, and nobody sent word ──▶ the round's own message rests until then, and comes again
    somebody waits ────────────────────────────────────▶ a message for the next round
    word of a wait, and no watch to be seen ───────────▶ the word once more: the index lags behind the table
    else ──────────────────────────────────────────────▶ nothing, until word of a wait comes

A message that rests costs two requests to SQS instead of three, and fewer rounds. But nothing else of the queue is
delivered meanwhile, so it rests for seconds only, and not at all where many send word, who are heard round after round.
"""

import math
from typing import Final, Protocol

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.watch_notices import Notices
from mwaa_gateway.watch_round import Round

__all__ = ["Resting", "RoundQueue", "have_another"]

SHORTEST_REST_SECONDS: Final = 6  # a message that is sent is there after five
LONGEST_REST_SECONDS: Final = 10
LONGEST_REUSE_SECONDS: Final = 86_400  # of one message; the queue keeps it for 14 days
WAKES: Final = 12  # in a minute


class RoundQueue(Protocol):
    """Messages for rounds; raises Unavailable unless the queue took it."""

    def next_round(self, environment: str, now: float) -> None:
        """Have a round made in five seconds."""
        ...

    def wake(self, environment: str, now: float, tries: int = 0) -> None:
        """Pass on that somebody has begun to wait; `tries` rounds saw no watch."""
        ...


class Resting(Protocol):
    """Messages that were received."""

    def give_back(self, receipt_handle: str, seconds: float) -> None:
        """Have the message delivered again in so many seconds; raises Unavailable."""
        ...


def have_another(
    made: Round,
    notices: Notices,
    *,
    environment: str,
    now: float,
    queue: RoundQueue,
    resting: Resting,
    receipt_handle: str,
) -> bool:
    """Have the next round made, if there is to be one; returns whether the message with this handle comes again for it.

    Raises:
        Unavailable: the queue did not take the message: this round is to be made again.
    """
    if made.watched:
        if _rests(made, notices, now, resting, receipt_handle):
            return True
        queue.next_round(environment, now)
    elif not made.found and notices.wakes is not None and notices.wakes < WAKES:
        queue.wake(environment, now, notices.wakes + 1)
    return False


def _rests(made: Round, notices: Notices, now: float, resting: Resting, receipt_handle: str) -> bool:
    seconds = min(LONGEST_REST_SECONDS, math.ceil(made.next_at - now))
    if notices.alone_since is None or now > notices.alone_since + LONGEST_REUSE_SECONDS:
        return False
    if seconds < SHORTEST_REST_SECONDS:
        return False
    try:
        resting.give_back(receipt_handle, seconds)
    except Unavailable:
        return False
    return True
