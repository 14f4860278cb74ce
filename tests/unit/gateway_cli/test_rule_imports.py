"""What exists already as rules of the gateway: it matches the same events, or is listed with why it does not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway_cli.rules.imports import Import, Origin, of_bucket, of_eventbridge
from mwaa_gateway.events import Event, from_s3_notification
from mwaa_gateway.rules import Rule, parse_rule

ORIGIN = Origin(environment="analytics", state="ENABLED", namespace="finance")
PATTERN = {"source": ["acme.ledger"], "detail-type": ["Day Closed"]}


def a_rule(**more: Any) -> dict[str, Any]:
    return {"Name": "Day Closed!", "State": "ENABLED", "EventPattern": json.dumps(PATTERN)} | more


def imported(rule: dict[str, Any], *targets: dict[str, Any]) -> Import:
    return of_eventbridge([(rule, targets)], ORIGIN)


class TestEventBridge:
    """The pattern, the state and the input are carried over."""

    def test_a_rule(self) -> None:
        """What it went to is to be looked at: its DAG can only be guessed."""
        found = imported(a_rule(Description="Nightly"), {"Id": "1", "Arn": "arn:aws:lambda:::function:start"})
        assert found.rules == [
            {
                "id": "finance.day-closed",
                "description": "Nightly",
                "state": "ENABLED",
                "pattern": PATTERN,
                "target": {"environment": "analytics", "dag_id": "Day_Closed"},
            }
        ]
        assert found.not_carried == []
        assert [(note.what, "function:start" in note.why) for note in found.notes] == [
            ("rule Day Closed!, target 1", True)
        ]

    @pytest.mark.parametrize(
        ("bus", "pattern", "lost"),
        [
            (
                "default",
                {"source": ["aws.glue"], "detail-type": ["Glue Job State Change"]},
                "source aws.glue",
            ),
            ("default", {"source": ["aws.s3", "aws.emr"]}, "source aws.emr"),
            ("default", {"$or": [{"source": ["aws.s3"]}, {"source": ["acme"]}]}, "source acme"),
            ("default", {"source": [{"prefix": "aws.glue"}]}, "other sources"),
            (
                "default",
                {"source": ["aws.s3"], "detail-type": ["AWS API Call via CloudTrail"]},
                "detail-type 'AWS API Call via CloudTrail'",
            ),
            ("orders", {"source": ["acme.ledger"]}, "receives nothing from bus orders"),
            ("default", {"source": ["aws.s3"], "detail-type": ["Object Created"]}, ""),
            ("default", {"source": ["aws.s3"]}, ""),
            ("default", {"detail": {"bucket": {"name": ["acme"]}}}, ""),
            ("gate-events", {"source": ["acme.ledger"]}, ""),
            ("arn:aws:events:eu-west-1:1:event-bus/gate-events", {"source": ["aws.glue"]}, ""),
        ],
    )
    def test_what_never_reaches_the_gateway(self, bus: str, pattern: dict[str, Any], lost: str) -> None:
        """It is carried over, and said to fire never as it is: with what brings its events."""
        rule = a_rule(EventPattern=json.dumps(pattern))
        found = of_eventbridge([(rule, [])], replace(ORIGIN, stack="gate"), bus)
        assert 1 == len(found.rules)
        if not lost:
            assert [] == found.unreachable
            return
        [remark] = found.unreachable
        assert (True, True) == (lost in remark.why, "with bus gate-events as its target" in remark.why)

    def test_the_gateways_own_rules_are_left_where_they_are(self) -> None:
        """They bring it the events; as rules of the gateway they would start a DAG of their name for each."""
        own = {"Id": "1", "Arn": "arn:aws:lambda:eu-west-1:1:function:gate-eventbridge-events"}
        other = {"Id": "2", "Arn": "arn:aws:lambda:eu-west-1:1:function:start"}
        origin = replace(ORIGIN, stack="gate")
        found = of_eventbridge([(a_rule(), [own])], origin)
        assert (found.rules, [remark.why for remark in found.not_carried]) == (
            [],
            ["it belongs to the gateway's own stack gate"],
        )
        assert len(of_eventbridge([(a_rule(), [own, other])], origin).rules) == 1
        assert len(of_eventbridge([(a_rule(), [])], origin).rules) == 1

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ({}, None),
            ({"InputPath": "$"}, None),
            (
                {"InputPath": "$.detail"},
                {"input_paths": {"detail": "$.detail"}, "input_template": {"detail": "<detail>"}},
            ),
            ({"Input": '{"a": 1}'}, {"input_template": {"a": 1}}),
            (
                {"InputTransformer": {"InputPathsMap": {"k": "$.detail.k"}, "InputTemplate": '{"key": <k>}'}},
                {"input_paths": {"k": "$.detail.k"}, "input_template": '{"key": <k>}'},
            ),
            (
                {"InputTransformer": {"InputTemplate": '{"a": 1}'}},
                {"input_paths": {}, "input_template": '{"a": 1}'},
            ),
        ],
    )
    def test_inputs(self, target: dict[str, Any], expected: Any) -> None:
        """EventBridge's four ways of saying what arrives."""
        found = imported(a_rule(), {"Id": "1", **target})
        assert (expected, []) == (found.rules[0]["target"].get("input_transformer"), found.not_carried)

    def test_several_targets(self) -> None:
        """Each has an id; more than five are listed."""
        found = imported(a_rule(), *({"Id": f"T {number}"} for number in range(7)))
        assert [target["id"] for target in found.rules[0]["targets"]] == [
            f"t-{number}" for number in range(5)
        ]
        assert [left.what for left in found.not_carried] == [
            "rule Day Closed!, target T 5",
            "rule Day Closed!, target T 6",
        ]

    def test_a_rule_that_is_switched_off_stays_so(self) -> None:
        """Whatever the imported rules begin in."""
        assert imported(a_rule(State="DISABLED")).rules[0]["state"] == "DISABLED"
        aws = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
        assert imported(a_rule(State=aws)).rules[0]["state"] == "ENABLED"

    def test_how_long_an_event_is_tried(self) -> None:
        """The shortest of the targets'."""
        policies = [
            {"Id": name, "RetryPolicy": {"MaximumEventAgeInSeconds": age}}
            for name, age in (("a", 3600), ("b", 60))
        ]
        assert imported(a_rule(), *policies).rules[0]["maximum_event_age"] == "1m"

    def test_two_rules_of_one_name(self) -> None:
        """Without the characters that an id may not contain; each gets its own."""
        found = of_eventbridge([(a_rule(), ()), (a_rule(Name="Day-Closed"), ())], ORIGIN)
        assert [rule["id"] for rule in found.rules] == ["finance.day-closed", "finance.day-closed-2"]

    @pytest.mark.parametrize(
        ("rule", "targets", "why"),
        [
            (a_rule(ManagedBy="states.amazonaws.com"), [], "it belongs to states.amazonaws.com"),
            (
                a_rule(EventPattern=None, ScheduleExpression="rate(1 hour)"),
                [],
                "it is a schedule (rate(1 hour))",
            ),
            (a_rule(EventPattern="{"), [], "its pattern is not JSON"),
            (a_rule(EventPattern='{"source": ["mwaa-gateway"]}'), [], "the gateway's own events"),
            (a_rule(), [{"Id": "1", "Input": '"text"'}], "its constant input is not a JSON object"),
            (
                a_rule(),
                [{"Id": "1", "InputTransformer": {"InputTemplate": '"<a>"'}}],
                "its input template is text",
            ),
            (
                a_rule(),
                [{"Id": "1", "InputTransformer": {"InputTemplate": '{"arn": <aws.events.rule-arn>}'}}],
                "the gateway's rules have no ARN",
            ),
        ],
    )
    def test_what_cannot_be_carried_over(self, rule: dict[str, Any], targets: list[Any], why: str) -> None:
        """Listed with the reason."""
        found = imported(rule, *targets)
        assert [why in left.why for left in found.not_carried] == [True]


