"""Matches a source's events with the rules, and puts the resulting trigger requests on the queues."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mwaa_gateway.conf.claim_check import ClaimCheck, ClaimChecks
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.errors import MalformedEvent, Unavailable
from mwaa_gateway.events import Event
from mwaa_gateway.ingress.shadow import ShadowLedger, ShadowRecord, shadow_of
from mwaa_gateway.routing.live_rules import BrokenRule, LiveRules, Matches
from mwaa_gateway.routing.resolve import Refused, Resolved, resolve
from mwaa_gateway.rules import Rule
from mwaa_gateway.settings.ingress import LogUnmatched
from mwaa_gateway.trigger_request import TriggerQueue, TriggerRequest
from mwaa_gateway.values import value

if TYPE_CHECKING:  # only a rule that collects loads it
    from mwaa_gateway.routing.members import CollectQueue, MemberMessage


@value
class DeadEvent:
    """An event that cannot become a trigger request, with what a person needs to correct and redrive it.

    `payload` is the source's whole payload, never the normalised event. Redriven, it gives the same identities: the
    ledger recognises the events and rules that succeeded before, and starts no run twice.
    """

    reason: DeadEventReason
    text: str
    payload: Mapping[str, Any]
    event: Event | None = None
    rule_id: str | None = None
    rule_version: int | None = None

    @property
    def event_id(self) -> str | None:
        """The event's id; None if the payload is malformed."""
        return None if self.event is None else self.event.id


class IngressDeadLetters(Protocol):
    """The ingress dead-letter queue."""

    def publish(self, dead: Sequence[DeadEvent]) -> None:
        """Send every entry; raise Unavailable if any was not sent."""


@dataclass(slots=True)
class IngressReport:
    """The result of one invocation, for the log and the metrics.

    An event that only SHADOW rules match starts no run: it counts as unmatched.
    """

    matched: int = 0
    missed: list[tuple[Event, Matches]] = field(default_factory=list)
    resolved: list[tuple[TriggerRequest, ClaimCheck | None]] = field(default_factory=list)
    dead: list[DeadEvent] = field(default_factory=list)
    collected: "list[tuple[Event, MemberMessage]]" = field(default_factory=list)
    shadowed: list[tuple[Event, ShadowRecord]] = field(default_factory=list)
    shadow_error: str = ""  # if the shadow records could not be written
    unreadable_heads: set[str] = field(default_factory=set)  # partitions of the rules table
    log_unmatched: LogUnmatched = "all"

    @property
    def requests(self) -> list[TriggerRequest]:
        """The trigger requests, without the claim checks of large confs."""
        return [request for request, _ in self.resolved]

    @property
    def claim_checks(self) -> list[ClaimCheck]:
        """The claim checks of large confs."""
        return [check for _, check in self.resolved if check is not None]

    @property
    def unmatched(self) -> list[Event]:
        """The events that start no run and are members of no batch, because no rule matches."""
        return [event for event, _ in self.missed]

    @property
    def members(self) -> "list[MemberMessage]":
        """The members, without their events."""
        return [member for _, member in self.collected]

    def add(self, other: "IngressReport") -> None:
        """Add the report of another event."""
        self.matched += other.matched
        self.missed += other.missed
        self.resolved += other.resolved
        self.collected += other.collected
        self.dead += other.dead
        self.shadowed += other.shadowed
        self.unreadable_heads |= other.unreadable_heads


