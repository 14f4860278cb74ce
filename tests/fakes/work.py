"""Work counted instead of timed: the same on every machine, however busy."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Calls:
    """Calls of Python's and of C's functions."""

    count: int = 0


@contextmanager
def counted_calls(at_most: float = float("inf")) -> Iterator[Calls]:
    """Count the calls inside the block; what takes more than `at_most` is stopped, as it may have no end."""
    calls = Calls()

    def count(_frame: object, kind: str, _argument: object) -> None:
        calls.count += kind in {"call", "c_call"}
        if calls.count > at_most:
            raise AssertionError(f"more than {at_most} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)
