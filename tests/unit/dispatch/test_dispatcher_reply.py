"""The step `reply`: delete or redeliver the message, and publish a dead request."""

from fakes.airflow import ALL_LOST, LOST
from fakes.dispatching import NO_PERMISSION, UNREACHABLE, Gateway, open_circuit
from fakes.requests import a_request
from mwaa_gateway.outcomes import (
    OutcomeUnknown,
    Reason,
    Rejected,
)


def test_what_will_never_work_is_dead_and_published_with_the_reason(gateway: Gateway) -> None:
    """The ledger records it first, then the dead letter follows; the message is deleted."""
    gateway.airflow.answers = [Rejected(Reason.CONF_REFUSED, "Airflow said no")]
    dispatched = gateway.deliver()
    assert dispatched.redeliver_after is None
    assert ["dead"] == gateway.states
    assert [
        (a_request(), Rejected(Reason.CONF_REFUSED, "Airflow said no"), 1)
    ] == gateway.dead_letters.notices


def test_a_dead_letter_that_could_not_be_published_follows_at_the_next_delivery(gateway: Gateway) -> None:
    """The row is dead, the dead letter is missing, so the message is redelivered."""
    gateway.airflow.answers = [Rejected(Reason.CONF_REFUSED, "no")]
    gateway.dead_letters.failures.coming["ring"] = 1
    assert gateway.deliver().redeliver_after is not None
    assert ["dead"] == gateway.states
    assert gateway.deliver().redeliver_after is None
    assert 1 == len(gateway.dead_letters.notices)


def test_who_asked_with_an_unknown_outcome_waits_as_the_others_do(one_sandbox: Gateway) -> None:
    """The command went out, and neither it nor the look-up was answered."""
    open_circuit(one_sandbox, UNREACHABLE)
    one_sandbox.time += 300
    one_sandbox.airflow.answers, one_sandbox.airflow.findings = [LOST], list(ALL_LOST)
    dispatched = one_sandbox.deliver(a_request("asks"), receive_count=300)
    assert isinstance(dispatched.outcome, OutcomeUnknown)
    assert 3.0 == dispatched.redeliver_after  # one and a half times until the next probe: it was tried once


def test_two_messages_of_one_request_do_not_put_each_other_off(gateway: Gateway) -> None:
    """An upload that comes by both routes: each message waits as long as it was tried itself, not as both were."""
    gateway.airflow.answers = [NO_PERMISSION] * 6
    waits = [gateway.deliver(receive_count=times).redeliver_after for times in (1, 1, 2, 2, 3, 3)]
    assert [2.5, 2.5, 5.0, 5.0, 10.0, 10.0] == waits
