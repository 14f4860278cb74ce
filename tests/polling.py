"""Waiting for what happens in other processes: a condition, a deadline, and what was seen when it passed.

A busy machine makes no test red: time counts by the share of a processor that this process gets. Where four processes share
one, four seconds count as one. On an idle machine, a test that waits in vain fails after twice the time that it names.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = 2  # for what a processor's share does not show: a slow disk, a cold cache
LONGEST_PATIENCE: Final = 10  # however busy the machine is
_SAMPLE_SECONDS: Final = 0.02  # of processor time, a second apart: longer than a scheduler's slice


def until(what: str, probe: Callable[[], T | None], *, seconds: float, every: float = 0.1) -> T:
    """The first truthy answer of `probe`; AssertionError naming `what` and the last answer in the end.

    `seconds` is what it may take on an idle machine; it is given twice that, and up to ten times on a busy one.
    """
    began = sampled = time.monotonic()
    left = PATIENCE * seconds
    while True:
        answer = probe()
        if answer:
            return answer
        now = time.monotonic()
        if now - sampled >= 1:
            left -= (now - sampled) / _slowdown()
            sampled = now
        if left - (now - sampled) <= 0 or now - began > LONGEST_PATIENCE * seconds:
            raise AssertionError(f"waited {now - began:.0f} s for {what}; the last answer was {answer!r}")
        time.sleep(every)


def _slowdown() -> float:
    """How many times longer this thread takes for some work than it would alone: by waiting, throttling, other tenants."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < _SAMPLE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _SAMPLE_SECONDS)
