"""The fields of the trail, as data: what an event is about, and that no text is unbounded."""

from dataclasses import replace
from typing import Any

import pytest

from fakes.requests import a_request
from mwaa_gateway.events import Event
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.observability.trail import (
    LIMIT,
    LIMITS,
    batch_fields,
    bounded,
    event_fields,
    feed_fields,
    line,
    member_fields,
    request_fields,
    resource_of,
    sampled_fields,
    unmatched_fields,
    watch_fields,
)
from mwaa_gateway.routing.live_rules import Matches
from mwaa_gateway.routing.members import Member, MemberMessage
from mwaa_gateway.step_functions.task_call import Wait
from mwaa_gateway.step_functions.watches import Watch
from mwaa_gateway.trigger_request import event_hash

UPLOAD: dict[str, Any] = {
    "id": "e-1",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2026-11-22T10:00:00Z",
    "resources": ["arn:aws:s3:::landing"],
    "detail": {"bucket": {"name": "landing"}, "object": {"key": "orders/a b+é.csv"}, "secret": "content"},
}
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:daily:one"


def event(source: str, *resources: object, **detail: object) -> dict[str, Any]:
    return {**UPLOAD, "source": source, "resources": [*resources], "detail": detail}


@pytest.mark.parametrize(
    ("envelope", "resource"),
    [
        (UPLOAD, "s3://landing/orders/a b+é.csv"),
        (event("aws.s3", "arn:aws:s3:::landing", requestParameters={"key": "x"}), "arn:aws:s3:::landing"),
        (event("aws.s3", bucket="landing", object={"key": "x"}), ""),
        (event("aws.sns", TOPIC, **{"topic-arn": TOPIC}), "sns:orders/e-1"),
        (event("aws.sns", TOPIC, **{"topic-arn": {"no": "text"}}), TOPIC),
        (event("aws.states", EXECUTION, executionArn=EXECUTION), EXECUTION),
        (event("acme.billing", "first", "second"), "first"),
        (event("acme.billing"), ""),
        (event("acme.billing", {"no": "text"}), ""),
        ({"source": "acme.billing", "detail": "no object"}, ""),
        ({"source": "aws.s3"}, ""),
    ],
)
def test_what_an_event_is_about(envelope: dict[str, Any], resource: str) -> None:
    assert resource == resource_of(envelope)


def test_a_line_about_an_event_has_its_envelope_and_resource_only() -> None:
    assert {
        "trail": 1,
        "event_id": "e-1",
        "source": "aws.s3",
        "detail_type": "Object Created",
        "event_time": "2026-11-22T10:00:00Z",
        "resource": "s3://landing/orders/a b+é.csv",
        "identity": event_hash("s3|landing|1"),
    } == line(event_fields(UPLOAD, "s3|landing|1"))


def test_a_request_adds_its_rule_and_its_run() -> None:
    """The identity is the partition of its ledger row, which differs from the event's for a rule with a dedupe_key."""
    request = replace(a_request(), event=UPLOAD, identity="a dedupe key")
    fields = line(request_fields(request))
    assert request.ledger_key[0] == fields["identity"]
    assert {
        "rule_id": request.rule_id,
        "rule_version": request.rule_version,
        "target_id": request.target_id,
        "environment": request.target.environment,
        "dag_id": request.target.dag_id,
        "run_id": request.target.run_id,
        "resource": "s3://landing/orders/a b+é.csv",
    }.items() <= fields.items()
    assert "batch_id" not in fields


def test_a_request_of_a_batch_names_the_batch() -> None:
    released = event("mwaa-gateway", id="b-1", key={"date": "2026-11-22", "region": "eu"})
    fields = line(request_fields(replace(a_request(), event=released)))
    assert ("b-1", "date=2026-11-22, region=eu") == (fields["batch_id"], fields["batch_key"])


def test_an_event_that_poses_as_the_gateway_s_own_adds_nothing() -> None:
    """Anybody who may put events on the bus can choose this source."""
    posing = event("mwaa-gateway", id="content", key={"more": "content"})
    assert "content" not in str(line(event_fields(posing, "i")))


def test_an_unmatched_event_names_its_partitions_and_their_generations() -> None:
    matches = Matches((), (), tried=12, generations={"aws.s3#landing": 7, "aws.s3#*": 0, "*": 3})
    assert {
        "trail": 1,
        "rules_tried": 12,
        "partitions": "aws.s3#landing | aws.s3#* | *",
        "rules_generation": "7 | 0 | 3",
    } == line(unmatched_fields(matches))


