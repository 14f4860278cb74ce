"""The ledger as the dispatcher sees it: what became of each trigger request, and who may attempt it now."""

from dataclasses import dataclass
from typing import Protocol

from mwaa_gateway.backoff import LONGEST_BACKOFF_SECONDS
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    OutcomeUnknown,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["Attempt", "Finished", "Ledger", "PinnedElsewhere", "UnreadableRow"]


class UnreadableRow(GatewayError):
    """A row of the ledger cannot be read: somebody changed it by hand. The text names it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The right to attempt a trigger request, fenced by `number`: a later claim makes this one powerless.

    `request` is the pinned one, stored by the first attempt: a rule edited since then cannot send a duplicate
    elsewhere. `unanswered` counts the attempts, this one included, since any attempt last came back with an answer;
    `doubtful` says that the attempt before ended as `OutcomeUnknown`.

    A request that was dead or held and is sent again starts again: `first_attempt_at` is when it was reopened, and
    `reopened_after` the number of attempts made by then. What it was pinned to, and its doubt, stay.

    It had aged `aged` seconds by the last note, and ages since `ages_from`; None while its environment is away.
    """

    request: TriggerRequest
    number: int
    attempts_without_outcome: int
    outcome_unknown: bool
    first_attempt_at: float
    reopened_after: int = 0
    aged: float = 0.0
    ages_from: float | None = None

    def age(self, now: float) -> float:
        """How long it has been tried, in seconds: from attempt to attempt, and not while it could not be.

        More than the longest back-off between two attempts was a wait for a slot, or before a gate.
        """
        if self.ages_from is None:
            return self.aged
        return self.aged + min(now - self.ages_from, LONGEST_BACKOFF_SECONDS)

    @property
    def tries(self) -> int:
        """How many attempts have been made since `first_attempt_at`, this one included."""
        return self.number - self.reopened_after


@dataclass(frozen=True, slots=True)
class Finished:
    """The ledger knows that nobody is to attempt it: it ran, it is dead, or it is held.

    `redrives` is the highest redrive number that the ledger has seen of it; only a higher one reopens it. `untold_since`
    is when a run was accepted of which the row does not say that it will not start; None for everything else.
    """

    run_id: str
    outcome: AlreadyTriggered | Rejected | Held
    redrives: int = 0
    accepted_at: float | None = None


@dataclass(frozen=True, slots=True)
class PinnedElsewhere:
    """The first attempt pinned the request to another environment, whose own queue still holds it."""

    environment: str


class Ledger(Protocol):
    """What became of each trigger request. Every call raises Unavailable when it cannot answer."""

    def begin_attempt(self, request: TriggerRequest, now: float) -> Attempt | Finished | PinnedElsewhere:
        """Pin the request if this is its first attempt, and take the next attempt number.

        A dead or held request is reopened by a `redrive` number it has not seen before, once for each number. So two
        messages of one redrive, one that comes late, and one that finds the request open or triggered, come to no
        second run. Raises UnreadableRow, as `hold` does.
        """
        ...

    def finish(self, attempt: Attempt, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the end of it; False when a later attempt has taken over, which only ends the count of `unanswered`.

        An attempt that was under way when the request was held ends it all the same: what Airflow answered is true.
        """
        ...

    def mark_not_runnable(self, request: TriggerRequest, not_runnable: NotRunnable) -> None:
        """Note on a triggered request why its run stays queued; `finish` does so itself where it is known by then."""
        ...

    def hold(self, request: TriggerRequest, held: Held, now: float) -> Finished | PinnedElsewhere:
        """Park the request, pinned if nobody has seen it, and say how it stands then: what ran or is dead stays so.

        No attempt is made of it. What is held already stays as it is; a `redrive` number the request has not seen counts
        as seen, and holds a dead request, too. Held requests are not forgotten, however long that lasts.
        """
        ...

    def record_attempt(
        self, attempt: Attempt, outcome: Retryable | OutcomeUnknown, now: float, *, ageing: bool = True
    ) -> bool:
        """Record that the attempt is over and the request still open; False as for `finish`.

        Not `ageing`: until the next attempt it waits for its environment.
        """
        ...
