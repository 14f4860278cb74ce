"""Fault matrix, rows 49 and 50, in the simulation: due times and expected days; one large batch, and many open ones."""

import json
from typing import Any

import pytest

from simulation import feeds_days
from simulation.collecting import COLLECTED, a_member
from simulation.feeds import Feeds
from simulation.scenario import ANY, Scenario
from simulation.speed import texts_read_once
from simulation.world import START, Outage

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
THREE = {"key": ["<date>"], "max_wait": "6h", "complete_when": {"count": 3}, "due": {"after": "10m"}}


def parts(**collect: Any) -> dict[str, Any]:
    return COLLECTED["feed.parts"] | {"collect": THREE | collect}


def notices(feeds: Feeds, of: str) -> list[dict[str, Any]]:
    return [json.loads(entry["Detail"]) for entry in feeds.bus if entry["DetailType"] == of]


@pytest.mark.guarantee(49)
@pytest.mark.parametrize("trouble", ["none", "dynamodb", "sqs", "redeploy"])
@pytest.mark.parametrize(
    ("when_due", "released", "overdue"),
    [("report", ["complete"], 1), ("release", ["due", "quiet_period"], 1), ("cancel", [], 2)],
)
def test_row_49_incomplete_when_it_is_due(
    when_due: str, released: list[str], overdue: int, trouble: str
) -> None:
    """Two of three members are there; the third comes an hour later. Cancelled, it is alone in a batch that is due, too."""
    outages = (Outage(trouble, 5 * MINUTE, 30 * MINUTE),) if trouble in ("dynamodb", "sqs") else ()
    scenario = Scenario(outages=outages)
    scenario.gateway.put_rule(parts(when_due=when_due))
    if trouble == "redeploy":
        edited = parts(when_due=when_due, complete_when={"count": 4}, max_wait="5h")
        scenario.at(5 * MINUTE, lambda: scenario.gateway.put_rule(edited, version=2))
        scenario.at(30 * MINUTE, lambda: scenario.gateway.put_rule(parts(when_due=when_due), version=3))
    for n, at in ((1, 0.0), (2, 1.0), (3, HOUR)):
        scenario.collect(n, a_member(n, "feed.parts", "d1", f"{n}"), at=at)
    bounds = feeds_days.ON_TIME if trouble in ("none", "redeploy") else ANY
    assert [] == scenario.play(bounds).problems
    feeds = scenario.gateway.feeds
    assert released == [notice["reason"] for notice in notices(feeds, "Batch Released")]
    found = notices(feeds, "Batch Overdue")
    assert overdue == len(found)
    assert ["1 of 3 members"] == found[0]["missing"]
    if trouble in ("none", "redeploy"):
        assert "2027-01-15T08:10" == found[0]["due_at"][:16]


def expects(days: str, at: str, zone: str = "UTC") -> dict[str, Any]:
    due = {"at": at, "date": "<date>", "timezone": zone}
    return parts(due=due, expected=days, max_wait="2h")


@pytest.mark.guarantee(49)
def test_row_49_a_day_on_which_nothing_comes_and_one_that_is_complete() -> None:
    """Nothing on Friday; three files on Saturday; Sunday is not expected."""
    scenario = Scenario()
    scenario.gateway.put_rule(expects("fri,sat", "09:00"))
    for day in range(3):
        scenario.gateway.feeds.tick(DAY * day + 50 * MINUTE, DAY * day + 70 * MINUTE)
    for n in (1, 2, 3):
        scenario.collect(n, a_member(n, "feed.parts", "2027-01-16", f"{n}"), at=DAY + n)
    assert [] == scenario.play(feeds_days.ON_TIME).problems
    [overdue] = notices(scenario.gateway.feeds, "Batch Overdue")
    assert ({"date": "2027-01-15"}, "2027-01-15T09:00:00.000Z") == (overdue["key"], overdue["due_at"])
    assert (["3 of 3 members"], 0) == (overdue["missing"], overdue["count"])
    [released] = notices(scenario.gateway.feeds, "Batch Released")
    assert {"date": "2027-01-16"} == released["key"]


