"""Waiting: for how long, on an idle machine and on a busy one; with a clock of its own."""

from dataclasses import dataclass

import pytest

import polling
from polling import until


@dataclass
class Clock:
    """In place of `time`; `slowdown` is how many times longer work takes than on an idle machine."""

    slowdown: float = 1.0
    now: float = 0.0
    worked: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        self.worked += 0.001
        self.now += 0.001 * self.slowdown
        return self.worked

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(polling, "time", clock)
    return clock


@pytest.mark.parametrize(("slowdown", "least", "most"), [(1, 60, 70), (4, 230, 270), (100, 300, 310)])
def test_what_never_happens_is_said_after_twice_the_time_and_later_on_a_busy_machine(
    clock: Clock, slowdown: float, least: float, most: float
) -> None:
    """As many times later as work takes longer there; ten times the time at most."""
    clock.slowdown = slowdown
    with pytest.raises(AssertionError, match=r"waited \d+ s for a run; the last answer was \[\]"):
        until("a run", list, seconds=30)
    assert least <= clock.now <= most


def test_what_happens_ends_the_wait(clock: Clock) -> None:
    """At once where it has happened before; else it is looked for every so often."""
    assert until("it", lambda: "there", seconds=30) == "there"
    assert clock.now == 0
    assert until("it", lambda: clock.now >= 5, seconds=30, every=1)
    assert 5 <= clock.now < 6.2


def test_a_probe_that_takes_longer_than_the_wait_has_its_answer_counted(clock: Clock) -> None:
    """The deadline is looked at after the probe."""

    def slow() -> bool:
        clock.now += 1_000
        return True

    assert until("it", slow, seconds=1)
