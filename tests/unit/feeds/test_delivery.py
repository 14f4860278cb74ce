"""What becomes of each message of the collect and look queues, and of each batch that a tick finds."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fakes.batches import BatchesInMemory, LateMembersInMemory, ManifestsInMemory, TimersInMemory
from fakes.object_claims import FakeClaims
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import key_digest
from mwaa_gateway.feeds.collect import Collected, Collector
from mwaa_gateway.feeds.delivery import LookDeliveries, MemberDeliveries, Started, start_timers
from mwaa_gateway.feeds.release import Looked
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.routing.members import CHECKS, Member, MemberMessage, flush_message
from mwaa_gateway.rules import parse_rule

RULE = {
    "id": "sales.nightly",
    "pattern": {"source": ["aws.s3"]},
    "captures": {"detail.object.key": "orders/{date}/{file}"},
    "collect": {"key": ["<date>"], "quiet_period": "10m"},
    "target": {"environment": "analytics", "dag_id": "load_orders"},
}
DOCUMENT = json.dumps(parse_rule(RULE, environments=None).document())


@dataclass
class Queue:
    """Where messages are given back: their ids, and the seconds."""

    back: dict[str, float] = field(default_factory=dict)

    def give_back(self, message: QueueMessage, seconds: float) -> None:
        self.back[message.id] = seconds


def message(message_id: str, body: str, receive_count: int = 1) -> QueueMessage:
    return QueueMessage(message_id, body, f"handle-{message_id}", receive_count, 1_000.0, 1_000.0)


def of_a_member(name: str, date: str, document: str = DOCUMENT) -> str:
    member = Member(name * 32, {"uri": f"s3://landing/{name}"}, name)
    return MemberMessage("sales.nightly", 3, document, (("date", date),), member).to_json()


class Broken(BatchesInMemory):
    """A store in which one date's head cannot be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.broken: set[str] = set()

    def head(self, rule_id: str, key: str) -> Any:
        if key in self.broken:
            raise self.error
        return super().head(rule_id, key)


class TestMembers:
    @pytest.fixture
    def reported(self) -> list[tuple[Sequence[Collected], Sequence[str]]]:
        return []

    @pytest.fixture
    def deliver(self, reported: Any) -> Callable[..., tuple[list[str], Queue]]:
        def deliver(
            store: BatchesInMemory, *messages: QueueMessage, jitter: float = 0.5
        ) -> tuple[list[str], Queue]:
            queue = Queue()
            collector = Collector(
                store=store,
                claims=FakeClaims(),
                manifests=ManifestsInMemory(),
                timers=TimersInMemory(),
                late_members=LateMembersInMemory(),
                new_id=iter("bcdefghijklmno").__next__,
                now=lambda: 0.0,
            )
            deliveries = MemberDeliveries(
                collector=collector,
                queue=queue,
                report=lambda *each: reported.append(each),
                warn=pytest.fail,
                jitter=lambda: jitter,
            )
            return deliveries.deliver(messages), queue

        return deliver

    @pytest.mark.parametrize("error", [Unavailable("throttled"), RuntimeError("a bug")])
    def test_the_messages_of_the_batch_in_trouble_come_again_and_no_others(
        self, deliver: Any, error: Exception
    ) -> None:
        """Keys take turns in one delivery: each result belongs to its own message."""
        store = Broken(error)
        store.broken.add(key_digest((("date", "2"),)))
        bodies = {"m1": ("a", "1"), "m2": ("b", "2"), "m3": ("c", "1"), "m4": ("d", "2"), "m5": ("e", "3")}

        failed, queue = deliver(store, *(message(name, of_a_member(*body)) for name, body in bodies.items()))

        assert failed == [*queue.back] == ["m2", "m4"]
        assert {member for _, member in store.pointed} == {"a" * 32, "c" * 32, "e" * 32}

    def test_a_rule_that_this_version_cannot_read_stops_no_other(self, deliver: Any, reported: Any) -> None:
        """After a rollback: the messages wait for the version that wrote them."""
        of_another = DOCUMENT.replace("quiet_period", "quiet_perhaps")

        failed, _ = deliver(
            BatchesInMemory(),
            message("m1", of_a_member("a", "1", of_another)),
            message("m2", of_a_member("b", "2")),
        )

        assert failed == ["m1"]
        ((results, unreadable),) = reported
        assert {each.result for each in results} == {"again", "collected"}
        assert unreadable == []

    def test_a_message_that_is_no_member_is_reported_and_comes_again(
        self, deliver: Any, reported: Any
    ) -> None:
        failed, queue = deliver(
            BatchesInMemory(), message("m1", "no member"), message("m2", of_a_member("b", "2"))
        )

        assert failed == [*queue.back] == ["m1"]
        ((_, unreadable),) = reported
        assert [text.partition(":")[0] for text in unreadable] == ["message m1"]

    def test_a_flush_waits_for_failed_members_of_its_own_rule_only(self, deliver: Any) -> None:
        """A flush that fails delays no other, either."""
        store = Broken(Unavailable("throttled"))
        store.broken.add(key_digest((("date", "2"),)))
        marked: list[str] = []

        def mark_collected(batch_id: str, until: float) -> None:
            if batch_id == "fails":
                raise Unavailable(f"throttled at {until}")
            marked.append(batch_id)

        store.mark_collected = mark_collected  # type: ignore[method-assign]
        failed, _ = deliver(
            store,
            replace(message("m1", of_a_member("b", "2")), group="a"),
            replace(message("m2", flush_message("of a")), group="a"),
            replace(message("m3", flush_message("fails")), group="c"),
            replace(message("m4", flush_message("of c")), group="c"),
        )
        assert (failed, marked) == (["m1", "m2", "m3"], ["of c"])

    @pytest.mark.parametrize(("receives", "seconds"), [(1, 2.5), (2, 5), (5, 40), (100, 450)])
    def test_the_wait_grows_so_that_a_thousand_receives_outlast_four_days(
        self, deliver: Any, receives: int, seconds: float
    ) -> None:
        _, queue = deliver(BatchesInMemory(), message("m1", "no member", receives))
        assert queue.back == {"m1": seconds}


