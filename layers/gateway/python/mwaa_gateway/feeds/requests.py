"""The trigger requests of a released batch: to the rule's targets, a batch is one event.

    source mwaa-gateway, detail-type Batch Released, and in the detail:
    rule_id id number key reason complete late missing count bytes first_at last_at manifest members

So a target takes its values as from any event: `$.detail.manifest`, `$.detail.count`, `$.detail.key.date`, or as
`<batch.manifest>`; its captures are the parts of the key by name. Whatever the target names, every conf has the same detail
as `batch` under the reserved key. `members` lists them as the manifest does; it is null if the list is too long for a conf.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mwaa_gateway.conf.batch_values import BatchValues, key_placeholders
from mwaa_gateway.events import Event
from mwaa_gateway.events.event import derived_id
from mwaa_gateway.feeds.batch import Batch, Decision
from mwaa_gateway.feeds.condition import Summary
from mwaa_gateway.routing.members import Member
from mwaa_gateway.routing.resolve import Refused, Resolved, resolve_targets
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.trigger_request import OWN_SOURCE, identity_of

DETAIL_TYPE: Final = "Batch Released"
MAXIMUM_INLINE_BYTES: Final = 16 * 1024  # of the members, as JSON; a conf has at most 32 KB
MAXIMUM_MISSING_BYTES: Final = 4 * 1024  # of the names of what is missing, as JSON


def requests_of(
    batch: Batch, summary: Summary, decision: Decision, members: Sequence[Member], *, bucket: str
) -> Iterator[Resolved | Refused]:
    """Yield the trigger request, or the refusal, of each target of the batch's rule.

    The same batch and decision always give the same run_ids. `bucket` is the bucket for large confs.
    """
    rule = parse_rule(json.loads(batch.document), environments=None, version=batch.rule_version)
    event = batch_event(batch, summary, decision, members)
    lines = [member.line for member in members]
    yield from resolve_batch(event, rule, lines, now=summary.last_at, bucket=bucket)


def resolve_batch(
    event: Event, rule: Rule, lines: Sequence[Mapping[str, Any]] | None, *, now: float, bucket: str
) -> Iterator[Resolved | Refused]:
    """Yield the trigger request, or the refusal, of each target of a rule for the event of a batch with its key.

    `lines` are the members as in the manifest, None if only the manifest has them.
    """
    detail = event.envelope["detail"]
    yield from resolve_targets(
        event,
        rule,
        _pieces(detail["key"]),
        event.identity,
        batch=BatchValues(detail, lines),
        now=now,
        claim_check_bucket=bucket,
    )


def batch_event(batch: Batch, summary: Summary, decision: Decision, members: Sequence[Member]) -> Event:
    """Return the event that a released batch is to its rule's targets."""
    items: list[Any] | None = [member.line for member in members]
    if len(json.dumps(items)) > MAXIMUM_INLINE_BYTES:
        items = None
    detail = {
        "rule_id": batch.rule_id,
        "id": batch.id,
        "number": batch.number,
        "key": dict(batch.key),
        "reason": decision.reason,
        "complete": decision.is_complete,
        "late": batch.is_late,
        "missing": named_missing(decision.missing),
        "count": len(members),
        "bytes": sum(size for member in members if isinstance(size := member.item.get("size"), int)),
        "first_at": iso(summary.first_at),
        "last_at": iso(summary.last_at),
        "manifest": decision.manifest,
        "members": items,
    }
    # For people: rule and key. The id alone tells one batch from another.
    identity = identity_of("batch", batch.rule_id, *(value for _, value in batch.key), batch.id)
    return Event(
        {
            "version": "0",
            "id": derived_id(identity),
            "detail-type": DETAIL_TYPE,
            "source": OWN_SOURCE,
            "account": "",
            "time": iso(summary.last_at),
            "region": "",
            "resources": [],
            "detail": detail,
        },
        identity,
    )


def _pieces(key: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of the key under both of their names."""
    return {**key, **dict(zip(key_placeholders(key), key.values(), strict=True))}


def named_missing(missing: Sequence[str]) -> list[str]:
    """Return the names of what is missing, as many as a conf has room for, and how many more there are."""
    named: list[str] = []
    left = MAXIMUM_MISSING_BYTES
    for name in missing:
        left -= len(json.dumps(name)) + 1
        if left < 0:
            return [*named, f"and {len(missing) - len(named)} more"]
        named.append(name)
    return named


def iso(seconds: float) -> str:
    """Return a time as events write it, in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
