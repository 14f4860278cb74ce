"""Measuring one thing: times, memory, and what the others take for the same."""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one event takes; `undisturbed` is of each event's best round, without what the machine was busy with."""

    p50_microseconds: float
    p99_microseconds: float
    undisturbed_p99_microseconds: float


def rate(items: Sequence[Any], call: Callable[[Any], object], *, rounds: int = 5) -> float:
    """Return the items per second of something quick, in processor time: the best run through all of them."""
    quickest = float("inf")
    for _ in range(rounds):
        begun = time.thread_time()
        for item in items:
            call(item)
        quickest = min(quickest, time.thread_time() - begun)
    return len(items) / quickest


def latency(texts: Sequence[str], call: Callable[[str], object], *, rounds: int = 5) -> Latency:
    """Time the call with each text, each figure of its best round; asking the time is in it, half a µs.

    All of it is processor time. Other programs on a busy machine still show in the p99, as they empty its caches.
    """
    p50, p99 = [], []
    best = [float("inf")] * len(texts)
    for _ in range(rounds):
        seconds = []
        for text in texts:
            begun = time.thread_time()
            call(text)
            seconds.append(time.thread_time() - begun)
        best = list(map(min, best, seconds))
        p50.append(percentile(seconds, 50))
        p99.append(percentile(seconds, 99))
    return Latency(min(p50) * 1e6, min(p99) * 1e6, percentile(best, 99) * 1e6)


def percentile(seconds: Sequence[float], percent: int) -> float:
    """Return what so many percent (below 100) stay under."""
    return sorted(seconds)[len(seconds) * percent // 100]


def per_second(
    texts: Sequence[str], match: Callable[[Mapping[str, Any]], object], *, seconds: float
) -> float:
    """Return the events per second of something slow, JSON text in: as many events as the seconds allow."""
    begun = time.thread_time()
    done = 0
    while time.thread_time() - begun < seconds:
        match(json.loads(texts[done % len(texts)]))
        done += 1
    return done / (time.thread_time() - begun)


def resident_megabytes() -> float:
    """Return the memory of this process that is in use now; its highest mark where the system does not tell."""
    try:
        with open("/proc/self/statm") as pages:  # noqa: PTH123
            return int(pages.read().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
