"""What an event costs the gateway's own code: from what EventBridge delivers to the body of the queue's message.

    python -m benchmarks.ingest

The rules table and the queues are in memory, so that only the gateway's own work is timed, in processor time: the
steady state, the first event of a fresh sandbox, which reads and compiles the rules of its partition, and the first
event after one of these rules changed.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.rule_sets import RuleSet, rule_set
from mwaa_gateway.conf.claim_check import ClaimCheck
from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.ingress.ingest import DeadEvent, Ingress, IngressReport
from mwaa_gateway.ingress.shadow import ShadowRecord
from mwaa_gateway.patterns import compile_pattern
from mwaa_gateway.routing.live_rules import LiveRules, StoredRule
from mwaa_gateway.routing.members import MemberMessage
from mwaa_gateway.rules.partitions import rule_partitions
from mwaa_gateway.trigger_request import TriggerRequest


class RulesInMemory:
    """A rules table without the network; implements `mwaa_gateway.routing.live_rules.RuleSource`."""

    def __init__(self, shape: RuleSet) -> None:
        self._generation = 1
        self._partitions: dict[str, list[StoredRule]] = {}
        for number, text in enumerate(shape.patterns):
            target = {"id": "default", "environment": "analytics", "dag_id": "ingest"}
            rule = {"id": f"r{number}", "pattern": json.loads(text), "targets": [target]}
            for partition in rule_partitions(compile_pattern(text)):
                stored = StoredRule(f"r{number}", 1, json.dumps(rule))
                self._partitions.setdefault(partition, []).append(stored)

    def heads(self, partitions: Sequence[str]) -> Mapping[str, int]:
        """Return the same generation for all partitions that have rules."""
        return {name: self._generation if name in self._partitions else 0 for name in partitions}

    def copies(self, partition: str) -> Sequence[StoredRule]:
        """Return the partition's rules."""
        return self._partitions[partition]

    def change(self) -> None:
        """Change a rule of each partition."""
        self._generation += 1
        for rules in self._partitions.values():
            rules[0] = replace(rules[0], version=rules[0].version + 1)

    def namespaces(self) -> Mapping[str, str]:
        """Say that there are no allow-lists."""
        return {}


class _Bodies:
    """Encodes what the queues would be sent, and drops it."""

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        for request in requests:
            request.to_json()

    def collect(self, messages: Sequence[MemberMessage]) -> None:
        raise AssertionError(messages)

    def publish(self, dead: Sequence[DeadEvent]) -> None:
        raise AssertionError(dead)

    def record(self, shadows: Sequence[ShadowRecord]) -> None:
        raise AssertionError(shadows)

    def put(self, checks: Sequence[ClaimCheck]) -> None:
        raise AssertionError(checks)


def milliseconds_per_event(kind: str, rules: int, *, events: int = 1_000) -> dict[str, float]:
    """Return the milliseconds of one event: median, worst hundredth, first in a sandbox, first after a change."""
    shape = rule_set(kind, rules, events=events)
    source = RulesInMemory(shape)
    live = LiveRules(source, environments={"analytics"}, refresh_seconds=5)
    for text in shape.events:
        ingested(text, live)
    seconds = sorted(ingested(text, live) for text in shape.events)
    first = [
        ingested(text, LiveRules(source, environments={"analytics"}, refresh_seconds=5))
        for text in shape.events[:10]
    ]
    changed = []
    for second, text in enumerate(shape.events[:10], start=1):
        source.change()
        changed.append(ingested(text, live, now=second * 10.0))
    return {
        "p50": seconds[events // 2] * 1e3,
        "p99": seconds[events * 99 // 100] * 1e3,
        "first": sorted(first)[len(first) // 2] * 1e3,
        "changed": sorted(changed)[len(changed) // 2] * 1e3,
    }


def ingested(text: str, live: LiveRules, *, now: float = 0.0) -> float:
    """Return the seconds of one event's way through ingress."""
    begun = time.thread_time()
    payload = json.loads(text)
    bodies = _Bodies()
    ingress = Ingress(
        rules=live,
        queue=bodies,
        collect_queue=bodies,
        dead_letters=bodies,
        shadows=bodies,
        claim_checks=bodies,
        now=lambda: now,
    )
    report: IngressReport = ingress.ingest(from_eventbridge(payload), payload=payload)
    seconds = time.thread_time() - begun
    if report.dead:
        raise AssertionError(report.dead)
    return seconds


def main() -> None:
    """Print a table."""
    print(
        "| rules | of them in the event's partition | p50 ms | p99 ms | first event of a sandbox ms "
        "| first after one rule changed ms |"
    )
    print("|---|---|---|---|---|---|")
    for kind, rules, together in (
        ("standard", 1_000, 20),
        ("standard", 10_000, 20),
        ("one bucket", 20, 20),
        ("exact", 1_000, 1_000),
        ("exact", 10_000, 10_000),
    ):
        row = milliseconds_per_event(kind, rules)
        print(
            f"| {rules:,} | {together:,} | {row['p50']:.3f} | {row['p99']:.3f} | {row['first']:.1f} "
            f"| {row['changed']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
