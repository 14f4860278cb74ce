"""Tries rules on events with the code of the functions: `ingest`, over rules and queues in memory."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from gateway_cli.rules.event_files import NamedEvent
from gateway_cli.rules.store import document_text
from mwaa_gateway.conf.claim_check import ClaimCheck
from mwaa_gateway.conf.input_transformer import ORIGIN_KEY
from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events import Event
from mwaa_gateway.feeds.batch import Batch, Decision, collect_of
from mwaa_gateway.feeds.condition import Summary, missing_of
from mwaa_gateway.feeds.requests import iso, requests_of
from mwaa_gateway.ingress.ingest import DeadEvent, Ingress, IngressReport
from mwaa_gateway.ingress.shadow import ShadowRecord
from mwaa_gateway.routing.live_rules import LiveRules, StoredRule
from mwaa_gateway.routing.members import SHADOW_SUFFIX, Member, MemberMessage
from mwaa_gateway.routing.resolve import Refused, Resolved
from mwaa_gateway.rules import Rule
from mwaa_gateway.rules.due import Due
from mwaa_gateway.rules.fields import document_of
from mwaa_gateway.rules.partitions import rule_partitions
from mwaa_gateway.trigger_request import TriggerRequest

_BUCKET: Final = "bucket-of-the-gateway"


@dataclass(frozen=True, slots=True)
class Result:
    """What one target of a rule, or one rule, makes of an event.

    A `run`, and the `shadow` of a rule in SHADOW that would only be recorded, have every field but a reason. A `refused`
    event (malformed, no conf, broken rule) has a reason, and a rule if it concerns one. A `member` or `marker` of a rule
    that collects has the key of its `batch` and no run; with `shadow`, the rule is in SHADOW and collects apart. `part` is
    the part that it is in, `counts_as` what completeness counts of a member, and `members_needed` the number that a marker
    names. A batch that has only this event is `due` then, and lacks `missing` of what `complete_when` asks for. `released`
    is what a batch of this member alone would become: for each target its environment, dag_id and conf, or the reason why
    it starts no run.
    """

    outcome: Literal["run", "shadow", "refused", "member", "marker"]
    rule_id: str | None = None
    target_id: str | None = None
    environment: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    logical_date: str | None = None
    partition_key: str | None = None
    conf: Mapping[str, Any] | None = None
    reason: str | None = None
    batch: Mapping[str, str] | None = None
    shadow: bool | None = None
    part: str | None = None
    due: str | None = None
    missing: tuple[str, ...] | None = None
    counts_as: str | None = None
    members_needed: int | None = None
    released: tuple[Mapping[str, Any], ...] | None = None

    def document(self) -> dict[str, Any]:
        """Return the result as JSON, without empty fields."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def own_conf(self) -> dict[str, Any]:
        """The conf without the gateway's own key, which contains the run's origin."""
        return _own(self.conf or {})


