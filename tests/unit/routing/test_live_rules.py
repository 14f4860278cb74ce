"""Rules as they are now: fresh enough, cheap enough, and never "none" by failure."""

import json

import pytest

from fakes.rules import FakeRuleSource
from fakes.work import counted_calls
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.routing.live_rules import UNREADABLE_HEAD, LiveRules, Matches

UPLOAD = {
    "version": "0",
    "id": "e-1",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "123456789012",
    "time": "2026-11-22T10:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:s3:::acme-landing"],
    "detail": {"bucket": {"name": "acme-landing"}, "object": {"key": "orders/1.csv", "size": 10}},
}


def rule(rule_id: str = "finance.orders", **changes: object) -> dict:
    return {
        "id": rule_id,
        "description": "Ingest each order file as it lands",
        "pattern": {"source": ["aws.s3"], "detail": {"bucket": {"name": ["acme-landing"]}}},
        "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
        **changes,
    }


@pytest.fixture
def source() -> FakeRuleSource:
    return FakeRuleSource()


@pytest.fixture
def rules(source: FakeRuleSource) -> LiveRules:
    return LiveRules(source, environments={"analytics"}, refresh_seconds=5)


def match(rules: LiveRules, envelope: dict, now: float) -> Matches:
    """Refresh, then match: what ingress does with each event."""
    rules.refresh(envelope, now)
    return rules.match(envelope)


def ids(matches: Matches) -> list[str]:
    return [matched.id for matched in matches.rules]


def test_a_refresh_is_one_read_of_heads(source: FakeRuleSource, rules: LiveRules) -> None:
    """Of the event's three partitions and the namespaces, and nothing more where no rule lies."""
    assert Matches((), ()) == match(rules, UPLOAD, now=0)
    assert [("heads", ("aws.s3#acme-landing", "aws.s3#*", "*", "namespaces"))] == source.calls


def test_rules_are_read_again_only_after_their_head_moved(source: FakeRuleSource, rules: LiveRules) -> None:
    """A busy sandbox asks for heads every few seconds, and for rules hardly ever."""
    source.put(rule())
    for now in (0, 1, 4.9):
        assert ["finance.orders"] == ids(match(rules, UPLOAD, now))
    assert ["heads", "copies"] == [call for call, _ in source.calls]
    match(rules, UPLOAD, 5)
    assert ["heads", "copies", "heads"] == [call for call, _ in source.calls]
    source.put(rule("finance.second"))
    match(rules, UPLOAD, 9)
    assert ["finance.orders", "finance.second"] == sorted(ids(match(rules, UPLOAD, 10)))
    assert ["heads", "copies", "heads", "heads", "copies"] == [call for call, _ in source.calls]


def test_where_a_head_cannot_be_read_a_changed_rule_is_still_seen(
    source: FakeRuleSource, rules: LiveRules
) -> None:
    """At the next refresh, as ever: the rules are read again each time, because it is unknown whether they have changed."""
    source.put(rule())
    (partition,) = source.partitions
    source.generations[partition] = UNREADABLE_HEAD
    found = match(rules, UPLOAD, 0)
    assert (["finance.orders"], {partition}) == (ids(found), found.unreadable_heads)
    source.put(rule("finance.second"))
    source.generations[partition] = UNREADABLE_HEAD
    assert ["finance.orders", "finance.second"] == sorted(ids(match(rules, UPLOAD, 5)))


@pytest.mark.parametrize("method", ["heads", "copies"])
def test_a_table_that_does_not_answer_is_no_answer(
    source: FakeRuleSource, rules: LiveRules, method: str
) -> None:
    """Never "no rule matches" by failure; the next event asks again."""
    source.put(rule())
    source.failures.coming[method] = 1
    with pytest.raises(Unavailable):
        match(rules, UPLOAD, 0)
    assert ["finance.orders"] == ids(match(rules, UPLOAD, 0))


def test_only_rules_that_changed_are_compiled_again(source: FakeRuleSource, rules: LiveRules) -> None:
    """One change in a partition of ten thousand rules costs one."""
    source.put(rule())
    source.put(rule("finance.second"))
    first, second = match(rules, UPLOAD, 0).rules
    source.put(rule("finance.second", description="changed"), version=2)
    again, changed = match(rules, UPLOAD, 5).rules
    assert first is again
    assert second is not changed
    assert 2 == changed.version


