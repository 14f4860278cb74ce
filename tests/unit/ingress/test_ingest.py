"""From events to trigger requests: everything is decided first, and nothing is lost on the way."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.claim_checks import FakeClaimChecks
from fakes.queues import FakeCollectQueue, FakeIngressDeadLetters, FakeTriggerQueue
from fakes.rules import FakeRuleSource
from fakes.shadows import FakeShadowLedger
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.errors import MalformedEvent, Unavailable
from mwaa_gateway.events import Event
from mwaa_gateway.ingress.ingest import Ingress, IngressReport
from mwaa_gateway.routing.live_rules import UNREADABLE_HEAD, LiveRules
from mwaa_gateway.trigger_request import derive_run_id

PAYLOAD = {"what": "the source sent"}


def upload(key: str = "orders/1.csv") -> Event:
    envelope = {
        "version": "0",
        "id": f"id-of-{key}",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-22T10:00:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": {"bucket": {"name": "acme-landing"}, "object": {"key": key}},
    }
    return Event(envelope, f"s3|acme-landing|{key}|Object Created|0A")


def rule(rule_id: str = "finance.orders", **changes: object) -> dict[str, Any]:
    return {
        "id": rule_id,
        "pattern": {"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "orders/"}]}}},
        "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
        **changes,
    }


@dataclass
class Scene:
    """An ingress on fakes."""

    source: FakeRuleSource = field(default_factory=FakeRuleSource)
    queue: FakeTriggerQueue = field(default_factory=FakeTriggerQueue)
    collect_queue: FakeCollectQueue = field(default_factory=FakeCollectQueue)
    dead_letters: FakeIngressDeadLetters = field(default_factory=FakeIngressDeadLetters)
    claim_checks: FakeClaimChecks = field(default_factory=FakeClaimChecks)
    shadows: FakeShadowLedger = field(default_factory=FakeShadowLedger)

    def ingest(self, *events: Event | MalformedEvent, payload: Mapping[str, Any] = PAYLOAD) -> IngressReport:
        ingress = Ingress(
            rules=LiveRules(
                self.source,
                environments={"analytics", "marketing"},
                refresh_seconds=5,
                claim_check_bucket="large-confs",
            ),
            queue=self.queue,
            collect_queue=self.collect_queue,
            dead_letters=self.dead_letters,
            shadows=self.shadows,
            claim_checks=self.claim_checks,
            now=lambda: 1_000.0,
            claim_check_bucket="large-confs",
        )
        return ingress.ingest(events, payload=payload)


@pytest.fixture
def ingress() -> Scene:
    return Scene()


def test_a_match_becomes_a_request_with_everything_resolved(ingress: Scene) -> None:
    """Environment, DAG, derived run_id and conf; the rule's version; where it came from."""
    ingress.source.put(rule(maximum_event_age="1h"), version=4)
    report = ingress.ingest(upload())
    (request,) = ingress.queue.requests
    assert ("analytics", "ingest_orders") == (request.target.environment, request.target.dag_id)
    assert derive_run_id(upload().identity, "finance.orders", "default") == request.target.run_id
    assert 3600 == request.maximum_event_age_seconds
    assert "orders/1.csv" == request.target.conf["detail"]["object"]["key"]
    assert {
        "event_id": "id-of-orders/1.csv",
        "event_time": "2026-11-22T10:00:00Z",
        "source": "aws.s3",
        "detail_type": "Object Created",
        "rule_id": "finance.orders",
        "rule_version": 4,
        "target_id": "default",
        "generation": 0,
    } == request.target.conf["mwaa_gateway"]
    assert (1, [], [request], []) == (report.matched, report.unmatched, report.requests, report.dead)


def test_an_event_that_can_be_read_in_too_many_ways_is_dead_and_stops_no_other(ingress: Scene) -> None:
    """A path with two spellings, each with a long list: kept with what is wrong, and the next event goes its way."""
    pattern = {"detail": {"items": {"sku": ["a"], "kind": ["b"]}, "object": {"key": [{"prefix": "orders/"}]}}}
    ingress.source.put(rule(pattern=pattern))
    ingress.source.put(rule("finance.all"))
    items = [{"sku": "a", "kind": "b"}] * 500
    detail = {"items": items, "object": {"key": "orders/1.csv"}}
    hostile = Event(
        upload().envelope | {"detail": detail, "detail.items": items},
        identity="twice",
    )
    report = ingress.ingest(hostile, upload())
    [dead] = ingress.dead_letters.dead
    assert ("malformed_event", True) == (
        dead.reason,
        "has the same path with a dotted name and with nested objects" in dead.text,
    )
    assert ["finance.all"] == [request.rule_id for request in report.requests]


