"""What run watchers tell."""

from collections.abc import Callable
from datetime import UTC, datetime

from mwaa_gateway.observability import logger, metrics, publish
from mwaa_gateway.step_functions.failures import GIVEN_UP_SECONDS
from mwaa_gateway.step_functions.notices import Notices
from mwaa_gateway.step_functions.round import Round, Stopped
from mwaa_gateway.step_functions.watches import Watch

__all__ = ["report_round", "report_unreadable"]


def report_unreadable(notices: Notices, environment: str) -> None:
    """Log the messages of a batch that are no notices; SQS deletes them."""
    for message_id, text in notices.unreadable:
        said = f"a message of the watch queue is ignored and deleted, as nobody can use it: {text}"
        logger.warning(said, extra={"environment": environment, "message_id": message_id})


def report_round(made: Round, environment: str) -> None:
    """Log and count what a watcher's round came to."""
    for watch, ending in made.told:
        _log_watch("the wait is over", watch, type(ending).__name__, getattr(ending, "error", None))
    for watch in made.abandoned:
        said, log = "nobody waits for this run any more", logger.info
        if watch.wait.on_abort == "fail_run":
            said, log = f"{said}, and no word came that its execution is over: it goes on", logger.warning
        _log_watch(said, watch, "Abandoned", None, log=log)
    for stopped in made.stopped:
        _log_stopped(stopped)
    _log_failures(made, environment)
    for text in made.unclear:
        logger.warning("asked again in the next rounds: %s", text, extra={"environment": environment})
    # A run that is to end with its execution, and that nobody knows to be over.
    go_on = [stopped.watch for stopped in made.stopped if stopped.goes_on]
    go_on += [watch for watch in made.abandoned if watch.wait.on_abort == "fail_run"]
    counts = {
        "WaitsEnded": len(made.told),
        "WaitsAbandoned": len(made.abandoned),
        "WaitsStopped": len(made.stopped),
        "RunsMarkedFailed": sum(stopped.marked for stopped in made.stopped),
        "RunsNotMarkedFailed": len(go_on),
        "WatcherQuestions": made.questions,
        "WatcherUnclear": len(made.unclear),
        "WaitsGivenUp": len(made.given_up),
    }
    # Of every round, so that an alarm can tell what lasts from what passes; an idle gateway publishes nothing.
    gauges = {"RunsWatched": made.watched, "WaitsUnanswered": made.unanswered}
    counted = {name: count for name, count in counts.items() if count}
    if made.found or made.unanswered:
        metrics.add_dimension(name="environment", value=environment)
        publish(counted | gauges)


def _log_failures(made: Round, environment: str) -> None:
    for failed in made.failures:
        again = datetime.fromtimestamp(failed.again_at, UTC).isoformat(timespec="seconds")
        said = f"the run watcher could not {failed.step}, and tries again at {again}: {failed.text}"
        _log_watch(said, failed.watch, "StepFailed", failed.step, log=logger.warning)
    for watch, text in made.given_up:
        said = (
            f"given up after {GIVEN_UP_SECONDS / 3600:.0f} hours, the state ends by its own timeouts: {text}"
        )
        _log_watch(said, watch, "GivenUp", None, log=logger.error)
    for text in made.mistakes:
        logger.error("asked again in the next rounds: %s", text, extra={"environment": environment})
    for item in made.unreadable:
        said = (
            f"an item among the watches cannot be read; if no newer version wrote it, delete it: {item.text}"
        )
        logger.error(said, extra={"environment": environment, "key": item.key})


def _log_stopped(stopped: Stopped) -> None:
    if stopped.goes_on:
        said = f"the execution that waited is over, and its run could not be marked failed: {stopped.goes_on}"
        _log_watch(said, stopped.watch, "RunNotMarkedFailed", None, log=logger.warning)
    elif stopped.marked:
        said = "the execution that waited is over, and its run was marked failed"
        _log_watch(said, stopped.watch, "RunMarkedFailed", None)
    else:
        _log_watch("the execution that waited is over", stopped.watch, "Stopped", None)


def _log_watch(
    message: str,
    watch: Watch,
    outcome: str,
    reason: str | None,
    *,
    log: Callable[..., None] = logger.info,
) -> None:
    log(
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