def test_a_pattern_is_compiled_once(source: FakeRuleSource, rules: LiveRules) -> None:
    """Also when the rule is checked again, as its allow-list has changed."""
    source.put(rule())
    (first,) = match(rules, UPLOAD, 0).rules
    source.allow(
        {"namespace": "finance", "sources": ["aws.s3"], "environments": ["*"], "dag_ids": ["ingest_*"]}
    )
    (again,) = match(rules, UPLOAD, 5).rules
    assert again is not first
    assert again.pattern is first.pattern


def test_matching_reads_nothing(source: FakeRuleSource, rules: LiveRules) -> None:
    """Only a refresh does."""
    source.put(rule())
    rules.refresh(UPLOAD, 0)
    calls = list(source.calls)
    source.put(rule("finance.second"))
    assert ["finance.orders"] == ids(rules.match(UPLOAD))
    assert calls == source.calls


def test_rules_of_other_buckets_add_nothing_to_a_cold_start() -> None:
    """100,000 rules over 5,000 buckets: one read of three heads, one of twenty rules, and no further work."""
    alone, crowded = FakeRuleSource(), FakeRuleSource()
    text = json.dumps(rule("ID", pattern={"source": ["aws.s3"], "detail": {"bucket": {"name": ["BUCKET"]}}}))
    for number in range(100_000):
        bucket = f"bucket-{number // 20}"
        document = text.replace("ID", f"r{number}").replace("BUCKET", bucket)
        for source in (crowded, alone) if bucket == "bucket-77" else (crowded,):
            source.put_text(f"r{number}", document, [f"aws.s3#{bucket}"])
    event = UPLOAD | {"detail": {"bucket": {"name": "bucket-77"}, "object": {"key": "k"}}}
    work = []
    for source in (alone, crowded):
        live = LiveRules(source, environments={"analytics"}, refresh_seconds=5)
        with counted_calls() as calls:
            assert [f"r{number}" for number in range(1_540, 1_560)] == ids(match(live, event, 0))
        work.append(calls.count)
        assert ["heads", "copies"] == [call for call, _ in source.calls]
        assert ("copies", "aws.s3#bucket-77") == source.calls[1]
    alone_work, crowded_work = work
    assert crowded_work <= alone_work


def test_a_sandbox_holds_the_rules_of_the_last_thousand_partitions(
    source: FakeRuleSource, rules: LiveRules
) -> None:
    """Senders choose detail-types: they may not fill the memory, nor push out what the present event needs."""
    for number in range(1_100):
        match(rules, UPLOAD | {"source": "acme", "detail-type": f"type {number}"}, now=0)
    source.calls.clear()
    match(rules, UPLOAD | {"source": "acme", "detail-type": "type 1099"}, now=0)
    assert [] == source.calls
    match(rules, UPLOAD | {"source": "acme", "detail-type": "type 1"}, now=0)
    assert [("heads", ("acme#type 1", "namespaces"))] == source.calls


def test_a_clock_that_jumps_back_refreshes(source: FakeRuleSource, rules: LiveRules) -> None:
    """Rather one read too many than rules that stay old until the clock has caught up."""
    match(rules, UPLOAD, 1_000)
    source.put(rule())
    assert ["finance.orders"] == ids(match(rules, UPLOAD, 10))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"pattern": 1}',
        '{"pattern": {"a": []}}',
        '{"pattern": {"a": [{"regex": "x"}]}}',
    ],
)
def test_a_rule_whose_pattern_cannot_be_read_is_reported_for_every_event(
    source: FakeRuleSource, rules: LiveRules, document: str
) -> None:
    """It is unknown which events it meant; the others match."""
    source.put(rule())
    source.put_text("finance.broken", document, ["aws.s3#acme-landing"], version=7)
    matches = match(rules, UPLOAD, 0)
    assert ["finance.orders"] == ids(matches)
    assert [("finance.broken", 7)] == [(broken.id, broken.version) for broken in matches.broken]


def test_a_rule_that_cannot_be_used_is_reported_for_its_own_events(
    source: FakeRuleSource, rules: LiveRules
) -> None:
    """Its pattern still says which they are."""
    source.put_text("a.broken", json.dumps(rule("a.broken", targets=[])), ["aws.s3#acme-landing"])
    other = rule(
        "b.broken", targets=[], pattern={"source": ["aws.s3"], "detail": {"object": {"key": ["other"]}}}
    )
    source.put_text("b.broken", json.dumps(other), ["aws.s3#*"])
    assert ["a.broken"] == [broken.id for broken in match(rules, UPLOAD, 0).broken]