@value(kw_only=True)
class Ingress:
    """An ingress with its collaborators.

    `now` returns seconds since the epoch. `claim_check_bucket` is the bucket for large confs. `log_unmatched` says which
    events that no rule matches get a log line.
    """

    rules: LiveRules
    queue: TriggerQueue
    collect_queue: "CollectQueue"
    dead_letters: IngressDeadLetters
    shadows: ShadowLedger
    claim_checks: ClaimChecks
    now: Callable[[], float]
    claim_check_bucket: str = ""
    log_unmatched: LogUnmatched = "all"

    def ingest(self, parsed: Iterable[Event | MalformedEvent], payload: Mapping[str, Any]) -> IngressReport:
        """Turn one invocation's events into trigger requests on the queues.

        A failure of one event, environment or large conf does not stop the other requests; afterwards the invocation fails,
        and its caller repeats it. The repetition sends the same requests again, and the ledger recognises the duplicates.
        Dead events are published only after everything else has succeeded, or each repetition would publish them again.

        `payload` is the source's whole payload, published with a dead event.

        Raises:
            Unavailable: the rules table, a queue or the bucket did not answer; repeat the whole invocation.
            Exception: an event met a bug of the gateway; repeat likewise.
        """
        report = IngressReport(log_unmatched=self.log_unmatched)
        failures: list[Exception] = []
        for event in parsed:
            if isinstance(event, MalformedEvent):
                report.dead.append(_malformed(event, payload))
                continue
            now = self.now()
            try:
                self.rules.refresh(event.envelope, now)
                report.add(_route(event, self.rules, payload, now, bucket=self.claim_check_bucket))
            except Exception as error:  # noqa: BLE001  a bug that one event meets does not stop the others
                failures.append(error)
        unstored = self._store(report.claim_checks)
        failures += unstored.values()
        failures += self._enqueue([request for request, check in report.resolved if check not in unstored])
        failures += self._collect(report.members)
        if failures:
            raise _combined_error(failures)
        if report.dead:
            self.dead_letters.publish(report.dead)
        if report.shadowed:
            try:
                self.shadows.record([record for _, record in report.shadowed])
            except Unavailable as error:
                # A rule on trial must not cause redelivery of real events. The gap is logged and counted instead.
                report.shadow_error = str(error)
        return report

    def _store(self, checks: Iterable[ClaimCheck]) -> dict[ClaimCheck, Unavailable]:
        """Store each claim check, before the request that names it; return the errors of those that were not stored."""
        failed: dict[ClaimCheck, Unavailable] = {}
        for check in checks:
            try:
                self.claim_checks.put([check])
            except Unavailable as error:
                failed[check] = error
        return failed

    def _enqueue(self, requests: Sequence[TriggerRequest]) -> list[Unavailable]:
        """Enqueue the requests; return the error if any was not sent."""
        try:
            if requests:
                self.queue.enqueue(requests)
        except Unavailable as error:
            return [error]
        return []

    def _collect(self, members: "Sequence[MemberMessage]") -> list[Unavailable]:
        """Send the members to the collect queue; return the error if any was not sent."""
        try:
            if members:
                self.collect_queue.collect(members)
        except Unavailable as error:
            return [error]
        return []


def _combined_error(failures: Sequence[Exception]) -> Exception:
    """Return one error for all: the first bug with its traceback, or else the texts of all outages."""
    bugs = [error for error in failures if not isinstance(error, Unavailable)]
    return bugs[0] if bugs else Unavailable("; ".join(dict.fromkeys(map(str, failures))))


def _route(
    event: Event, rules: LiveRules, payload: Mapping[str, Any], now: float, *, bucket: str
) -> IngressReport:
    """Return the report of one event: a trigger request or a dead event for each matching target."""
    report = IngressReport()
    try:
        matches = rules.match(event.envelope)
    except MalformedEvent as error:  # no pattern can be matched with it
        report.dead.append(_malformed(error, payload))
        return report
    report.unreadable_heads |= matches.unreadable_heads
    report.dead.extend(_broken(event, rule, payload) for rule in matches.broken)
    live = [rule for rule in matches.rules if rule.state != "SHADOW"]
    for rule in live:
        _add(report, event, rule, _found(event, rule, now, bucket), payload)
    for rule in matches.rules:
        if rule.state == "SHADOW":
            for found in _found(event, rule, now, bucket):
                if isinstance(found, Resolved | Refused):
                    report.shadowed.append((event, shadow_of(event, rule, found, now)))
                else:
                    report.collected.append((event, found))  # of a batch that starts no run
    if live:
        report.matched += 1
    elif not matches.broken:
        report.missed.append((event, matches))
    return report


def _add(
    report: IngressReport,
    event: Event,
    rule: Rule,
    found: "Iterable[Resolved | MemberMessage | Refused]",
    payload: Mapping[str, Any],
) -> None:
    """Add what an event is to one rule."""
    for each in found:
        match each:
            case Resolved(request=request, claim_check=check):
                report.resolved.append((request, check))
            case Refused():
                report.dead.append(_refused(event, rule, each, payload))
            case member:
                report.collected.append((event, member))


def _found(
    event: Event, rule: Rule, now: float, bucket: str
) -> "Iterable[Resolved | MemberMessage | Refused]":
    """Return what an event is to a rule: a member of a batch, or a trigger request for each target."""
    if rule.collect is not None:
        from mwaa_gateway.routing.members import member_of  # noqa: PLC0415  most rules collect nothing

        return [member_of(event, rule, rule.collect)]
    return resolve(event, rule, now=now, claim_check_bucket=bucket)


def _malformed(error: MalformedEvent, payload: Mapping[str, Any]) -> DeadEvent:
    return DeadEvent(DeadEventReason.MALFORMED_EVENT, str(error), payload)


def _refused(event: Event, rule: Rule, refused: Refused, payload: Mapping[str, Any]) -> DeadEvent:
    text = f"rule {rule.id!r}: {refused.text}"
    return DeadEvent(refused.reason, text, payload, event, rule.id, rule.version)


def _broken(event: Event, rule: BrokenRule, payload: Mapping[str, Any]) -> DeadEvent:
    return DeadEvent(
        DeadEventReason.BROKEN_RULE,
        f"rule {rule.id!r} version {rule.version} is broken, and this event may match it: {rule.reason}. "
        "Correct the rule, then redrive the event",
        payload,
        event,
        rule.id,
        rule.version,
    )