def test_one_unmatched_event_in_a_hundred_has_a_line_that_says_so() -> None:
    found = [sampled_fields("sampled", f"s3|landing|{number}") for number in range(2_000)]
    assert {"None", "{'sampled': 100}"} == {str(fields) for fields in found}
    assert 10 <= len([fields for fields in found if fields]) <= 30


def test_all_or_none_of_the_unmatched_events_have_a_line() -> None:
    assert {"{}"} == {str(sampled_fields("all", str(number))) for number in range(200)}
    assert {"None"} == {str(sampled_fields("none", str(number))) for number in range(200)}


FEED = {"rule_id": "a.b", "rule_version": 3, "batch_key": "date=2026-11-22"}


def message(item: dict[str, Any]) -> MemberMessage:
    return MemberMessage("a.b", 3, "{}", (("date", "2026-11-22"),), Member("m-1", item, "d"))


def test_a_member_names_its_rule_and_key() -> None:
    assert {"trail": 1, **FEED, "member_id": "m-1"} == line(feed_fields(message({})))


@pytest.mark.parametrize(
    ("item", "about"),
    [
        (
            {
                "uri": "s3://landing/a",
                "bucket": "landing",
                "key": "a",
                "size": 3,
                "time": "2026-11-22T10:00:00Z",
            },
            {"source": "aws.s3", "resource": "s3://landing/a", "event_time": "2026-11-22T10:00:00Z"},
        ),
        (
            event("acme.billing", "invoice-1", total=3) | {"region": "eu-west-1"},
            {
                "event_id": "e-1",
                "source": "acme.billing",
                "detail_type": "Object Created",
                "event_time": "2026-11-22T10:00:00Z",
                "resource": "invoice-1",
            },
        ),
    ],
)
def test_a_collected_member_is_named_by_its_message(item: dict[str, Any], about: dict[str, Any]) -> None:
    assert {"trail": 1, **FEED, "member_id": "m-1", **about} == line(member_fields(message(item)))


def test_a_batch_names_its_rule_and_key() -> None:
    batch = Batch("b-1", "a.b", 3, "{}", (("date", "2026-11-22"),), 1, 0.0, None)
    assert {"trail": 1, **FEED, "batch_id": "b-1"} == line(batch_fields(batch))


def test_a_watch_names_its_request() -> None:
    watch = Watch(
        ("0f", "a.b#default#1"), "analytics", "orders", "evt__1", EXECUTION, "mark", Wait(), 0.0, 0.0
    )
    assert {
        "trail": 1,
        "identity": "0f",
        "resource": EXECUTION,
        "rule_id": "a.b",
        "target_id": "default",
        "environment": "analytics",
        "dag_id": "orders",
        "run_id": "evt__1",
    } == line(watch_fields(watch))


def test_a_line_leaves_out_what_has_no_value() -> None:
    given = {"reason": None, "dag_id": "", "redeliver_after": None, "members": 0, "complete": False}
    assert {"trail": 1, "members": 0, "complete": 0} == line(given)


@pytest.mark.parametrize(
    "name", ["resource", "partitions", "missing", "source", "detail_type", "batch_key", "reason"]
)
def test_no_text_is_longer_than_its_limit(name: str) -> None:
    limit = LIMITS.get(name, LIMIT)
    cut = str(line({name: "é" * (limit + 1)})[name])
    assert (limit, "é…") == (len(cut), cut[-2:])
    assert line({name: "é" * limit})[name] == "é" * limit


def test_the_longest_object_is_never_cut() -> None:
    """So that a search for its URI finds it: a bucket's name has at most 63 characters, a key 1,024 bytes."""
    uri = f"s3://{'b' * 63}/{'k' * 1_024}"
    assert uri == line({"resource": uri})["resource"]


def test_half_a_surrogate_pair_does_not_lose_the_line() -> None:
    """A logger cannot encode it."""
    assert "a?b…" == bounded("a\ud800bcd", 4)


def test_every_route_gives_an_event_the_same_identity() -> None:
    """The trail has the hash of what `events` derives, whatever the id in the envelope."""
    one, other = Event(UPLOAD, "s3|a|1"), Event(UPLOAD | {"id": "another"}, "s3|a|1")
    lines = [line(event_fields(each.envelope, each.identity)) for each in (one, other)]
    assert lines[0]["identity"] == lines[1]["identity"]