@pytest.mark.guarantee(49)
def test_row_49_the_two_odd_days_of_a_year() -> None:
    """02:30 in Zurich: skipped in March, twice in October; each day is overdue once."""
    scenario = Scenario()
    scenario.gateway.put_rule(expects("daily", "02:30", "Europe/Zurich"))
    due = {
        "2027-03-26": "2027-03-26T01:30",  # no tick was there when it was due: the next day's opens it
        "2027-03-27": "2027-03-27T01:30",
        "2027-03-28": "2027-03-28T01:30",
        "2027-03-29": "2027-03-29T00:30",
        "2027-10-29": "2027-10-29T00:30",
        "2027-10-30": "2027-10-30T00:30",
        "2027-10-31": "2027-10-31T00:30",
        "2027-11-01": "2027-11-01T01:30",
    }
    january_15 = 14
    for day in (85, 86, 87, 302, 303, 304):  # of the year, from 0
        midnight = (day - january_15) * DAY - 8 * HOUR
        scenario.gateway.feeds.tick(midnight + 25 * MINUTE, midnight + 35 * MINUTE)
        scenario.gateway.feeds.tick(midnight + 85 * MINUTE, midnight + 95 * MINUTE)
    assert [] == scenario.play(feeds_days.ON_TIME, until=400 * DAY).problems
    found = notices(scenario.gateway.feeds, "Batch Overdue")
    assert len(due) == len(found)
    assert due == {notice["key"]["date"]: notice["due_at"][:16] for notice in found}


# --- size ----------------------------------------------------------------------------------------------------------------


def a_burst(members: int, collect: dict[str, Any]) -> Scenario:
    """Two hundred members a second, of one key."""
    scenario = Scenario()
    scenario.gateway.put_rule(COLLECTED["feed.parts"] | {"collect": collect})
    for n in range(1, members + 1):
        scenario.collect(n, a_member(n, "feed.parts", "d1", f"{n}"), at=n / 200)
    with texts_read_once():
        verdict = scenario.play(feeds_days.ON_TIME)
    assert [] == verdict.problems
    assert verdict.batches == 1
    return scenario


@pytest.mark.guarantee(50)
@pytest.mark.parametrize(
    "collect",
    [
        {"key": ["<date>"], "quiet_period": "1m"},
        {"key": ["<date>"], "complete_when": {"count": 600}, "max_wait": "1h"},
    ],
    ids=["quiet", "count"],
)
def test_row_50_two_hundred_members_a_second(collect: dict[str, Any], record_property: Any) -> None:
    """No item is written more than five times a second, and a member costs little more than one write."""
    feeds = a_burst(600, collect).gateway.feeds
    writes, most = feeds.table.write_calls.total(), max(feeds.table.write_calls.values())
    counts = {"members": 600, "writes": writes, "of one item in a second": most}
    record_property("counts", counts)
    assert most <= 5, feeds.table.write_calls.most_common(3)
    assert writes <= 1.3 * 600


@pytest.mark.guarantee(50)
def test_row_50_a_tick_among_ten_thousand_open_batches() -> None:
    """It reads what is due, and sends ten looks in a call."""
    scenario = Scenario()
    scenario.gateway.put_rule(COLLECTED["feed.parts"])
    scenario.collect(1, a_member(1, "feed.parts", "d1", "1"))
    scenario.world.scheduler.run(until=START + 10)
    table = scenario.gateway.feeds.table
    [(key, batch)] = [(key, item) for key, item in table.items.items() if key[1] == "batch"]
    for n in range(10_000):
        due_at = START + (60 if n < 100 else 30 * DAY)
        copy = batch | {
            "partition": {"S": f"batch#{n}"},
            "due_at": {"N": str(due_at)},
            "due_shard": {"S": str(n % 8)},
        }
        table.put((f"batch#{n}", key[1]), copy)
    scenario.world.calls.clear()
    scenario.gateway.feeds.tick(30, 31)
    scenario.gateway.feeds.collector.maximum_concurrency = (
        scenario.gateway.feeds.releaser.maximum_concurrency
    ) = 0
    scenario.world.scheduler.run(until=START + 59)
    assert {"BatchGetItem": 1, "Query": 8, "SendMessageBatch": 10} == dict(scenario.world.calls)


@pytest.mark.full
@pytest.mark.guarantee(50)
def test_row_50_a_hundred_thousand_members() -> None:
    feeds = a_burst(100_000, {"key": ["<date>"], "quiet_period": "10m"}).gateway.feeds
    assert max(feeds.table.write_calls.values()) <= 5
