"""What dispatchers tell."""

from typing import Final

from aws_lambda_powertools.metrics import MetricUnit

from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.observability import logger, metrics, publish
from mwaa_gateway.outcomes import AlreadyTriggered, Held, Reason, Retryable, Triggered

__all__ = ["report_dispatch", "report_not_listed", "report_pauses_not_read"]

# Another attempt has the request, or it waits: an upload that comes by both routes is overtaken every other time.
_NO_FAILURE: Final = frozenset({Reason.DAG_CATALOG_AWAITED, Reason.OVERTAKEN, Reason.PINNED_ELSEWHERE})


def report_dispatch(dispatched: Dispatched, environment: str) -> None:
    """Log and count what one delivery of a trigger request came to."""
    outcome = dispatched.outcome
    request = dispatched.request
    if isinstance(outcome, Retryable) and outcome.reason is Reason.CIRCUIT_OPEN:
        # Every waiting message says this every minute or two: the attempt that shut the gate has said why.
        logger.debug("waits before a shut gate", extra={"redeliver_after": dispatched.redeliver_after})
        return
    if isinstance(outcome, Held) and outcome.reason is Reason.DAG_PAUSED and dispatched.attempt > 1:
        logger.debug("looked again: %s", outcome.text, extra={"redeliver_after": dispatched.redeliver_after})
        return
    not_runnable = getattr(outcome, "not_runnable", None)
    well = isinstance(outcome, Triggered | AlreadyTriggered | Held) and not_runnable is None
    log = logger.info if well else logger.warning
    log(
        (not_runnable and f"accepted, not runnable: {not_runnable.text}")
        or getattr(outcome, "text", "")
        or "run started",
        extra={
            "event_id": request and request.event["id"],
            "rule_id": request and request.rule_id,
            "environment": environment,
            "dag_id": request and request.target.dag_id,
            "run_id": request and request.target.run_id,
            "attempt": dispatched.attempt,
            "outcome": type(outcome).__name__,
            "reason": getattr(outcome, "reason", None) or not_runnable,
            "redeliver_after": dispatched.redeliver_after,
        },
    )
    counts = {type(outcome).__name__: 1} | ({} if not_runnable is None else {"AcceptedNotRunnable": 1})
    if isinstance(outcome, Triggered):
        counts["AttemptFailed"] = 0  # the average is the share
    elif isinstance(outcome, Retryable) and outcome.reason not in _NO_FAILURE:
        counts["AttemptFailed"] = 1
    metrics.add_dimension(name="environment", value=environment)
    if dispatched.away_for is not None:
        # Once for each probe: every half minute or so for as long as anything waits.
        metrics.add_metric(name="EnvironmentAwaySeconds", unit=MetricUnit.Seconds, value=dispatched.away_for)
    publish(counts)


def report_not_listed(text: str, environment: str) -> None:
    """Log and count that the DAGs could not be listed: whether what is started now will run is not known."""
    logger.warning("the DAGs could not be listed: %s", text, extra={"environment": environment})
    metrics.add_dimension(name="environment", value=environment)
    publish({"DagsNotListed": 1})


def report_pauses_not_read(text: str, environment: str) -> None:
    """Log and count that a dispatcher could not read who is paused: a rule disabled meanwhile may still start runs."""
    logger.warning(
        "a rule or environment that is paused now may still start runs: %s",
        text,
        extra={"environment": environment},
    )
    metrics.add_dimension(name="environment", value=environment)
    publish({"PausesNotRead": 1})
