"""Logs and metrics of every function: Powertools set up in one place, and one line for each change of state.

Log keys are the same everywhere: event_id, rule_id, dag_id, run_id, attempt, outcome. Nothing else of an event is
logged: keys, subjects and messages are other people's text. (A DAG id that an event may not name is, as a reason.)
"""

from collections.abc import Mapping

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from mwaa_gateway.dispatch import Dispatched
from mwaa_gateway.errors import GatewayError, Unavailable
from mwaa_gateway.ingest import DeadEventReason, IngressReport
from mwaa_gateway.outcomes import AlreadyTriggered, Held, Reason, Retryable, Triggered
from mwaa_gateway.task_call import TaskCall
from mwaa_gateway.trigger_request import TriggerRequest
from mwaa_gateway.watch import Round
from mwaa_gateway.watches import Watch

__all__ = [
    "logger",
    "metrics",
    "report_dispatch",
    "report_given_back",
    "report_ingress",
    "report_not_listed",
    "report_refused_task",
    "report_round",
    "report_task",
]

# Both read only their own POWERTOOLS_* variables; neither makes a call.
logger = Logger()
metrics = Metrics()


def report_ingress(report: IngressReport) -> None:
    """Log and count what became of each event of one invocation."""
    for request in report.requests:
        logger.info(
            "requested",
            extra={
                "event_id": request.event["id"],
                "rule_id": request.rule_id,
                "environment": request.target.environment,
                "dag_id": request.target.dag_id,
                "run_id": request.target.run_id,
                "outcome": "Requested",
            },
        )
    for event in report.unmatched:
        logger.info("no rule matches", extra={"event_id": event.id, "outcome": "Unmatched"})
    for shadow in report.shadows:
        logger.info(
            "would have been requested" if shadow.run_id else "would have been dead",
            extra={
                "event_id": shadow.event_id,
                "rule_id": shadow.rule_id,
                "environment": shadow.environment,
                "dag_id": shadow.dag_id,
                "run_id": shadow.run_id,
                "outcome": "Shadow",
                "reason": shadow.reason,
            },
        )
    if report.shadows_lost:
        logger.warning(
            "%s; the rule's report has a gap", report.shadows_lost, extra={"outcome": "ShadowLost"}
        )
    for dead in report.dead:
        logger.error(
            "kept in the ingress dead-letter queue: %s",
            dead.text,
            extra={
                "event_id": dead.event_id,
                "rule_id": dead.rule_id,
                "outcome": "Dead",
                "reason": dead.reason,
            },
        )
    reasons = [dead.reason for dead in report.dead]
    counts = {
        "EventsMatched": report.matched,
        "EventsUnmatched": len(report.unmatched),
        "RequestsEnqueued": len(report.requests),
        "ClaimChecks": len(report.claim_checks),
        "EventsMalformed": reasons.count(DeadEventReason.MALFORMED_EVENT),
        "BrokenRules": reasons.count(DeadEventReason.BROKEN_RULE),
        "CapturesRefused": reasons.count(DeadEventReason.CAPTURES_REFUSED),
        "DedupeKeyRefused": reasons.count(DeadEventReason.DEDUPE_KEY_REFUSED),
        "DagIdRefused": reasons.count(DeadEventReason.DAG_ID_REFUSED),
        "ConfRefused": reasons.count(DeadEventReason.CONF_REFUSED),
        "ShadowMatches": len(report.shadows),
        "ShadowsLost": len(report.shadows) if report.shadows_lost else 0,
    }
    if any(counts.values()):
        _publish({name: count for name, count in counts.items() if count})
    else:
        # S3's test event, for one: acknowledged, and said so.
        logger.info("nothing to do", extra={"outcome": "Ignored"})


def report_given_back(error: Exception, attempt: int, seconds: float) -> None:
    """Log and count a message whose events could not be taken in now; what no outage explains, with its traceback."""
    extra = {"attempt": attempt, "outcome": "GivenBack", "redeliver_after": seconds}
    if isinstance(error, Unavailable):
        logger.warning("the message comes again: %s", error, extra=extra)
    else:
        logger.error("the message comes again: %s", error, exc_info=error, extra=extra)
    _publish({"MessagesGivenBack": 1})


def report_dispatch(dispatched: Dispatched, environment: str) -> None:
    """Log and count what one delivery of a trigger request came to."""
    outcome = dispatched.outcome
    request = dispatched.request
    if isinstance(outcome, Retryable) and outcome.reason is Reason.GATE_SHUT:
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
    metrics.add_dimension(name="environment", value=environment)
    if dispatched.away_for is not None:
        # Once for each probe: every half minute or so for as long as anything waits.
        metrics.add_metric(name="EnvironmentAwaySeconds", unit=MetricUnit.Seconds, value=dispatched.away_for)
    _publish(counts)


def report_not_listed(text: str, environment: str) -> None:
    """Log and count that the DAGs could not be listed: whether what is started now will run is not known."""
    logger.warning("the DAGs could not be listed: %s", text, extra={"environment": environment})
    metrics.add_dimension(name="environment", value=environment)
    _publish({"DagsNotListed": 1})


def report_task(call: TaskCall, request: TriggerRequest) -> None:
    """Log and count a state's call that was taken in."""
    logger.info(
        "requested by a state that waits" if call.wait else "requested by a state",
        extra={
            "event_id": request.event["id"],
            "rule_id": request.rule_id,
            "environment": request.target.environment,
            "dag_id": request.target.dag_id,
            "run_id": request.target.run_id,
            "execution_arn": call.execution_arn,
            "outcome": "Requested",
        },
    )
    _publish({"TasksRequested": 1})


def report_refused_task(error: GatewayError) -> None:
    """Log and count a state's call that cannot be taken in: the state gets the same error."""
    logger.warning("%s", error, extra={"outcome": "Refused", "reason": type(error).__name__})
    _publish({"TasksRefused": 1})


def report_round(made: Round, environment: str) -> None:
    """Log and count what a watcher's round came to."""
    for watch, ending in made.told:
        _log_watch("the wait is over", watch, type(ending).__name__, getattr(ending, "error", None))
    for watch in made.abandoned:
        _log_watch("nobody waits for this run any more", watch, "Abandoned", None)
    for watch in made.stopped:
        _log_watch("the execution that waited is over", watch, "Stopped", None)
    for text in made.unclear:
        logger.warning("asked again in the next rounds: %s", text, extra={"environment": environment})
    counts = {
        "WaitsEnded": len(made.told),
        "WaitsAbandoned": len(made.abandoned),
        "WaitsStopped": len(made.stopped),
        "WatcherQuestions": made.questions,
        "WatcherUnclear": len(made.unclear),
        "RunsWatched": made.watched,
    }
    metrics.add_dimension(name="environment", value=environment)
    _publish({name: count for name, count in counts.items() if count or name == "RunsWatched"})


def _log_watch(message: str, watch: Watch, outcome: str, reason: str | None) -> None:
    logger.info(
        message,
        extra={
            "environment": watch.environment,
            "dag_id": watch.dag_id,
            "run_id": watch.run_id,
            "execution_arn": watch.execution_arn,
            "outcome": outcome,
            "reason": reason,
        },
    )


def _publish(counts: Mapping[str, int]) -> None:
    # Not with Powertools' decorator: it warns on stderr about every invocation that has nothing to count.
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    metrics.flush_metrics()
