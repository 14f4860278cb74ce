"""From a state's call to a request on the queue: the DAG it names, or the one target that matches."""

import json
from dataclasses import dataclass, field

import pytest

from fakes.claim_checks import FakeClaimChecks
from fakes.queues import FakeTriggerQueue
from fakes.rules import FakeRuleSource
from fakes.states import EXECUTION, payload
from fakes.watches import FakeWatchStore
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.step_functions.starter import (
    AmbiguousIdentity,
    DagNotAllowed,
    InputRefused,
    NoRuleMatched,
    SeveralTargetsMatched,
    TaskStarter,
)
from mwaa_gateway.step_functions.task_call import read_task_call
from mwaa_gateway.step_functions.watches import Failed

PATTERN = {"source": ["aws.states"], "detail": {"input": {"kind": ["orders"]}}}


@dataclass
class Woken:
    """Implements `mwaa_gateway.step_functions.starter.WatchQueue`."""

    environments: list[str] = field(default_factory=list)

    def wake(self, environment: str, now: float) -> None:
        assert now > 0
        self.environments.append(environment)


@dataclass
class Starting:
    """A starter among fakes."""

    allowed: tuple[str, ...] = ("analytics/lo*",)
    rules: FakeRuleSource = field(default_factory=FakeRuleSource)
    queue: FakeTriggerQueue = field(default_factory=FakeTriggerQueue)
    watches: FakeWatchStore = field(default_factory=FakeWatchStore)
    woken: Woken = field(default_factory=Woken)
    claim_checks: FakeClaimChecks = field(default_factory=FakeClaimChecks)
    environments: frozenset[str] = frozenset({"analytics"})

    def start(self, **given):
        starter = TaskStarter(
            rules=LiveRules(
                self.rules, environments=self.environments, refresh_seconds=5, claim_check_bucket="checks"
            ),
            allowed=self.allowed,
            environments=self.environments,
            queue=self.queue,
            watches=self.watches,
            watch_queue=self.woken,
            claim_checks=self.claim_checks,
            claim_check_bucket="checks",
            now=lambda: 1_000.0,
        )
        return starter.start(read_task_call(payload(**given)))

    def rule(
        self, rule_id: str, *targets: str, state: str = "ENABLED", environment: str = "analytics"
    ) -> None:
        """A rule for states that pass orders; its targets run DAGs of their names."""
        named = [{"id": f"{n}", "environment": environment, "dag_id": name} for n, name in enumerate(targets)]
        self.rules.put({"id": rule_id, "state": state, "pattern": PATTERN, "targets": named})


@pytest.fixture
def starting() -> Starting:
    return Starting()


def test_a_state_that_names_its_dag_has_a_run_of_it_with_its_input_as_conf(starting):
    """And word of where it came from, under the reserved key."""
    request = starting.start(token=None)
    assert starting.queue.requests == [request]
    assert (request.target.environment, request.target.dag_id) == ("analytics", "load")
    assert request.target.conf["day"] == "2026-11-22"
    assert request.target.conf["mwaa_gateway"]["execution_arn"] == EXECUTION
    assert (starting.woken.environments, starting.watches.items, request.target.watched) == ([], {}, False)


def test_a_state_that_waits_is_watched_before_anything_is_sent(starting):
    """A call that dies in between is retried, and finds its watch."""
    starting.queue.failures.coming["enqueue"] = 1
    with pytest.raises(Unavailable):
        starting.start()
    assert len(starting.watches.items) == 1
    request = starting.start()  # the same call again
    assert starting.queue.requests == [request]
    assert starting.woken.environments == ["analytics"]
    assert request.target.watched


@pytest.mark.guarantee(33)
def test_two_hundred_items_that_enter_at_once_are_two_hundred_runs(starting):
    """With their index, whichever of them waits."""
    runs = {starting.start(index=index, token=f"token-{index}").target.run_id for index in range(200)}
    assert len(runs) == 200
    assert len(starting.watches.items) == 200


@pytest.mark.parametrize(
    ("dag", "said"),
    [
        ({"environment": "analytics", "dag_id": "other"}, "TaskDags"),
        (
            {"environment": "legacy", "dag_id": "load"},
            "the gateway has no environment 'legacy'; it has analytics",
        ),
    ],
)
def test_a_dag_that_is_not_on_the_list_is_refused(starting, dag, said):
    """Nothing was started, and nobody waits."""
    with pytest.raises(DagNotAllowed, match=said):
        starting.start(dag=dag)
    assert (starting.queue.requests, starting.watches.items) == ([], {})


def test_without_a_name_the_one_target_that_matches_has_the_run(starting):
    """Rules on trial do not count."""
    starting.rule("sales.orders", "ingest")
    starting.rule("sales.trial", "other", state="SHADOW")
    request = starting.start(dag=None, input={"kind": "orders"})
    assert (request.rule_id, request.target.dag_id) == ("sales.orders", "ingest")