def test_every_target_of_every_matching_rule_is_a_run_of_its_own(ingress: Scene) -> None:
    """Two rules, one of them with two targets in two environments: three requests, three run_ids."""
    targets = [
        {"id": "default", "environment": "analytics", "dag_id": "a"},
        {"id": "copy", "environment": "marketing", "dag_id": "a"},
    ]
    ingress.source.put(rule(targets=targets))
    ingress.source.put(rule("other.orders"))
    ingress.ingest(upload())
    assert 3 == len({request.target.run_id for request in ingress.queue.requests})


@pytest.mark.guarantee(11)
def test_an_event_that_no_rule_wants_is_counted(ingress: Scene) -> None:
    """Unmatched is an answer, not a silence."""
    ingress.source.put(rule())
    report = ingress.ingest(upload("elsewhere/1.csv"))
    assert (0, [upload("elsewhere/1.csv")]) == (report.matched, report.unmatched)
    assert [] == ingress.queue.requests


def test_a_malformed_record_is_kept_whole_and_stops_no_other(ingress: Scene) -> None:
    """Kept after one attempt, with the reason and what the source sent."""
    ingress.source.put(rule())
    ingress.ingest(upload("orders/1.csv"), MalformedEvent("Records[1].s3 is missing"), upload("orders/2.csv"))
    assert 2 == len(ingress.queue.requests)
    (dead,) = ingress.dead_letters.dead
    assert (DeadEventReason.MALFORMED_EVENT, "Records[1].s3 is missing", PAYLOAD) == (
        dead.reason,
        dead.text,
        dead.payload,
    )


@pytest.mark.guarantee(9)
def test_an_event_for_a_broken_rule_is_kept_and_the_others_fire(ingress: Scene) -> None:
    """The entry names the rule and contains the event, so that it can be redriven once the rule is corrected."""
    ingress.source.put(rule())
    ingress.source.put_text("finance.broken", "{}", ["aws.s3#acme-landing"], version=2)
    report = ingress.ingest(upload())
    assert ["finance.orders"] == [request.rule_id for request in ingress.queue.requests]
    (dead,) = ingress.dead_letters.dead
    assert (DeadEventReason.BROKEN_RULE, "finance.broken", 2) == (
        dead.reason,
        dead.rule_id,
        dead.rule_version,
    )
    assert PAYLOAD == dead.payload  # not the envelope: sent again, that would be another event
    assert [] == report.unmatched


def test_an_event_meant_only_for_a_broken_rule_is_not_unmatched(ingress: Scene) -> None:
    """It is dead, with the reason; counting it as unmatched would hide it."""
    ingress.source.put_text("finance.broken", "{}", ["*"])
    report = ingress.ingest(upload())
    assert (0, [], 1) == (report.matched, report.unmatched, len(report.dead))


def test_a_conf_that_cannot_be_built_is_kept_with_its_rule(ingress: Scene) -> None:
    """Here: an object in the middle of a text. The other rule's run starts."""
    transformer = {"input_paths": {"o": "$.detail.object"}, "input_template": {"text": "object: <o>"}}
    target = {"id": "default", "environment": "analytics", "dag_id": "a", "input_transformer": transformer}
    ingress.source.put(rule("a.text", targets=[target]))
    ingress.source.put(rule())
    report = ingress.ingest(upload())
    assert ["finance.orders"] == [request.rule_id for request in ingress.queue.requests]
    (dead,) = report.dead
    assert (DeadEventReason.CONF_NOT_MADE, "a.text", PAYLOAD) == (dead.reason, dead.rule_id, dead.payload)


@pytest.mark.guarantee(8)
@pytest.mark.parametrize("method", ["heads", "copies"])
def test_rules_that_cannot_be_read_send_nothing(ingress: Scene, method: str) -> None:
    """The invocation fails as a whole, and Lambda repeats it."""
    ingress.source.put(rule())
    ingress.source.failures.coming[method] = 1
    with pytest.raises(Unavailable):
        ingress.ingest(upload(), MalformedEvent("x"))
    assert ([], []) == (ingress.queue.requests, ingress.dead_letters.dead)


