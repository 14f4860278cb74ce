"""Records of the runs that SHADOW rules would start; the gateway never queues them.

Shadow records share the ledger table with trigger requests, but not their partitions (those of trigger requests are 64
hexadecimal digits), so that they can never block a run. `aws.dynamodb.shadow_records` describes the layout.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mwaa_gateway.events import Event
from mwaa_gateway.routing.resolve import Refused, Resolved
from mwaa_gateway.rules import Rule
from mwaa_gateway.trigger_request import event_hash
from mwaa_gateway.values import value


@value
class ShadowRecord:
    """One event, and the run that one target of a SHADOW rule would start for it.

    For a large conf, `conf` is the small one with a `conf_uri`; nobody has written the object that it names.

    `event_hash` is the partition of the ledger rows of this event for other rules without a dedupe_key. `ledger_key` is
    the row that this rule would write. `reason` and `reason_text` say why the event would be dead; `target_id` may then be
    "*" (all targets), and there is no run_id, dag_id or conf.
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
    """The store of shadow records."""

    def record(self, records: Sequence[ShadowRecord]) -> None:
        """Write every record, and replace an earlier one of the same event, rule and target; may raise Unavailable."""


def shadow_of(event: Event, rule: Rule, found: Resolved | Refused, now: float) -> ShadowRecord:
    """Return the record of one resolved or refused target of a SHADOW rule."""
    match found:
        case Refused(reason=reason, text=text, target=target):
            target_id = target.id if target else "*"
            result: dict[str, Any] = {"reason": reason.value, "reason_text": text}
            if target:
                result["environment"] = target.environment
        case Resolved(request=request):
            target_id = request.target_id
            result = {
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
        event_hash=event_hash(event.identity),
        event_id=event.id,
        event_time=str(event.envelope["time"]),
        source=str(event.envelope["source"]),
        detail_type=str(event.envelope["detail-type"]),
        recorded_at=now,
        **result,
    )
