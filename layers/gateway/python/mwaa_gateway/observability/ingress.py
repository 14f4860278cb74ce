"""Log lines and metrics of the ingress functions."""

from typing import TYPE_CHECKING

from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.observability import log_trail, logger, publish
from mwaa_gateway.observability.trail import (
    event_fields,
    feed_fields,
    request_fields,
    sampled_fields,
    unmatched_fields,
)

if TYPE_CHECKING:  # wiring loads it, while the garbage collector rests
    from mwaa_gateway.events import Event
    from mwaa_gateway.ingress.ingest import IngressReport
    from mwaa_gateway.ingress.shadow import ShadowRecord


def report_ingress(report: "IngressReport") -> None:
    """Log and count the outcome of each event of one invocation."""
    for request in report.requests:
        log_trail(logger.info, "run requested", request_fields(request), {"outcome": "Requested"})
    for event, member in report.collected:
        log_trail(
            logger.info,
            "event collected for a batch",
            event_fields(event.envelope, event.identity),
            feed_fields(member),
            {"outcome": "Member"},
        )
    for event, matches in report.missed:
        if (sampled := sampled_fields(report.log_unmatched, event.identity)) is None:
            continue
        log_trail(
            logger.info,
            "no rule matches",
            event_fields(event.envelope, event.identity),
            unmatched_fields(matches),
            sampled,
            {"outcome": "Unmatched"},
        )
    for event, shadow in report.shadowed:
        _log_shadow(event, shadow)
    if report.shadow_error:
        logger.warning(
            "matches of SHADOW rules were not recorded, their report is incomplete; runs are not affected: %s",
            report.shadow_error,
            extra={"outcome": "ShadowLost"},
        )
    for partition in sorted(report.unreadable_heads):
        logger.error(
            "partition %r of the rules table has a head item without a generation; its rules work, but are read again "
            "every few seconds. Delete the item and apply one of the partition's rules again",
            partition,
            extra={"outcome": "UnreadableHead"},
        )
    for dead in report.dead:
        log_trail(
            logger.error,
            f"the event starts no run and is in the ingress dead-letter queue: {dead.text}",
            event_fields(dead.event.envelope, dead.event.identity) if dead.event else {},
            {"rule_id": dead.rule_id, "rule_version": dead.rule_version},
            {"outcome": "Dead", "reason": dead.reason},
        )
    reasons = [dead.reason for dead in report.dead]
    counts = {
        "EventsMatched": report.matched,
        "EventsUnmatched": len(report.missed),
        "RequestsEnqueued": len(report.requests),
        "ClaimChecks": len(report.claim_checks),
        "EventsMalformed": reasons.count(DeadEventReason.MALFORMED_EVENT),
        "BrokenRules": reasons.count(DeadEventReason.BROKEN_RULE) + len(report.unreadable_heads),
        "CapturesRefused": reasons.count(DeadEventReason.CAPTURES_REFUSED),
        "DedupeKeyRefused": reasons.count(DeadEventReason.DEDUPE_KEY_REFUSED),
        "DagIdRefused": reasons.count(DeadEventReason.DAG_ID_REFUSED),
        "ConfRefused": sum(
            reasons.count(each) for each in (DeadEventReason.CONF_NOT_MADE, DeadEventReason.CONF_TOO_LARGE)
        ),
        "ShadowMatches": len(report.shadowed),
        "ShadowsLost": len(report.shadowed) if report.shadow_error else 0,
    }
    if any(counts.values()):
        publish({name: count for name, count in counts.items() if count})
    else:
        # S3's test event, for example, is acknowledged.
        logger.info("nothing to do for this invocation", extra={"outcome": "Ignored"})


def _log_shadow(event: "Event", shadow: "ShadowRecord") -> None:
    log_trail(
        logger.info,
        "a SHADOW rule matched, ENABLED it would request a run"
        if shadow.run_id
        else "a SHADOW rule matched, ENABLED its request would be dead",
        event_fields(event.envelope, event.identity),
        {
            "rule_id": shadow.rule_id,
            "rule_version": shadow.rule_version,
            "target_id": shadow.target_id,
            "environment": shadow.environment,
            "dag_id": shadow.dag_id,
            "run_id": shadow.run_id,
            "outcome": "Shadow",
            "reason": shadow.reason,
        },
    )


def report_given_back(error: Exception, attempt: int, seconds: float) -> None:
    """Log and count a message that SQS redelivers because its events were not ingested; a bug with its traceback."""
    extra = {"attempt": attempt, "outcome": "GivenBack", "redeliver_after": seconds}
    if isinstance(error, Unavailable):
        logger.warning("events not ingested, SQS redelivers the message: %s", error, extra=extra)
    else:
        logger.error(
            "bug or unexpected input, events not ingested, SQS redelivers the message: %s",
            error,
            exc_info=error,
            extra=extra,
        )
    publish({"MessagesGivenBack": 1})
