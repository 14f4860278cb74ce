"""Promise 1 under every fault at once: a seed's day after the other, none lost, none doubled, dead only the poison.

A seed that fails says how to play it again alone. `make simulate SEEDS=1000` plays more of them.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulation.checker import Bounds
from simulation.simulate import BEGINS, simulate
from simulation.world import Outage, Rates

REPLAY = Path(__file__).parent / "replay.py"


@pytest.mark.guarantee(1, 2, 6, 12, 17, 18, 24, 32, 47, 48)
@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.full) for seed in range(12, 100))]
)
def test_a_seeds_day_keeps_every_promise(
    seed: int, record_property: Callable[[str, dict[str, int]], None]
) -> None:
    """A thousand events from all sources, some more for rules that collect, and a fault in every second call or so."""
    simulated = simulate(seed)
    record_property("counts", simulated.counts())
    assert simulated.verdict.ok, simulated.explain()
    assert sum(simulated.faults.values()) > 1000
    assert simulated.verdict.created == simulated.expected


def test_a_day_without_faults_is_cheap_and_quick() -> None:
    """About one command and one delivery for each run: only uploads that come by two routes at once cost more."""
    bounds = Bounds(commands_per_run=1.4, deliveries_per_request=1.2, longest_delay=120)
    simulated = simulate(7, rates=Rates(), outages=(), poison=0.0, bounds=bounds)
    assert simulated.verdict.ok, simulated.explain()


@pytest.mark.guarantee(21)
@pytest.mark.parametrize("service", ["dynamodb", "sqs", "mwaa science", "web server legacy"])
def test_a_twelve_hour_outage_with_every_event_in_it(service: str) -> None:
    """Late, and nothing else."""
    outage = Outage(service, BEGINS - 10, BEGINS + 12 * 3600)
    bounds = Bounds(commands_per_run=4.0, deliveries_per_request=1000.0, longest_delay=16 * 3600)
    simulated = simulate(12, 40, outages=(outage,), bounds=bounds)
    assert simulated.verdict.ok, simulated.explain()


def test_a_seed_is_played_the_same_twice() -> None:
    """The seed owns everything: another process, with other hashes, sees the same history."""
    here = simulate(3, 60)
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, REPLAY, "3", "--events", "60"],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"digest={here.digest!r}" in there.stdout
