"""Promise 3 under a storm: three slots, two seconds a command, and nothing of our making is refused."""

import pytest

from simulation.checker import Bounds
from simulation.scenario import Scenario

EVENTS, SLOTS, SECONDS = 10_000, 3, 2.0


@pytest.mark.guarantee(39)
def test_ten_thousand_events_in_a_minute_drain_as_fast_as_the_slots_allow() -> None:
    """Within five percent of what three slots allow, one command each, never a fourth at once, no 503."""
    scenario = Scenario()
    server = scenario.gateway.servers["legacy"]
    server.seconds = (SECONDS, SECONDS)
    for n in range(1, EVENTS + 1):
        scenario.upload(n, at=60 * n / EVENTS)
    theory = EVENTS * SECONDS / SLOTS
    verdict = scenario.play(
        Bounds(commands_per_run=1.0, deliveries_per_request=1.0, longest_delay=1.05 * theory)
    )
    assert [] == verdict.problems
    assert EVENTS == verdict.created
    drained = max(run.created_at for run in scenario.runs) - scenario.world.start
    assert drained <= 1.05 * theory
    assert SLOTS == server.most_running
    assert 0 == server.refused_busy


@pytest.mark.guarantee(39)
def test_one_environments_storm_does_not_delay_anothers_events() -> None:
    """Row 39, across environments: each has its queue and its slots."""
    scenario = Scenario()
    for n in range(1, 3001):
        scenario.upload(n, at=n / 100)
    for n in range(3001, 3061):
        scenario.close(n, at=(n - 3000) * 10)
    assert [] == scenario.play().problems
    for name in ("analytics", "science"):
        for run in scenario.gateway.airflows[name].history:
            n = scenario.number_of(run)
            assert run.created_at - scenario.expected.arrived[n] <= 10.0
