"""Logs and metrics of the feeds: members that are collected, and batches that are released."""

from collections import Counter
from collections.abc import Sequence

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.collect import Collected
from mwaa_gateway.feeds.release import Looked
from mwaa_gateway.observability import logger, publish

__all__ = ["report_collected", "report_failed", "report_looked", "report_timers"]


def report_collected(results: Sequence[Collected]) -> None:
    """Log and count one invocation's members: a line for each batch, and one for each that must come again."""
    batches = Counter((each.message.rule_id, each.batch_id, each.result) for each in results)
    texts = {(each.message.rule_id, each.batch_id, each.result): each.text for each in results}
    for (rule_id, batch_id, result), count in batches.items():
        fields = {"rule_id": rule_id, "batch_id": batch_id, "members": count, "outcome": result}
        if result == "cancelled":
            logger.warning("members of a batch that an operator cancelled; no run gets them", extra=fields)
        elif result == "again":
            text = texts[rule_id, batch_id, result] or "the batch is being released"
            logger.info("SQS redelivers the members: %s", text, extra=fields)
        else:
            logger.info("members collected", extra=fields)
    results_of = Counter(each.result for each in results)
    counts = {
        "MembersCollected": results_of["collected"],
        "MembersDuplicate": results_of["duplicate"],
        "MembersCancelled": results_of["cancelled"],
        "MembersGivenBack": results_of["again"],
    }
    publish({name: count for name, count in counts.items() if count})


def report_looked(looked: Looked) -> None:
    """Log and count a look at a batch; one that goes on waiting leaves no line."""
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
    publish({name: count for name, count in counts.items() if count})


def report_failed(batch_id: str, error: Exception) -> None:
    """Log and count a look that failed; the next one repeats it."""
    logger.warning(
        "batch not released yet, the gateway tries again within a minute: %s",
        error,
        extra={"batch_id": batch_id, "outcome": "NotReleased"},
        exc_info=not isinstance(error, Unavailable),
    )
    publish({"BatchesNotReleased": 1})


def report_timers(count: int) -> None:
    """Log how many batches are due soon; an idle minute leaves no line."""
    if count:
        logger.info("batches due soon get their timers", extra={"batches": count})