class TestLooks:
    @pytest.mark.parametrize("error", [Unavailable("throttled"), RuntimeError("a bug")])
    def test_a_look_that_fails_stops_no_other(self, error: Exception) -> None:
        """One from a timer is left to the next tick, or looks would pile up; one that nothing repeats comes again."""

        class OneFails:
            def look(self, batch_id: str) -> Looked:
                if batch_id == "bad":
                    raise error
                return Looked("waits", until={"soon": 1_030.2, "later": 2_000.0}[batch_id])

            def mark_reported(self, looked: Looked) -> None:
                assert not looked.is_overdue

        failures: list[tuple[str, Exception]] = []
        looked: list[Looked] = []
        queue = Queue()
        deliveries = LookDeliveries(
            releaser=OneFails(),  # type: ignore[arg-type]
            queue=queue,
            report=looked.append,
            report_failed=lambda *each: failures.append(each),
            warn=pytest.fail,
            now=lambda: 1_000.0,
            jitter=lambda: 0.5,
        )
        of_timers = [message("1", "bad"), message("2", "soon"), message("3", "later")]
        of_members = [
            replace(message("4", "bad", 5), group=CHECKS),
            replace(message("5", "later"), group=CHECKS),
        ]

        failed = deliveries.deliver([*of_timers, *of_members])

        assert failed == ["2", "4"]
        assert queue.back == {"2": 31, "4": 40}
        assert failures == [("bad", error)] * 2
        assert len(looked) == 3


class TestTimers:
    def test_a_tick_sends_each_look_for_its_time_and_names_what_has_waited_too_long(self) -> None:
        timers = TimersInMemory()
        due = [("long ago", 699.0), ("just now", 990.0), ("soon", 1_100.0)]
        assert start_timers(due, timers, 1_000.0) == Started(3, ["long ago"], [], [], ())
        assert timers.looks == [("long ago", 0.0), ("just now", 0.0), ("soon", 100.0)]

    def test_a_batch_that_gets_no_timer_stops_no_other(self) -> None:
        class OneFails(TimersInMemory):
            def look(self, batches: Sequence[tuple[str, float]]) -> Mapping[str, str]:
                super().look([each for each in batches if each[0] != "bad"])
                return {"bad": "throttled"}

        timers = OneFails()
        started = start_timers([("bad", 1.0), ("good", 990.0)], timers, 1_000.0)
        assert started == Started(1, ["bad"], ["batch bad: throttled"], [], ())
        assert timers.looks == [("good", 0.0)]