def test_queues_that_do_not_answer_fail_the_invocation(ingress: Scene) -> None:
    """Nothing is reported as done that is not on a queue."""
    ingress.source.put(rule())
    ingress.queue.failures.coming["enqueue"] = 1
    ingress.dead_letters.failures.coming["publish"] = 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            ingress.ingest(upload(), MalformedEvent("x"))
    ingress.ingest(upload(), MalformedEvent("x"))
    assert 1 == len({request.ledger_key for request in ingress.queue.requests})
    assert 1 == len(ingress.dead_letters.dead)


def test_a_conf_that_cannot_be_stored_delays_its_own_request_only(ingress: Scene) -> None:
    """The others are sent before the invocation fails; the repeated one sends it, and the ledger knows the others."""
    template = {"input_paths": {"key": "$.detail.object.key"}, "input_template": {"keys": "<key>" * 40}}
    target = {"id": "default", "environment": "analytics", "dag_id": "a", "input_transformer": template}
    ingress.source.put(rule(targets=[target | {"large_conf": "claim_check"}]))
    large, small = upload(f"orders/{'x' * 990}"), upload("orders/2.csv")
    ingress.claim_checks.failures.coming["put"] = 1
    with pytest.raises(Unavailable):
        ingress.ingest(large, small)
    assert [small.identity] == [request.identity for request in ingress.queue.requests]
    ingress.ingest(large, small)
    assert {large.identity, small.identity} == {request.identity for request in ingress.queue.requests}


def test_rules_that_cannot_be_read_for_one_event_delay_no_other(ingress: Scene) -> None:
    """The second event's partitions can be read again."""
    ingress.source.put(rule())
    ingress.source.failures.coming["heads"] = 1
    with pytest.raises(Unavailable):
        ingress.ingest(upload("orders/1.csv"), upload("orders/2.csv"))
    assert ["s3|acme-landing|orders/2.csv|Object Created|0A"] == [
        request.identity for request in ingress.queue.requests
    ]


def test_a_mistake_of_ours_about_one_event_delays_no_other(ingress: Scene) -> None:
    """It comes out as it is, for its traceback; the other event has been sent by then."""
    ingress.source.put(rule())
    broken = upload("orders/1.csv")
    del broken.envelope["time"]
    with pytest.raises(KeyError, match="time"):
        ingress.ingest(broken, upload("orders/2.csv"))
    assert 1 == len(ingress.queue.requests)


def test_an_unreadable_head_hides_no_rule_and_is_reported(ingress: Scene) -> None:
    """Whether its rules have changed is not known: they are read again each time, and used."""
    ingress.source.put(rule())
    (partition,) = ingress.source.partitions
    ingress.source.generations[partition] = UNREADABLE_HEAD
    report = ingress.ingest(upload())
    assert ({partition}, 1) == (report.unreadable_heads, len(ingress.queue.requests))


def test_a_repeated_invocation_asks_for_the_same_run(ingress: Scene) -> None:
    """The ledger recognises the second as a duplicate."""
    ingress.source.put(rule())
    ingress.ingest(upload())
    ingress.ingest(upload())
    first, second = ingress.queue.requests
    assert first.ledger_key == second.ledger_key
    assert first.target == second.target


def test_a_rule_in_shadow_is_recorded_and_starts_nothing(ingress: Scene) -> None:
    """What would have run, beside what does; an event that only it wants is unmatched."""
    ingress.source.put(rule())
    ingress.source.put(rule("trial.orders", state="SHADOW"), version=2)
    ingress.source.put(
        rule("trial.others", state="SHADOW", pattern={"detail": {"object": {"key": [{"prefix": "x/"}]}}})
    )
    report = ingress.ingest(upload(), upload("x/1.csv"))
    assert ["finance.orders"] == [request.rule_id for request in ingress.queue.requests]
    first, second = ingress.shadows.records
    (real,) = ingress.queue.requests
    assert ("trial.orders", 2, "analytics", "ingest_orders") == (
        first.rule_id,
        first.rule_version,
        first.environment,
        first.dag_id,
    )
    assert derive_run_id(upload().identity, "trial.orders", "default") == first.run_id
    assert real.ledger_key[0] == first.event_hash == first.ledger_key[0]
    assert "trial.orders#default#0" == first.ledger_key[1]
    assert "trial.orders" == first.conf["mwaa_gateway"]["rule_id"]  # type: ignore[index]
    assert "trial.others" == second.rule_id
    assert (1, [upload("x/1.csv")]) == (report.matched, report.unmatched)


