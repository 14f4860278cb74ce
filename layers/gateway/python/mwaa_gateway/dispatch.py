"""From a trigger request to exactly one DAG run: claim, start, look up when in doubt, record, answer the queue.

    first attempt     claim ──▶ trigger ──▶ Triggered ──▶ record ──▶ message deleted           (two writes, one command)
    lost response     claim ──▶ trigger ──▶ OutcomeUnknown ──▶ look up ──▶ there ──▶ record
    crash, then again claim (attempt 2) ──▶ look up ──▶ not there ──▶ trigger ──▶ …
    duplicate         claim refused: the row says triggered ──▶ message deleted                (one write call, no command)

No lock is held: two attempts at once are told apart by the attempt number in the ledger, and Airflow's unique run_id
lets only one of them create the run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, UnreadableRequest

__all__ = [
    "Airflow",
    "Claim",
    "DeadLetters",
    "Dispatched",
    "Finished",
    "Ledger",
    "Limits",
    "PinnedElsewhere",
    "backoff_seconds",
    "dispatch",
]

FIRST_BACKOFF_SECONDS = 5
LONGEST_BACKOFF_SECONDS = 900
CRASHES_UNTIL_DEAD = 5
_NOT_TRIED = Retryable(Reason.RUN_NOT_THERE, "not tried before")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt a trigger request, fenced by `attempt`: a later claim makes this one powerless.

    `request` is the pinned one, stored by the first attempt: a rule edited since then cannot send a duplicate
    elsewhere. `unanswered` counts the attempts, this one included, since any attempt last came back with an answer;
    `doubtful` says that the attempt before ended as `OutcomeUnknown`.
    """

    request: TriggerRequest
    attempt: int
    unanswered: int
    doubtful: bool
    first_attempt_at: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The ledger already knows how it ended: as `Triggered`, `AlreadyTriggered` or `Rejected`."""

    run_id: str
    outcome: AlreadyTriggered | Rejected


@dataclass(frozen=True, slots=True)
class PinnedElsewhere:
    """The first attempt pinned the request to another environment, whose own queue still holds it."""

    environment: str


class Ledger(Protocol):
    """What became of each trigger request. Every call raises Unavailable when it cannot answer."""

    def claim(self, request: TriggerRequest, now: float) -> Claim | Finished | PinnedElsewhere:
        """Pin the request if this is its first attempt, and take the next attempt number."""
        ...

    def finish(self, claim: Claim, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the end of it; False when a later attempt has taken over, which only ends the count of `unanswered`."""
        ...

    def note(self, claim: Claim, outcome: Retryable | OutcomeUnknown, now: float) -> bool:
        """Record that the attempt is over and the request still open; False as for `finish`."""
        ...


class Airflow(Protocol):
    """One environment's Airflow, whatever transport reaches it. Never raises for what Airflow or MWAA do."""

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""
        ...

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Find the run: `AlreadyTriggered` when it is there, `Retryable` for RUN_NOT_THERE when it surely is not."""
        ...


class DeadLetters(Protocol):
    """The environment's trigger dead-letter queue: the alarm bell of a request that is dead in the ledger."""

    def ring(self, request: TriggerRequest, rejected: Rejected, attempt: int) -> None:
        """Put the request there with its reason; raise Unavailable unless it is there."""
        ...

    def keep_unreadable(self, body: str, rejected: Rejected) -> None:
        """Put a message there that is no trigger request, as it came; raise Unavailable unless it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request is tried, in seconds since its first attempt (waiting for a slot never counts)."""

    maximum_event_age_seconds: int
    dag_missing_grace_seconds: int


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one delivery of a message came to.

    `request` is the pinned one, None when the message holds no request. `redeliver_after` is None when the message is
    done with, else the seconds until it is to be delivered again.
    """

    request: TriggerRequest | None
    outcome: Outcome
    attempt: int
    redeliver_after: float | None


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Exponential with full jitter: up to 5 s after the first attempt, doubling, never above 15 minutes.

    `jitter` is random in [0, 1). Full jitter spreads the messages that failed together
    (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
    """
    return jitter * min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS << min(attempt - 1, 10))


