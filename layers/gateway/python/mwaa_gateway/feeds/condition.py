"""Decides about a batch from its rule's `collect`, what it has, and the time: pure, and the only place that does.

    what the rule says           the batch is released
    complete_when                once complete, and quiet for the quiet period (a marker: 30 s; else at once)
    quiet_period, no condition   once no member has arrived for so long                              → complete
    max_items                    once it has so many members
    due, when_due: release       when it is due, with what is there and `missing`
    due, when_due: cancel        never, if it is not complete when it is due: it is cancelled
    max_wait                     so long after its first member, 30 days at most, with what is there and `missing`
    a late batch                 once no member has arrived for the late quiet period, whatever the rule says

The first that is true, from above, is the reason. A member arrives when SQS takes its message. A quiet period has passed
only once what was sent before its end is collected, by SQS's clock; `due` and `max_wait` pass by the function's clock.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from typing import Final, assert_never

from mwaa_gateway.feeds.batch import Reason
from mwaa_gateway.rules.collect import (
    LATE_QUIET_SECONDS,
    MARKER_QUIET_SECONDS,
    Collect,
    Count,
    Marker,
    Parts,
    Values,
)
from mwaa_gateway.rules.due import LONGEST_OPEN_SECONDS
from mwaa_gateway.values import value

_AT_ONCE: Final = -math.inf  # whatever the clock of the function says


@value
class Summary:
    """What a batch has. `distinct` are the different things that its condition counts; times are in seconds since the epoch.

    `expected` is the largest number that a marker named, None without one. `parts` counts the different members of each
    part. Members that were sent before `collected_until` are counted.
    """

    members: int
    distinct: frozenset[str]
    first_at: float
    last_at: float
    has_marker: bool = False
    expected: int | None = None
    is_late: bool = False
    parts: Mapping[str, int] = field(default_factory=dict)
    due_at: float | None = None
    collected_until: float = 0.0


@value
class Wait:
    """Look again at `until`, in seconds since the epoch, or when a member arrives.

    `missing` says what the batch lacks. `is_overdue`: it is not released though it is due.
    """

    until: float
    missing: tuple[str, ...] = ()
    is_overdue: bool = False


@value
class Flush:
    """The batch is quiet, by the members that are collected; members that were sent before may still be on their way."""


@value
class Release:
    """The batch is released now, or cancelled."""

    reason: Reason
    is_complete: bool
    missing: tuple[str, ...] = ()


@value
class _Moment:
    """A batch is released at `at`; after a quiet period only once what was sent before `at` is collected."""

    at: float
    release: Release
    is_quiet: bool = False


def judge(collect: Collect, batch: Summary, now: float) -> Wait | Flush | Release:
    """Decide whether the batch is released, and if not, until when it waits at most."""
    missing = () if batch.is_late else missing_of(collect, batch)
    moments = [*_moments(collect, batch, missing)]
    quiet: Release | None = None  # by what is collected, and members may be on their way
    for moment in (moment for moment in moments if now >= moment.at):
        if moment.is_quiet and batch.collected_until < moment.at:
            quiet = moment.release
        elif quiet is None:
            return moment.release
        elif moment.release.reason != "cancelled":  # a batch that is quiet may have been in time
            return quiet
    if quiet is not None:
        return Flush()
    is_due = batch.due_at is not None and now >= batch.due_at
    until = min(moment.at for moment in moments)
    if batch.due_at is not None and not is_due:
        until = min(until, batch.due_at)
    if not batch.members and collect.complete_when is None and collect.quiet_period is not None:
        # Its opener crashed before it stored a member, or no member opened it: the next members send no look.
        until = min(until, now + collect.quiet_period)
    return Wait(until, missing, is_due and (bool(missing) or collect.complete_when is None))


def _moments(collect: Collect, batch: Summary, missing: tuple[str, ...]) -> Iterator[_Moment]:
    """Yield when the batch is released if nothing else arrives, and why; the first that has passed counts."""
    if batch.is_late:
        yield _Moment(
            batch.last_at + LATE_QUIET_SECONDS, Release("quiet_period", is_complete=False), is_quiet=True
        )
        return
    is_complete = not missing
    if is_complete and collect.complete_when is not None:
        quiet = _quiet_once_complete(collect)
        at = batch.last_at + quiet if quiet else _AT_ONCE
        yield _Moment(at, Release("complete", is_complete=True), is_quiet=quiet > 0)
    elif is_complete and collect.quiet_period is not None:
        at = batch.last_at + collect.quiet_period
        yield _Moment(at, Release("quiet_period", is_complete=True), is_quiet=True)
    if collect.max_items is not None and batch.members >= collect.max_items:
        yield _Moment(_AT_ONCE, Release("max_items", is_complete, missing))
    if (
        batch.due_at is not None
        and collect.when_due != "report"
        and (missing or collect.complete_when is None)
    ):
        reason: Reason = "cancelled" if collect.when_due == "cancel" else "due"
        yield _Moment(batch.due_at, Release(reason, is_complete, missing))
    longest = min(collect.max_wait or LONGEST_OPEN_SECONDS, LONGEST_OPEN_SECONDS)
    yield _Moment(batch.first_at + longest, Release("max_wait", is_complete, missing))


def was_overdue(collect: Collect, batch: Summary, reason: Reason, *, when_due: Summary) -> bool:
    """Return whether a batch that its rule releases for this reason was due before, and not complete.

    `when_due` is what it had when it was due.
    """
    if reason == "complete":
        return batch.due_at is not None and bool(missing_of(collect, when_due))
    return any(
        batch.due_at is not None and batch.due_at <= max(moment.at, batch.last_at)
        for moment in _moments(collect, batch, missing_of(collect, batch))
        if moment.release.reason == reason
    )


def next_release(collect: Collect, batch: Summary, now: float) -> tuple[float, Reason]:
    """Return when and why the batch is released if nothing else arrives, for people: every quiet period is sure."""
    missing = () if batch.is_late else missing_of(collect, batch)
    moments = [*_moments(collect, batch, missing)]
    passed = [moment for moment in moments if now >= moment.at]
    at, release = min(((each.at, each.release) for each in passed or moments), key=lambda each: each[0])
    return max(at, now), release.reason


def first_look(collect: Collect, first_at: float, due_at: float | None, *, is_late: bool) -> float:
    """Return when a batch that has just opened must be looked at, if no member arrives that may complete it."""
    summary = Summary(1, frozenset(), first_at, first_at, is_late=is_late, due_at=due_at)
    match judge(collect, summary, -math.inf):
        case Wait(until=until):
            return until
        case _:  # no moment lies before all time
            return first_at


def _quiet_once_complete(collect: Collect) -> int:
    if collect.quiet_period is not None:
        return collect.quiet_period
    return MARKER_QUIET_SECONDS if isinstance(collect.complete_when, Marker) else 0


def missing_of(collect: Collect, batch: Summary) -> tuple[str, ...]:
    """Return what the batch lacks, by name where it has one; empty for a complete batch."""
    match collect.complete_when:
        case None:
            return () if batch.members else ("every member",)
        case Marker():
            if not batch.has_marker:
                return ("the marker",)
            return _too_few(batch.expected or 0, batch.distinct, "members")
        case Count(count=count, of=of):
            return _too_few(count, batch.distinct, f"values of {of.text}" if of else "members")
        case Values(all_of=all_of):
            return tuple(value for value in all_of if value not in batch.distinct)
        case Parts(parts=parts, require=require):
            lacking = {
                name: part.at_least - found
                for name, part in parts.items()
                if (found := batch.parts.get(name, 0)) < part.at_least
            }
            if len(parts) - len(lacking) >= require:
                return ()
            return tuple(
                name if parts[name].at_least == 1 else f"{few} of {parts[name].at_least} members of {name}"
                for name, few in lacking.items()
            )
        case condition:
            assert_never(condition)


def _too_few(wanted: int, found: Collection[str], what: str) -> tuple[str, ...]:
    return () if len(found) >= wanted else (f"{wanted - len(found)} of {wanted} {what}",)
