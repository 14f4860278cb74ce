"""What other strategies lose and double on the same days; the figures are printed with `pytest -s`."""

import sys

import pytest

from simulation.baselines import BASELINES, figures

SEEDS, EVENTS = range(2), 500


def test_this_gateway_loses_and_doubles_nothing() -> None:
    """On the days that the others are measured on."""
    mine = figures("", SEEDS, EVENTS)
    assert (0, 0) == (mine.lost, mine.doubled)


@pytest.mark.parametrize(
    ("strategy", "loses", "doubles"),
    [
        ("random run_id, errors tried again", False, True),
        ("Powertools-like idempotency, random run_id", False, True),
        ("derived run_id, “already exists” is success", True, True),
        ("every answer is success", True, True),
    ],
)
def test_what_a_strategy_does_wrong(strategy: str, *, loses: bool, doubles: bool) -> None:
    """Each fails in its own way."""
    theirs = figures(strategy, SEEDS, EVENTS)
    sys.stdout.write(f"{theirs}\n")
    assert (loses, doubles) == (theirs.lost > 0, theirs.doubled > 0)


def test_every_baseline_is_measured() -> None:
    """None is published untested."""
    assert 4 == len(BASELINES)
