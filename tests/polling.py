"""Waiting for what happens in other processes: a condition, a deadline, and what was seen when it passed."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 10  # on a machine that is busy with other things: waiting longer costs nothing where all is well


def until(what: str, probe: Callable[[], T | None], *, seconds: float, every: float = 0.1) -> T:
    """The first truthy answer of `probe`; AssertionError naming `what` and the last answer in the end.

    `seconds` is what it may take on an idle machine; it is given some times that.
    """
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}; the last answer was {answer!r}")
        time.sleep(every)
