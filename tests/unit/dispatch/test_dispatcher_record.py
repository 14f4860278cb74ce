"""The step `record`: the ledger keeps the outcome unless a later attempt has taken over."""

import pytest

from fakes.airflow import BUSY
from fakes.dispatching import UNREACHABLE, Gateway, open_circuit
from fakes.requests import a_request
from mwaa_gateway.dispatch.circuit_breaker import REFUSALS_TOLERATED
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)


@pytest.mark.guarantee(23)
def test_a_late_attempt_cannot_change_the_row(gateway: Gateway) -> None:
    """Fenced by the attempt number: a late refusal must not make a request dead that ran."""
    rejected = Rejected(Reason.CONF_REFUSED, "no")
    gateway.airflow.answers = [rejected]
    gateway.airflow.during_trigger = lambda: gateway.ledger.begin_attempt(a_request(), gateway.time) and None
    zombie = gateway.deliver()
    assert isinstance(zombie.outcome, Retryable)
    assert zombie.outcome.reason == Reason.OVERTAKEN
    assert zombie.redeliver_after is not None
    assert ["open"] == gateway.states
    assert [] == gateway.dead_letters.notices


def test_circuits_that_cannot_be_written_cost_no_outcome(gateway: Gateway) -> None:
    """The run was started: it is recorded, whatever happened to the breaker's item."""
    gateway.sandbox = gateway.new_sandbox()
    for number in range(REFUSALS_TOLERATED + 1):
        gateway.airflow.answers = [BUSY]
        gateway.deliver(a_request(f"failed-{number}"))
    gateway.time += 5
    gateway.circuit_breakers.failures.coming["close"] = 1
    assert Triggered() == gateway.deliver().outcome
    assert "triggered" in gateway.states


def test_circuits_that_cannot_be_written_cost_no_duplicates_answer(gateway: Gateway) -> None:
    """It took the probe and did not need it; that it cannot be passed on is no reason to come again."""
    gateway.sandbox = gateway.new_sandbox()
    gateway.deliver()
    open_circuit(gateway, UNREACHABLE)
    gateway.time += 5
    gateway.circuit_breakers.failures.coming["open"] = 1
    duplicate = gateway.deliver()
    assert isinstance(duplicate.outcome, AlreadyTriggered)
    assert duplicate.redeliver_after is None
    assert not gateway.circuit_breakers.failures.coming.get("open")