def test_a_rule_for_an_environment_the_gateway_does_not_know_is_broken(source: FakeRuleSource) -> None:
    """There is no queue to put its requests on."""
    source.put(rule())
    (broken,) = match(LiveRules(source, environments={"marketing"}, refresh_seconds=5), UPLOAD, 0).broken
    assert "analytics" in broken.reason


@pytest.mark.parametrize("newer", ["aws.s3#acme-landing", "aws.s3#*", "*"])
def test_a_rule_on_its_way_from_one_partition_to_another_fires_once(
    source: FakeRuleSource, rules: LiveRules, newer: str
) -> None:
    """Two partitions are read at different moments; the newer version counts."""
    for partition in ("aws.s3#acme-landing", "aws.s3#*", "*"):
        source.put_text(
            "finance.orders", json.dumps(rule()), [partition], version=2 if partition == newer else 1
        )
    (matched,) = match(rules, UPLOAD, 0).rules
    assert 2 == matched.version


def test_a_rule_that_its_namespace_does_not_allow_is_reported_and_skipped(
    source: FakeRuleSource, rules: LiveRules
) -> None:
    """From the next refresh on, and until it is allowed again; the allow-lists are read when their head moved."""
    source.put(rule())
    assert ["finance.orders"] == ids(match(rules, UPLOAD, now=0))
    narrow = {"namespace": "finance", "sources": ["acme"], "environments": ["analytics"], "dag_ids": ["*"]}
    source.allow(narrow)
    matches = match(rules, UPLOAD, now=10)
    assert ((), ["finance.orders"]) == (matches.rules, [broken.id for broken in matches.broken])
    assert "namespace 'finance' allows 'acme'" in matches.broken[0].reason
    source.allow(narrow | {"sources": ["aws.s3"]})
    assert ["finance.orders"] == ids(match(rules, UPLOAD, now=20))
    match(rules, UPLOAD, now=30)
    assert 2 == sum(call == "namespaces" for call, _ in source.calls)


def test_allow_lists_that_cannot_be_read_stop_the_refresh(source: FakeRuleSource, rules: LiveRules) -> None:
    """No answer never reads as "everything is allowed": the event is tried again."""
    source.put(rule())
    source.allow({"namespace": "finance", "sources": [], "environments": [], "dag_ids": []})
    source.failures.coming["namespaces"] = 1
    with pytest.raises(Unavailable):
        match(rules, UPLOAD, now=0)
    assert () == match(rules, UPLOAD, now=0).rules


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "is 2, and this version of the gateway reads format 1"),
        ({"state": "PAUSED"}, "is 'PAUSED'; write ENABLED, DISABLED or SHADOW"),
        ({"captures": {"detail.object.key": "{a}{b}"}}, "side by side"),
        (
            {
                "pattern": {
                    "source": ["aws.s3"],
                    "detail": {"bucket": {"name": ["acme-landing", "large-confs"]}},
                }
            },
            "matches bucket 'large-confs', where the gateway stores large confs",
        ),
        (
            {"pattern": {"source": ["aws.s3"], "detail": {"bucket": {"name": [{"anything-but": ["x"]}]}}}},
            "matches bucket 'large-confs'",
        ),
        ({"pattern": {"source": ["aws.s3", "mwaa-gateway"]}}, "the gateway's own events"),
    ],
)
def test_a_rule_is_checked_again_when_it_is_read(source: FakeRuleSource, changes: dict, words: str) -> None:
    """Whatever wrote it: reported with the reason, and skipped; the others fire."""
    source.put(rule())
    odd = rule("a.odd", **changes)
    source.put_text("a.odd", json.dumps(odd), ["aws.s3#acme-landing"])
    rules = LiveRules(source, environments={"analytics"}, refresh_seconds=5, claim_check_bucket="large-confs")
    matches = match(rules, UPLOAD, 0)
    assert ["finance.orders"] == ids(matches)
    (broken,) = matches.broken
    assert ("a.odd", True) == (broken.id, words in broken.reason), broken.reason


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3"]},
        {"source": ["acme"], "detail": {"bucket": {"name": ["large-confs"]}}},
        {"source": ["aws.s3"], "detail": {"bucket": {"name": [{"anything-but": ["large-confs"]}]}}},
    ],
)
def test_a_rule_that_only_leaves_the_bucket_open_is_used(source: FakeRuleSource, pattern: dict) -> None:
    """Refused is what names the gateway's bucket; the rest is kept from starting itself when the event comes."""
    source.put(rule(pattern=pattern))
    live = LiveRules(source, environments={"analytics"}, refresh_seconds=5, claim_check_bucket="large-confs")
    assert () == match(live, UPLOAD, 0).broken
