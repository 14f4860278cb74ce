"""From members to trigger requests: what the flows store, send and report."""

import json
from typing import Any

import pytest

from fakes.batches import (
    BatchesInMemory,
)
from fakes.object_claims import FakeClaims
from feeds_in_memory import DATE, Feeds, marker, member
from mwaa_gateway.dispatch.s3_objects import Claim, ListedObject, claims_text
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events.s3 import s3_identity
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.routing.members import Member, MemberMessage, member_digest
from mwaa_gateway.rules import parse_rule


@pytest.fixture
def feeds() -> Feeds:
    return Feeds()


class TestRequest:
    def test_a_batch_is_one_event_to_its_targets(self, feeds: Feeds) -> None:
        """The conf is that event, with the members while they fit, and the origin under the reserved key."""
        feeds.collect(member("b"), member("a"))
        feeds.now = 1_060.5
        feeds.collect(member("c"))

        feeds.look()

        (request,) = feeds.queue.requests
        detail = request.target.conf["detail"]
        manifest = detail.pop("manifest")
        assert manifest.startswith("s3://claims/feeds/")
        assert detail == {
            "rule_id": "sales.nightly",
            "id": feeds.batch_ids[0],
            "number": 1,
            "key": {"date": "2026-11-22"},
            "reason": "quiet_period",
            "complete": True,
            "late": False,
            "missing": [],
            "count": 3,
            "bytes": 30,
            "first_at": "1970-01-01T00:16:40.000Z",
            "last_at": "1970-01-01T00:17:40.500Z",
            "members": [{"uri": f"s3://landing/{name}", "size": 10} for name in "abc"],
        }
        assert request.target.conf["mwaa_gateway"]["detail_type"] == "Batch Released"
        assert request.target.conf["mwaa_gateway"]["rule_version"] == 3
        assert (request.target.environment, request.target.dag_id) == ("analytics", "load_orders")
        assert request.target.run_id.startswith("evt__sales.nightly__")

    def test_a_long_list_of_members_is_in_the_manifest_alone(self, feeds: Feeds) -> None:
        feeds.collect(*[member(f"{number:04}") for number in range(500)])

        feeds.look()

        (request,) = feeds.queue.requests
        assert request.target.conf["detail"]["members"] is None
        assert len(feeds.manifests.members(request.target.conf["detail"]["manifest"])) == 500

    def test_a_target_takes_values_of_the_batch_and_its_key(self, feeds: Feeds) -> None:
        feeds.rule["target"] = {
            "environment": "analytics",
            "dag_id": "load_<date>",
            "allowed_dag_ids": ["load_*"],
            "input_transformer": {
                "input_paths": {"count": "$.detail.count", "manifest": "$.detail.manifest"},
                "input_template": {"day": "<date>", "files": "<count>", "manifest": "<manifest>"},
            },
        }
        feeds.collect(member("a"))

        feeds.look()

        (request,) = feeds.queue.requests
        assert request.target.dag_id == "load_2026-11-22"
        conf = dict(request.target.conf)
        assert conf.pop("mwaa_gateway")["rule_id"] == "sales.nightly"
        assert conf == {"day": "2026-11-22", "files": 1, "manifest": next(iter(feeds.manifests.objects))}

    def test_a_target_that_refuses_the_batch_stops_no_other(self, feeds: Feeds) -> None:
        allowed = {"environment": "analytics", "dag_id": "load"}
        refusing = {**allowed, "dag_id": "load_<date>", "allowed_dag_ids": ["load_2025*"]}
        del feeds.rule["target"]
        feeds.rule["targets"] = [{**refusing, "id": "refusing"}, {**allowed, "id": "allowed"}]
        feeds.collect(member("a"))

        looked = feeds.look()

        assert [request.target_id for request in feeds.queue.requests] == ["allowed"]
        assert looked.decision is not None
        assert "load_2026-11-22" in looked.decision.refused[0]