def test_a_rule_in_shadow_makes_nothing_dead(ingress: Scene) -> None:
    """What would have been dead is in its report; a rule on trial raises no alarm."""
    captures = {"detail.object.key": "orders/{region}/{file}"}
    ingress.source.put(rule("trial.orders", state="SHADOW", captures=captures))
    report = ingress.ingest(upload())
    assert ([], []) == (report.dead, ingress.dead_letters.dead)
    (record,) = ingress.shadows.records
    assert ("*", "captures_refused", "", None) == (
        record.target_id,
        record.reason,
        record.run_id,
        record.conf,
    )


def test_a_shadow_that_cannot_be_recorded_stops_no_run(ingress: Scene) -> None:
    """Its report has a gap, which a log line names; the other rule's event is not delivered again for it."""
    ingress.source.put(rule())
    ingress.source.put(rule("trial.orders", state="SHADOW"))
    ingress.shadows.failures.coming["record"] = 1
    report = ingress.ingest(upload())
    assert 1 == len(ingress.queue.requests)
    assert report.shadow_error


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"captures": {"detail.object.key": "x/{file}"}}, DeadEventReason.CAPTURES_REFUSED),
        ({"dedupe_key": "<$.detail.none>"}, DeadEventReason.DEDUPE_KEY_REFUSED),
        (
            {
                "targets": [
                    {"id": "a", "environment": "analytics", "dag_id": "<$.source>", "allowed_dag_ids": ["x"]}
                ]
            },
            DeadEventReason.DAG_ID_REFUSED,
        ),
    ],
)
def test_what_cannot_be_resolved_is_kept_with_rule_and_reason(
    ingress: Scene, changes: dict[str, Any], reason: DeadEventReason
) -> None:
    """Nothing is started for it, and the other rules fire."""
    ingress.source.put(rule("a.odd", **changes), version=5)
    ingress.source.put(rule())
    report = ingress.ingest(upload())
    assert ["finance.orders"] == [request.rule_id for request in ingress.queue.requests]
    (dead,) = report.dead
    assert (reason, "a.odd", 5, PAYLOAD) == (dead.reason, dead.rule_id, dead.rule_version, dead.payload)
    assert dead.text.startswith("rule 'a.odd': ")
    assert [] == report.unmatched


def large(**target: object) -> dict[str, Any]:
    return rule(
        targets=[{"id": "a", "environment": "analytics", "dag_id": "d", "large_conf": "claim_check"} | target]
    )


def huge(size: int = 40_000) -> Event:
    event = upload()
    return Event(
        {**event.envelope, "detail": {**event.envelope["detail"], "rows": "x" * size}}, event.identity
    )


def test_a_large_conf_is_put_into_the_bucket_and_passed_by_its_uri(ingress: Scene) -> None:
    """The run's conf says where it came from and where the rest is; a repeated delivery writes the same object."""
    ingress.source.put(large())
    for _ in range(2):
        ingress.ingest(huge())
    first, second = ingress.queue.requests
    assert first.target == second.target
    ((uri, body),) = ingress.claim_checks.objects.items()
    assert {"mwaa_gateway"} == set(first.target.conf)
    assert uri == first.target.conf["mwaa_gateway"]["conf_uri"]
    assert uri.startswith(f"s3://large-confs/analytics/{first.target.run_id}/")
    assert json.loads(body) == dict(huge().envelope)
    assert "finance.orders" == first.target.conf["mwaa_gateway"]["rule_id"]


def test_two_confs_of_one_run_are_two_objects(ingress: Scene) -> None:
    """A rule edited between two deliveries: whichever request is pinned, its own conf is there."""
    template = {"input_paths": {"rows": "$.detail.rows"}}
    for version, name in ((1, "a"), (2, "b")):
        ingress.source.put(
            large(input_transformer=template | {"input_template": {name: "<rows>"}}), version=version
        )
        ingress.ingest(huge())
    uris = [request.target.conf["mwaa_gateway"]["conf_uri"] for request in ingress.queue.requests]
    assert ["a", "b"] == [next(iter(json.loads(ingress.claim_checks.objects[uri]))) for uri in uris]
    assert 1 == len({request.target.run_id for request in ingress.queue.requests})


