"""The query language of the local stack's Logs Insights, as data."""

import json
from typing import Any

import pytest

from local_stack.insights import MalformedQuery, Query, discovered

START = 1_795_978_800_000  # 2026-11-29T19:00:00Z
LINES: list[dict[str, Any]] = [
    {"n": "a", "outcome": "Requested", "resource": "s3://landing/Orders/1.csv", "attempt": 1},
    {
        "n": "b",
        "outcome": "Triggered",
        "resource": "s3://landing/Orders/1.csv",
        "attempt": 2,
        "deep": {"x": [7]},
    },
    {"n": "c", "outcome": "Unmatched", "resource": "sns:topic/1", "complete": True, "none": None},
    {"n": "d", "outcome": "Dead", "reason": 'the "conf" is too large', "attempt": 10},
]


def records() -> list[dict[str, Any]]:
    """The lines, a minute apart, and one that is no JSON."""
    texts = [*map(json.dumps, LINES), "START RequestId: 1"]
    return [
        discovered(text) | {"@message": text, "@timestamp": START + number * 60_000, "@ptr": f"p{number}"}
        for number, text in enumerate(texts)
    ]


def names(query: str) -> str:
    return "".join(
        row.get("n", "-") for row in Query.of(f"fields n | sort @timestamp asc | {query}").rows(records())
    )


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ('resource = "s3://landing/Orders/1.csv"', "ab"),
        ("resource = 's3://landing/Orders/1.csv'", "ab"),
        ('resource = "s3://landing/orders/1.csv"', ""),
        ('outcome != "Dead"', "abc"),
        ('outcome = "Dead" or outcome = "Requested" and attempt = 1', "ad"),
        ('(outcome = "Dead" or outcome = "Requested") and attempt = 1', "a"),
        ('outcome in ["Dead", "Unmatched"]', "cd"),
        ('outcome not in ["Dead", "Unmatched"]', "ab"),
        ("attempt > 1", "bd"),
        ("attempt >= 2 and attempt < 10", "b"),
        ('attempt = "1"', "a"),
        ("complete = 1", "c"),
        ("deep.x.0 = 7", "b"),
        ('resource like "Orders"', "ab"),
        ('resource like "orders"', ""),
        ("resource like /orders/i", "ab"),
        ("resource =~ /[12].csv$/", "ab"),
        ('resource not like "Orders"', "c"),
        (r'reason = "the \"conf\" is too large"', "d"),
        ("ispresent(attempt)", "abd"),
        ("not ispresent(outcome)", "-"),
        ("ispresent(none)", ""),
        ("ISPRESENT(attempt) AND NOT attempt IN [1, 2]", "d"),
        ("`outcome` = 'Dead'", "d"),
        ('@message like "RequestId"', "-"),
        (f"@timestamp >= {START + 120_000}", "cd-"),
    ],
)
def test_a_filter_finds(condition: str, found: str) -> None:
    assert found == names(f"filter {condition}")


def test_stages_follow_each_other() -> None:
    assert names("filter attempt > 0 | limit 2 | filter attempt > 1") == "b"
    assert names("sort attempt desc | limit 2") == "db"


def test_rows_are_texts_without_what_a_line_does_not_have() -> None:
    """The newest first, and with the line's pointer, as AWS answers."""
    first, second, *_ = Query.of("fields @timestamp, n, attempt, reason").rows(records())
    assert {"@timestamp": "2026-11-29 19:04:00.000", "@ptr": "p4"} == first
    assert {
        "@timestamp": "2026-11-29 19:03:00.000",
        "n": "d",
        "attempt": "10",
        "reason": 'the "conf" is too large',
        "@ptr": "p3",
    } == second
    assert {"@timestamp", "@message", "@ptr"} == Query.of("filter attempt = 1").rows(records())[0].keys()


@pytest.mark.parametrize(
    ("stats", "rows"),
    [
        ("count(*)", [{"count(*)": "5"}]),
        (
            "count(*) as lines, max(attempt), count_distinct(outcome) by resource | sort lines asc | filter lines > 1",
            [
                {
                    "resource": "s3://landing/Orders/1.csv",
                    "lines": "2",
                    "max(attempt)": "2",
                    "count_distinct(outcome)": "2",
                },
                {"lines": "2", "max(attempt)": "10", "count_distinct(outcome)": "1"},
            ],
        ),
        (
            "count(attempt), avg(attempt), sum(attempt), min(attempt) by bin(2m) as at | sort at asc | limit 2",
            [
                {
                    "at": "2026-11-29 19:00:00.000",
                    "count(attempt)": "2",
                    "avg(attempt)": "1.5",
                    "sum(attempt)": "3",
                    "min(attempt)": "1",
                },
                {
                    "at": "2026-11-29 19:02:00.000",
                    "count(attempt)": "1",
                    "avg(attempt)": "10",
                    "sum(attempt)": "10",
                    "min(attempt)": "10",
                },
            ],
        ),
    ],
)
def test_stats_group_lines(stats: str, rows: list[dict[str, str]]) -> None:
    assert rows == Query.of(f"stats {stats}").rows(records())


@pytest.mark.parametrize(
    "query",
    [
        "",
        "parse @message '*' as x",
        "dedup n",
        "filter",
        "filter n",
        "filter n = ",
        "filter n = other",
        "filter n == 'a'",
        "filter lower(n) = 'a'",
        "filter isempty(n)",
        "filter @duration > 1",
        "filter n in []",
        "filter n in ('a')",
        "filter (n = 'a'",
        "filter n = 'a' n = 'b'",
        "filter n like a",
        "fields n as m",
        "fields concat(n, n)",
        "sort n",
        "limit 0",
        "limit 10001",
        "stats pct(attempt, 99)",
        "stats count(*) by bin(1 month)",
        "fields n |",
        "filter n = 'a' # a comment",
        "filterIndex n = 'a'",
    ],
)
def test_any_other_form_is_refused(query: str) -> None:
    """It would work on AWS: the local stack says that it does not know it, instead of answering something else."""
    with pytest.raises(MalformedQuery):
        Query.of(query)


@pytest.mark.parametrize("message", ["", "no JSON", "[1]", "3", '{"half": '])
def test_a_line_that_is_no_json_object_has_no_fields(message: str) -> None:
    assert {} == discovered(message)
