"""What a SHADOW rule would have run: recorded, never queued.

A shadow record lives in the ledger table beside the trigger requests, in partitions of its own (a trigger request's are
64 hexadecimal digits), so that it can never stand in the way of a run. `aws.dynamodb.shadow_records` has the layout.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mwaa_gateway.events import Event
from mwaa_gateway.routing.resolve import Refused, Resolved
from mwaa_gateway.rules import Rule

__all__ = ["ShadowLedger", "ShadowRecord", "shadow_of"]


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """One event, and what one target of a SHADOW rule would have made of it.

    Of a large conf only the small one is kept; the object that its `conf_uri` names was not written.
    `event_hash` is the `event` (partition) of the ledger rows that other rules' real runs of this event have, as long as
    those have no dedupe_key; `ledger_key` is the row that this rule itself would have had. `reason` and `reason_text` say
    why it would have been dead; then `target_id` may be "*" (all targets) and there is no run_id, dag_id or conf.
    """

    rule_id: str
    rule_version: int
    target_id: str
    event_hash: str
    event_id: str
    event_time: str
    source: str
    detail_type: str
    recorded_at: float
    environment: str = ""
    dag_id: str = ""
    run_id: str = ""
    ledger_key: tuple[str, str] = ("", "")
    conf: Mapping[str, Any] | None = None
    reason: str = ""
    reason_text: str = ""


class ShadowLedger(Protocol):
    """Where shadow records are kept."""

    def record(self, records: Sequence[ShadowRecord]) -> None:
        """Keep every record, one of the same event, rule and target in place of the other; raise Unavailable if not."""
        ...


def shadow_of(event: Event, rule: Rule, found: Resolved | Refused, now: float) -> ShadowRecord:
    """Return the record of what a SHADOW rule's target came to."""
    match found:
        case Refused(reason=reason, text=text, target=target):
            target_id = target.id if target else "*"
            would_be: dict[str, Any] = {"reason": reason.value, "reason_text": text}
            if target:
                would_be["environment"] = target.environment
        case Resolved(request=request):
            target_id = request.target_id
            would_be = {
                "environment": request.target.environment,
                "dag_id": request.target.dag_id,
                "run_id": request.target.run_id,
                "ledger_key": request.ledger_key,
                "conf": request.target.conf,
            }
    return ShadowRecord(
        rule_id=rule.id,
        rule_version=rule.version,
        target_id=target_id,
        event_hash=hashlib.sha256(event.identity.encode()).hexdigest(),
        event_id=event.id,
        event_time=str(event.envelope["time"]),
        source=str(event.envelope["source"]),
        detail_type=str(event.envelope["detail-type"]),
        recorded_at=now,
        **would_be,
    )
