"""The order in which two processes have the least to wait for each other, and Python's collector out of their way."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# What takes longest comes first (`make test-simulation` hands out one test at a time), the hundred seeds last.
FIRST = ("test_storm.py", "test_crash_points.py", "test_waits.py", "test_baselines.py", "test_safeguards.py")
LAST = "test_a_seeds_day_keeps_every_promise"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if HERE not in item.path.parents:
        return -1
    if item.name.startswith(LAST):
        return len(FIRST) + 1
    return FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST)


@pytest.fixture(scope="session", autouse=True)
def _collect_rarely() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    yield
    gc.set_threshold(*before)
