"""From what a source sent to trigger requests on the queue: normalised, matched, resolved, enqueued."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from mwaa_gateway.conf import build_conf
from mwaa_gateway.errors import ConfError, MalformedEvent
from mwaa_gateway.events import Event
from mwaa_gateway.live_rules import BrokenRule, LiveRules, Matches
from mwaa_gateway.rules import Rule, Target
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id

__all__ = ["DeadEvent", "DeadEventReason", "IngressDeadLetters", "IngressReport", "TriggerQueue", "ingest"]


class DeadEventReason(StrEnum):
    """Why an event, or one rule's share of it, was put aside for good."""

    MALFORMED_EVENT = "malformed_event"
    BROKEN_RULE = "broken_rule"
    CONF_REFUSED = "conf_refused"


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that cannot become a trigger request, with what a person needs to mend it and send it again.

    `payload` is all that the source sent, never the event made of it: sent again it gets the same identity, so that those
    of its events and rules that went well are found in the ledger and start nothing twice.
    """

    reason: DeadEventReason
    text: str
    payload: Mapping[str, Any]
    event_id: str | None = None
    rule_id: str | None = None
    rule_version: int | None = None


class TriggerQueue(Protocol):
    """The trigger queues of all environments."""

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        """Put every request on its environment's queue; raise Unavailable unless all of them are there."""
        ...


class IngressDeadLetters(Protocol):
    """The ingress dead-letter queue."""

    def bury(self, dead: Sequence[DeadEvent]) -> None:
        """Keep every entry; raise Unavailable unless all of them are there."""
        ...


@dataclass(slots=True)
class IngressReport:
    """What became of each event of one invocation, for the log and the metrics."""

    matched: int = 0
    unmatched: list[Event] = field(default_factory=list)
    requests: list[TriggerRequest] = field(default_factory=list)
    dead: list[DeadEvent] = field(default_factory=list)


def ingest(
    parsed: Iterable[Event | MalformedEvent],
    *,
    payload: Mapping[str, Any],
    rules: LiveRules,
    queue: TriggerQueue,
    dead_letters: IngressDeadLetters,
    now: Callable[[], float],
) -> IngressReport:
    """Turn one invocation's events into trigger requests.

    Everything is decided first and sent last, so that an outage in the middle sends nothing; an invocation that is
    repeated sends the same requests again, which end as duplicates in the ledger. `payload` is what the source sent,
    kept whole with a dead event; `now` gives seconds since the epoch.

    Raises:
        Unavailable: rules or queues do not answer; the whole invocation is to be repeated.
    """
    report = IngressReport()
    for event in parsed:
        if isinstance(event, MalformedEvent):
            report.dead.append(DeadEvent(DeadEventReason.MALFORMED_EVENT, str(event), payload))
        else:
            _route(event, rules.match(event.envelope, now()), payload, report, now())
    if report.dead:
        dead_letters.bury(report.dead)
    if report.requests:
        queue.enqueue(report.requests)
    return report


def _route(
    event: Event, matches: Matches, payload: Mapping[str, Any], report: IngressReport, now: float
) -> None:
    """Add to the report what one event comes to: a request or a dead event for each target that wants it."""
    report.dead.extend(_broken(event, rule, payload) for rule in matches.broken)
    for rule in matches.rules:
        for target in rule.targets:
            match _request(event, rule, target, payload, now):
                case TriggerRequest() as request:
                    report.requests.append(request)
                case DeadEvent() as dead:
                    report.dead.append(dead)
    if matches.rules:
        report.matched += 1
    elif not matches.broken:
        report.unmatched.append(event)


def _request(
    event: Event, rule: Rule, target: Target, payload: Mapping[str, Any], now: float
) -> TriggerRequest | DeadEvent:
    origin = {
        "event_id": event.id,
        "event_time": event.envelope["time"],
        "source": event.envelope["source"],
        "detail_type": event.envelope["detail-type"],
        "rule_id": rule.id,
        "rule_version": rule.version,
        "target_id": target.id,
        "generation": 0,
    }
    try:
        conf = build_conf(target, event, origin)
    except ConfError as error:
        return DeadEvent(DeadEventReason.CONF_REFUSED, str(error), payload, event.id, rule.id, rule.version)
    return TriggerRequest(
        identity=event.identity,
        event=event.envelope,
        rule_id=rule.id,
        rule_version=rule.version,
        target_id=target.id,
        target=ResolvedTarget(
            environment=target.environment,
            dag_id=target.dag_id,
            run_id=derive_run_id(event.identity, rule.id, target.id),
            conf=conf,
        ),
        maximum_event_age_seconds=rule.maximum_event_age_seconds,
        requested_at=now,
    )


def _broken(event: Event, rule: BrokenRule, payload: Mapping[str, Any]) -> DeadEvent:
    return DeadEvent(
        DeadEventReason.BROKEN_RULE,
        f"rule {rule.id!r} version {rule.version} cannot be used, and this event may be meant for it: {rule.reason}. "
        "Mend the rule, then send the event again",
        payload,
        event.id,
        rule.id,
        rule.version,
    )
