"""When a batch is due, and the days that have one."""

import datetime as dt
from typing import Any

import pytest

from mwaa_gateway.errors import ConfError, InvalidRule
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.due import Due, days_of

MORNING: dict[str, Any] = {"at": "06:00", "day": 1, "date": "<date>", "timezone": "Europe/Zurich"}


def rule(**collect: Any) -> Rule:
    written = {"key": ["<date>"], "complete_when": {"count": 2}, "max_wait": "2d", "due": MORNING} | collect
    return parse_rule(
        {
            "id": "a.b",
            "pattern": {"source": ["acme"]},
            "captures": {"detail.key": "{date}/{file}"},
            "collect": {name: value for name, value in written.items() if value is not None},
            "target": {"environment": "e", "dag_id": "d"},
        },
        environments=None,
    )


def due(**written: Any) -> Due:
    found = rule(due=written, key=["<date>"]).collect
    assert found is not None
    assert found.due is not None
    return found.due


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("written", "key", "first", "expected"),
    [
        ({"after": "3h"}, "x", "2026-11-22T01:00:00+00:00", "2026-11-22T04:00:00+00:00"),
        (MORNING, "2026-11-22", "2026-11-22T23:00:00+01:00", "2026-11-23T06:00:00+01:00"),
        (MORNING, "2026-07-22", "2026-07-22T23:00:00+02:00", "2026-07-23T06:00:00+02:00"),
        ({"at": "06:00"}, "x", "2026-11-22T05:59:59+00:00", "2026-11-22T06:00:00+00:00"),
        ({"at": "06:00"}, "x", "2026-11-22T06:00:00+00:00", "2026-11-23T06:00:00+00:00"),
        (
            {"at": "02:30", "timezone": "Europe/Zurich"},
            "x",
            "2026-03-29T00:30:00+01:00",
            "2026-03-29T03:30:00+02:00",
        ),
        (
            {"at": "02:30", "timezone": "Europe/Zurich"},
            "x",
            "2026-10-25T00:30:00+02:00",
            "2026-10-25T02:30:00+02:00",
        ),
        (
            {**MORNING, "date_format": "YYYYMMDD", "day": 0},
            "20261122",
            "2026-11-22T01:00:00+00:00",
            "2026-11-22T06:00:00+01:00",
        ),
    ],
    ids=[
        "after the first member",
        "the next morning in winter",
        "the next morning in summer",
        "without a date: today",
        "without a date: tomorrow",
        "a time that spring skips is as much later",
        "of a time that autumn has twice, the first",
        "a date without dashes",
    ],
)
def test_time_of(written: dict[str, Any], key: str, first: str, expected: str) -> None:
    assert due(**written).time_of({"date": key}, at(first)) == at(expected)


@pytest.mark.guarantee(49)
def test_a_batch_that_opens_after_its_due_time_has_none_unless_it_was_expected() -> None:
    collect = rule().collect
    assert collect is not None
    backfill = at("2026-11-29T12:00:00+01:00")
    assert collect.due_at({"date": "2026-11-01"}, backfill) is None
    assert collect.due_at({"date": "2026-11-01"}, backfill, is_expected=True) == at(
        "2026-11-02T06:00:00+01:00"
    )


@pytest.mark.parametrize(
    "text", ["20261122", "2026-11-2", "2026-13-01", "9999-12-31", "", "today", "\uff12\uff1026-11-22"]
)
def test_a_key_without_the_date_is_refused(text: str) -> None:
    with pytest.raises(ConfError):
        due(**MORNING).date_of({"date": text})


@pytest.mark.parametrize(
    ("expected", "days"),
    [
        ("daily", {0, 1, 2, 3, 4, 5, 6}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("sat-mon", {5, 6, 0}),
        ("mon,wed", {0, 2}),
        ("mon-tue,fri", {0, 1, 4}),
    ],
)
def test_days_of(expected: str, days: set[int]) -> None:
    assert days_of(expected) == days


@pytest.mark.parametrize(
    ("collect", "field", "text"),
    [
        ({"due": {}}, "collect.due", "either `after`"),
        ({"due": {"after": "3h", "at": "06:00"}}, "collect.due", "either `after`"),
        ({"due": {"after": "3h", "day": 1}}, "collect.due.day", "is only for `at`"),
        ({"due": {"at": "6:00"}}, "collect.due.at", "a time of day in quotes"),
        ({"due": {"at": 360}}, "collect.due.at", "a time of day in quotes"),
        ({"due": {"at": "06:00", "day": 1}}, "collect.due.day", "needs due.date"),
        ({"due": {**MORNING, "timezone": "Europe/Zürich"}}, "collect.due.timezone", "a time zone"),
        ({"due": {**MORNING, "timezone": "Europe/Nowhere"}}, "collect.due.timezone", "is no time zone"),
        ({"due": {**MORNING, "timezone": "../etc/passwd"}}, "collect.due.timezone", "a time zone"),
        (
            {"due": {**MORNING, "date": "<file>"}},
            "collect.due.date",
            "may name the values of collect.key only",
        ),
        ({"due": {**MORNING, "date": "2026-11-22"}}, "collect.due.date", "name the values of collect.key"),
        (
            {"due": {**MORNING, "date": "<$.detail.day>"}},
            "collect.due.date",
            "name the values of collect.key",
        ),
        ({"due": None, "when_due": "release"}, "collect.when_due", "needs collect.due"),
        ({"due": None, "expected": "daily"}, "collect.expected", "needs collect.due"),
        ({"due": {"after": "1h"}, "expected": "daily"}, "collect.expected", "a key of one date"),
        ({"key": ["<date>", "<file>"], "expected": "daily"}, "collect.expected", "a key of one date"),
        ({"expected": "weekdays"}, "collect.expected", "daily, mon-fri or mon,wed"),
        ({"key": None, "due": None, "late": "ignore"}, "collect.late", "needs a key"),
        ({"max_wait": None}, "collect.max_wait", "complete_when may never come true"),
        ({"max_wait": None, "when_due": "release"}, "collect.max_wait", "complete_when may never come true"),
        ({"max_wait": None, "due": {"after": "1h"}}, "collect.max_wait", "complete_when may never come true"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(
    collect: dict[str, Any], field: str, text: str
) -> None:
    with pytest.raises(InvalidRule) as refused:
        rule(**collect)
    assert field in {problem.field for problem in refused.value.problems}, refused.value
    assert text in str(refused.value)


def test_a_due_time_that_always_comes_ends_the_wait() -> None:
    rule(max_wait=None, due={"after": "1h"}, when_due="release")


def test_the_document_of_every_field_is_read_again() -> None:
    written = rule(expected="mon-fri", when_due="cancel", late="dead_letter", versions="latest")
    assert parse_rule(written.document(), environments=None) == written
