"""Logs and metrics of the feeds: members that are collected, and batches that are released."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import WHEN_DUE, Batch, Decision
from mwaa_gateway.feeds.collect import Collected, Result
from mwaa_gateway.feeds.delivery import Started
from mwaa_gateway.feeds.release import Looked
from mwaa_gateway.observability import log_trail, logger, publish
from mwaa_gateway.observability.trail import (
    Fields,
    TrailOutcome,
    batch_fields,
    key_text,
    member_fields,
    request_fields,
)
from mwaa_gateway.trigger_request import TriggerRequest

_NAMED: Final = 20  # batches in one log line
_OUTCOMES: Final[Mapping[Result, TrailOutcome]] = {
    "collected": "Collected",
    "duplicate": "Duplicate",
    "cancelled": "Cancelled",
    "late": "Late",
    "again": "GivenBack",
}
# A line for each of these members: no run gets them.
_DROPPED: Final[Mapping[Result, str]] = {
    "cancelled": "member of a batch that was cancelled; no run gets it",
    "late": "member came after its batch was released; no run gets it. As its rule says, it is a dead letter or dropped",
}


def report_collected(results: Sequence[Collected], unreadable: Sequence[str] = ()) -> None:
    """Log and count one invocation's members: a line for each batch and cause, and for each unreadable message."""
    members = Counter(
        (each.message.rule_id, each.message.key, each.batch_id, each.result, str(each.error or ""))
        for each in results
        if each.result not in _DROPPED
    )
    errors = {str(each.error): each.error for each in results if each.error is not None}
    for (rule_id, key, batch_id, result, text), count in members.items():
        about: list[Fields] = [
            {"rule_id": rule_id, "batch_id": batch_id, "batch_key": key_text(key)},
            {"members": count, "outcome": _OUTCOMES[result]},
        ]
        if text:
            error = errors[text]
            bug = None if isinstance(error, Unavailable) else error
            message = f"members not stored yet, SQS redelivers them: {text}"
            log_trail(logger.warning, message, *about, exc_info=bug)
        elif result == "again":
            message = "SQS redelivers the members: their batch is being released"
            log_trail(logger.info, message, *about)
        else:
            log_trail(logger.info, "members collected", *about)
    for each in results:
        if message := _DROPPED.get(each.result, ""):
            batch: Fields = {"batch_id": each.batch_id, "outcome": _OUTCOMES[each.result]}
            log_trail(logger.warning, message, member_fields(each.message), batch)
    for text in unreadable:
        logger.error(
            "message of the collect queue not handled, SQS redelivers it: %s",
            text,
            extra={"outcome": "GivenBack"},
        )
    results_of = Counter(each.result for each in results)
    counts = {
        "MembersCollected": results_of["collected"],
        "MembersDuplicate": results_of["duplicate"],
        "MembersCancelled": results_of["cancelled"],
        "MembersLate": results_of["late"],
        "MembersGivenBack": len(unreadable) + sum(each.error is not None for each in results),
    }
    if counted := {name: count for name, count in counts.items() if count}:
        publish(counted)


def report_looked(looked: Looked) -> None:
    """Log and count a look at a batch; one that waits leaves no line, unless it is overdue."""
    if looked.batch is None:
        return
    if looked.is_overdue:
        missing: Fields = {**_missing_fields(looked.missing), "outcome": "Overdue"}
        message = "batch is due and not complete; it waits for what is missing"
        log_trail(logger.error, message, batch_fields(looked.batch), missing)
        publish({"BatchesOverdue": 1})
    if looked.decision is not None:
        _report_decided(looked.batch, looked.decision)


def _report_decided(batch: Batch, decision: Decision) -> None:
    """Log and count what became of a batch."""
    fields: Fields = {
        **batch_fields(batch),
        "members": decision.count,
        "complete": decision.is_complete,
        "reason": decision.reason,
        **_missing_fields(decision.missing),
    }
    for text in decision.refused:
        message = f"a released batch starts no run: {text}"
        log_trail(logger.error, message, fields, {"outcome": "Refused"})
    log, message = _line(batch, decision)
    is_cancelled = decision.reason == "cancelled"
    log_trail(log, message, fields, {"outcome": "Cancelled" if is_cancelled else "Released"})
    for text in decision.requests:
        request = request_fields(TriggerRequest.from_json(text))
        log_trail(logger.info, "run requested for a batch", request, {"outcome": "Requested"})
    is_incomplete = bool(decision.count) and not decision.is_complete and not batch.is_late
    counts = {
        "BatchesReleased": bool(decision.requests),
        "BatchesIncomplete": is_incomplete and decision.reason != "cancelled",
        "BatchesLate": batch.is_late,
        "BatchesOverdue": decision.is_overdue,
        "BatchesCancelled": decision.reason == "cancelled",
        "BatchTargetsRefused": len(decision.refused),
    }
    if counted := {name: int(count) for name, count in counts.items() if count}:
        publish(counted)


def _line(batch: Batch, decision: Decision) -> tuple[Callable[..., None], str]:
    """Return how to log a decision, and its text."""
    if batch.is_shadow:
        return logger.info, "batch of a SHADOW rule released: it starts no run"
    if batch.by == WHEN_DUE:
        return logger.error, "batch was due and not complete: cancelled, as its rule says; it starts no run"
    if decision.reason == "cancelled":
        return logger.warning, f"batch cancelled by {batch.by}"
    if not decision.count:
        return logger.warning, "batch released without members: it starts no run"
    if decision.is_overdue and decision.is_complete:
        return logger.error, "batch was due and not complete: released once it was complete"
    if decision.is_overdue:
        return logger.error, "batch was due and not complete: released with what is there, as its rule says"
    if not decision.is_complete and not batch.is_late:
        return logger.warning, "batch released incomplete"
    return logger.info, "batch released"


def _missing_fields(missing: Sequence[str]) -> Fields:
    return {"missing": ", ".join(missing), "missing_count": len(missing) or None}


def report_failed(batch_id: str, error: Exception) -> None:
    """Log and count a look that failed; the next one repeats it."""
    log_trail(
        logger.warning,
        f"batch not released yet, the gateway tries again within a minute: {error}",
        {"batch_id": batch_id, "outcome": "NotReleased"},
        exc_info=not isinstance(error, Unavailable),
    )
    publish({"BatchesNotReleased": 1})


def report_timers(started: Started) -> None:
    """Log and count the batches that are due soon, and those not released in time; an idle minute leaves no line.

    Raises:
        Unavailable: some batches got no timer, or a rule cannot be read. Lambda counts an error, which an alarm watches.
    """
    if started.count:
        logger.info("batches due soon get their timers", extra={"batches": started.count})
    if started.expected:
        some = {"batches": len(started.expected), "batch_ids": started.expected[:_NAMED]}
        logger.warning("nothing has arrived for expected days: their batches are open and due", extra=some)
    for text in started.broken:
        logger.error("a rule that expects days cannot be read, its missing days are not reported: %s", text)
    if started.stalled:
        some = {"batches": len(started.stalled), "batch_ids": started.stalled[:_NAMED]}
        logger.warning("batches were due five minutes ago and are not released", extra=some)
        publish({"BatchesStalled": len(started.stalled)})
    if failures := [*started.failures, *started.broken]:
        text = f"{len(failures)} failures, the next tick tries again; the first: {failures[0]}"
        logger.warning(text, extra={"outcome": "NoTimer"})
        raise Unavailable(text)
