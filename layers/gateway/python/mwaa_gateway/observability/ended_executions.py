"""Logs and metrics of ended_executions."""

from mwaa_gateway.observability import logger, publish
from mwaa_gateway.step_functions.ended_executions import Forwarded


def report_forwarded(forwarded: Forwarded) -> None:
    """Log and count the results of one batch; a batch that concerns no environment leaves no log line."""
    for message_id, text in forwarded.unreadable:
        message = f"unknown message in the queue of ended executions, ignored: {text}"
        logger.warning(message, extra={"message_id": message_id})
    for environment, count in forwarded.sent.items():
        message = "executions that wait for runs here have ended, the run watcher is notified"
        logger.info(message, extra={"environment": environment, "executions": count, "outcome": "Forwarded"})
    for message_id, text in forwarded.failed.items():
        message = f"notice of an ended execution not forwarded, SQS redelivers it: {text}"
        logger.warning(message, extra={"message_id": message_id, "outcome": "GivenBack"})
    counts = {"EndsForwarded": forwarded.sent.total(), "MessagesGivenBack": len(forwarded.failed)}
    if counted := {name: count for name, count in counts.items() if count}:
        publish(counted)
