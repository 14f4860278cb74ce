"""Waiting times: the back-off of a retry, and the wait for a probe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mwaa_gateway.backoff import backoff_seconds, probe_wait_seconds


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_is_between_nothing_and_fifteen_minutes(attempt: int, jitter: float) -> None:
    """Full jitter: anything up to the bound, which doubles from 5 s."""
    bound = min(900, 5 * 2 ** (attempt - 1)) if attempt < 20 else 900
    assert 0 <= backoff_seconds(attempt, jitter) <= bound


@pytest.mark.parametrize(
    ("until_probe", "receives", "jitter", "expected"),
    [(1, 1, 0.0, 1), (1, 1, 0.5, 1.5), (6, 149, 0.5, 9), (6, 150, 0.0, 45), (6, 150, 0.5, 50)],
)
def test_a_wait_before_an_open_circuit_follows_the_next_probe(
    until_probe: float, receives: int, jitter: float, expected: float
) -> None:
    """At first seconds after the probe; then nobody waits for longer than 55 s."""
    assert expected == probe_wait_seconds(until_probe, receives, jitter)
