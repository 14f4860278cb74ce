"""Both flows of the feeds on one store in memory."""

import json
from dataclasses import dataclass, field
from typing import Any

from fakes.batches import (
    BatchesInMemory,
    BusInMemory,
    FlushesInMemory,
    LateMembersInMemory,
    ManifestsInMemory,
    TimersInMemory,
)
from fakes.claim_checks import FakeClaimChecks
from fakes.object_claims import FakeClaims
from fakes.queues import FakeTriggerQueue
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.feeds.release import Looked, Releaser
from mwaa_gateway.routing.members import Member, MemberMessage
from mwaa_gateway.rules import parse_rule

RULE: dict[str, Any] = {
    "id": "sales.nightly",
    "pattern": {"source": ["aws.s3"]},
    "captures": {"detail.object.key": "orders/{date}/{file}"},
    "collect": {"key": ["<date>"], "quiet_period": "10m"},
    "target": {"environment": "analytics", "dag_id": "load_orders"},
}
DATE = (("date", "2026-11-22"),)


@dataclass
class Feeds:
    """Both flows on one store, with a clock."""

    store: BatchesInMemory = field(default_factory=BatchesInMemory)
    manifests: ManifestsInMemory = field(default_factory=ManifestsInMemory)
    timers: TimersInMemory = field(default_factory=TimersInMemory)
    flushes: FlushesInMemory = field(default_factory=FlushesInMemory)
    bus: BusInMemory = field(default_factory=BusInMemory)
    late_members: LateMembersInMemory = field(default_factory=LateMembersInMemory)
    queue: FakeTriggerQueue = field(default_factory=FakeTriggerQueue)
    claims: FakeClaims = field(default_factory=FakeClaims)
    claim_checks: FakeClaimChecks = field(default_factory=FakeClaimChecks)
    now: float = 1_000.0
    rule: dict[str, Any] = field(default_factory=lambda: dict(RULE))
    ids: int = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def collect(self, *members: Member, key: tuple[tuple[str, str], ...] = DATE) -> list[str]:
        """Collect members that SQS took now; the results."""
        document = json.dumps(parse_rule(self.rule, environments=None).document())
        return self.deliver(
            *(MemberMessage("sales.nightly", 3, document, key, member, self.now) for member in members)
        )

    def deliver(self, *messages: MemberMessage) -> list[str]:
        """Collect messages; the results, in their order."""
        collector = Collector(
            store=self.store,
            claims=self.claims,
            manifests=self.manifests,
            timers=self.timers,
            late_members=self.late_members,
            new_id=self.new_id,
            now=lambda: self.now,
        )
        return [each.result for each in collector.collect(messages)]

    def look(self, batch_id: str | None = None, *, at: float = 1e9) -> Looked:
        """Look at a batch, by default at the first one, long after its members came; what was sent before is collected."""
        batch_id = batch_id or min(self.store.batches)
        releaser = self.releaser(at)
        looked = releaser.look(batch_id)
        if looked.result == "flushes":
            self.store.mark_collected(batch_id, at)
            looked = releaser.look(batch_id)
        releaser.mark_reported(looked)
        return looked

    def releaser(self, at: float = 1e9) -> Releaser:
        return Releaser(
            store=self.store,
            manifests=self.manifests,
            flushes=self.flushes,
            bus=self.bus,
            claim_checks=self.claim_checks,
            queue=self.queue,
            new_id=self.new_id,
            now=lambda: at,
            claim_check_bucket="claims",
        )

    @property
    def batch_ids(self) -> list[str]:
        return list(self.store.batches)


def member(name: str, **more: Any) -> Member:
    return Member(name, {"uri": f"s3://landing/{name}", "size": 10, **more}, f"s3://landing/{name}")


def marker(name: str, count: int | None = None) -> Member:
    return Member(name, {}, "", "marker", count)