def dispatch(
    body: str,
    *,
    receive_count: int,
    ledger: Ledger,
    airflow: Airflow,
    dead_letters: DeadLetters,
    limits: Limits,
    now: Callable[[], float],
    jitter: Callable[[], float],
) -> Dispatched:
    """Bring one delivery of a message as far as it will go, and say whether it must come again.

    Never raises for an outage: what cannot be recorded now is delivered again. `receive_count` is the queue's own
    count, used for the back-off only while the ledger cannot say which attempt this is.
    """
    request, attempt = None, receive_count
    outcome: Outcome
    try:
        request = TriggerRequest.from_json(body)
        match ledger.claim(request, now()):
            case Claim() as claim:
                request, attempt = claim.request, claim.attempt
                outcome = _record(claim, _attempt(claim, airflow, limits, now), ledger, now)
            case Finished(outcome=outcome):
                pass
            case PinnedElsewhere(environment):
                outcome = Retryable(
                    Reason.PINNED_ELSEWHERE,
                    f"its first attempt was made in environment {environment!r}, and is open",
                )
        if isinstance(outcome, Rejected):
            # After the ledger, and again for a redelivery that finds the row dead: a bell may ring twice, never not at all.
            dead_letters.ring(request, outcome, attempt)
    except UnreadableRequest as error:
        outcome = Rejected(Reason.MESSAGE_UNREADABLE, str(error))
        outcome = _keep_unreadable(body, outcome, dead_letters)
    except Unavailable as error:
        outcome = Retryable(Reason.AWS_UNAVAILABLE, str(error))
    match outcome:
        case Triggered() | AlreadyTriggered() | Rejected():
            redeliver_after = None
        case Retryable() | OutcomeUnknown():
            redeliver_after = backoff_seconds(attempt, jitter())
        case _:
            assert_never(outcome)
    return Dispatched(request, outcome, attempt, redeliver_after)


def _keep_unreadable(body: str, rejected: Rejected, dead_letters: DeadLetters) -> Rejected | Retryable:
    try:
        dead_letters.keep_unreadable(body, rejected)
    except Unavailable as error:
        return Retryable(Reason.AWS_UNAVAILABLE, str(error))
    return rejected


def _attempt(claim: Claim, airflow: Airflow, limits: Limits, now: Callable[[], float]) -> Outcome:
    """Start the run, or prove that it is there."""
    target = claim.request.target
    outcome: Outcome = _NOT_TRIED
    if claim.doubtful or claim.unanswered > 1:
        outcome = _look_up(target, airflow, because="an earlier attempt recorded no clear outcome")
    if isinstance(outcome, Retryable):
        if claim.unanswered > CRASHES_UNTIL_DEAD:
            return Rejected(
                Reason.CRASHED,
                f"{CRASHES_UNTIL_DEAD} attempts in a row ended without an outcome: the dispatcher was killed, or ran out "
                f"of memory or time, on this request; {outcome.text}",
            )
        outcome = airflow.trigger(target)
        if isinstance(outcome, OutcomeUnknown):
            outcome = _look_up(target, airflow, because=outcome.text)
    return _within_limits(outcome, claim, limits, now())


def _look_up(
    target: ResolvedTarget, airflow: Airflow, *, because: str
) -> AlreadyTriggered | Retryable | OutcomeUnknown:
    """Settle a doubt. Only "it is not there" ends it without the run: a look-up that failed leaves the doubt."""
    match airflow.look_up(target):
        case AlreadyTriggered() as found:
            return found
        case Retryable(reason=Reason.RUN_NOT_THERE, text=text):
            return Retryable(Reason.RUN_NOT_THERE, f"{because}; {text}")
        case unsettled:
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, f"{because}; the look-up: {unsettled}")


def _within_limits(outcome: Outcome, claim: Claim, limits: Limits, now: float) -> Outcome:
    """Give a missing DAG its grace, and end what has been tried for longer than the event may grow old."""
    age = now - claim.first_attempt_at
    if (
        isinstance(outcome, Rejected)
        and outcome.reason in (Reason.DAG_MISSING, Reason.DAG_BROKEN)
        and age < limits.dag_missing_grace_seconds
    ):
        return Retryable(outcome.reason, outcome.text)
    maximum = claim.request.maximum_event_age_seconds or limits.maximum_event_age_seconds
    if isinstance(outcome, Retryable | OutcomeUnknown) and age >= maximum:
        doubt = " The run may exist: look it up." if isinstance(outcome, OutcomeUnknown) else ""
        return Rejected(
            Reason.TOO_OLD,
            f"tried for {age:.0f} s of {maximum} s, {claim.attempt} times; last: {outcome.text}.{doubt}",
        )
    return outcome


def _record(claim: Claim, outcome: Outcome, ledger: Ledger, now: Callable[[], float]) -> Outcome:
    match outcome:
        case Triggered() | AlreadyTriggered() | Rejected():
            mine = ledger.finish(claim, outcome, now())
        case Retryable() | OutcomeUnknown():
            mine = ledger.note(claim, outcome, now())
        case _:
            assert_never(outcome)
    if mine:
        return outcome
    # A later attempt of the same request owns the row: it will find the run and record it. Until then the message
    # stays, so that the request is never left open with no message behind it.
    return Retryable(Reason.OVERTAKEN, f"attempt {claim.attempt} was overtaken by a later one")
