"""What run watchers tell."""

from mwaa_gateway.observability import logger, metrics, publish
from mwaa_gateway.watch import Round
from mwaa_gateway.watches import Watch

__all__ = ["report_round"]


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
    publish({name: count for name, count in counts.items() if count or name == "RunsWatched"})


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
