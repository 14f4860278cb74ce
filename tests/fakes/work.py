"""Work counted instead of timed: the same on every machine, however busy."""

import gc
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Calls:
    """Calls of Python's and of C's functions, and of regular expressions among them."""

    count: int = 0
    regular_expressions: int = 0


@contextmanager
def counted_calls(at_most: float = float("inf")) -> Iterator[Calls]:
    """Count the calls inside the block; what takes more than `at_most` is stopped, as it may have no end."""
    calls = Calls()

    def count(_frame: object, kind: str, argument: object) -> None:
        calls.count += kind in {"call", "c_call"}
        calls.regular_expressions += kind == "c_call" and isinstance(
            getattr(argument, "__self__", None), re.Pattern
        )
        if calls.count > at_most:
            raise AssertionError(f"more than {at_most} calls")

    before = sys.getprofile()
    with _no_collection():
        sys.setprofile(count)
        try:
            yield calls
        finally:
            sys.setprofile(before)


@dataclass
class Steps:
    """Instructions of Python's interpreter: each turn of a loop counts, which calls nothing."""

    count: int = 0


@contextmanager
def counted_steps(at_most: float = float("inf")) -> Iterator[Steps]:
    """Count the interpreter's steps inside the block; what takes more than `at_most` is stopped.

    How many a piece of code takes differs from one Python to the next: compare two counts. A call of a C function is one
    step, however long it takes; `counted_calls`, or a string that counts its searches, shows those.
    """
    steps = Steps()

    def count() -> None:
        steps.count += 1
        if steps.count > at_most:
            raise AssertionError(f"more than {at_most} steps")

    with _no_collection(), _each_step(count):
        yield steps


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out: others' callbacks on it (Hypothesis has one) are calls that come at any moment."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _each_step(count: Callable[[], None]) -> Iterator[None]:
    if sys.version_info >= (3, 12):  # there a trace function misses the first run of each piece of code
        tool, instruction = sys.monitoring.PROFILER_ID, sys.monitoring.events.INSTRUCTION
        sys.monitoring.use_tool_id(tool, "steps")
        sys.monitoring.register_callback(tool, instruction, lambda _code, _offset: count())
        sys.monitoring.set_events(tool, instruction)
        try:
            yield
        finally:
            sys.monitoring.set_events(tool, sys.monitoring.events.NO_EVENTS)
            sys.monitoring.free_tool_id(tool)
        return

    def follow(frame: FrameType, _kind: str, _argument: object) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return count_opcode

    def count_opcode(_frame: FrameType, kind: str, _argument: object) -> Any:
        if kind == "opcode":
            count()
        return count_opcode

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        yield
    finally:
        sys.settrace(before)


def steps_of(work: Callable[[], object]) -> int:
    """Return the steps that `work` takes; it is stopped after those of half a minute, as it may have no end."""
    with counted_steps(at_most=50_000_000) as steps:
        work()
    assert steps.count, "nothing was counted"
    return steps.count
