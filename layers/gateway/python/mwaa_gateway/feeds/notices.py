"""The events about batches on the gateway's bus, for rules and topics of other teams.

    Batch Released    a batch became runs: the event that its targets got, without the members
    Batch Overdue     a batch was not complete when it was due: rule_id id number key due_at when_due missing count

Each comes at least once: the batch's `id` tells repeats. No rule of the gateway may match them.
"""

import json
from collections.abc import Sequence
from typing import Any

from mwaa_gateway.feeds.batch import Batch, Decision, collect_of
from mwaa_gateway.feeds.condition import Summary
from mwaa_gateway.feeds.requests import batch_event, iso, named_missing
from mwaa_gateway.routing.members import Member


def overdue_notice(batch: Batch, summary: Summary, missing: Sequence[str]) -> str:
    """Return the event about a batch that was due and not complete. `summary` and `missing` are as of then, or of now."""
    detail = {
        "rule_id": batch.rule_id,
        "id": batch.id,
        "number": batch.number,
        "key": dict(batch.key),
        "due_at": iso(summary.due_at or 0.0),
        "when_due": collect_of(batch.document).when_due,
        "missing": named_missing(missing),
        "count": summary.members,
    }
    return _notice("Batch Overdue", detail)


def released_notices(
    batch: Batch, summary: Summary, decision: Decision, members: Sequence[Member]
) -> list[str]:
    """Return the event about a batch that became runs; none about a shadow, or one that is cancelled or empty."""
    if batch.is_shadow or not members or decision.reason == "cancelled":
        return []
    released = dict(batch_event(batch, summary, decision, members).envelope["detail"])
    del released["members"]
    return [_notice("Batch Released", released)]


def _notice(detail_type: str, detail: dict[str, Any]) -> str:
    return json.dumps({"detail-type": detail_type, "detail": detail}, separators=(",", ":"))