def test_a_small_conf_is_passed_as_ever(ingress: Scene) -> None:
    """No object, no URI."""
    ingress.source.put(large())
    ingress.ingest(upload())
    assert {} == ingress.claim_checks.objects
    assert "conf_uri" not in ingress.queue.requests[0].target.conf["mwaa_gateway"]


@pytest.mark.parametrize(
    ("document", "event", "words"),
    [
        (large(large_conf="reject"), huge(), "or set large_conf: claim_check for the target"),
        (rule(), huge(), "at most 32768 are allowed"),
        (large(), huge(1_100_000), "at most 1048576 are allowed. Name only the fields the DAG needs"),
    ],
)
def test_a_conf_that_is_too_large_is_kept(
    ingress: Scene, document: dict[str, Any], event: Event, words: str
) -> None:
    """Refused with the size, the limit, and what to do; never cut."""
    ingress.source.put(document)
    (dead,) = ingress.ingest(event).dead
    assert DeadEventReason.CONF_TOO_LARGE == dead.reason
    assert words in dead.text


def test_no_request_goes_before_its_conf(ingress: Scene) -> None:
    """A bucket that does not answer fails the invocation: no run may look for a conf that is not there."""
    ingress.source.put(large())
    ingress.claim_checks.failures.coming["put"] = 1
    with pytest.raises(Unavailable):
        ingress.ingest(huge())
    assert [] == ingress.queue.requests


@pytest.mark.parametrize(
    "own",
    [{"source": "mwaa-gateway"}, {"detail": {"bucket": {"name": "large-confs"}, "object": {"key": "a"}}}],
)
def test_the_gateways_own_events_start_nothing(ingress: Scene, own: dict[str, Any]) -> None:
    """Not even by a rule that wants everything: a large conf would start the next one, for ever."""
    ingress.source.put(rule(pattern={"region": ["eu-west-1"]}))
    event = Event({**upload().envelope, **own}, "own")
    report = ingress.ingest(event)
    assert ([], [event]) == (report.requests, report.unmatched)


COLLECTED = {"captures": {"detail.object.key": "orders/{file}.csv"}, "collect": {"quiet_period": "10m"}}


def test_a_rule_that_collects_sends_members(ingress: Scene) -> None:
    """Beside the requests of the other rules; its event counts as matched."""
    ingress.source.put(rule(**COLLECTED))
    ingress.source.put(rule(id="finance.plain"))
    report = ingress.ingest(upload())
    (message,) = ingress.collect_queue.messages
    assert ("finance.orders", 1) == (message.rule_id, report.matched)
    assert ["finance.plain"] == [request.rule_id for request in ingress.queue.requests]


def test_a_collect_queue_that_does_not_answer_fails_the_invocation(ingress: Scene) -> None:
    """The requests of other rules are sent all the same."""
    ingress.source.put(rule(**COLLECTED))
    ingress.source.put(rule(id="finance.plain"))
    ingress.collect_queue.failures.coming["collect"] = 1
    with pytest.raises(Unavailable):
        ingress.ingest(upload())
    assert ([], 1) == (ingress.collect_queue.messages, len(ingress.queue.requests))


def test_an_event_without_the_batch_key_is_dead(ingress: Scene) -> None:
    key = ["<$.detail.no-such-field>"]
    ingress.source.put(rule(collect={"quiet_period": "10m", "key": key}))
    report = ingress.ingest(upload())
    assert ["batch_key_refused"] == [dead.reason for dead in report.dead]


def test_a_marker_reaches_its_rule_by_its_own_pattern(ingress: Scene) -> None:
    """Though its source has nothing to do with the members'."""
    event = {"pattern": {"source": ["acme.export"]}, "captures": {"detail.day": "{day}"}}
    collect = {"key": ["<day>"], "max_wait": "3h", "complete_when": {"event": event}}
    ingress.source.put(rule(captures={"detail.object.key": "orders/{day}.csv"}, collect=collect))
    done = Event({**upload().envelope, "source": "acme.export", "detail": {"day": "monday"}}, "done")
    ingress.ingest(done, upload("orders/monday.csv"))
    assert [("marker", "monday"), ("member", "monday")] == [
        (each.member.kind, each.key[0][1]) for each in ingress.collect_queue.messages
    ]