class TestRelease:
    def test_a_batch_waits_until_it_is_quiet(self, feeds: Feeds) -> None:
        feeds.collect(member("a"))
        feeds.now = 1_500.0
        feeds.collect(member("b"))

        looked = feeds.look(at=1_600.0)

        assert (looked.result, looked.until) == ("waits", 2_100.0)
        assert feeds.store.batches[feeds.batch_ids[0]].due_at == 2_100.0
        assert feeds.queue.requests == []

    def test_a_member_after_the_release_is_in_the_next_batch(self, feeds: Feeds) -> None:
        feeds.collect(member("a"))
        feeds.look()

        assert feeds.collect(member("b"), member("a")) == ["collected", "duplicate"]

        second = feeds.batch_ids[1]
        assert feeds.store.batches[second].number == 2
        feeds.look(second)
        assert [request.target.conf["detail"]["count"] for request in feeds.queue.requests] == [1, 1]

    def test_a_released_batch_is_not_released_again(self, feeds: Feeds) -> None:
        feeds.collect(member("a"))
        feeds.look()

        assert feeds.look().result == "nothing"
        assert feeds.releaser().release(feeds.batch_ids[0], by="me", cancel=True).result == "nothing"
        assert len(feeds.queue.requests) == 1

    def test_a_queue_that_refuses_is_tried_again_with_the_same_decision(self, feeds: Feeds) -> None:
        feeds.collect(member("a"))
        feeds.queue.failures.coming["enqueue"] = 1
        with pytest.raises(Unavailable):
            feeds.look()

        feeds.collect(member("b"))
        assert feeds.look(feeds.batch_ids[0]).result == "nothing"  # the look that failed may still be at it
        feeds.look(feeds.batch_ids[0], at=1e9 + 61)

        assert [request.target.conf["detail"]["count"] for request in feeds.queue.requests] == [1]

    def test_an_operator_releases_or_cancels(self, feeds: Feeds) -> None:
        feeds.collect(member("a"))
        feeds.collect(member("b"), key=(("date", "2026-11-23"),))
        released, cancelled = feeds.batch_ids

        assert feeds.releaser(1_000.0).release(released, by="me").result == "released"
        assert feeds.releaser(1_000.0).release(cancelled, by="me", cancel=True).result == "released"

        assert [request.target.conf["detail"]["reason"] for request in feeds.queue.requests] == ["operator"]
        assert feeds.store.batches[cancelled].state == "cancelled"
        assert feeds.store.batches[cancelled].by == "me"
        assert feeds.collect(member("b"), key=(("date", "2026-11-23"),)) == ["cancelled"]


class TestComplete:
    @pytest.mark.guarantee(48)
    def test_a_marker_may_overtake_its_members(self, feeds: Feeds) -> None:
        event = {
            "pattern": {"source": ["done"]},
            "captures": {"detail.key": "{date}"},
            "count": "<$.detail.n>",
        }
        feeds.rule["collect"] = {"key": ["<date>"], "complete_when": {"event": event}, "max_wait": "3h"}
        feeds.collect(marker("m", 2))
        feeds.collect(member("a"))
        assert feeds.look(at=1_100.0).missing == ("1 of 2 members",)

        feeds.collect(member("b"))
        feeds.look(at=1_100.0)

        (request,) = feeds.queue.requests
        assert request.target.conf["detail"]["reason"] == "complete"
        assert request.target.conf["detail"]["count"] == 2
        assert feeds.collect(marker("m", 2)) == ["duplicate"]

    @pytest.mark.guarantee(48)
    def test_a_second_marker_opens_nothing(self, feeds: Feeds) -> None:
        event = {"pattern": {"source": ["done"]}, "captures": {"detail.key": "{date}"}}
        feeds.rule["collect"] = {"key": ["<date>"], "complete_when": {"event": event}, "max_wait": "3h"}
        feeds.collect(member("a"), marker("m"))
        feeds.look(at=1_100.0)

        feeds.collect(marker("another"))

        assert len(feeds.batch_ids) == 1

    def test_what_comes_after_a_complete_batch_is_late(self, feeds: Feeds) -> None:
        """So is what comes after that: only the first batch waits for what the rule asks for."""
        feeds.rule["collect"] = {"key": ["<date>"], "complete_when": {"count": 1}, "max_wait": "3h"}
        for name in "abc":
            feeds.collect(member(name))
            feeds.look(feeds.batch_ids[-1], at=1_000.0 if name == "a" else 1_300.0)

        details = [request.target.conf["detail"] for request in feeds.queue.requests]
        assert [(each["complete"], each["late"], each["reason"]) for each in details] == [
            (True, False, "complete"),
            (False, True, "quiet_period"),
            (False, True, "quiet_period"),
        ]

    def test_a_member_that_may_complete_its_batch_lets_the_releaser_look(self, feeds: Feeds) -> None:
        """After it is stored. A rule that only waits for quiet sends one timer, when the batch opens, if it is due soon."""
        feeds.rule["collect"] = {"complete_when": {"count": 2}, "max_wait": "3h"}
        feeds.collect(member("a"), key=())
        feeds.collect(member("b"), key=())
        assert feeds.timers.looks == [(feeds.batch_ids[0], 0)] * 2

        feeds.timers.looks.clear()
        feeds.rule["collect"] = {"quiet_period": "1m"}
        feeds.collect(member("c"), key=DATE)
        feeds.collect(member("d"), key=DATE)
        assert feeds.timers.looks == [(feeds.batch_ids[1], 60)]


