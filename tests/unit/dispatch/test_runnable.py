"""Whether an accepted run will start, as the catalog shows it, and what its rule says about a paused DAG."""

from dataclasses import replace

import pytest

from fakes.dispatching import DAY, PAUSED, RULE, Gateway, kept_back, listed, unpause
from fakes.requests import a_request
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.dispatch.dag_catalog import DagCatalog, LiveCatalog
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)


@pytest.mark.parametrize(("dag_id", "why"), [("paused", NotRunnable.PAUSED), ("stale", NotRunnable.STALE)])
def test_a_run_that_stays_queued_is_reported_as_such(listing: Gateway, dag_id: str, why: NotRunnable) -> None:
    """The first is found out after its own end, by a third write; the next by what is known, without one."""
    for n in (1, 2):
        dispatched = listing.deliver(a_request(str(n), dag_id=dag_id))
        assert (Triggered(why), None) == (dispatched.outcome, dispatched.redeliver_after)
    assert [why, why] == [row.not_runnable for row in listing.ledger.rows.values()]
    assert (["trigger", "trigger"], 1) == (listing.airflow.commands, listing.airflow.lists)


def test_a_run_that_starts_costs_no_third_write(listing: Gateway) -> None:
    """Whoever asks for the list."""
    assert Triggered() == listing.deliver().outcome
    assert (2, 1) == (listing.ledger.writes, listing.airflow.lists)


def test_the_run_is_recorded_before_the_list_is_asked_for(listing: Gateway) -> None:
    """Whatever becomes of the list, and of the process in it."""
    states: list[str] = []
    listing.airflow.during_list = lambda: states.extend(listing.states)
    listing.deliver()
    assert ["triggered"] == states


@pytest.mark.parametrize("failing", ["take_lease", "keep"])
def test_a_catalog_that_cannot_be_kept_costs_no_run(listing: Gateway, failing: str) -> None:
    """It is reported, and that is all."""
    listing.catalogs.failures.coming[failing] = 1
    assert isinstance(listing.deliver().outcome, Triggered)
    assert ["triggered"] == listing.states
    assert 1 == len(listing.unlisted)


def test_a_list_that_cannot_be_had_is_asked_for_less_and_less(listing: Gateway) -> None:
    """A thousand DAG files take longer than anybody waits: nothing comes again for it, and no command is wasted."""
    listing.airflow.listed = NotListed("it took too long")
    came_again = 0
    for n in range(720):
        came_again += listing.deliver(a_request(str(n))).redeliver_after is not None
        listing.time += 10
    assert {"triggered"} == set(listing.states)
    assert 9 >= listing.airflow.lists  # in two hours
    assert 15 >= came_again


def test_who_starts_a_run_while_another_lists_has_its_message_come_once_more(listing: Gateway) -> None:
    """The run starts at once, and is reported when the list is there."""
    meanwhile: list[Dispatched] = []
    request = a_request("second", dag_id="paused")
    listing.airflow.during_list = lambda: meanwhile.append(listing.deliver(request))
    listing.deliver(a_request("first", dag_id="paused"))
    assert Triggered() == meanwhile[0].outcome
    assert 10.0 == meanwhile[0].redeliver_after
    again = listing.deliver(request)
    assert NotRunnable.PAUSED == getattr(again.outcome, "not_runnable", None)
    assert again.redeliver_after is None
    assert ["trigger", "trigger"] == listing.airflow.commands
    assert 1 == listing.airflow.lists


def test_an_old_catalog_decides_nothing(listing: Gateway) -> None:
    """The DAG was paused when it was last listed; Airflow does not answer since."""
    listing.catalogs.keep(DagCatalog(listing.time - 601, paused=frozenset({"paused"})))
    listing.airflow.listed = NotListed("no answer")
    assert Triggered() == listing.deliver(a_request(dag_id="paused")).outcome


def test_a_dag_that_is_new_is_asked_for_soon(listing: Gateway) -> None:
    """Airflow pauses new DAGs: the list of a minute ago lacks this one, and its run stays queued."""
    listing.deliver()
    listing.airflow.listed = listed(PAUSED, ListedDag("new", paused=True, stale=False))
    listing.time += 61
    assert Triggered(NotRunnable.PAUSED) == listing.deliver(a_request("new", dag_id="new")).outcome
    assert 2 == listing.airflow.lists


def test_a_dag_that_is_never_listed_is_asked_for_once(listing: Gateway) -> None:
    """One whose file broke on Airflow 2, say."""
    catalog = LiveCatalog(
        listing.catalogs, listing.airflow, refresh_seconds=300, now=lambda: listing.time, report=print
    )
    for _ in range(20):
        catalog.renew("broken")
        listing.time += 14
    assert catalog.tells_of("broken")
    assert 1 == listing.airflow.lists


def test_an_old_duplicate_asks_nobody(listing: Gateway) -> None:
    """Whether the DAG is paused today says nothing about the run of last month."""
    listing.catalog_seconds = 0
    listing.deliver(a_request(dag_id="paused"))
    listing.catalog_seconds = 300
    listing.time += 30 * DAY
    assert AlreadyTriggered() == listing.deliver(a_request(dag_id="paused")).outcome
    assert 0 == listing.airflow.lists


