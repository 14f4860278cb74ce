"""The ledger as the dispatcher sees it: the state of each trigger request, and whether an attempt may begin."""

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
from mwaa_gateway.values import value


class UnreadableRow(GatewayError):
    """A row of the ledger cannot be read: somebody changed it by hand. The text names it."""


@value
class Attempt:
    """The right to attempt a trigger request, fenced by `number`: a later attempt makes this one powerless.

    `request` is the pinned one, stored by the first attempt: a rule that was edited since cannot send a duplicate
    elsewhere. `attempts_without_outcome` counts the attempts since the last one that recorded an outcome, including
    this one; `outcome_unknown` says that the last recorded outcome is `OutcomeUnknown`.

    A dead or held request that is redriven starts again: `first_attempt_at` is when it was reopened, and
    `reopened_after` the number of attempts made by then. Its pin and its doubt stay.

    At the last recorded attempt it was `aged` seconds old, and it ages again from `ages_from`; None while its
    environment is away.
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
        """Return for how many seconds it has been tried, without the time it could not be.

        Between two attempts, what exceeds the longest back-off was a wait for a slot or an open circuit breaker.
        """
        if self.ages_from is None:
            return self.aged
        return self.aged + min(now - self.ages_from, LONGEST_BACKOFF_SECONDS)

    @property
    def tries(self) -> int:
        """The number of attempts since `first_attempt_at`, including this one."""
        return self.number - self.reopened_after

    @property
    def run_may_exist(self) -> bool:
        """Whether an earlier attempt may have started the run."""
        return self.outcome_unknown or self.attempts_without_outcome > 1


@value
class Finished:
    """The request needs no attempt: it ran, it is dead, or it is held.

    `redrives` is the highest redrive number the ledger has seen; only a higher one reopens the row. `accepted_at` is
    when Airflow accepted a run that the row does not call not runnable; None for everything else.
    """

    run_id: str
    outcome: AlreadyTriggered | Rejected | Held
    redrives: int = 0
    accepted_at: float | None = None


@value
class PinnedElsewhere:
    """The first attempt pinned the request to another environment, whose own queue has its message."""

    environment: str


class Ledger(Protocol):
    """What became of each trigger request. Every call raises Unavailable when it cannot answer."""

    def begin_attempt(self, request: TriggerRequest, now: float) -> Attempt | Finished | PinnedElsewhere:
        """Pin the request if this is its first attempt, and take the next attempt number.

        A `redrive` number that the row has not seen reopens a dead or held request, once for each number. So neither two
        messages of one redrive, nor a late one, nor one for an open or triggered request can start a second run.
        Raises UnreadableRow, as `hold` does.
        """

    def attempts_without_outcome(self, request: TriggerRequest) -> int:
        """Return the attempts since the last one that recorded an outcome; 0 if there was none yet. A consistent read."""

    def finish(self, attempt: Attempt, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the final outcome; False when a later attempt has taken over, which resets `attempts_without_outcome`.

        An attempt that was under way when the request was held records its outcome all the same: Airflow's answer counts.
        """

    def mark_not_runnable(self, request: TriggerRequest, not_runnable: NotRunnable) -> None:
        """Record on a triggered request why its run stays queued; `finish` does so itself if it is known by then."""

    def hold(self, request: TriggerRequest, held: Held, now: float) -> Finished | PinnedElsewhere:
        """Hold the request, pin it on first sight, and return its state; one that ran or is dead stays as it is.

        This is no attempt. A held request keeps its reason; a new `redrive` number counts as seen, and holds a dead
        request, too. The ledger never expires a held request.
        """

    def record_attempt(
        self, attempt: Attempt, outcome: Retryable | OutcomeUnknown, now: float, *, ageing: bool = True
    ) -> bool:
        """Record that the attempt is over and the request still open; returns as `finish` does.

        Without `ageing` the request does not age until the next attempt: it waits for its environment.
        """