def _own(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return a conf without the gateway's own key."""
    return {name: value for name, value in conf.items() if name != ORIGIN_KEY}


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of one event; none if no rule matches it.

    `disabled` are rules that match it, but start nothing because they are DISABLED.
    """

    event: NamedEvent
    results: tuple[Result, ...]
    disabled: tuple[str, ...] = ()


class RulesInMemory:
    """The rules as the table would contain them; implements `mwaa_gateway.routing.live_rules.RuleSource`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._copies: dict[str, list[StoredRule]] = {}
        for rule in rules:
            if rule.state == "DISABLED":
                continue
            copy = StoredRule(rule.id, rule.version, document_text(rule))
            for partition in rule_partitions(*rule.patterns):
                self._copies.setdefault(partition, []).append(copy)

    def heads(self, partitions: Sequence[str]) -> Mapping[str, int]:
        """Return 1 for each partition with rules."""
        return {partition: int(partition in self._copies) for partition in partitions}

    def copies(self, partition: str) -> Sequence[StoredRule]:
        """Return a partition's rules."""
        return self._copies.get(partition, [])

    def namespaces(self) -> Mapping[str, str]:
        """Return no allow-lists: the commands check those before they write a rule."""
        return {}


def try_events(
    rules: Sequence[Rule], events: Iterable[NamedEvent], *, environments: Collection[str] | None
) -> list[Trial]:
    """Try each event on the rules, like the ingress functions would; nothing is sent.

    If `environments` is None, those that the rules name count as known.
    """
    known = environments or {target.environment for rule in rules for target in rule.targets}
    live = LiveRules(RulesInMemory(rules), environments=known, refresh_seconds=1e9)
    return [
        Trial(event, tuple(_results(_ingested(event, live))), tuple(_disabled(rules, event)))
        for event in events
    ]


def _disabled(rules: Iterable[Rule], named: NamedEvent) -> Iterator[str]:
    event = named.event
    if isinstance(event, Event):
        for rule in rules:
            with suppress(MalformedEvent):  # the results contain it
                if rule.state == "DISABLED" and any(each.matches(event.envelope) for each in rule.patterns):
                    yield rule.id


def _ingested(named: NamedEvent, live: LiveRules) -> IngressReport:
    ingress = Ingress(
        rules=live,
        queue=_Nowhere(),
        collect_queue=_Nowhere(),
        dead_letters=_Nowhere(),
        shadows=_Nowhere(),
        claim_checks=_Nowhere(),
        claim_check_bucket=_BUCKET,
        now=lambda: 0.0,
    )
    return ingress.ingest([named.event], payload={})


def _results(report: IngressReport) -> Iterator[Result]:
    for request in report.requests:
        yield Result(
            outcome="run",
            rule_id=request.rule_id,
            target_id=request.target_id,
            environment=request.target.environment,
            dag_id=request.target.dag_id,
            run_id=request.target.run_id,
            logical_date=request.target.logical_date,
            partition_key=request.target.partition_key,
            conf=request.target.conf,
        )
    for message in report.members:
        member = message.member
        collect = collect_of(message.document)
        yield Result(
            outcome=member.kind,
            rule_id=message.rule_id.removesuffix(SHADOW_SUFFIX),
            batch=dict(message.key),
            shadow=message.rule_id.endswith(SHADOW_SUFFIX) or None,
            part=member.part or None,
            due=_due(collect.due, dict(message.key)) if collect.due else None,
            missing=missing_of(collect, _summary(member)) if collect.complete_when else None,
            counts_as=member.distinct or None,
            members_needed=member.count,
            released=tuple(_released(message)) if member.kind == "member" else None,
        )
    for _, shadow in report.shadowed:  # what a rule in SHADOW would have run
        yield Result(
            outcome="refused" if shadow.reason else "shadow",
            rule_id=shadow.rule_id,
            target_id=shadow.target_id,
            environment=shadow.environment or None,
            dag_id=shadow.dag_id or None,
            run_id=shadow.run_id or None,
            conf=shadow.conf,
            reason=shadow.reason_text or None,
        )
    for dead in report.dead:
        yield Result("refused", rule_id=dead.rule_id, reason=dead.text)


def _summary(member: Member) -> Summary:
    """Return the summary of a batch that has only this member or marker."""
    if member.kind == "marker":
        return Summary(0, frozenset(), 0.0, 0.0, has_marker=True, expected=member.count)
    return Summary(1, frozenset({member.distinct}), 0.0, 0.0, parts={member.part: 1})


def _due(due: Due, key: Mapping[str, str]) -> str:
    """Return when a batch with this key is due, for people."""
    if due.date is not None:
        return iso(due.time_on(due.date_of(key)))
    when = document_of(due)
    first = when.get("after") or f"the first {due.at} {due.timezone}"
    return f"{first} after its first member"


def _released(message: MemberMessage) -> Iterator[dict[str, Any]]:
    """Yield what each target of the rule would get if the batch were released with this member alone."""
    member = message.member
    batch = Batch(
        id="batch",
        rule_id=message.rule_id,
        rule_version=message.rule_version,
        document=message.document,
        key=message.key,
        number=1,
        first_at=0.0,
        due_at=None,
    )
    manifest = f"s3://{_BUCKET}/feeds/{message.rule_id}/batch/members.jsonl.gz"
    decision = Decision(batch.id, "complete", is_complete=True, count=1, manifest=manifest)
    for found in requests_of(batch, _summary(member), decision, [member], bucket=_BUCKET):
        match found:
            case Resolved(request=request):
                target = request.target
                dates = {"logical_date": target.logical_date, "partition_key": target.partition_key}
                yield {
                    "environment": target.environment,
                    "dag_id": target.dag_id,
                    **{name: value for name, value in dates.items() if value is not None},
                    "conf": _own(target.conf),
                }
            case Refused(text=text):
                yield {"reason": text}


class _Nowhere:
    """Queues that drop everything: the report of a trial contains what would be sent."""

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        """Send nothing."""

    def collect(self, messages: Sequence[MemberMessage]) -> None:
        """Send nothing."""

    def put(self, checks: Sequence[ClaimCheck]) -> None:
        """Write nothing to a bucket."""

    def record(self, records: Sequence[ShadowRecord]) -> None:
        """Record nothing."""

    def publish(self, dead: Sequence[DeadEvent]) -> None:
        """Publish nothing."""