def test_no_target_and_several_are_refused_by_name(starting):
    """A state has one run: which, has to be clear."""
    with pytest.raises(NoRuleMatched, match="no rule matches this state's event"):
        starting.start(dag=None, input={"kind": "orders"})
    starting.rule("sales.orders", "one", "two")
    with pytest.raises(SeveralTargetsMatched, match=r"2 targets match, of sales\.orders"):
        starting.start(dag=None, input={"kind": "orders"})
    starting.rules.put_text("sales.broken", "{}", ["aws.states#DAG Run Requested"])
    with pytest.raises(NoRuleMatched, match=r"sales\.broken"):
        starting.start(dag=None, input={"kind": "other"})


def test_what_cannot_be_a_conf_is_refused(starting):
    """Before anything is sent."""
    with pytest.raises(InputRefused, match="bytes"):
        starting.start(input={"text": "x" * 40_000})
    with pytest.raises(InputRefused, match="mwaa_gateway"):
        starting.start(input={"mwaa_gateway": {}})
    starting.rule("sales.orders", "ingest")
    with pytest.raises(InputRefused, match=r"sales\.orders"):
        starting.start(dag=None, input={"kind": "orders", "text": "x" * 40_000})
    assert starting.queue.requests == []


def test_a_large_input_travels_as_a_claim_check_where_the_rule_allows_it(starting):
    """The run's conf names the object, which is in the bucket before the request is on the queue."""
    target = {"id": "0", "environment": "analytics", "dag_id": "ingest", "large_conf": "claim_check"}
    starting.rules.put({"id": "sales.orders", "state": "ENABLED", "pattern": PATTERN, "targets": [target]})
    text = "x" * 40_000
    request = starting.start(dag=None, input={"kind": "orders", "text": text})
    uri = request.target.conf["mwaa_gateway"]["conf_uri"]
    assert text == json.loads(starting.claim_checks.objects[uri])["detail"]["input"]["text"]
    assert [request] == starting.queue.requests

    starting.claim_checks.failures.coming["put"] = 1
    with pytest.raises(Unavailable):
        starting.start(dag=None, input={"kind": "orders", "text": text}, request_id="another")
    assert [request] == starting.queue.requests


def test_a_second_state_of_the_same_identity_is_refused_with_the_remedy(starting):
    """Else it would wait for another item's run."""
    starting.start()
    with pytest.raises(AmbiguousIdentity, match="request_id"):
        starting.start(token="token-2")
    assert len(starting.queue.requests) == 1


def test_a_further_run_after_a_failed_one_is_the_next_generation(starting):
    """In its name, its ledger key and its conf."""
    first = starting.start(wait={"after_failed_run": "rerun"})
    [(watch, _)] = starting.watches.items.values()
    starting.watches.record_ending(watch, Failed("DagRunFailed", {}))
    starting.watches.close(watch, "answered")
    second = starting.start(token="token-2", retry_count=1, wait={"after_failed_run": "rerun"})
    assert second.target.run_id == first.target.run_id + "__r1"
    assert second.ledger_key[1].endswith("#1")
    assert second.target.conf["mwaa_gateway"]["generation"] == 1


@pytest.mark.guarantee(28)
def test_a_state_that_is_retried_wakes_whoever_follows_its_run_wherever_the_rule_leads_by_now(starting):
    """The run it had asked for is the old environment's: watched there, and asked for there once more."""
    starting.environments = frozenset({"analytics", "legacy"})
    starting.rule("sales.orders", "ingest")
    first = starting.start(dag=None, input={"kind": "orders"}, wait={"after_failed_run": "rerun"})
    [(watch, _)] = starting.watches.items.values()
    starting.watches.close(watch, "nobody waits any more: TaskTimedOut")
    starting.rule("sales.orders", "ingest_elsewhere", environment="legacy")
    again = {"dag": None, "input": {"kind": "orders"}, "wait": {"after_failed_run": "rerun"}}

    second = starting.start(token="token-2", retry_count=1, **again)

    assert starting.woken.environments == ["analytics", "analytics"]
    assert (second.target.environment, second.target.dag_id) == ("analytics", "ingest")
    assert (second.target.run_id, second.ledger_key) == (first.target.run_id, first.ledger_key)

    [(watch, _)] = starting.watches.items.values()
    starting.watches.record_ending(watch, Failed("DagRunFailed", {}))
    third = starting.start(token="token-3", retry_count=2, **again)
    assert starting.woken.environments[2:] == ["legacy"]
    assert (third.target.environment, third.target.dag_id) == ("legacy", "ingest_elsewhere")


def test_a_run_of_an_environment_that_is_gone_is_followed_by_nobody_and_that_is_said(starting):
    """Its queue and its watcher went with it."""
    starting.environments = frozenset({"analytics", "legacy"})
    starting.start()
    starting.environments = frozenset({"legacy"})
    starting.allowed = ("*/*",)
    with pytest.raises(DagNotAllowed, match="environment 'analytics', which the gateway no longer has"):
        starting.start(token="token-2", retry_count=1, dag={"environment": "legacy", "dag_id": "load"})
    assert len(starting.queue.requests) == 1
