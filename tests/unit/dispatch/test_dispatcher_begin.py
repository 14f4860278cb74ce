"""The step `begin`: the ledger gives an attempt, pins the request, and reopens one that is redriven."""

import pytest

from fakes.airflow import ALL_LOST
from fakes.dispatching import DAY, NO_PERMISSION, Gateway, dies, grows_old, redriven
from fakes.requests import a_request
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)


def test_a_cancelled_request_publishes_no_dead_letter(gateway: Gateway) -> None:
    """An operator cancelled it, so a late duplicate raises no alarm."""
    gateway.ledger.hold(a_request(), Held(Reason.RULE_DISABLED, "not now"), gateway.time)
    gateway.ledger.cancel(a_request())
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, Rejected)
    assert (Reason.CANCELLED, None, []) == (
        dispatched.outcome.reason,
        dispatched.redeliver_after,
        gateway.dead_letters.notices,
    )


@pytest.mark.guarantee(36)
def test_the_first_attempt_pins_the_target(gateway: Gateway) -> None:
    """The outcome on DAG A is unknown, the rule is edited to DAG B, the event comes again: A is looked up."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = list(ALL_LOST)
    gateway.deliver(a_request(dag_id="dag_a"))
    dispatched = gateway.deliver(a_request(dag_id="dag_b"))
    assert dispatched.request is not None
    assert dispatched.request.target.dag_id == "dag_a"
    assert ["dag_a"] == [run.dag_id for run in gateway.airflow.runs.values()]


def test_a_request_pinned_to_another_environment_waits_for_it(gateway: Gateway) -> None:
    """The other environment's queue has the message; nothing starts here, and SQS redelivers it until then."""
    elsewhere = a_request(environment="marketing")
    attempt = gateway.ledger.begin_attempt(elsewhere, gateway.time)
    assert isinstance(attempt, Attempt)
    dispatched = gateway.deliver(a_request(environment="analytics"), receive_count=2)
    assert isinstance(dispatched.outcome, Retryable)
    assert dispatched.outcome.reason == Reason.PINNED_ELSEWHERE
    assert dispatched.redeliver_after == 5.0
    assert [] == gateway.airflow.commands
    gateway.ledger.finish(attempt, Triggered(), gateway.time)
    assert isinstance(gateway.deliver(a_request(environment="analytics")).outcome, AlreadyTriggered)


@pytest.mark.parametrize("days", [0, 5])
def test_died_repaired_redriven_is_one_run(gateway: Gateway, days: int) -> None:
    """At once or days later: one run, and no look-up before it, as nobody doubts that there is none."""
    dies(gateway, redriven(0))
    gateway.time += days * DAY
    assert Triggered() == gateway.deliver(redriven()).outcome
    assert (["trigger", "trigger"], ["triggered"]) == (gateway.airflow.commands, gateway.states)
    assert 1 == len(gateway.airflow.runs)


def test_redriven_twice_is_one_run(gateway: Gateway) -> None:
    """Both messages of one redrive, the message of a later one, the original once more: one run, also once it is purged."""
    dies(gateway, redriven(0))
    gateway.deliver(redriven())
    gateway.airflow.runs.clear()
    for request in (redriven(), redriven(2), redriven(0)):
        assert isinstance(gateway.deliver(request).outcome, AlreadyTriggered)
    assert {} == gateway.airflow.runs


@pytest.mark.guarantee(26)
def test_redriven_while_another_attempt_is_in_flight_is_one_run(gateway: Gateway) -> None:
    """The second message of the redrive arrives while the first one's command is on its way."""
    dies(gateway, redriven(0))
    inner: list[Dispatched] = []
    gateway.airflow.during_trigger = lambda: inner.append(gateway.deliver(redriven()))
    gateway.deliver(redriven())
    assert Triggered() == inner[0].outcome
    assert isinstance(gateway.deliver(redriven()).outcome, AlreadyTriggered)
    assert 1 == len(gateway.airflow.runs)


def test_a_second_message_of_a_redrive_that_died_again_starts_nothing(gateway: Gateway) -> None:
    """It rings again, and is done with; only the next redrive tries again."""
    dies(gateway, redriven(0))
    dies(gateway, redriven())
    assert isinstance(gateway.deliver(redriven()).outcome, Rejected)
    assert [0, 1, 1] == [request.redrive for request, _, _ in gateway.dead_letters.notices]
    assert ["trigger", "trigger"] == gateway.airflow.commands
    assert Triggered() == gateway.deliver(redriven(2)).outcome


def test_a_redriven_request_has_a_fresh_age(gateway: Gateway) -> None:
    """Tried again for as long as a new one, with the back-off of a new one, however long it had been tried before."""
    grows_old(gateway, redriven(0), DAY)
    gateway.airflow.answers = [NO_PERMISSION] * 5
    assert isinstance(gateway.deliver(redriven(0)).outcome, Rejected)
    gateway.time += 5 * DAY
    first = gateway.deliver(redriven())
    assert (Retryable, 98, 2.5) == (type(first.outcome), first.attempt, first.redeliver_after)
    assert 5.0 == gateway.deliver(redriven(), receive_count=2).redeliver_after
    grows_old(gateway, redriven(), DAY)
    dead = gateway.deliver(redriven())
    assert isinstance(dead.outcome, Rejected)
    assert dead.outcome.text.startswith("tried for 86400 s of 86400 s, 99 times")


def test_a_request_that_crashed_to_death_is_tried_again(gateway: Gateway) -> None:
    """The count of attempts without an outcome starts again, too."""
    for _ in range(5):
        gateway.ledger.begin_attempt(redriven(0), gateway.time)
    assert isinstance(gateway.deliver(redriven(0), receive_count=6).outcome, Rejected)
    assert Triggered() == gateway.deliver(redriven()).outcome


def test_many_claims_of_a_message_seldom_received_are_no_crash(gateway: Gateway) -> None:
    """Duplicates that overlap, and claims whose answer was lost, raise the ledger's count; this message was not killed."""
    for _ in range(5):
        gateway.ledger.begin_attempt(a_request(), gateway.time)
    assert Triggered() == gateway.deliver(receive_count=2).outcome
