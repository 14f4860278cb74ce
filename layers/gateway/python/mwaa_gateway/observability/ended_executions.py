"""What ended_executions reports."""

from mwaa_gateway.observability import logger, publish
from mwaa_gateway.step_functions.ended_executions import Forwarded

__all__ = ["report_forwarded"]


def report_forwarded(forwarded: Forwarded) -> None:
    """Log and count what became of one batch; a batch that concerns no environment leaves no line."""
    for message_id, text in forwarded.unreadable:
        logger.warning("a message is ignored: %s", text, extra={"message_id": message_id})
    for environment, count in forwarded.sent.items():
        said = "executions that have ended wait for runs here; the run watcher is notified"
        logger.info(said, extra={"environment": environment, "executions": count, "outcome": "Forwarded"})
    for message_id, text in forwarded.failed.items():
        said = "the notice of an execution's end comes again after the queue's visibility timeout: %s"
        logger.warning(said, text, extra={"message_id": message_id, "outcome": "GivenBack"})
    counts = {"EndsForwarded": forwarded.sent.total(), "MessagesGivenBack": len(forwarded.failed)}
    if counted := {name: count for name, count in counts.items() if count}:
        publish(counted)
