"""Log lines and metrics of the dispatchers."""

from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from aws_lambda_powertools.metrics import MetricUnit

from mwaa_gateway.observability import log_trail, logger, metrics, one_at_a_time, publish
from mwaa_gateway.observability.trail import TrailOutcome, request_fields
from mwaa_gateway.outcomes import AlreadyTriggered, Held, OutcomeUnknown, Reason, Retryable, Triggered
from mwaa_gateway.trigger_request import OWN_SOURCE, TriggerRequest

if TYPE_CHECKING:  # wiring loads it, while the garbage collector rests
    from mwaa_gateway.dispatch.dispatcher import Dispatched

# Not failed attempts: the request waits, or another attempt has it. An upload that arrives by both routes is overtaken
# every other time.
_NO_FAILURE: Final = frozenset(
    {Reason.DAG_CATALOG_AWAITED, Reason.OBJECT_RESERVED, Reason.OVERTAKEN, Reason.PINNED_ELSEWHERE}
)


@one_at_a_time
def report_dispatch(dispatched: "Dispatched", environment: str, now: float) -> None:
    """Log and count the outcome of one delivery of a trigger request, `now` in seconds since the epoch."""
    outcome = dispatched.outcome
    request = dispatched.request
    if isinstance(outcome, Retryable) and outcome.reason is Reason.CIRCUIT_OPEN:
        # Every message that waits gets here again and again; the attempt that opened the breaker has logged the reason.
        logger.debug(
            "waiting for an open circuit breaker", extra={"redeliver_after": dispatched.redeliver_after}
        )
        return
    if isinstance(outcome, Held) and outcome.reason is Reason.DAG_PAUSED and dispatched.attempt > 1:
        logger.debug("still held: %s", outcome.text, extra={"redeliver_after": dispatched.redeliver_after})
        return
    not_runnable = getattr(outcome, "not_runnable", None)
    as_expected = isinstance(outcome, Triggered | AlreadyTriggered | Held) and not_runnable is None
    log = logger.info if as_expected else logger.warning
    message = (
        (not_runnable and f"accepted, not runnable: {not_runnable.text}")
        or getattr(outcome, "text", "")
        or "run started"
    )
    log_trail(
        log,
        message,
        request_fields(request) if request else {},
        {
            "environment": environment,
            "attempt": dispatched.attempt,
            "outcome": cast("TrailOutcome", type(outcome).__name__),
            "reason": getattr(outcome, "reason", None) or not_runnable,
            "redeliver_after": dispatched.redeliver_after and round(dispatched.redeliver_after, 1),
        },
    )
    counts = {type(outcome).__name__: 1} | ({} if not_runnable is None else {"AcceptedNotRunnable": 1})
    if isinstance(outcome, Triggered):
        counts["AttemptFailed"] = 0  # the metric's average is the share of failed attempts
    elif isinstance(outcome, OutcomeUnknown | Retryable) and outcome.reason not in _NO_FAILURE:
        counts["AttemptFailed"] = 1
    metrics.add_dimension(name="environment", value=environment)
    if isinstance(outcome, Triggered) and request and (seconds := latency(request, now)) is not None:
        metrics.add_metric(name="EventToAcceptedSeconds", unit=MetricUnit.Seconds, value=round(seconds, 3))
    if dispatched.away_for is not None:
        # One data point per probe: every few seconds while messages wait.
        metrics.add_metric(name="EnvironmentAwaySeconds", unit=MetricUnit.Seconds, value=dispatched.away_for)
    publish(counts)


def latency(request: TriggerRequest, now: float) -> float | None:
    """Return the seconds from an event to now, when Airflow has accepted its run; for a batch, those from its release.

    None if the event's time says nothing about the gateway: it is no time, EventBridge replays the event, or somebody
    released, redrove or repeated the request.
    """
    if request.redrive or request.generation or "replay-name" in request.event:
        return None
    if request.event["source"] == OWN_SOURCE:
        return max(0.0, now - request.requested_at)
    try:
        happened = datetime.fromisoformat(str(request.event.get("time")))
    except ValueError:
        return None
    # The sender's clock may be ahead; a time without an offset may be of any zone.
    return None if happened.tzinfo is None else max(0.0, now - happened.timestamp())


@one_at_a_time
def report_bug(error: Exception) -> None:
    """Log a bug that a message meets; after five such deliveries the request is dead, which raises the alarm."""
    logger.error(
        "bug in the gateway; SQS redelivers the message, after five such deliveries it is dead",
        exc_info=error,
    )


@one_at_a_time
def report_not_listed(text: str, environment: str) -> None:
    """Log and count a failed refresh of the DAG catalog."""
    what = (
        "cannot list the DAGs; runs still start, paused and missing DAGs go unnoticed until the next refresh"
    )
    _report_failed_read(what, text, environment, "DagsNotListed")


@one_at_a_time
def report_pauses_not_read(text: str, environment: str) -> None:
    """Log and count a failed read of the pauses."""
    what = "cannot read which rules and environments are paused; those paused since the last read may still start runs"
    _report_failed_read(what, text, environment, "PausesNotRead")


def _report_failed_read(what: str, text: str, environment: str, metric: str) -> None:
    logger.warning("%s: %s", what, text, extra={"environment": environment})
    metrics.add_dimension(name="environment", value=environment)
    publish({metric: 1})
