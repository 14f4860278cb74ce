"""Logs and metrics of the feeds: members that are collected, and batches that are released."""

from collections import Counter
from collections.abc import Sequence

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.collect import Collected
from mwaa_gateway.feeds.delivery import Started
from mwaa_gateway.feeds.release import Looked
from mwaa_gateway.observability import logger, publish

__all__ = ["report_collected", "report_failed", "report_looked", "report_timers"]

_NAMED = 20  # batches in one log line


def report_collected(results: Sequence[Collected], unreadable: Sequence[str] = ()) -> None:
    """Log and count one invocation's members: a line for each batch and cause, and for each unreadable message."""
    members = Counter(
        (each.message.rule_id, each.batch_id, each.result, str(each.error or "")) for each in results
    )
    errors = {str(each.error): each.error for each in results if each.error is not None}
    for (rule_id, batch_id, result, text), count in members.items():
        fields = {"rule_id": rule_id, "batch_id": batch_id, "members": count, "outcome": result}
        if text:
            error = errors[text]
            bug = None if isinstance(error, Unavailable) else error
            logger.warning(
                "members not stored yet, SQS redelivers them: %s", text, extra=fields, exc_info=bug
            )
        elif result == "again":
            logger.info("SQS redelivers the members: their batch is being released", extra=fields)
        elif result == "cancelled":
            logger.warning("members of a batch that an operator cancelled; no run gets them", extra=fields)
        else:
            logger.info("members collected", extra=fields)
    for text in unreadable:
        logger.error("members not stored, SQS redelivers the message: %s", text, extra={"outcome": "again"})
    results_of = Counter(each.result for each in results)
    counts = {
        "MembersCollected": results_of["collected"],
        "MembersDuplicate": results_of["duplicate"],
        "MembersCancelled": results_of["cancelled"],
        "MembersGivenBack": len(unreadable) + sum(each.error is not None for each in results),
    }
    if counted := {name: count for name, count in counts.items() if count}:
        publish(counted)


def report_looked(looked: Looked) -> None:
    """Log and count a look at a batch; one that waits leaves no line."""
    batch, decision = looked.batch, looked.decision
    if batch is None or decision is None:
        return
    fields = {
        "rule_id": batch.rule_id,
        "batch_id": batch.id,
        "key": dict(batch.key),
        "members": decision.count,
        "complete": decision.is_complete,
        "reason": decision.reason,
        "missing": list(decision.missing),
        "outcome": "Released",
    }
    for text in decision.refused:
        logger.error("a released batch starts no run: %s", text, extra=fields)
    if decision.reason == "cancelled":
        logger.warning("batch cancelled by %s", batch.by, extra=fields)
    elif not decision.count:
        logger.warning("batch released without members: it starts no run", extra=fields)
    elif not decision.is_complete and not batch.is_late:
        logger.warning("batch released incomplete", extra=fields)
    else:
        logger.info("batch released", extra=fields)
    counts = {
        "BatchesReleased": int(bool(decision.requests)),
        "BatchesIncomplete": int(bool(decision.count) and not decision.is_complete and not batch.is_late),
        "BatchesLate": int(batch.is_late),
        "BatchesCancelled": int(decision.reason == "cancelled"),
        "BatchTargetsRefused": len(decision.refused),
    }
    if counted := {name: count for name, count in counts.items() if count}:
        publish(counted)


def report_failed(batch_id: str, error: Exception) -> None:
    """Log and count a look that failed; the next one repeats it."""
    logger.warning(
        "batch not released yet, the gateway tries again within a minute: %s",
        error,
        extra={"batch_id": batch_id, "outcome": "NotReleased"},
        exc_info=not isinstance(error, Unavailable),
    )
    publish({"BatchesNotReleased": 1})


def report_timers(started: Started) -> None:
    """Log and count the batches that are due soon, and those not released in time; an idle minute leaves no line.

    Raises:
        Unavailable: some batches got no timer. Lambda counts an error, which an alarm watches.
    """
    if started.count:
        logger.info("batches due soon get their timers", extra={"batches": started.count})
    if started.stalled:
        some = {"batches": len(started.stalled), "batch_ids": started.stalled[:_NAMED]}
        logger.warning("batches were due five minutes ago and are not released", extra=some)
        publish({"BatchesStalled": len(started.stalled)})
    if started.failures:
        text = f"{len(started.failures)} batches got no timer, the next tick sends it: {started.failures[0]}"
        logger.warning(text, extra={"outcome": "NoTimer"})
        raise Unavailable(text)
