"""What rules would do with events, by the code that does it: `ingest`, over rules and queues in memory."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway_cli.rules.event_files import NamedEvent
from gateway_cli.rules.store import document_text
from mwaa_gateway.ingest import DeadEvent, IngressReport, ingest
from mwaa_gateway.live_rules import LiveRules, StoredRule
from mwaa_gateway.routing import rule_partitions
from mwaa_gateway.rules import Rule
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["RulesInMemory", "Trial", "try_events"]


class RulesInMemory:
    """Rules as the table would hold them; implements `mwaa_gateway.live_rules.RuleSource`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._copies: dict[str, list[StoredRule]] = {}
        for rule in rules:
            if rule.state == "DISABLED":
                continue
            copy = StoredRule(rule.id, rule.version, document_text(rule))
            for partition in rule_partitions(rule.pattern.document):
                self._copies.setdefault(partition, []).append(copy)

    def heads(self, partitions: Sequence[str]) -> Mapping[str, int]:
        """Say which partitions have rules."""
        return {partition: int(partition in self._copies) for partition in partitions}

    def copies(self, partition: str) -> Sequence[StoredRule]:
        """Return a partition's rules."""
        return self._copies.get(partition, [])


@dataclass(frozen=True, slots=True)
class Trial:
    """What one event came to."""

    event: NamedEvent
    report: IngressReport


def try_events(
    rules: Sequence[Rule], events: Iterable[NamedEvent], *, environments: Collection[str] | None
) -> list[Trial]:
    """Hold each event against the rules, as the ingress functions would; nothing is sent anywhere."""
    known = environments or {target.environment for rule in rules for target in rule.targets}
    live = LiveRules(RulesInMemory(rules), environments=known, refresh_seconds=1e9)
    return [Trial(event, _ingested(event, live)) for event in events]


def _ingested(named: NamedEvent, live: LiveRules) -> IngressReport:
    return ingest(
        [named.event],
        payload={},
        rules=live,
        queue=_Nowhere(),
        dead_letters=_Nowhere(),
        now=lambda: 0.0,
    )


class _Nowhere:
    """The queues of a trial: the report says what would have been sent."""

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        """Send nothing."""

    def bury(self, dead: Sequence[DeadEvent]) -> None:
        """Keep nothing."""
