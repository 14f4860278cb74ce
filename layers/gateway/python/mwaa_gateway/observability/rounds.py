"""Log lines and metrics of the run watchers."""

from collections.abc import Callable
from datetime import UTC, datetime

from mwaa_gateway.observability import log_trail, logger, metrics, publish
from mwaa_gateway.observability.trail import TrailOutcome, watch_fields
from mwaa_gateway.step_functions.failed_steps import GIVEN_UP_SECONDS
from mwaa_gateway.step_functions.notices import Notices
from mwaa_gateway.step_functions.round_report import RoundReport, Stopped
from mwaa_gateway.step_functions.watches import TaskResult, Watch


def report_unreadable(notices: Notices, environment: str) -> None:
    """Log the messages of a batch that are not notices; SQS deletes them."""
    for message_id, text in notices.unreadable:
        message = (
            f"unknown message in the watch queue, ignored and deleted; no waiting state is affected: {text}"
        )
        logger.warning(message, extra={"environment": environment, "message_id": message_id})


def report_round(report: RoundReport, environment: str) -> None:
    """Log and count the results of one round."""
    for watch, result in report.answered:
        _log_ended(watch, result)
    for watch in report.abandoned:
        message, log = "the state no longer waits for this run", logger.info
        if watch.wait.on_abort == "fail_run":
            message = f"{message}; no event says that its execution is over, so the run is not marked failed"
            log = logger.warning
        _log_watch(message, watch, "Abandoned", None, log=log)
    for stopped in report.stopped:
        _log_stopped(stopped)
    _log_failures(report, environment)
    for text in report.unclear:
        logger.warning(
            "no usable answer from Airflow or the ledger, the watcher asks again in the next rounds: %s",
            text,
            extra={"environment": environment},
        )
    # Runs with `on_abort: fail_run` that may still be running.
    not_marked = [stopped.watch for stopped in report.stopped if stopped.not_marked]
    not_marked += [watch for watch in report.abandoned if watch.wait.on_abort == "fail_run"]
    counts = {
        "WaitsEnded": len(report.answered),
        "WaitsAbandoned": len(report.abandoned),
        "WaitsStopped": len(report.stopped),
        "RunsMarkedFailed": sum(stopped.marked for stopped in report.stopped),
        "RunsNotMarkedFailed": len(not_marked),
        "WatcherQuestions": report.questions,
        "WatcherUnclear": len(report.unclear),
        "WaitsGivenUp": len(report.given_up),
    }
    # Every round publishes these, so that an alarm can tell a lasting problem from a passing one; an idle gateway
    # publishes nothing.
    gauges = {"RunsWatched": report.watched, "WaitsUnanswered": report.failing}
    counted = {name: count for name, count in counts.items() if count}
    if report.found or report.failing:
        metrics.add_dimension(name="environment", value=environment)
        publish(counted | gauges)


def _log_failures(report: RoundReport, environment: str) -> None:
    for failed in report.failures:
        again = datetime.fromtimestamp(failed.again_at, UTC).isoformat(timespec="seconds")
        message = f"the run watcher could not {failed.step} and retries at {again}: {failed.text}"
        _log_watch(message, failed.watch, "StepFailed", failed.step, log=logger.warning)
    for watch, text in report.given_up:
        message = (
            f"no answer accepted for {GIVEN_UP_SECONDS / 3600:.0f} hours, the watcher gives up and the state ends by its "
            f"own timeouts: {text}"
        )
        _log_watch(message, watch, "GivenUp", None, log=logger.error)
    for text in report.bugs:
        logger.error(
            "bug in the gateway, the states of this DAG wait; the watcher retries in the next rounds: %s",
            text,
            extra={"environment": environment},
        )
    for item in report.unreadable:
        message = (
            "cannot read a watch in the ledger table, its state gets no answer; delete the item unless a newer version "
            f"wrote it: {item.text}"
        )
        logger.error(message, extra={"environment": environment, "key": item.key})


def _log_ended(watch: Watch, result: TaskResult) -> None:
    log_trail(
        logger.info,
        "the run ended, the state got its answer",
        watch_fields(watch),
        {"outcome": "Ended", "state": type(result).__name__, "reason": getattr(result, "error", None)},
    )


def _log_stopped(stopped: Stopped) -> None:
    if stopped.not_marked:
        message = f"the execution is over and its run could not be marked failed, end it in Airflow: {stopped.not_marked}"
        _log_watch(message, stopped.watch, "RunNotMarkedFailed", None, log=logger.warning)
    elif stopped.marked:
        _log_watch("the execution is over, its run is marked failed", stopped.watch, "RunMarkedFailed", None)
    else:
        _log_watch("the execution is over, its run is no longer watched", stopped.watch, "Stopped", None)


def _log_watch(
    message: str,
    watch: Watch,
    outcome: TrailOutcome,
    reason: str | None,
    *,
    log: Callable[..., None] = logger.info,
) -> None:
    log_trail(log, message, watch_fields(watch), {"outcome": outcome, "reason": reason})
