"""A small gateway under one kind of fault: what a single row of the fault matrix, or a crash point, needs."""

import json
from collections.abc import Mapping
from typing import Any

from simulation.airflow import Airflow, Run
from simulation.checker import Bounds, LedgerWatch, Verdict, check, event_of
from simulation.gateway import Gateway, MakeDispatcher
from simulation.workload import (
    RULES,
    UNWRAPPED_TOPIC,
    Expected,
    Piece,
    Sent,
    an_event,
    an_upload,
    sequencer,
)
from simulation.world import START, Crashes, Outage, Rates, World

__all__ = ["AIRFLOW_2", "AIRFLOW_3", "NO_TROUBLE", "Scenario"]

AIRFLOW_2, AIRFLOW_3 = "2.11.2", "3.3.1"
NO_TROUBLE = Bounds(commands_per_run=1.0, deliveries_per_request=1.0, longest_delay=10.0)
ANY = Bounds(commands_per_run=1e9, deliveries_per_request=1e9, longest_delay=1e9)
DAY = 86_400.0

ORDERS = RULES["sales.orders"]
CLOSED = RULES["finance.closed"]


class Scenario:
    """Uploads to one rule of one DAG in environment `legacy`, and events whose rule has a target in each of two.

    Times are in seconds since the beginning.
    """

    def __init__(
        self,
        rates: Rates | None = None,
        *,
        seed: int = 0,
        version: str = AIRFLOW_2,
        transport: str = "cli",
        outages: tuple[Outage, ...] = (),
        crashes: Crashes | None = None,
        make_dispatcher: MakeDispatcher | None = None,
        settings: Mapping[str, Any] | None = None,
        logged: bool = False,
    ) -> None:
        shifted = tuple(
            Outage(outage.service, START + outage.begins, START + outage.ends) for outage in outages
        )
        self.world = World(seed, rates or Rates(), shifted)
        if crashes is not None:
            self.world.crashes = crashes
        self.expected = Expected()
        self.watch = LedgerWatch()
        airflows = {
            "legacy": Airflow("legacy", version, {"ingest_orders", "close_b", "load_batch"}),
            "analytics": Airflow("analytics", version, {"close_a", "load_batch"}),
            "science": Airflow("science", version, {"close_c", "load_batch"}),
        }
        self.gateway = Gateway(
            self.world,
            airflows,
            unwrap_topics=frozenset({UNWRAPPED_TOPIC}),
            transports=dict.fromkeys(airflows, transport),
            make_dispatcher=make_dispatcher,
            dispatcher_settings=settings or {},
            logged=logged,
        )
        self.gateway.ledger.watches.append(self.watch)
        self.gateway.put_rule(ORDERS)
        self.gateway.put_rule(CLOSED)

    @property
    def now(self) -> float:
        return self.world.scheduler.now - START

    @property
    def runs(self) -> list[Run]:
        return [run for airflow in self.gateway.airflows.values() for run in airflow.history]

    def upload(
        self, n: int = 1, *, at: float = 0.0, key: str | None = None, again_at: tuple[float, ...] = ()
    ) -> None:
        """An upload that must become one run, delivered at these times."""
        key = key or f"orders/{n}.csv"
        self.expect_upload(n, key, at=at)
        for time in (at, *again_at):
            self.send("s3_events", an_upload(n, key), at=time)

    def expect_upload(self, n: int, key: str, *, at: float = 0.0) -> None:
        self.expected.keys[n] = key
        self.expected.arrived[n] = START + at
        self.expected.runs[n, "sales.orders", "default"] = frozenset({("legacy", "ingest_orders")})

    def expect_rerun(self, n: int, generation: int = 1) -> None:
        """A further run of an upload, on purpose."""
        target = f"default__r{generation}"
        self.expected.runs[n, "sales.orders", target] = self.expected.runs[n, "sales.orders", "default"]

    def pause(self, rule_id: str, *, paused: bool) -> None:
        """What `rules disable` and `rules enable` leave for the dispatchers."""
        key = "brake", f"rule#{rule_id}"
        if paused:
            self.gateway.rules.put(key, {"partition": {"S": key[0]}, "sort": {"S": key[1]}})
        else:
            self.gateway.rules.remove(key)

    def close(self, n: int, *, at: float = 0.0) -> None:
        """An event that must become three runs, one in each environment."""
        self.expected.arrived[n] = START + at
        for target, environment in (("a", "analytics"), ("b", "legacy"), ("c", "science")):
            self.expected.runs[n, "finance.closed", target] = frozenset({(environment, f"close_{target}")})
        event = an_event(f"f-{n}", "acme.finance", "Business Day Closed", {"n": sequencer(n)})
        self.send("eventbridge_events", event, at=at)

    def collect(
        self, n: int, made: tuple[Sent, Piece], *, at: float = 0.0, again_at: tuple[float, ...] = ()
    ) -> None:
        """An event of a rule that collects, delivered at these times."""
        sent, self.expected.pieces[n] = made
        self.expected.came(n, START + at)
        for time in (at, *again_at):
            for function, payload in sent:
                self.send(function, payload, at=time)

    def send(self, function: str, payload: dict[str, Any], *, at: float = 0.0) -> None:
        submit = self.gateway.ingress[function].submit
        self.world.scheduler.at(START + at, lambda: submit(payload))

    def at(self, time: float, action: Any) -> None:
        self.world.scheduler.at(START + time, action)

    def new_sandboxes(self) -> None:
        """Have the next deliveries made to sandboxes that were just started, as Lambda does now and then."""
        for mapping in self.gateway.mappings.values():
            mapping.sandboxes.warm.clear()

    @staticmethod
    def number_of(run: Run) -> int:
        return event_of(json.loads(run.conf))

    def play(self, bounds: Bounds = ANY, *, until: float = 100 * DAY) -> Verdict:
        """Let everything come to its end, and check every promise."""
        if not self.now:
            self.gateway.rules.settle()
        self.world.scheduler.run(until=START + until)
        return check(self.gateway, self.expected, self.watch, bounds)
