"""What an event is to a rule that collects: a member of a batch, a marker, or nothing that can be used."""

import json
from typing import Any

import pytest

from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.events import Event
from mwaa_gateway.routing.members import Member, MemberMessage, UnreadableMember, member_digest, member_of
from mwaa_gateway.routing.resolve import Refused
from mwaa_gateway.rules import Rule, parse_rule

MARKED = {
    "key": ["<date>"],
    "complete_when": {
        "event": {
            "pattern": {"source": ["aws.s3"], "detail": {"object": {"key": [{"suffix": "/_DONE"}]}}},
            "captures": {"detail.object.key": "orders/{date}/{_}"},
            "count": "<$.detail.object.size>",
        }
    },
    "max_wait": "3h",
}


def rule(**changed: Any) -> Rule:
    document = {
        "id": "sales.nightly",
        "pattern": {"source": ["aws.s3"]},
        "captures": {"detail.object.key": "orders/{date}/{region}.csv"},
        "collect": {"key": ["<date>"], "quiet_period": "10m"},
        "target": {"environment": "analytics", "dag_id": "load"},
    }
    return parse_rule(document | changed, environments=None, version=3)


def upload(key: str, identity: str = "one", **state: Any) -> Event:
    envelope = {
        "id": "e-1",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-11-22T10:00:00Z",
        "detail": {"bucket": {"name": "landing"}, "object": {"key": key, "size": 7, "etag": "abc"} | state},
    }
    return Event(envelope, identity)


def message(event: Event, by: Rule) -> MemberMessage:
    assert by.collect is not None
    found = member_of(event, by, by.collect)
    assert isinstance(found, MemberMessage), found
    return found


def refused(event: Event, by: Rule) -> Refused:
    assert by.collect is not None
    found = member_of(event, by, by.collect)
    assert isinstance(found, Refused), found
    return found


def test_an_upload_is_a_member_with_its_place_and_state() -> None:
    found = message(upload("orders/2026-11-22/eu.csv", **{"version-id": "v1"}), rule())

    assert found.key == (("date", "2026-11-22"),)
    assert (found.rule_id, found.rule_version) == ("sales.nightly", 3)
    assert found.member == Member(member_digest("one"), {}, "s3://landing/orders/2026-11-22/eu.csv")
    assert found.member.item == {
        "uri": "s3://landing/orders/2026-11-22/eu.csv",
        "bucket": "landing",
        "key": "orders/2026-11-22/eu.csv",
        "size": 7,
        "etag": "abc",
        "version-id": "v1",
        "time": "2026-11-22T10:00:00Z",
    }


def test_any_other_event_is_its_own_item() -> None:
    by = rule(pattern={"source": ["acme"]}, captures={"detail.day": "{date}"})
    envelope = {"id": "e-1", "source": "acme", "detail": {"day": "monday"}}

    found = message(Event(envelope, "one"), by)

    assert found.member.item == envelope
    assert found.member.distinct == found.member.id


def test_without_a_key_all_events_belong_together() -> None:
    assert message(upload("orders/2026-11-22/eu.csv"), rule(collect={"quiet_period": "10m"})).key == ()


@pytest.mark.parametrize(
    "condition",
    [{"count": 2, "of": "<region>"}, {"values": {"of": "<region>", "all_of": ["eu", "us"]}}],
    ids=["count", "values"],
)
def test_a_condition_may_count_a_value(condition: Any) -> None:
    by = rule(collect={"complete_when": condition, "max_wait": "3h"})
    assert message(upload("orders/2026-11-22/eu.csv"), by).member.distinct == "eu"


def test_a_dedupe_key_names_the_member() -> None:
    by = rule(dedupe_key="<region>")
    first, second = (message(upload("orders/2026-11-22/eu.csv", identity), by).member for identity in "ab")
    assert first.id == second.id


def test_an_event_of_the_markers_pattern_is_a_marker() -> None:
    """Though the rule's own pattern matches it, too: a marker is no member, and has captures of its own."""
    found = message(upload("orders/2026-11-22/_DONE", size=24), rule(collect=MARKED))

    assert found.key == (("date", "2026-11-22"),)
    assert (found.member.kind, found.member.count) == ("marker", 24)


def test_a_marker_of_no_number_is_refused() -> None:
    found = refused(upload("orders/2026-11-22/_DONE", size="many"), rule(collect=MARKED))
    assert found.reason == DeadEventReason.BATCH_KEY_REFUSED
    assert "'many'" in found.text


def test_captures_that_do_not_fit_are_refused() -> None:
    assert refused(upload("else/where"), rule()).reason == DeadEventReason.CAPTURES_REFUSED


def test_a_key_without_a_value_is_refused() -> None:
    by = rule(collect={"key": ["<$.detail.batch>"], "quiet_period": "10m"})
    found = refused(upload("orders/2026-11-22/eu.csv"), by)
    assert found.reason == DeadEventReason.BATCH_KEY_REFUSED
    assert "missing" in found.text


def test_a_key_that_is_too_long_is_refused() -> None:
    assert "1024 characters" in refused(upload(f"orders/{'x' * 1_025}/eu.csv"), rule()).text


@pytest.mark.parametrize("key", ["orders/2026-11-22/eu.csv", "orders/2026-11-22/_DONE"])
def test_a_message_survives_its_queue(key: str) -> None:
    sent = message(upload(key, size=3), rule(collect=MARKED))
    received = MemberMessage.from_json(sent.to_json(), 12.5)
    assert received.member.item == sent.member.item
    assert (received.rule_id, received.key, received.member, received.sent_at) == (
        "sales.nightly",
        sent.key,
        sent.member,
        12.5,
    )
    again = parse_rule(json.loads(received.document), environments=None, version=3)
    assert again == rule(collect=MARKED)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1}'])
def test_an_unreadable_message(text: str) -> None:
    with pytest.raises(UnreadableMember):
        MemberMessage.from_json(text, 1.0)