def notification(name: str, key: str = "orders/a.csv", bucket: str = "landing") -> Event:
    """The event that S3 would notify of."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": "2026-01-01T00:00:00Z",
        "awsRegion": "eu-west-1",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "1"}},
    }
    [event] = from_s3_notification({"Records": [record]})
    assert isinstance(event, Event)
    return event


NAMES = [
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
    "ObjectRemoved:Delete",
    "ObjectRemoved:DeleteMarkerCreated",
    "LifecycleExpiration:Delete",
    "LifecycleTransition",
    "ObjectRestore:Post",
    "ObjectRestore:Completed",
    "ObjectRestore:Delete",
    "ObjectTagging:Put",
    "ObjectTagging:Delete",
    "ObjectAcl:Put",
    "IntelligentTiering",
    "Replication:OperationNotTracked",
    "ReducedRedundancyLostObject",
]


def of_notification(events: list[str], filters: list[dict[str, str]] | None = None) -> Rule:
    entry: dict[str, Any] = {
        "Id": "uploads",
        "LambdaFunctionArn": "arn:aws:lambda:::function:start",
        "Events": events,
    }
    if filters is not None:
        entry["Filter"] = {"Key": {"FilterRules": filters}}
    found = of_bucket("landing", {"LambdaFunctionConfigurations": [entry]}, ORIGIN)
    assert found.not_carried == []
    return parse_rule(found.rules[0], environments=None)


class TestBucket:
    """A notification of S3 as a pattern of the same events."""

    @pytest.mark.parametrize(
        "events",
        [
            *[[f"s3:{name}"] for name in NAMES],
            ["s3:ObjectCreated:*"],
            ["s3:ObjectRemoved:*"],
            ["s3:ObjectRestore:*"],
            ["s3:ObjectTagging:*"],
            ["s3:LifecycleExpiration:*"],
            ["s3:Replication:*"],
            ["s3:ObjectCreated:Put", "s3:ObjectCreated:Post"],
            ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
            ["s3:ObjectTagging:*", "s3:ObjectAcl:Put", "s3:ObjectCreated:Copy"],
        ],
        ids="+".join,
    )
    def test_the_rule_matches_the_events_that_the_notification_is_sent_for(self, events: list[str]) -> None:
        """And no others, of every kind of event there is; another bucket's never."""
        rule = of_notification(events)

        def is_sent(name: str) -> bool:
            return any(
                f"s3:{name}".startswith(event[:-1]) if event.endswith("*") else f"s3:{name}" == event
                for event in events
            )

        assert {name for name in NAMES if rule.pattern.matches(notification(name).envelope)} == set(
            filter(is_sent, NAMES)
        )
        assert not any(rule.pattern.matches(notification(name, bucket="other").envelope) for name in NAMES)

    @pytest.mark.parametrize(
        ("filters", "matching", "others"),
        [
            ([{"Name": "prefix", "Value": "orders/"}], ["orders/a", "orders/"], ["order/a"]),
            ([{"Name": "Suffix", "Value": ".csv"}], ["a.csv"], ["a.csv.gz"]),
            (
                [{"Name": "prefix", "Value": "a*/"}, {"Name": "suffix", "Value": ".csv"}],
                ["a*/b.csv"],
                ["aa/b.csv", "a*/b"],
            ),
            ([{"Name": "prefix", "Value": "a+b%2Bc/"}], ["a%20b%2Bc/d", "a+b%2Bc/d"], ["ab/d"]),
            ([], ["anything"], []),
        ],
    )
    def test_filters(self, filters: list[dict[str, str]], matching: list[str], others: list[str]) -> None:
        """Prefix and suffix, which S3 keeps URL-encoded; a star in them is a star."""
        rule = of_notification(["s3:ObjectCreated:*"], filters)
        keys = [*matching, *others]
        assert matching == [
            key for key in keys if rule.pattern.matches(notification("ObjectCreated:Put", key).envelope)
        ]

    def test_every_destination_and_how_events_reach_the_gateway(self) -> None:
        """Functions, queues and topics; and what is still to be switched on."""
        configuration = {
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": "arn:f:start-dag", "Events": ["s3:ObjectCreated:*"]}
            ],
            "QueueConfigurations": [{"Id": "q", "QueueArn": "arn:q", "Events": ["s3:ObjectCreated:*"]}],
            "TopicConfigurations": [{"Id": "t", "TopicArn": "arn:t", "Events": ["s3:ObjectCreated:*"]}],
        }
        found = of_bucket("landing", configuration, ORIGIN)
        assert [(rule["id"], rule["target"]["dag_id"]) for rule in found.rules] == [
            ("finance.landing-1", "start-dag"),
            ("finance.q", "q"),
            ("finance.t", "t"),
        ]
        assert "enable that" in found.notes[-1].why
        found = of_bucket("landing", {**configuration, "EventBridgeConfiguration": {}}, ORIGIN)
        assert "already" in found.notes[-1].why