def test_a_long_attempt_leaves_the_list_to_the_next(listing: Gateway) -> None:
    """The invocation has 90 seconds for everything."""

    def slow() -> None:
        listing.time += 25

    listing.airflow.during_trigger = slow
    dispatched = listing.deliver(a_request(dag_id="paused"))
    assert (Triggered(), 0) == (dispatched.outcome, listing.airflow.lists)
    assert NotRunnable.PAUSED == getattr(
        listing.deliver(a_request(dag_id="paused")).outcome, "not_runnable", None
    )


def test_a_paused_dags_run_is_held_if_its_rule_says_so(listing: Gateway) -> None:
    """No command but the list; the message looks again, and the run starts once when the DAG is unpaused."""
    first = listing.deliver(kept_back("hold"))
    assert isinstance(first.outcome, Held)
    assert (Reason.DAG_PAUSED, 450.0) == (first.outcome.reason, first.redeliver_after)
    assert (["held"], [], 1) == (listing.states, listing.airflow.commands, listing.airflow.lists)
    listing.time += 450
    again = listing.deliver(kept_back("hold"), receive_count=2)
    assert (Held, 450.0) == (type(again.outcome), again.redeliver_after)
    unpause(listing)
    listing.time += 450
    assert Triggered() == listing.deliver(kept_back("hold"), receive_count=3).outcome
    assert (["triggered"], ["trigger"], 3) == (
        listing.states,
        listing.airflow.commands,
        listing.airflow.lists,
    )


def test_a_hold_for_a_paused_dag_ends_by_command_too(listing: Gateway) -> None:
    """Released or cancelled by the operator: the message that looks finds it done."""
    for identity in ("released", "cancelled"):
        listing.deliver(kept_back("hold", identity))
    listing.ledger.cancel(kept_back("hold", "cancelled"))
    released = replace(kept_back("hold", "released"), redrive=1)
    assert isinstance(listing.deliver(released).outcome, Held)  # for as long as the DAG is paused
    unpause(listing)
    listing.time += 61
    assert Triggered() == listing.deliver(replace(released, redrive=2)).outcome
    listing.time += 450
    for identity in ("released", "cancelled"):
        assert listing.deliver(kept_back("hold", identity), receive_count=2).redeliver_after is None
    assert ["trigger"] == listing.airflow.commands


def test_a_pause_holds_what_a_paused_dag_held(listing: Gateway) -> None:
    """The DAG is unpaused, the rule is disabled by now: nothing starts."""
    listing.deliver(kept_back("hold"))
    unpause(listing)
    listing.pause_store.rules.add(RULE)
    listing.time += 450
    assert isinstance(listing.deliver(kept_back("hold"), receive_count=2).outcome, Held)
    assert [] == listing.airflow.commands


def test_a_paused_dags_run_is_rejected_if_its_rule_says_so(listing: Gateway) -> None:
    """The request is dead with its message; redriven, it starts once the DAG is unpaused."""
    dead = listing.deliver(kept_back("reject"))
    assert isinstance(dead.outcome, Rejected)
    assert Reason.DAG_PAUSED is dead.outcome.reason
    assert (1, ["dead"], []) == (len(listing.dead_letters.notices), listing.states, listing.airflow.commands)
    unpause(listing)
    listing.time += 61
    assert Triggered() == listing.deliver(replace(kept_back("reject"), redrive=1)).outcome


def test_a_dag_that_was_unpaused_a_minute_ago_is_not_rejected(listing: Gateway) -> None:
    """What stops a run is asked for anew, if it is older than that."""
    listing.deliver(a_request("before"))
    unpause(listing)
    listing.time += 61
    assert Triggered() == listing.deliver(kept_back("reject")).outcome


@pytest.mark.parametrize("when_paused", ["hold", "reject"])
@pytest.mark.parametrize("dag_id", ["ingest_orders", "stale"])
def test_what_is_not_paused_is_started(listing: Gateway, when_paused: str, dag_id: str) -> None:
    """A stale DAG, too: no rule says anything about those."""
    assert isinstance(listing.deliver(kept_back(when_paused, dag_id=dag_id)).outcome, Triggered)


@pytest.mark.parametrize("when_paused", ["hold", "reject"])
def test_where_lists_are_switched_off_no_run_waits_for_one(gateway: Gateway, when_paused: str) -> None:
    """With DagCatalogSeconds=0 there is no list to wait for."""
    assert Triggered() == gateway.deliver(kept_back(when_paused)).outcome
    assert 0 == gateway.airflow.lists


@pytest.mark.parametrize("when_paused", ["hold", "reject"])
def test_without_a_list_a_run_waits_for_a_minute_and_starts(listing: Gateway, when_paused: str) -> None:
    """It is unknown whether the DAG is paused: that delays no request for long."""
    listing.airflow.listed = NotListed("no answer")
    waits = listing.deliver(kept_back(when_paused))
    assert isinstance(waits.outcome, Retryable)
    assert Reason.DAG_CATALOG_AWAITED is waits.outcome.reason
    listing.time += 61
    assert Triggered() == listing.deliver(kept_back(when_paused), receive_count=2).outcome
