"""Fault matrix, rows 6 and 22: killed at every I/O point of ingress, dispatcher and operator, and at every pair of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from simulation.crash_plans import Plan, PlannedCrashes, described, plans_after
from simulation.operator_commands import Operator
from simulation.scenario import AIRFLOW_2, AIRFLOW_3, Scenario
from simulation.speed import texts_read_once
from simulation.workload import orders_when_paused
from simulation.world import Rates

MINUTE = 60.0


@pytest.fixture(autouse=True)
def _texts_read_once() -> Iterator[None]:
    with texts_read_once():
        yield


# --- what happens while nobody is killed ---------------------------------------------------------------------------


def uploaded(scenario: Scenario) -> None:
    scenario.upload()


def while_paused(scenario: Scenario) -> None:
    """The rule is disabled, and enabled an hour later."""
    operator = Operator(scenario.gateway)
    scenario.pause("sales.orders", paused=True)
    scenario.upload()
    scenario.at(60 * MINUTE, lambda: scenario.pause("sales.orders", paused=False))
    until_done(scenario, operator, operator.release, at=60 * MINUTE + 1)


def braked_for_a_moment(scenario: Scenario) -> None:
    """The rule is enabled, and all is released, in the very moment in which its request is held: no index shows it yet."""
    operator = Operator(scenario.gateway)
    scenario.pause("sales.orders", paused=True)
    scenario.upload()

    def written(_key: tuple[str, str], _old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        if new.get("state") == {"S": "held"} and not operator.given:
            scenario.pause("sales.orders", paused=False)
            until_done(scenario, operator, operator.release, at=scenario.now)

    scenario.gateway.ledger.watches.append(written)


def paused(scenario: Scenario) -> None:
    """The DAG is paused, its rule says `when_paused: hold`, and it is unpaused seven minutes later."""
    scenario.gateway.put_rule(orders_when_paused("hold"), version=2)
    airflow = scenario.gateway.airflows["legacy"]
    airflow.paused.add("ingest_orders")
    scenario.upload()
    scenario.at(7 * MINUTE, airflow.paused.clear)


def rerun(scenario: Scenario) -> None:
    """The day's event is run again an hour later: by two people at once."""
    uploaded(scenario)
    scenario.expect_rerun(1)
    for operator in (Operator(scenario.gateway), Operator(scenario.gateway)):
        until_done(scenario, operator, lambda it=operator: it.rerun("sales.orders"), at=60 * MINUTE)


def dead_and_redriven(scenario: Scenario) -> None:
    """The DAG is missing, and the request dead; an hour later the DAG is there, and its message is redriven twice."""
    gateway = scenario.gateway
    gateway.dispatcher_settings = {"dag_missing_grace_seconds": 0, "dag_catalog_seconds": 0}
    dags, queue, dead = gateway.airflows["legacy"].dags, "trigger-legacy", "trigger-dlq-legacy"
    dags.remove("ingest_orders")
    scenario.upload()

    def redrive() -> None:
        dags.add("ingest_orders")
        for dead_letter in [*gateway.queues[dead].messages.values()]:
            for _ in range(2):
                gateway.queues[queue].send(
                    json.dumps(json.loads(dead_letter.body)["request"] | {"redrive": 1})
                )
            gateway.queues[dead].delete(dead_letter)

    scenario.at(60 * MINUTE, redrive)


def until_done(scenario: Scenario, operator: Operator, command: Callable[[], None], *, at: float) -> None:
    """Give a command, and give it again ten minutes later if it came to no end."""

    def give() -> None:
        if not operator.done:
            command()
            scenario.at(scenario.now + 10 * MINUTE, give)

    scenario.at(at, give)


