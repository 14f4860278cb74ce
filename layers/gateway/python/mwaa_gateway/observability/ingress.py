"""Log lines and metrics of the ingress functions."""

from collections.abc import Mapping
from typing import Any

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.ingress.ingest import IngressReport
from mwaa_gateway.json_values import dig
from mwaa_gateway.observability import logger, publish
from mwaa_gateway.routing.resolve import DeadEventReason


def report_ingress(report: IngressReport) -> None:
    """Log and count the outcome of each event of one invocation."""
    for request in report.requests:
        logger.info(
            "run requested",
            extra={
                **_about(request.event),
                "rule_id": request.rule_id,
                "environment": request.target.environment,
                "dag_id": request.target.dag_id,
                "run_id": request.target.run_id,
                "outcome": "Requested",
            },
        )
    for event in report.unmatched:
        logger.info(
            "no rule matches",
            extra={**_about(event.envelope), "outcome": "Unmatched"},
        )
    for shadow in report.shadows:
        logger.info(
            "a SHADOW rule matched, ENABLED it would request a run"
            if shadow.run_id
            else "a SHADOW rule matched, ENABLED its request would be dead",
            extra={
                "event_id": shadow.event_id,
                "rule_id": shadow.rule_id,
                "environment": shadow.environment,
                "dag_id": shadow.dag_id,
                "run_id": shadow.run_id,
                "outcome": "Shadow",
                "reason": shadow.reason,
            },
        )
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
        logger.error(
            "the event starts no run and is in the ingress dead-letter queue: %s",
            dead.text,
            extra={
                "event_id": dead.event_id,
                "rule_id": dead.rule_id,
                "outcome": "Dead",
                "reason": dead.reason,
            },
        )
    reasons = [dead.reason for dead in report.dead]
    counts = {
        "EventsMatched": report.matched,
        "EventsUnmatched": len(report.unmatched),
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
        "ShadowMatches": len(report.shadows),
        "ShadowsLost": len(report.shadows) if report.shadow_error else 0,
    }
    if any(counts.values()):
        publish({name: count for name, count in counts.items() if count})
    else:
        # S3's test event, for example, is acknowledged.
        logger.info("nothing to do for this invocation", extra={"outcome": "Ignored"})


def _about(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that identify the event; an upload also by its URI, which people search for."""
    about = {"event_id": event["id"], "source": event["source"], "detail_type": event["detail-type"]}
    if event["source"] != "aws.s3":
        return about
    bucket, key = dig(event, ("detail", "bucket", "name")), dig(event, ("detail", "object", "key"))
    return about | ({"s3_uri": f"s3://{bucket}/{key}"} if bucket and key else {})


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
