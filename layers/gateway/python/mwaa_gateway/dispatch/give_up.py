"""When the dispatcher gives a request up: too old, waited too long, or crashed too often.

age        counts from the first attempt, not while it waits for a slot or a circuit breaker   → TOO_OLD
waiting    14 days for an environment whose circuit breaker stays open                         → TOO_OLD
crashes    five attempts in a row without an outcome                                           → CRASHED
missing    a DAG that Airflow has not known for longer than its grace                          → DAG_MISSING
"""

from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers, DagMissing, Pass, Wait
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable

CRASHES_UNTIL_DEAD = 5
# In all, for an environment; after that a person decides whether it still matters
LONGEST_WAIT_SECONDS = 14 * 86_400


def waited_too_long(waiting_since: float | None, now: float) -> bool:
    """Return whether a message that joined its queue then has waited for as long as any may."""
    return waiting_since is not None and now - waiting_since >= LONGEST_WAIT_SECONDS


def crashed(attempts: int, text: str, *, run_may_exist: bool = False) -> Rejected:
    """Give up a request after so many attempts without an outcome."""
    return Rejected(
        Reason.CRASHED,
        f"{attempts} attempts in a row ended without an outcome: the dispatcher was killed, ran out of memory or "
        f"time, or could not record the end in the ledger; {text}",
        run_may_exist,
    )


def without_asking(
    attempt: Attempt, admission: Pass | Wait | DagMissing, circuit_breakers: CircuitBreakers, now: float
) -> Rejected | Retryable | None:
    """Return the outcome of a request that needs no answer from Airflow; None for one that does.

    It has waited too long, or a probe has found for all that wait that their DAG is still missing.
    """
    if isinstance(admission, Wait):
        return _too_long_away(attempt, "others asked", run_may_exist=attempt.run_may_exist)
    if isinstance(admission, Pass) or attempt.run_may_exist:
        return None
    missing_for = now - admission.circuit.open_since
    missing = f"Airflow has not known DAG {attempt.request.target.dag_id!r} for {missing_for:.0f} s"
    text = f"{missing}; its last answer: {admission.text}"
    # Somebody may have deployed the DAG since the last probe: a request waits for a probe that began after it came.
    probed = admission.circuit.asked_at > attempt.first_attempt_at
    if (
        attempt.request.redrive
        and now - attempt.first_attempt_at < circuit_breakers.dag_missing_grace_seconds
    ):
        probed = False  # its file may still be on the way; a hundred redriven at once wait for what the first one finds
    return Rejected(Reason.DAG_MISSING, text) if probed else Retryable(Reason.DAG_MISSING, text)


def within_limits(
    outcome: Outcome,
    attempt: Attempt,
    *,
    circuit_breakers: CircuitBreakers,
    missing_since: float | None,
    maximum_event_age_seconds: int,
    waited_too_long: bool,
    now: float,
) -> Outcome:
    """Give a missing DAG its grace, and reject a request that has been tried for longer than its event may age.

    `missing_since` is since when Airflow has not known the DAG, None if the outcome says something else.
    `maximum_event_age_seconds` is for rules that name none.
    """
    age = attempt.age(now)
    if isinstance(outcome, Rejected) and missing_since is not None:
        # A redrive says that the DAG is there now, and its file may still be on the way: the grace starts again.
        redriven = attempt.request.redrive
        missing_for = now - attempt.first_attempt_at if redriven else max(age, now - missing_since)
        if missing_for < circuit_breakers.dag_missing_grace_seconds:
            return Retryable(outcome.reason, outcome.text)
    if isinstance(outcome, Retryable | OutcomeUnknown):
        maximum = attempt.request.maximum_event_age_seconds or maximum_event_age_seconds
        unknown = isinstance(outcome, OutcomeUnknown)
        if waited_too_long and circuit_breakers.away_for(now) is not None:
            return _too_long_away(attempt, outcome.text, run_may_exist=unknown)
        if age >= maximum:
            tried = f"tried for {age:.0f} s of {maximum} s"
            return _too_old(tried, attempt, outcome.text, run_may_exist=unknown)
    return outcome


def _too_old(tried: str, attempt: Attempt, text: str, *, run_may_exist: bool) -> Rejected:
    doubt = " The run may exist: look it up." if run_may_exist else ""
    return Rejected(Reason.TOO_OLD, f"{tried}, {attempt.tries} times; last: {text}.{doubt}", run_may_exist)


def _too_long_away(attempt: Attempt, text: str, *, run_may_exist: bool) -> Rejected:
    waited = f"waited for {LONGEST_WAIT_SECONDS // 86_400} days for its environment, which is away; tried"
    return _too_old(waited, attempt, text, run_may_exist=run_may_exist)