def test_trouble_with_one_key_stops_no_other(feeds: Feeds) -> None:
    """Its members come again."""
    document = json.dumps(parse_rule(feeds.rule, environments=None).document())
    good = MemberMessage("sales.nightly", 3, document, DATE, member("a"), 1.0)
    bad = MemberMessage("sales.nightly", 3, document, (("date", "broken"),), member("b"), 1.0)

    class Store(BatchesInMemory):
        def head(self, rule_id: str, key: str) -> Any:
            if not self.heads and not self.listed:
                self.listed["", ""] = None  # type: ignore[assignment]
                raise Unavailable("throttled")
            return super().head(rule_id, key)

    collector = Collector(
        store=Store(),
        claims=FakeClaims(),
        manifests=feeds.manifests,
        timers=feeds.timers,
        late_members=feeds.late_members,
        new_id=feeds.new_id,
        now=lambda: 0.0,
    )

    results = {each.message.member.id: each for each in collector.collect([bad, good])}

    assert (results["b"].result, str(results["b"].error)) == ("again", "throttled")
    assert results["a"].result == "collected"


class TestClaimedObjects:
    """An S3 object for which `reconcile` has sent a member: its own event is a delivery of that member."""

    OBJECT = ListedObject("acme", "a.csv", "e1", "", modified=500.0, seen_at=900.0)

    @staticmethod
    def upload(key: str = "a.csv", *, etag: str = "e1", sequencer: str = "0A") -> Member:
        detail = {"bucket": {"name": "acme"}, "object": {"key": key, "sequencer": sequencer}}
        item = {"uri": f"s3://acme/{key}", "bucket": "acme", "key": key, "etag": etag, "sequencer": sequencer}
        identity = member_digest(s3_identity(detail, "Object Created"))
        return Member(identity, item | {"time": "1970-01-01T00:08:20.5Z"}, key)

    def claim(self, feeds: Feeds, state: Any, until: float = 0.0) -> None:
        key = self.OBJECT.name, "sales.nightly", ""
        feeds.claims.texts[key] = claims_text((Claim(500.0, 900.0, state, "me", until),))

    def test_a_reserved_object_waits_and_stops_no_other(self, feeds: Feeds) -> None:
        self.claim(feeds, "reserved", until=feeds.now + 1)
        assert ["again", "collected"] == feeds.collect(self.upload(), self.upload("b.csv"))
        feeds.now += 1
        assert ["collected"] == feeds.collect(self.upload())
        assert 2 == len(feeds.store.pointed)

    def test_the_event_of_a_started_object_is_a_delivery_of_its_member(self, feeds: Feeds) -> None:
        """Whichever comes first, and also in one invocation with a member of another object."""
        self.claim(feeds, "started")
        own = Member(member_digest(self.OBJECT.identity), {"uri": "s3://acme/a.csv"}, "a.csv")
        feeds.collect(self.upload(), self.upload("b.csv"))
        feeds.collect(own)
        feeds.collect(self.upload())
        assert {own.id, self.upload("b.csv").id} == {member for _, member in feeds.store.pointed}

    def test_other_bytes_and_other_identities_are_not_claimed(self, feeds: Feeds) -> None:
        """A member with a dedupe_key has the identity of that; it costs no read."""
        self.claim(feeds, "started")
        keyed = Member("k" * 32, self.upload().item, "a.csv")
        other = self.upload(etag="e2", sequencer="0B")
        feeds.collect(keyed, other)
        assert {keyed.id, other.id} == {member for _, member in feeds.store.pointed}
        feeds.claims.calls = 0
        feeds.collect(keyed)
        assert 0 == feeds.claims.calls

    def test_claims_that_cannot_be_read_let_the_members_wait(self, feeds: Feeds) -> None:
        feeds.claims.failures.coming["claims"] = 1
        assert ["again"] == feeds.collect(self.upload())
        assert {} == feeds.store.pointed
