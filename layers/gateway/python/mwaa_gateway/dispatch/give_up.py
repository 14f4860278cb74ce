"""When a request is given up: tried for too long, waited for too long, or killing its process time and again.

age        counts from the first attempt, never from waiting for a slot or before a gate     → TOO_OLD
waiting    14 days before a gate that stays shut                                             → TOO_OLD
crashes    five attempts in a row without an outcome                                         → CRASHED
missing    a DAG that Airflow does not know, for longer than its grace                       → DAG_MISSING
"""

from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers, DagMissing, Pass, Wait
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable

__all__ = [
    "CRASHES_UNTIL_DEAD",
    "crashed",
    "run_may_exist",
    "waited_out",
    "within_limits",
    "without_asking",
]

CRASHES_UNTIL_DEAD = 5
LONGEST_WAIT_SECONDS = (
    14 * 86_400
)  # before a shut gate, in all; then somebody should decide whether it still matters


def waited_out(waiting_since: float | None, now: float) -> bool:
    """Tell whether a message that was put on its queue then has waited for as long as any may."""
    return waiting_since is not None and now - waiting_since >= LONGEST_WAIT_SECONDS


def run_may_exist(attempt: Attempt) -> bool:
    """Tell whether an attempt before this one may have started the run."""
    return attempt.outcome_unknown or attempt.attempts_without_outcome > 1


def crashed(attempts: int, text: str, *, run_may_exist: bool = False) -> Rejected:
    """Give up a request after so many attempts that ended without an outcome."""
    return Rejected(
        Reason.CRASHED,
        f"{attempts} attempts in a row ended without an outcome: the dispatcher was killed, ran out of memory or "
        f"time, or could not record the end in the ledger; {text}",
        run_may_exist,
    )


def without_asking(
    attempt: Attempt, admission: Pass | Wait | DagMissing, circuit_breakers: CircuitBreakers, now: float
) -> Rejected | Retryable | None:
    """Give up a request that has waited too long, or whose DAG is missing for long: a probe asks for all that wait.

    None for a request that is to be attempted.
    """
    if isinstance(admission, Wait):
        return _too_long_away(attempt, "others asked", run_may_exist=run_may_exist(attempt))
    if isinstance(admission, Pass) or run_may_exist(attempt):
        return None
    missing_for = now - admission.circuit.open_since
    missing = f"Airflow has not known DAG {attempt.request.target.dag_id!r} for {missing_for:.0f} s"
    reason, text = Reason.DAG_MISSING, f"{missing}; its last answer: {admission.text}"
    # The DAG may have been deployed since it was last asked for: a request waits for a probe begun after it came.
    asked = admission.circuit.asked_at > attempt.first_attempt_at
    if (
        attempt.request.redrive
        and now - attempt.first_attempt_at < circuit_breakers.dag_missing_grace_seconds
    ):
        asked = False  # its file may still be on the way; a hundred redriven at once wait for what the first finds
    return Rejected(reason, text) if asked else Retryable(reason, text)


def within_limits(
    outcome: Outcome,
    attempt: Attempt,
    *,
    circuit_breakers: CircuitBreakers,
    missing_since: float | None,
    maximum_event_age_seconds: int,
    waited_out: bool,
    now: float,
) -> Outcome:
    """Give a missing DAG its grace, and end what has been tried for longer than the event may grow old.

    `missing_since` is since when Airflow does not know the DAG, None where that is not what the outcome says.
    `maximum_event_age_seconds` is for rules that name none.
    """
    age = attempt.age(now)
    if isinstance(outcome, Rejected) and missing_since is not None:
        # Whoever redrives says that the DAG is there now: its file may still be on the way, so the grace starts again.
        missing_for = (
            now - attempt.first_attempt_at if attempt.request.redrive else max(age, now - missing_since)
        )
        if missing_for < circuit_breakers.dag_missing_grace_seconds:
            return Retryable(outcome.reason, outcome.text)
    if isinstance(outcome, Retryable | OutcomeUnknown):
        maximum = attempt.request.maximum_event_age_seconds or maximum_event_age_seconds
        outcome_unknown = isinstance(outcome, OutcomeUnknown)
        if waited_out and circuit_breakers.away_for(now) is not None:
            return _too_long_away(attempt, outcome.text, run_may_exist=outcome_unknown)
        if age >= maximum:
            return _too_old(
                f"tried for {age:.0f} s of {maximum} s", attempt, outcome.text, run_may_exist=outcome_unknown
            )
    return outcome


def _too_old(tried: str, attempt: Attempt, text: str, *, run_may_exist: bool) -> Rejected:
    doubt = " The run may exist: look it up." if run_may_exist else ""
    return Rejected(Reason.TOO_OLD, f"{tried}, {attempt.tries} times; last: {text}.{doubt}", run_may_exist)


def _too_long_away(attempt: Attempt, text: str, *, run_may_exist: bool) -> Rejected:
    waited = f"waited for {LONGEST_WAIT_SECONDS // 86_400} days for its environment, which is away; tried"
    return _too_old(waited, attempt, text, run_may_exist=run_may_exist)
