"""Late members by the rule's policy, versions of S3 objects, and what a SHADOW rule collects."""

import json
from dataclasses import replace
from typing import Any

import pytest

from feeds_in_memory import DATE, Feeds, member
from mwaa_gateway.routing.members import MemberMessage
from mwaa_gateway.rules import parse_rule


def complete_with_one(feeds: Feeds, **collect: Any) -> None:
    """A batch of one member is released as complete."""
    feeds.rule["collect"] = {"key": ["<date>"], "complete_when": {"count": 1}, "max_wait": "3h", **collect}
    feeds.collect(member("a"))
    feeds.look(at=1_000.0)


@pytest.mark.guarantee(47)
@pytest.mark.parametrize(("late", "dead"), [("ignore", 0), ("dead_letter", 1)])
def test_a_late_member_that_the_rule_drops_is_in_no_batch_and_stays_so(late: str, dead: int) -> None:
    feeds = Feeds()
    complete_with_one(feeds, late=late)

    assert feeds.collect(member("b"), member("a")) == ["late", "duplicate"]

    assert len(feeds.batch_ids) == 1
    assert [each.member.id for each in feeds.late_members.members] == ["b"] * dead
    assert feeds.collect(member("b")) == ["late"]


@pytest.mark.guarantee(47)
def test_a_late_member_that_an_operator_redrives_opens_a_late_batch() -> None:
    feeds = Feeds()
    complete_with_one(feeds, late="dead_letter")
    feeds.collect(member("b"))
    [dead] = feeds.late_members.members

    assert feeds.deliver(replace(dead, is_redriven=True)) == ["collected"]

    assert feeds.store.batches[feeds.batch_ids[1]].is_late


@pytest.mark.guarantee(47)
def test_a_member_that_a_release_overtook_is_late_like_any_other() -> None:
    """Its pointer names the released batch, whose decision does not list it."""
    feeds = Feeds()
    complete_with_one(feeds, late="ignore")
    [pointer] = feeds.store.pointed.values()
    feeds.store.pointed["sales.nightly", "b"] = replace(pointer, member=member("b"), segment="overtaken")

    assert feeds.collect(member("b")) == ["late"]
    assert feeds.collect(member("b")) == ["late"]


def test_members_after_a_batch_that_was_released_when_due_are_late() -> None:
    feeds = Feeds()
    due = {"due": {"after": "1h"}, "when_due": "release", "late": "ignore"}
    feeds.rule["collect"] = {"key": ["<date>"], "complete_when": {"count": 9}, **due}
    feeds.collect(member("a"))
    assert feeds.look(at=1_000.0 + 3_600).result == "released"
    assert feeds.collect(member("b")) == ["late"]


def written(name: str, sequencer: str) -> Any:
    return member(f"{name}-{sequencer}", uri=f"s3://landing/{name}", sequencer=sequencer)


@pytest.mark.parametrize("versions", ["all", "latest"])
def test_of_an_object_that_was_written_twice_the_manifest_lists_what_the_rule_says(versions: str) -> None:
    """S3 fills up sequencers with zeros on the right, and a route may add zeros on the left: 00A0 is later than 9FFF."""
    feeds = Feeds()
    feeds.rule["collect"] = {"key": ["<date>"], "quiet_period": "10m", "versions": versions}
    feeds.collect(written("x", "00A0"), written("x", "9FFF"), written("y", "01"))

    feeds.look()

    [request] = feeds.queue.requests
    listed = sorted(feeds.manifests.members(request.target.conf["detail"]["manifest"]))
    assert listed == (["x-00A0", "x-9FFF", "y-01"] if versions == "all" else ["x-00A0", "y-01"])
    assert feeds.collect(written("x", "9FFF"), written("x", "00A0")) == ["duplicate", "duplicate"]


def test_a_shadow_rule_collects_apart_and_starts_nothing() -> None:
    feeds = Feeds()
    document = json.dumps(parse_rule(feeds.rule | {"state": "SHADOW"}, environments=None).document())
    shadow = MemberMessage("sales.nightly~shadow", 3, document, DATE, member("a"), 1_000.0)
    assert feeds.deliver(shadow) == ["collected"]
    assert feeds.collect(member("a")) == ["collected"]  # once the rule is enabled
    of_shadow, of_rule = feeds.batch_ids

    assert feeds.look(of_shadow).result == "released"
    assert feeds.queue.requests == []
    assert feeds.bus.notices == []
    feeds.look(of_rule)
    assert len(feeds.queue.requests) == 1
