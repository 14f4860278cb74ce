"""When a batch is released, by the rule's `collect`, what it has, and the time."""

import math
from dataclasses import replace
from typing import Any

import pytest

from mwaa_gateway.feeds.condition import (
    Flush,
    Release,
    Summary,
    Wait,
    first_look,
    judge,
    next_release,
    was_overdue,
)
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.collect import Collect

EMPTY = Summary(members=0, distinct=frozenset(), first_at=1_000.0, last_at=1_000.0)
DAY = 86_400
SURE = 1e9  # everything that was sent before is collected


def collect(**written: Any) -> Collect:
    """Return `collect` as a rule has it."""
    rule = parse_rule(
        {
            "id": "a.b",
            "pattern": {"source": ["acme"]},
            "captures": {"detail.key": "{day}/{region}/{file}"},
            "collect": {"key": ["<day>"], **written},
            "target": {"environment": "e", "dag_id": "d"},
        },
        environments=None,
    )
    assert rule.collect is not None
    return rule.collect


def batch(*distinct: str, last_at: float = 1_000.0, **more: Any) -> Summary:
    """Return a batch whose first member came at 1,000."""
    more = {"collected_until": SURE} | more
    return replace(EMPTY, members=len(distinct), distinct=frozenset(distinct), last_at=last_at, **more)


MARKER = {"event": {"pattern": {"source": ["done"]}, "captures": {"detail.key": "{day}/{total}"}}}
COUNTED = {"event": {**MARKER["event"], "count": "<total>"}}
QUIET = collect(quiet_period="10m")
BOUNDED = collect(quiet_period="10m", max_wait="1h", max_items=3)
MARKED = collect(complete_when=MARKER, max_wait="1h")
MARKED_COUNT = collect(complete_when=COUNTED, max_wait="1h", quiet_period="1s")
COUNT = collect(complete_when={"count": 2}, max_wait="1h")
HOURS = collect(complete_when={"count": 2, "of": "<region>"}, max_wait="1h")
REGIONS = collect(
    complete_when={"values": {"of": "<region>", "all_of": ["eu", "us"]}}, max_wait="1h", quiet_period="1m"
)


TWO = {"complete_when": {"count": 2}, "max_wait": "1d", "due": {"after": "1h"}}
DUE = collect(**TWO)
DUE_RELEASE = collect(**TWO, when_due="release")
DUE_CANCEL = collect(**TWO, when_due="cancel")
DUE_CANCEL_QUIET = collect(quiet_period="10m", max_wait="1d", due={"after": "1h"}, when_due="cancel")
DUE_MARKED_CANCEL = collect(complete_when=MARKER, max_wait="1d", due={"after": "1h"}, when_due="cancel")
QUIET_DUE = collect(quiet_period="10m", max_wait="1d", due={"after": "1h"})
JOIN = parse_rule(
    {
        "id": "a.b",
        "collect": {
            "key": ["<day>"],
            "max_wait": "1h",
            "complete_when": {
                "parts": {
                    "orders": {
                        "s3": "s3://landing/orders/*",
                        "captures": {"detail.object.key": "orders/{day}"},
                    },
                    "customers": {
                        "pattern": {"source": ["acme"]},
                        "captures": {"detail.day": "{day}"},
                        "at_least": 3,
                    },
                    "rates": {"pattern": {"source": ["rates"]}, "captures": {"detail.day": "{day}"}},
                },
                "require": 2,
            },
        },
        "target": {"environment": "e", "dag_id": "d"},
    },
    environments=None,
).collect


