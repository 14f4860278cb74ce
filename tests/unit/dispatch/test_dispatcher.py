"""From a trigger request to exactly one run, whatever happens on the way; the steps have files of their own."""

import pytest

from fakes.dispatching import Gateway
from fakes.requests import a_request
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Reason,
    Retryable,
    Triggered,
)


def test_a_run_costs_two_ledger_writes_and_one_command(gateway: Gateway) -> None:
    """The way without trouble is the cheapest one."""
    dispatched = gateway.deliver()
    assert Triggered() == dispatched.outcome
    assert dispatched.redeliver_after is None
    assert (2, ["trigger"], ["triggered"]) == (
        gateway.ledger.writes,
        gateway.airflow.commands,
        gateway.states,
    )


@pytest.mark.guarantee(1)
def test_a_duplicate_starts_nothing_and_names_the_run(gateway: Gateway) -> None:
    """Delivered twice, run once; Airflow is not even asked."""
    gateway.deliver()
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, AlreadyTriggered)
    assert dispatched.redeliver_after is None
    assert ["trigger"] == gateway.airflow.commands


@pytest.mark.guarantee(22)
@pytest.mark.parametrize(
    ("ended", "receives", "is_suspect"), [(2, 3, True), (1, 3, False), (2, 2, False), (5, 1, False)]
)
def test_a_request_whose_attempts_end_without_an_outcome_is_suspect(
    gateway: Gateway, ended: int, receives: int, *, is_suspect: bool
) -> None:
    """By the ledger's count; a message that was received less often is not worth a read."""
    for _ in range(ended):
        gateway.ledger.begin_attempt(a_request(), 1_000.0)
    assert is_suspect is gateway.dispatcher().is_suspect(a_request().to_json(), receives)
    assert not gateway.dispatcher().is_suspect("no request", receives)


def test_a_purged_run_is_not_started_again(gateway: Gateway) -> None:
    """The ledger remembers longer than Airflow."""
    gateway.deliver()
    gateway.airflow.runs.clear()
    gateway.deliver()
    assert {} == gateway.airflow.runs


@pytest.mark.guarantee(12)
def test_two_attempts_at_once_make_one_run(gateway: Gateway) -> None:
    """Airflow's unique run_id decides; both end in the same ledger outcome."""
    inner: list[Dispatched] = []
    gateway.airflow.during_trigger = lambda: inner.append(gateway.deliver())
    outer = gateway.deliver()
    assert Triggered() == inner[0].outcome
    assert isinstance(outer.outcome, Retryable)
    assert isinstance(gateway.deliver().outcome, AlreadyTriggered)
    assert 1 == len(gateway.airflow.runs)


@pytest.mark.parametrize("method", ["claim", "finish"])
def test_a_ledger_that_does_not_answer_loses_nothing(gateway: Gateway, method: str) -> None:
    """The message comes again by the queue's own count, and one run is made."""
    gateway.ledger.failures.coming[method] = 1
    dispatched = gateway.deliver(receive_count=3)
    assert isinstance(dispatched.outcome, Retryable)
    assert dispatched.outcome.reason == Reason.AWS_UNAVAILABLE
    assert dispatched.redeliver_after == 10.0
    gateway.deliver()
    assert ["triggered"] == gateway.states
    assert 1 == len(gateway.airflow.runs)
