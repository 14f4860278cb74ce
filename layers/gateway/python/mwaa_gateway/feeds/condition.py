"""Decides about a batch from its rule's `collect`, what it has, and the time: pure, and the only place that does.

    what the rule says           the batch is released
    complete_when                once complete, and quiet for the quiet period (a marker: 30 s; else at once)
    quiet_period, no condition   once no member has arrived for so long                              → complete
    max_items                    once it has so many members
    max_wait                     so long after its first member, 30 days at most, with what is there and `missing`
    a late batch                 once no member has arrived for the late quiet period, whatever the rule says

The first that is true, from above, is the reason. Times come from one clock: when SQS took the members' messages.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import assert_never

from mwaa_gateway.feeds.batch import Reason
from mwaa_gateway.rules.collect import (
    LATE_QUIET_SECONDS,
    LONGEST_OPEN_SECONDS,
    MARKER_QUIET_SECONDS,
    Collect,
    Count,
    Marker,
    Values,
)

__all__ = ["Release", "Summary", "Wait", "first_look", "judge", "missing_of"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a batch has. `distinct` are the different things that its condition counts; times are in seconds since the epoch.

    `expected` is the largest number that a marker named, None without one.
    """

    members: int
    distinct: frozenset[str]
    first_at: float
    last_at: float
    has_marker: bool = False
    expected: int | None = None
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at `until`, in seconds since the epoch, or when a member arrives. `missing` says what the batch lacks."""

    until: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """The batch is released now."""

    reason: Reason
    is_complete: bool
    missing: tuple[str, ...] = ()


def judge(collect: Collect, batch: Summary, now: float) -> Wait | Release:
    """Decide whether the batch is released, and if not, until when it waits at most."""
    if batch.is_late:
        quiet_at = batch.last_at + LATE_QUIET_SECONDS
        return Release("quiet_period", is_complete=False) if now >= quiet_at else Wait(quiet_at)
    missing = missing_of(collect, batch)
    moments: list[tuple[float, Release]] = []
    if collect.complete_when is None:
        if collect.quiet_period is not None:
            quiet_at = batch.last_at + collect.quiet_period
            moments.append((quiet_at, Release("quiet_period", is_complete=True)))
    elif not missing:
        moments.append((batch.last_at + _quiet_once_complete(collect), Release("complete", is_complete=True)))
    is_complete = not missing
    if collect.max_items is not None and batch.members >= collect.max_items:
        moments.append((batch.last_at, Release("max_items", is_complete, missing)))
    longest = min(collect.max_wait or LONGEST_OPEN_SECONDS, LONGEST_OPEN_SECONDS)
    moments.append((batch.first_at + longest, Release("max_wait", is_complete, missing)))
    for at, release in moments:
        if now >= at:
            return release
    return Wait(min(at for at, _ in moments), missing)


def first_look(collect: Collect, first_at: float, *, is_late: bool) -> float:
    """Return when a batch that has just opened must be looked at, if no member arrives that may complete it."""
    summary = Summary(0, frozenset(), first_at, first_at, is_late=is_late)
    match judge(collect, summary, -math.inf):
        case Wait(until=until):
            return until
        case Release():  # no moment lies before all time
            return first_at


def _quiet_once_complete(collect: Collect) -> int:
    if collect.quiet_period is not None:
        return collect.quiet_period
    return MARKER_QUIET_SECONDS if isinstance(collect.complete_when, Marker) else 0


def missing_of(collect: Collect, batch: Summary) -> tuple[str, ...]:
    """Return what the batch lacks, by name where it has one; empty for a complete batch."""
    match collect.complete_when:
        case None:
            return ()
        case Marker():
            if not batch.has_marker:
                return ("the marker",)
            return _too_few(batch.expected or 0, batch.distinct, "members")
        case Count(count=count, of=of):
            return _too_few(count, batch.distinct, f"values of {of.text}" if of else "members")
        case Values(all_of=all_of):
            return tuple(value for value in all_of if value not in batch.distinct)
        case condition:
            assert_never(condition)


def _too_few(wanted: int, found: Collection[str], what: str) -> tuple[str, ...]:
    return () if len(found) >= wanted else (f"{wanted - len(found)} of {wanted} {what}",)