@pytest.mark.parametrize(
    ("rule", "summary", "now", "expected"),
    [
        pytest.param(QUIET, batch("a"), 1_599, Wait(1_600), id="not quiet yet"),
        pytest.param(QUIET, batch("a"), 1_600, Release("quiet_period", True), id="quiet"),
        pytest.param(
            QUIET, batch("a", last_at=1_500), 1_600, Wait(2_100), id="a member restarts the quiet period"
        ),
        pytest.param(
            QUIET,
            batch("a", last_at=1_000 + 30 * DAY),
            1_000 + 30 * DAY,
            Release("max_wait", True),
            id="open for 30 days at most",
        ),
        pytest.param(
            QUIET,
            batch(),
            1_100,
            Wait(1_700, ("every member",)),
            id="its opener crashed: members send no look",
        ),
        pytest.param(BOUNDED, batch("a", last_at=4_500), 4_599, Wait(4_600), id="max_wait not over"),
        pytest.param(
            BOUNDED, batch("a", last_at=4_500), 4_600, Release("max_wait", True), id="max_wait over"
        ),
        pytest.param(BOUNDED, batch("a", "b", "c"), 1_000, Release("max_items", True), id="max_items"),
        pytest.param(MARKED, batch("a"), 1_100, Wait(4_600, ("the marker",)), id="no marker"),
        pytest.param(
            MARKED, batch("a"), 4_600, Release("max_wait", False, ("the marker",)), id="no marker in time"
        ),
        pytest.param(
            MARKED, batch("a", has_marker=True), 1_029, Wait(1_030), id="a marker may overtake for 30 s"
        ),
        pytest.param(MARKED, batch("a", has_marker=True), 1_030, Release("complete", True), id="marker"),
        pytest.param(
            MARKED_COUNT,
            batch("a", has_marker=True, expected=3),
            1_100,
            Wait(4_600, ("2 of 3 members",)),
            id="the marker names more members",
        ),
        pytest.param(
            MARKED_COUNT,
            batch("a", "b", has_marker=True, expected=2),
            1_001,
            Release("complete", True),
            id="as many as the marker names",
        ),
        pytest.param(COUNT, batch("a"), 1_000, Wait(4_600, ("1 of 2 members",)), id="one of two"),
        pytest.param(COUNT, batch("a", "b"), 1_000, Release("complete", True), id="two of two, at once"),
        pytest.param(
            HOURS,
            replace(batch("eu"), members=5),
            1_000,
            Wait(4_600, ("1 of 2 values of <region>",)),
            id="values count",
        ),
        pytest.param(REGIONS, batch("eu", "asia"), 1_000, Wait(4_600, ("us",)), id="missing by name"),
        pytest.param(REGIONS, batch("eu", "us"), 1_000, Wait(1_060), id="complete, not quiet"),
        pytest.param(REGIONS, batch("eu", "us"), 1_060, Release("complete", True), id="complete and quiet"),
        pytest.param(
            QUIET,
            batch("a", collected_until=1_599),
            1_600,
            Flush(),
            id="quiet, but members may be on their way",
        ),
        pytest.param(
            BOUNDED,
            batch("a", last_at=3_900, collected_until=0),
            4_600,
            Release("quiet_period", True),
            id="max_wait does not wait for members on their way",
        ),
        pytest.param(
            COUNT, batch("a", "b", collected_until=0), 1_000, Release("complete", True), id="nor does a count"
        ),
        pytest.param(
            DUE, batch("a", due_at=1_500), 1_499, Wait(1_500, ("1 of 2 members",)), id="not due yet"
        ),
        pytest.param(
            DUE,
            batch("a", due_at=1_500),
            1_500,
            Wait(DAY + 1_000, ("1 of 2 members",), True),
            id="due: reported, waits on",
        ),
        pytest.param(
            DUE,
            batch("a", "b", due_at=1_500),
            1_600,
            Release("complete", True),
            id="complete, though overdue",
        ),
        pytest.param(
            DUE_RELEASE,
            batch("a", due_at=1_500),
            1_500,
            Release("due", False, ("1 of 2 members",)),
            id="due: released with what is there",
        ),
        pytest.param(
            DUE_CANCEL,
            batch("a", due_at=1_500),
            1_500,
            Release("cancelled", False, ("1 of 2 members",)),
            id="due: cancelled",
        ),
        pytest.param(
            DUE_CANCEL_QUIET,
            batch("a", last_at=1_000, due_at=2_000, collected_until=0),
            2_001,
            Flush(),
            id="quiet before it was due: members on their way decide whether it is cancelled",
        ),
        pytest.param(
            DUE_MARKED_CANCEL,
            batch("a", last_at=1_490, has_marker=True, due_at=1_500),
            1_505,
            Wait(1_520),
            id="complete when due, and not quiet yet: neither overdue nor cancelled",
        ),
        pytest.param(
            QUIET_DUE,
            batch(due_at=1_500),
            1_500,
            Wait(2_100, ("every member",), True),
            id="nothing has arrived",
        ),
        pytest.param(
            QUIET_DUE,
            batch("a", last_at=1_490, due_at=1_500),
            1_500,
            Wait(2_090, (), True),
            id="due and not quiet",
        ),
        pytest.param(
            JOIN,
            batch("a", parts={"orders": 1, "customers": 2}),
            1_000,
            Wait(4_600, ("1 of 3 members of customers", "rates")),
            id="missing parts by name",
        ),
        pytest.param(
            JOIN,
            batch("a", parts={"orders": 1, "customers": 3}),
            1_000,
            Release("complete", True),
            id="two of three parts are enough",
        ),
        pytest.param(COUNT, batch("a", is_late=True), 1_299, Wait(1_300), id="late, not quiet"),
        pytest.param(COUNT, batch("a", is_late=True), 1_300, Release("quiet_period", False), id="late"),
    ],
)
def test_judge(rule: Collect, summary: Summary, now: float, expected: Wait | Flush | Release) -> None:
    assert judge(rule, summary, now) == expected


@pytest.mark.parametrize(
    ("rule", "due_at", "is_late", "expected"),
    [
        (QUIET, None, False, 1_600),
        (BOUNDED, None, False, 1_600),
        (COUNT, None, False, 4_600),
        (COUNT, None, True, 1_300),
        (DUE, 1_500.0, False, 1_500),
    ],
)
def test_first_look(rule: Collect, due_at: float | None, *, is_late: bool, expected: float) -> None:
    assert first_look(rule, 1_000.0, due_at, is_late=is_late) == expected


def test_next_release_is_what_people_see() -> None:
    assert next_release(BOUNDED, batch("a", collected_until=0), 1_100) == (1_600, "quiet_period")
    assert next_release(BOUNDED, batch("a", last_at=math.inf), 1_100) == (4_600, "max_wait")
    assert next_release(DUE_RELEASE, batch("a", due_at=1_500), 1_100) == (1_500, "due")
    assert next_release(QUIET, batch("a"), 9_000) == (9_000, "quiet_period")


@pytest.mark.guarantee(48)
@pytest.mark.parametrize(("rule", "reason"), [(COUNT, "complete"), (BOUNDED, "max_items")])
def test_what_is_released_at_once_waits_for_no_clock(rule: Collect, reason: str) -> None:
    """The function's clock is minutes behind that of SQS, which says when members arrived."""
    assert Release(reason, is_complete=True) == judge(rule, batch("a", "b", "c"), now=700.0)  # type: ignore[arg-type]


@pytest.mark.guarantee(49)
def test_a_batch_that_max_items_ends_after_its_due_time_was_overdue() -> None:
    rule = collect(**TWO | {"complete_when": {"count": 9}}, max_items=3)
    late, early = (batch("a", "b", "c", last_at=at, due_at=4_600.0) for at in (5_000.0, 2_000.0))
    assert was_overdue(rule, late, "max_items", when_due=late)
    assert not was_overdue(rule, early, "max_items", when_due=early)
