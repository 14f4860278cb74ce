"""What run watchers tell."""

from collections.abc import Callable

from mwaa_gateway.observability import logger, metrics, publish
from mwaa_gateway.watch_round import Round, Stopped
from mwaa_gateway.watches import Watch

__all__ = ["report_round"]


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
        "RunsWatched": made.watched,
    }
    metrics.add_dimension(name="environment", value=environment)
    publish({name: count for name, count in counts.items() if count or name == "RunsWatched"})


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
