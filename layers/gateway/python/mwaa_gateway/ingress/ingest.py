"""From what a source sent to trigger requests on the queue: normalised, matched, resolved, enqueued."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mwaa_gateway.conf.claim_check import ClaimCheck, ClaimChecks
from mwaa_gateway.errors import MalformedEvent, Unavailable
from mwaa_gateway.events import Event
from mwaa_gateway.ingress.shadow import ShadowLedger, ShadowRecord, shadow_of
from mwaa_gateway.routing.live_rules import BrokenRule, LiveRules
from mwaa_gateway.routing.resolve import DeadEventReason, Refused, Resolved, resolve
from mwaa_gateway.rules import Rule
from mwaa_gateway.trigger_request import TriggerQueue, TriggerRequest

__all__ = ["DeadEvent", "DeadEventReason", "IngressDeadLetters", "IngressReport", "ingest"]


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


class IngressDeadLetters(Protocol):
    """The ingress dead-letter queue."""

    def publish(self, dead: Sequence[DeadEvent]) -> None:
        """Keep every entry; raise Unavailable unless all of them are there."""
        ...


@dataclass(slots=True)
class IngressReport:
    """What became of each event of one invocation, for the log and the metrics.

    An event that only SHADOW rules match starts nothing: it is unmatched.
    """

    matched: int = 0
    unmatched: list[Event] = field(default_factory=list)
    resolved: list[tuple[TriggerRequest, ClaimCheck | None]] = field(default_factory=list)
    dead: list[DeadEvent] = field(default_factory=list)
    shadows: list[ShadowRecord] = field(default_factory=list)
    shadows_lost: str = ""  # why they could not be recorded
    unreadable_heads: set[str] = field(default_factory=set)  # partitions of the rules table

    @property
    def requests(self) -> list[TriggerRequest]:
        """The requests, without the large confs that some of them name."""
        return [request for request, _ in self.resolved]

    @property
    def claim_checks(self) -> list[ClaimCheck]:
        """The large confs."""
        return [check for _, check in self.resolved if check is not None]

    def add(self, other: "IngressReport") -> None:
        """Add what became of another event."""
        self.matched += other.matched
        self.unmatched += other.unmatched
        self.resolved += other.resolved
        self.dead += other.dead
        self.shadows += other.shadows
        self.unreadable_heads |= other.unreadable_heads


def ingest(
    parsed: Iterable[Event | MalformedEvent],
    *,
    payload: Mapping[str, Any],
    rules: LiveRules,
    queue: TriggerQueue,
    dead_letters: IngressDeadLetters,
    shadows: ShadowLedger,
    claim_checks: ClaimChecks,
    now: Callable[[], float],
    claim_check_bucket: str = "",
) -> IngressReport:
    """Turn one invocation's events into trigger requests.

    What fails for one event, environment or large conf keeps no other request from being sent; then the invocation fails
    and is repeated. A repeated invocation sends the same requests again, which end as duplicates in the ledger. Dead
    events are kept once nothing has failed: each repetition would keep them once more.
    `payload` is what the source sent, kept whole with a dead event; `now` gives seconds since the epoch;
    `claim_check_bucket` is where large confs are put.

    Raises:
        Unavailable: the rules, a queue or the bucket did not answer; the whole invocation is to be repeated.
        Exception: a mistake of the gateway met one event; likewise.
    """
    report = IngressReport()
    failures: list[Exception] = []
    for event in parsed:
        if isinstance(event, MalformedEvent):
            report.dead.append(_malformed(event, payload))
            continue
        try:
            report.add(_route(event, rules, payload, now(), bucket=claim_check_bucket))
        except Exception as error:  # noqa: BLE001  a mistake of ours about one event does not stop the others
            failures.append(error)
    failures += _sent(report, queue, claim_checks)
    if failures:
        raise _together(failures)
    if report.dead:
        dead_letters.publish(report.dead)
    if report.shadows:
        try:
            shadows.record(report.shadows)
        except Unavailable as error:
            # A rule on trial never has real events delivered again: logged and counted, and its report has a gap.
            report.shadows_lost = str(error)
    return report


def _sent(report: IngressReport, queue: TriggerQueue, claim_checks: ClaimChecks) -> Iterator[Unavailable]:
    """Send the requests; yield why some of them were not sent."""
    stored: list[TriggerRequest] = []
    for request, check in report.resolved:
        try:
            if check is not None:
                claim_checks.put([check])  # before the request that names it
            stored.append(request)
        except Unavailable as error:
            yield error
    if stored:
        try:
            queue.enqueue(stored)
        except Unavailable as error:
            yield error


def _together(failures: Sequence[Exception]) -> Exception:
    """Return one error for all: a mistake of the gateway as it is, for its traceback; else every outage by its text."""
    mistakes = [error for error in failures if not isinstance(error, Unavailable)]
    return mistakes[0] if mistakes else Unavailable("; ".join(dict.fromkeys(map(str, failures))))


def _route(
    event: Event, rules: LiveRules, payload: Mapping[str, Any], now: float, *, bucket: str
) -> IngressReport:
    """Return what one event comes to: a request or a dead event for each target that wants it."""
    report = IngressReport()
    try:
        matches = rules.match(event.envelope, now)
    except MalformedEvent as error:  # no pattern can be held against it
        report.dead.append(_malformed(error, payload))
        return report
    report.unreadable_heads |= matches.unreadable_heads
    report.dead.extend(_broken(event, rule, payload) for rule in matches.broken)
    live = [rule for rule in matches.rules if rule.state != "SHADOW"]
    for rule in live:
        for found in resolve(event, rule, now=now, claim_check_bucket=bucket):
            match found:
                case Resolved(request=request, claim_check=check):
                    report.resolved.append((request, check))
                case Refused() as refused:
                    report.dead.append(_refused(event, rule, refused, payload))
    for rule in matches.rules:
        if rule.state == "SHADOW":
            trial = resolve(event, rule, now=now, claim_check_bucket=bucket)
            report.shadows.extend(shadow_of(event, rule, found, now) for found in trial)
    if live:
        report.matched += 1
    elif not matches.broken:
        report.unmatched.append(event)
    return report


def _malformed(error: MalformedEvent, payload: Mapping[str, Any]) -> DeadEvent:
    return DeadEvent(DeadEventReason.MALFORMED_EVENT, str(error), payload)


def _refused(event: Event, rule: Rule, refused: Refused, payload: Mapping[str, Any]) -> DeadEvent:
    return DeadEvent(
        refused.reason, f"rule {rule.id!r}: {refused.text}", payload, event.id, rule.id, rule.version
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