# --- killed ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Story:
    """What happens, how many runs it must come to, and which calls it has at least."""

    happens: Callable[[Scenario], None]
    runs: int
    calls: frozenset[str]
    since: str | None = None  # the call with which it begins; what was before is another story's

    def play(self, plan: Plan, version: str, transport: str) -> list[str]:
        """Play it, killed as planned; returns the calls that were made."""
        crashes = PlannedCrashes(plan)
        scenario = Scenario(Rates(stale_read=1.0), version=version, transport=transport, crashes=crashes)
        self.happens(scenario)
        verdict = scenario.play()
        assert verdict.ok, f"killed at {described(plan, crashes.calls)}: {verdict.problems}"
        assert self.runs == verdict.created, f"killed at {described(plan, crashes.calls)}"
        return crashes.calls


def killed_everywhere(story: Story, version: str, transport: str, airflow_calls: set[str]) -> dict[str, int]:
    calls = story.play({}, version, transport)
    assert story.calls | airflow_calls <= set(calls)
    singles = pairs = 0
    begin = calls.index(story.since) if story.since else 0
    for single in plans_after({}, calls, begin):
        singles += 1
        calls_then = story.play(single, version, transport)
        for pair in plans_after(single, calls_then):
            story.play(pair, version, transport)
            pairs += 1
    assert 2 * pairs > singles * (len(calls) - begin)
    return {"points": singles, "pairs": pairs}


# Rules read, request sent, pause and breaker read, attempt begun, outcome recorded.
INGRESS, DISPATCH = {"BatchGetItem", "Query", "SendMessageBatch"}, {"UpdateItem"}
UPLOADED = Story(uploaded, 1, frozenset(INGRESS | DISPATCH))
HELD = {
    "braked": Story(while_paused, 1, frozenset(INGRESS | DISPATCH | {"GetItem"})),
    "braked for a moment": Story(braked_for_a_moment, 1, frozenset(INGRESS | DISPATCH)),
    "paused": Story(paused, 1, frozenset(INGRESS | DISPATCH | {"ChangeMessageVisibility"})),
}
each_way = pytest.mark.parametrize(
    ("transport", "airflow_calls"),
    [
        ("cli", {"CreateCliToken", "POST /aws_mwaa/cli"}),
        ("rest", {"InvokeRestApi"}),
        ("web", {"CreateWebLoginToken", "POST login", "POST /api"}),
    ],
)
Record = Callable[[str, dict[str, int]], None]


@pytest.mark.parametrize("version", [AIRFLOW_2, AIRFLOW_3])
@each_way
def test_rows_6_and_22_killed_at_every_point_and_at_every_pair(
    transport: str, airflow_calls: set[str], version: str, record_property: Record
) -> None:
    """One run, nothing left behind, whichever one or two of the calls the process dies in."""
    record_property("counts", killed_everywhere(UPLOADED, version, transport, airflow_calls))


@pytest.mark.parametrize("story", HELD)
def test_rows_10_and_22_and_37_killed_around_a_hold(story: str, record_property: Record) -> None:
    """Held and released: one run, and nothing left held."""
    airflow_calls = {"CreateCliToken", "POST /aws_mwaa/cli"}
    record_property("counts", killed_everywhere(HELD[story], AIRFLOW_3, "cli", airflow_calls))


def test_rows_22_and_26_killed_around_a_death_and_a_redrive(record_property: Record) -> None:
    """The dead-letter message is sent whatever process dies before it, and the redrive starts one run."""
    story = Story(dead_and_redriven, 1, frozenset(INGRESS | DISPATCH | {"SendMessage"}), since="UpdateItem")
    record_property("counts", killed_everywhere(story, AIRFLOW_2, "rest", {"InvokeRestApi"}))


def test_rows_22_and_38_killed_around_a_rerun(record_property: Record) -> None:
    """A second run of each event, and no third, whoever dies: also the operator, half way through the command."""
    story = Story(rerun, 2, frozenset(INGRESS | DISPATCH), since="Scan")
    record_property("counts", killed_everywhere(story, AIRFLOW_2, "rest", {"InvokeRestApi"}))
