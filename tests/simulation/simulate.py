"""One seed from its first event to the last message."""

import hashlib
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulation.checker import Bounds, LedgerWatch, Verdict, check
from simulation.collecting import COLLECTED, MOVED_KEY, add_feeds
from simulation.gateway import Gateway, MakeDispatcher
from simulation.speed import at_full_speed
from simulation.workload import ENVIRONMENTS, MOVED, RULES, UNWRAPPED_TOPIC, airflows, generate
from simulation.world import START, Outage, Rates, World

__all__ = ["Simulated", "simulate"]

DAY = 86_400.0
BEGINS = START + 60
SECONDS = 2 * 3600.0
COLLECTED_SHARE = 6  # beside so many events, one is of a rule that collects
OUTAGES = ("dynamodb", "sqs", "s3", "web server legacy", "web server analytics", "mwaa science")
# A little above what seeds were seen to cost with faults as frequent as these: 1.8 to 2.3 commands a run, 1.6 to 1.7
# deliveries, 8 to 60 s for the run in the middle: on the slowest of a hundred days half of the events had to wait for
# Lambda's own first retry, which comes after a minute. The last of a day waits out an outage and its back-off: an hour
# mostly, two hours and six minutes in the slowest.
BOUNDS = Bounds(commands_per_run=2.6, deliveries_per_request=2.0, longest_delay=4 * 3600, median_delay=75)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of one seed."""

    seed: int
    events: int
    expected: int  # runs
    verdict: Verdict
    faults: dict[str, int]
    calls: dict[str, int]
    steps: int
    seconds: float  # virtual
    digest: str  # of the history: equal for equal seeds

    def counts(self) -> dict[str, int]:
        """What many seeds are added up by."""
        verdict = self.verdict
        return {
            "seeds": 1,
            "events": self.events,
            "faults": sum(self.faults.values()),
            "expected": self.expected,
            "runs": verdict.created,
            "batches": verdict.batches,
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "dead": verdict.dead,
        }

    def explain(self) -> str:
        lines = [f"seed {self.seed} broke a promise; it replays alone with: {replay(self.seed, self.events)}"]
        lines += [f"  {problem}" for problem in self.verdict.problems[:20]]
        return "\n".join(lines)


def replay(seed: int, events: int) -> str:
    return f".venv/bin/python tests/simulation/replay.py {seed} --events {events}"


@at_full_speed()
def simulate(
    seed: int,
    events: int = 1000,
    *,
    rates: Rates | None = None,
    outages: tuple[Outage, ...] | None = None,
    poison: float = 0.01,
    bounds: Bounds = BOUNDS,
    make_dispatcher: MakeDispatcher | None = None,
    transports: Mapping[str, str] | None = None,
    clock_skew: float = 0.0,
    collected: int | None = None,
) -> Simulated:
    """Play a seed's day, let the gateway finish, and check every promise.

    The seed chooses each environment's transport, unless `transports` names them. `collected` events are of rules
    that collect; without it, some more beside `events`.
    """
    rates = Rates.of_the_promise() if rates is None else rates
    choice = random.Random(seed)
    if outages is None:
        # A twentieth of the time, and so of the events.
        begins = BEGINS + choice.random() * SECONDS
        outages = (Outage(choice.choice(OUTAGES), begins, begins + SECONDS / 20),)
    world = World(seed, rates, outages)
    world.clock_skew = clock_skew
    gateway = Gateway(
        world,
        airflows(),
        unwrap_topics=frozenset({UNWRAPPED_TOPIC}),
        transports=_transports(seed) if transports is None else transports,
        make_dispatcher=make_dispatcher,
    )
    gateway.servers["analytics"].killers = frozenset({"killer"})
    for rule in (*RULES.values(), *COLLECTED.values()):
        gateway.put_rule(rule)
    when: Any = {
        "begins": BEGINS,
        "seconds": SECONDS,
        "duplicated": rates.duplicated,
        "reordered": rates.reordered,
    }
    workload = generate(choice, events, poison=poison, **when)
    add_feeds(workload, choice, events // COLLECTED_SHARE if collected is None else collected, **when)
    scheduler = world.scheduler
    for delivery in workload.deliveries:
        submit = gateway.ingress[delivery.function].submit
        scheduler.at(delivery.at, lambda submit=submit, payload=delivery.payload: submit(payload))
    for at, environment, text in workload.garbage:
        scheduler.at(at, lambda queue=gateway.queues[f"trigger-{environment}"], text=text: queue.send(text))
    if workload.rule_moved_at is not None:
        scheduler.at(workload.rule_moved_at, lambda: gateway.put_rule(MOVED, version=2))
        scheduler.at(workload.rule_moved_at, lambda: gateway.put_rule(MOVED_KEY, version=2))
    for cancel in (False, True):
        rule_id = choice.choice(sorted(COLLECTED))
        at = BEGINS + choice.random() * SECONDS
        scheduler.at(at, lambda of=rule_id, cancel=cancel: gateway.feeds.operate(cancel=cancel, rule=of))
    watch = LedgerWatch()
    gateway.ledger.watches.append(watch)
    scheduler.run(until=START + 31 * DAY)  # a batch is open for 30 days at most
    verdict = check(gateway, workload.expected, watch, bounds)
    return Simulated(
        seed,
        events,
        len(workload.expected.runs),
        verdict,
        dict(world.faults),
        dict(world.calls),
        scheduler.steps,
        scheduler.now - START,
        _digest(gateway),
    )


def _transports(seed: int) -> dict[str, str]:
    """A transport for each environment: in six seeds each order of the three, and in the next six one of them twice."""
    orders = (
        list(itertools.permutations(("cli", "rest", "web")))
        + [order for order in itertools.product(("cli", "rest", "web"), repeat=3) if len(set(order)) == 2][
            ::3
        ]
    )
    return dict(zip(sorted(ENVIRONMENTS), orders[seed % len(orders)], strict=True))


def _digest(gateway: Gateway) -> str:
    history = [run for name in ENVIRONMENTS for run in gateway.airflows[name].history]
    reported = [(run.environment, run.dag_id, run.run_id, run.created_at) for run in history]
    return hashlib.sha256(repr((reported, sorted(gateway.world.faults.items()))).encode()).hexdigest()[:16]
