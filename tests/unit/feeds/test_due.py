"""Batches that are due: reported, released or cancelled; and days on which nothing arrives."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import pytest

from fakes.batches import BatchesInMemory
from fakes.rules import FakeRuleSource
from feeds_in_memory import DATE, RULE, Feeds, member
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Head, key_digest
from mwaa_gateway.feeds.expected import ExpectedBatches, Opened, due_days
from mwaa_gateway.routing.members import MemberMessage, feed_of
from mwaa_gateway.rules import parse_rule

DUE = 1_000.0 + 3_600
OF_NINE: dict[str, Any] = {
    "key": ["<date>"],
    "complete_when": {"count": 9},
    "max_wait": "1d",
    "due": {"after": "1h"},
}


def notices(feeds: Feeds) -> list[tuple[str, dict[str, Any]]]:
    documents = [json.loads(notice) for notice in feeds.bus.notices]
    return [(document["detail-type"], document["detail"]) for document in documents]


@pytest.mark.guarantee(49)
def test_an_overdue_batch_is_reported_once_and_waits() -> None:
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE
    feeds.collect(member("a"))

    looks = [feeds.look(at=at) for at in (DUE - 1, DUE, DUE + 60)]

    assert [(looked.result, looked.is_overdue) for looked in looks] == [
        ("waits", False),
        ("waits", True),
        ("waits", False),
    ]
    [(kind, detail)] = notices(feeds)
    assert kind == "Batch Overdue"
    assert detail == {
        "rule_id": "sales.nightly",
        "id": feeds.batch_ids[0],
        "number": 1,
        "key": {"date": "2026-11-22"},
        "due_at": "1970-01-01T01:16:40.000Z",
        "when_due": "report",
        "missing": ["8 of 9 members"],
        "count": 1,
    }
    assert feeds.queue.requests == []


@pytest.mark.guarantee(49)
def test_a_crash_before_the_report_is_recorded_has_it_made_again() -> None:
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE
    feeds.collect(member("a"))
    assert feeds.releaser(DUE).look(feeds.batch_ids[0]).is_overdue
    assert feeds.look(at=DUE + 61).is_overdue
    assert not feeds.look(at=DUE + 130).is_overdue


@pytest.mark.guarantee(49)
def test_an_outage_from_before_the_due_time_to_after_max_wait_hides_no_report() -> None:
    """The first look finds the batch both overdue and at the end of its wait."""
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE
    feeds.collect(member("a"))

    looked = feeds.look(at=1e9)

    assert looked.decision is not None
    assert (looked.decision.reason, looked.decision.is_overdue) == ("max_wait", True)
    assert [kind for kind, _ in notices(feeds)] == ["Batch Overdue", "Batch Released"]


@pytest.mark.guarantee(49)
@pytest.mark.parametrize(
    ("sent_at", "missing"), [((DUE - 1, DUE + 2), ["1 of 3 members"]), ((DUE - 2, DUE - 1), None)]
)
def test_a_batch_that_is_complete_after_its_due_time_before_anybody_looks_was_overdue(
    sent_at: tuple[float, float], missing: list[str] | None
) -> None:
    """An outage ends after the last member; one more than the rule asks for comes when it is due."""
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE | {"complete_when": {"count": 3}}
    for name, feeds.now in (("a", 1_000.0), ("b", sent_at[0]), ("c", sent_at[1]), ("d", DUE + 1)):
        feeds.collect(member(name))

    looked = feeds.look(at=DUE + 600)

    assert looked.decision is not None
    assert (looked.decision.reason, looked.decision.is_overdue) == ("complete", missing is not None)
    overdue = [detail["missing"] for kind, detail in notices(feeds) if kind == "Batch Overdue"]
    assert overdue == ([missing] if missing else [])


@pytest.mark.guarantee(49)
def test_a_report_that_was_made_is_not_made_again_at_the_release() -> None:
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE
    feeds.collect(member("a"))
    feeds.look(at=DUE)
    looked = feeds.look(at=1e9)
    assert looked.decision is not None
    assert not looked.decision.is_overdue
    assert [kind for kind, _ in notices(feeds)] == ["Batch Overdue", "Batch Released"]


@pytest.mark.guarantee(49)
def test_a_batch_of_a_shadow_rule_alarms_nobody() -> None:
    feeds = Feeds()
    rule = parse_rule(RULE | {"collect": OF_NINE, "state": "SHADOW"}, environments=None)
    feeds.deliver(MemberMessage(feed_of(rule), 3, json.dumps(rule.document()), DATE, member("a"), feeds.now))
    assert not feeds.look(at=DUE).is_overdue
    assert notices(feeds) == []


@pytest.mark.guarantee(49)
def test_a_report_that_the_bus_refuses_comes_again() -> None:
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE
    feeds.collect(member("a"))
    publish = feeds.bus.publish

    def refuse(notices: Sequence[str]) -> None:
        feeds.bus.publish = publish  # type: ignore[method-assign]
        raise Unavailable(f"throttled: {len(notices)}")

    feeds.bus.publish = refuse  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        feeds.look(at=DUE)
    assert not feeds.look(at=DUE + 1).is_overdue  # the look that failed may still be at it
    assert feeds.look(at=DUE + 61).is_overdue
    assert len(feeds.bus.notices) == 1


@pytest.mark.guarantee(49)
@pytest.mark.parametrize(
    ("when_due", "runs", "kinds"),
    [("release", 1, ["Batch Overdue", "Batch Released"]), ("cancel", 0, ["Batch Overdue"])],
)
def test_a_batch_that_is_due_is_released_or_cancelled(when_due: str, runs: int, kinds: list[str]) -> None:
    feeds = Feeds()
    feeds.rule["collect"] = OF_NINE | {"when_due": when_due}
    feeds.collect(member("a"))

    looked = feeds.look(at=DUE)

    assert len(feeds.queue.requests) == runs
    assert [kind for kind, _ in notices(feeds)] == kinds
    assert looked.decision is not None
    assert looked.decision.missing == ("8 of 9 members",)
    if when_due == "cancel":
        assert (feeds.store.batches[feeds.batch_ids[0]].state, looked.decision.reason) == (
            "cancelled",
            "cancelled",
        )
        assert feeds.collect(member("a")) == ["cancelled"]


def test_a_released_batch_is_told_to_the_bus_without_its_members() -> None:
    feeds = Feeds()
    feeds.collect(member("a"), member("b"))
    feeds.look()
    [(kind, detail)] = notices(feeds)
    assert kind == "Batch Released"
    assert (detail["count"], detail["manifest"]) == (2, next(iter(feeds.manifests.objects)))
    assert "members" not in detail


# --- expected days

NIGHTLY: dict[str, Any] = {
    **RULE,
    "collect": {
        "key": ["<date>"],
        "quiet_period": "10m",
        "max_wait": "2d",
        "due": {"at": "06:00", "day": 1, "date": "<date>", "timezone": "Europe/Zurich"},
        "expected": "mon-fri",
    },
}
MONDAY_IS_DUE = dt.datetime.fromisoformat("2026-11-24T06:00:00+01:00").timestamp()


class Expected:
    def __init__(self, *rules: dict[str, Any]) -> None:
        self.source = FakeRuleSource()
        self.store = BatchesInMemory()
        for rule in rules:
            self.source.put(parse_rule(rule, environments=None).document())
        self.expected = self.sandbox()

    def sandbox(self) -> ExpectedBatches:
        ids = iter(f"id-{number}" for number in range(100))
        return ExpectedBatches(rules=self.source, store=self.store, new_id=ids.__next__)

    def open(self, at: float = MONDAY_IS_DUE) -> Opened:
        return self.expected.open(at)


@pytest.mark.guarantee(49)
def test_a_day_on_which_nothing_came_has_a_batch_that_is_overdue_at_once() -> None:
    gateway = Expected(NIGHTLY)

    assert gateway.open(MONDAY_IS_DUE - 181).batches == []
    [(batch_id, due_at)] = gateway.open(MONDAY_IS_DUE - 179).batches

    batch = gateway.store.batches[batch_id]
    assert (dict(batch.key), due_at, batch.due_at) == ({"date": "2026-11-23"}, MONDAY_IS_DUE, MONDAY_IS_DUE)
    feeds = Feeds(store=gateway.store)
    assert not feeds.look(batch_id, at=MONDAY_IS_DUE - 1).is_overdue
    looked = feeds.look(batch_id, at=MONDAY_IS_DUE)
    assert (looked.is_overdue, looked.missing) == (True, ("every member",))


@pytest.mark.guarantee(49)
def test_a_shadow_rule_expects_its_days_apart() -> None:
    """So an ENABLED rule finds no batch of its trial, and no operator is woken."""
    gateway = Expected(NIGHTLY | {"state": "SHADOW"})
    [(batch_id, _)] = gateway.open().batches
    assert gateway.store.batches[batch_id].rule_id == "sales.nightly~shadow"
    assert not Feeds(store=gateway.store).look(batch_id, at=MONDAY_IS_DUE).is_overdue


@pytest.mark.guarantee(49)
def test_a_day_is_opened_once_by_any_number_of_ticks_and_sandboxes() -> None:
    gateway = Expected(NIGHTLY)
    assert len(gateway.open().batches) == 1
    assert gateway.open().batches == []
    gateway.expected = gateway.sandbox()
    assert gateway.open().batches == []
    assert len(gateway.store.batches) == 1


@pytest.mark.guarantee(49)
def test_a_day_whose_members_have_come_is_left_alone() -> None:
    gateway = Expected(NIGHTLY)
    digest = key_digest((("date", "2026-11-23"),))
    gateway.store.create_head(Head("sales.nightly", digest, "the second", number=2))
    assert gateway.open().batches == []
    assert gateway.store.batches == {}


@pytest.mark.guarantee(49)
def test_a_head_whose_batch_was_never_written_gets_it() -> None:
    """A tick crashed between the two."""
    gateway = Expected(NIGHTLY)
    digest = key_digest((("date", "2026-11-23"),))
    gateway.store.create_head(Head("sales.nightly", digest, "crashed"))
    assert gateway.open().batches == [("crashed", MONDAY_IS_DUE)]


@pytest.mark.guarantee(49)
@pytest.mark.parametrize(
    ("when", "days"),
    [
        ("2026-11-24T06:00:00+01:00", ["2026-11-23"]),
        ("2026-11-25T05:30:00+01:00", ["2026-11-23"]),
        ("2026-11-25T06:00:00+01:00", ["2026-11-24", "2026-11-23"]),
        ("2026-11-22T06:00:00+01:00", ["2026-11-20"]),
        ("2026-11-23T07:00:00+01:00", []),
    ],
    ids=[
        "Monday's is due on Tuesday",
        "an outage of a day",
        "two days",
        "Saturday's is not expected",
        "nor Sunday's",
    ],
)
def test_which_days_are_due(when: str, days: list[str]) -> None:
    collect = parse_rule(NIGHTLY, environments=None).collect
    assert [day for day, _ in due_days(collect, dt.datetime.fromisoformat(when).timestamp())] == days


def test_a_rule_that_cannot_be_read_stops_no_other_and_is_named() -> None:
    gateway = Expected(NIGHTLY)
    gateway.source.put_text("broken", "{", ["expected"])
    opened = gateway.open()
    assert len(opened.batches) == 1
    assert [text.partition(":")[0] for text in opened.broken] == ["rule 'broken'"]


def test_a_table_that_does_not_answer_fails_the_tick_and_loses_no_day() -> None:
    gateway = Expected(NIGHTLY)
    gateway.source.failures.coming["heads"] = 1
    assert len(gateway.open().failures) == 1
    assert len(gateway.open().batches) == 1


def test_a_rule_that_is_younger_than_the_due_time_expected_nothing() -> None:
    gateway = Expected()
    document = json.dumps(parse_rule(NIGHTLY, environments=None).document())
    gateway.source.put_text("sales.nightly", document, ["expected"], updated_at="2026-11-24T06:00:01+01:00")
    assert gateway.open(MONDAY_IS_DUE + 60).batches == []
