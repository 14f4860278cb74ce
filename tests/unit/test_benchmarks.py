"""The benchmarks run, and show at a small size what they are there to show."""

import pytest

from benchmarks import ingest, routing

pytestmark = pytest.mark.no_cover  # times are measured here


@pytest.mark.parametrize("kind", ["standard", "wildcard, no ends"])
def test_index_is_far_ahead_of_asking_every_rule(kind: str):
    """Side by side in one run; on an idle machine it is hundreds of times."""
    row = routing.measured(kind, 1_000, events=100, seconds=0.05)
    assert row["times_scan"] > 20
    assert row["times_moto"] > 20
    assert row["found_per_event"] >= 1


def test_ingesting_an_event_takes_less_than_a_millisecond():
    """Among a thousand rules of one partition: parsed, matched, resolved and encoded."""
    assert ingest.milliseconds_per_event("exact", 1_000, events=100)["p50"] < 1
