"""The functions' log lines on the local stack: where they are stored, and what Logs Insights and FilterLogEvents find."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_stack.aws import LocalAws
from polling import until

GROUP = "probe-logs"


@pytest.fixture
def marker(probe) -> Iterator[str]:
    """Three lines of JSON and one of text, in a group of their own."""
    logs, text = probe.aws.client("logs"), uuid.uuid4().hex
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="one")
    lines: list[dict[str, Any]] = [
        {"trail": 1, "resource": f"s3://b/{text}", "outcome": "Requested", "attempt": 1},
        {"trail": 1, "resource": f"s3://b/{text}", "outcome": "Triggered", "attempt": 2},
        {"trail": 1, "resource": "s3://b/other", "outcome": "Dead", "attempt": 10},
    ]
    now = int(time.time() * 1_000)
    events = [{"timestamp": now, "message": message} for message in (*map(json.dumps, lines), "no JSON")]
    logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)
    yield text
    logs.delete_log_group(logGroupName=GROUP)


def insights(probe, query: str, *groups: str) -> list[dict[str, str]]:
    """Ask as a client has to: until the query is complete."""
    logs, now = probe.aws.client("logs"), int(time.time())
    query_id = logs.start_query(
        logGroupNames=[*groups] or [GROUP], startTime=now - 60, endTime=now + 60, queryString=query
    )["queryId"]
    answers = [logs.get_query_results(queryId=query_id) for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["Running", "Complete"]
    assert answers[0]["results"] == []
    return [{cell["field"]: cell["value"] for cell in row} for row in answers[1]["results"]]


def test_a_query_finds_lines_by_a_field_of_their_json(probe, marker) -> None:
    rows = insights(
        probe, f'fields outcome, attempt, reason | filter resource = "s3://b/{marker}" | sort attempt desc'
    )
    assert [
        {"outcome": "Triggered", "attempt": "2"},
        {"outcome": "Requested", "attempt": "1"},
    ] == [{name: value for name, value in row.items() if name != "@ptr"} for row in rows]


def test_a_query_counts_lines(probe, marker) -> None:
    rows = insights(probe, "filter ispresent(trail) | stats count(*) as n by resource | sort n desc")
    assert [{"resource": f"s3://b/{marker}", "n": "2"}, {"resource": "s3://b/other", "n": "1"}] == rows


@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"queryString": "parse @message '*' as x"}, "MalformedQueryException"),
        ({"queryString": "filter resource ~ 'x'"}, "MalformedQueryException"),
        ({"logGroupNames": ["probe-nothing"]}, "ResourceNotFoundException"),
        ({"logGroupNames": [f"group-{number}" for number in range(51)]}, "InvalidParameterException"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(probe, asked: dict[str, Any], code: str) -> None:
    request = {"logGroupNames": [GROUP], "startTime": 0, "endTime": 1, "queryString": "limit 1"} | asked
    with pytest.raises(ClientError) as refused:
        probe.aws.client("logs").start_query(**request)
    assert code == refused.value.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ('{ $.outcome = "Dead" }', ["Dead"]),
        ('{ $.outcome != "Dead" && $.trail = 1 }', ["Requested", "Triggered"]),
        ("{ $.outcome = Requested || ($.attempt > 2 && $.trail = 1) }", ["Requested", "Dead"]),
        ('{ $.outcome = "Tri*" }', ["Triggered"]),
        ('{ $.reason != "x" }', []),
    ],
)
@pytest.mark.usefixtures("marker")
def test_a_json_pattern_filters_log_events(probe, pattern: str, found: list[str]) -> None:
    events = probe.aws.client("logs").filter_log_events(logGroupName=GROUP, filterPattern=pattern)["events"]
    assert found == [json.loads(event["message"])["outcome"] for event in events]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_log_events_come_in_pages(probe, marker, size: int) -> None:
    """Also where all have the same time; the last page has no token."""
    logs = probe.aws.client("logs")
    later = [
        {"timestamp": int(time.time() * 1_000) + 9_000, "message": f"later {n} {marker}"} for n in range(2)
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=later)
    whole = logs.filter_log_events(logGroupName=GROUP)["events"]
    pages = [*logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, limit=size)]
    assert [event["eventId"] for page in pages for event in page["events"]] == [
        event["eventId"] for event in whole
    ]
    assert max(len(page["events"]) for page in pages) == size
    assert len(whole) == 6


@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize(
    "pattern", ["{ $.a IS NULL }", "{ $.a = 1", "{ a = 1 }", "{ $.a = 1 $.b = 2 }", "{ }"]
)
def test_an_unknown_json_pattern_is_refused(probe, pattern: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        probe.aws.client("logs").filter_log_events(logGroupName=GROUP, filterPattern=pattern)


def test_a_function_s_lines_are_in_the_group_that_its_logging_config_names(probe) -> None:
    """The bucket and the default bus invoke it asynchronously. JSON is stored as it was printed."""
    key = f"{uuid.uuid4().hex}.csv"
    probe.aws.client("s3").put_object(Bucket=probe.outputs["Bucket"], Key=key, Body=b"1")
    query = f'fields @message, @log | filter seen like "{key}"'

    def both_lines() -> list[dict[str, str]]:
        rows = insights(probe, query, "probe-recorder")
        return rows if len(rows) == 2 else []

    rows = until("a line of each route", both_lines, seconds=20)
    events = [json.loads(json.loads(row["@message"])["seen"]) for row in rows]
    assert {"Records", "detail"} == {
        name for event in events for name in event if name in ("Records", "detail")
    }
    assert {row["@log"] for row in rows} == {"000000000000:probe-recorder"}


@pytest.mark.usefixtures("marker")
def test_a_reader_needs_a_permission_on_the_log_group(probe) -> None:
    """On `NAME:*`: what a query is about is the group's streams."""
    iam, region = probe.aws.client("iam"), probe.aws.client("logs").meta.region_name
    user = f"reader-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    reader = LocalAws(
        probe.aws.endpoint_url, credentials=(key["AccessKeyId"], key["SecretAccessKey"])
    ).client("logs")

    def allow(resource: str) -> None:
        arn = f"arn:aws:logs:{region}:000000000000:log-group:{resource}"
        statement = {
            "Effect": "Allow",
            "Action": ["logs:StartQuery", "logs:FilterLogEvents"],
            "Resource": arn,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=document)

    query = {"logGroupNames": [GROUP], "startTime": 0, "endTime": 1, "queryString": "limit 1"}
    for group in (GROUP, "another:*"):
        allow(group)
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.start_query(**query)
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.filter_log_events(logGroupName=GROUP)
    allow(f"{GROUP}:*")
    assert reader.start_query(**query)["queryId"]
    assert reader.filter_log_events(logGroupName=GROUP)["events"]
