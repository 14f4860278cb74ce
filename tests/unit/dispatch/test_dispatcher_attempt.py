"""The step `attempt`: look up a run that may exist, trigger it, and look it up again if the answer was lost."""

from dataclasses import replace

import pytest

from fakes.airflow import ALL_LOST, BUSY, LOST
from fakes.dispatching import DAY, MISSING, NO, Gateway, grows_old, kept_back, redriven
from fakes.requests import a_request
from mwaa_gateway.dispatch.dispatcher import LOOK_UPS
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest


def test_a_request_that_airflow_holds_back_is_held(gateway: Gateway) -> None:
    """An attempt that finds out that it shall not be made now."""
    held = Held(Reason.AIRFLOW_REFUSED, "not now")
    gateway.airflow.answers = [held]
    dispatched = gateway.deliver()
    assert (held, None, ["held"]) == (dispatched.outcome, dispatched.redeliver_after, gateway.states)
    assert Triggered() != gateway.deliver().outcome


@pytest.mark.guarantee(17)
def test_a_lost_answer_is_looked_up_at_once(gateway: Gateway) -> None:
    """The run is there: one run, no second trigger."""
    gateway.airflow.lost_after = 1
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, AlreadyTriggered)
    assert ["trigger", "look up"] == gateway.airflow.commands


def test_a_lost_answer_that_started_nothing_is_tried_again(gateway: Gateway) -> None:
    """The lookup proves that nothing was started."""
    gateway.airflow.answers = [LOST]
    first = gateway.deliver()
    assert isinstance(first.outcome, Retryable)
    assert first.outcome.reason == Reason.RUN_NOT_THERE
    assert first.redeliver_after == 1.0
    assert Triggered() == gateway.deliver().outcome
    assert ["trigger", "look up", "trigger"] == gateway.airflow.commands


@pytest.mark.parametrize("unsettled", [LOST, BUSY], ids=["unclear", "busy"])
def test_a_doubt_stays_until_a_look_up_settles_it(
    gateway: Gateway, unsettled: OutcomeUnknown | Retryable
) -> None:
    """A look-up that fails proves nothing: the next attempt looks up again before anything else."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = ALL_LOST * 2 if unsettled is LOST else [BUSY, BUSY]
    for _ in range(2):
        outcome = gateway.deliver().outcome
        assert isinstance(outcome, OutcomeUnknown)
        assert outcome.reason == unsettled.reason  # one fault has one name, whichever request met it
    assert isinstance(gateway.deliver().outcome, AlreadyTriggered)
    look_ups = 2 * LOOK_UPS if unsettled is LOST else 2
    assert ["trigger", *["look up"] * (look_ups + 1)] == gateway.airflow.commands


def test_what_surely_did_not_happen_is_not_looked_up(gateway: Gateway) -> None:
    """A 503 costs one command, not two."""
    gateway.airflow.answers = [BUSY, BUSY]
    gateway.deliver()
    gateway.deliver()
    gateway.deliver()
    assert ["trigger", "trigger", "trigger"] == gateway.airflow.commands


@pytest.mark.guarantee(22)
@pytest.mark.parametrize("applied", [True, False])
def test_a_killed_attempt_is_looked_up_first(gateway: Gateway, *, applied: bool) -> None:
    """Whether the run exists or not, there is one in the end."""
    attempt = gateway.ledger.begin_attempt(a_request(), gateway.time)
    assert isinstance(attempt, Attempt)
    if applied:
        gateway.airflow.trigger(attempt.request.target)
    gateway.airflow.commands.clear()
    dispatched = gateway.deliver(receive_count=2)
    assert isinstance(dispatched.outcome, AlreadyTriggered if applied else Triggered)
    assert gateway.airflow.commands[0] == "look up"
    assert 1 == len(gateway.airflow.runs)


@pytest.mark.guarantee(25)
def test_a_request_that_kills_its_process_is_dead_after_five_attempts(gateway: Gateway) -> None:
    """Five attempts in a row without an outcome, and none of them started a run."""
    for _ in range(5):
        gateway.ledger.begin_attempt(a_request(), gateway.time)
    dispatched = gateway.deliver(receive_count=6)
    assert isinstance(dispatched.outcome, Rejected)
    assert dispatched.outcome.reason == Reason.CRASHED
    assert [] == [command for command in gateway.airflow.commands if command == "trigger"]
    assert ["dead"] == gateway.states


def test_a_request_that_kills_its_process_in_the_look_up_is_dead_after_ten_attempts(gateway: Gateway) -> None:
    """The look-up comes before the count: beyond twice the limit nobody looks any more, and the doubt stays."""
    for _ in range(10):
        gateway.ledger.begin_attempt(a_request(), gateway.time)
    dispatched = gateway.deliver(receive_count=11)
    assert isinstance(dispatched.outcome, Rejected)
    assert (Reason.CRASHED, True) == (dispatched.outcome.reason, dispatched.outcome.run_may_exist)
    assert [] == gateway.airflow.commands
    [row] = gateway.ledger.rows.values()
    assert ("dead", True) == (row.state, row.outcome_unknown)


def test_a_request_that_killed_its_process_after_the_run_was_made_is_triggered(gateway: Gateway) -> None:
    """Dead would be a lie: the run is there."""
    attempt = gateway.ledger.begin_attempt(a_request(), gateway.time)
    assert isinstance(attempt, Attempt)
    gateway.airflow.trigger(attempt.request.target)
    for _ in range(7):
        gateway.ledger.begin_attempt(a_request(), gateway.time)
    assert isinstance(gateway.deliver().outcome, AlreadyTriggered)


def test_duplicates_that_overlap_are_no_crash(gateway: Gateway) -> None:
    """Every attempt is overtaken by the next while Airflow is busy; each came back, so the request lives."""
    attempt = gateway.ledger.begin_attempt(a_request(), gateway.time)
    for _ in range(10):
        overtaken, attempt = attempt, gateway.ledger.begin_attempt(a_request(), gateway.time)
        assert isinstance(overtaken, Attempt)
        assert not gateway.ledger.record_attempt(overtaken, BUSY, gateway.time)
    assert Triggered() == gateway.deliver().outcome


def test_a_doubtful_request_is_looked_up_even_when_its_dag_is_gone(one_sandbox: Gateway) -> None:
    """Its run may exist: dead without a look would be a lie."""
    one_sandbox.airflow.lost_after = 1
    one_sandbox.airflow.findings = list(ALL_LOST)
    one_sandbox.deliver(a_request("doubtful", dag_id="gone"))
    one_sandbox.time += 60
    for _ in range(40):
        one_sandbox.airflow.answers = [MISSING]
        one_sandbox.deliver(a_request("other", dag_id="gone"))
        one_sandbox.time += 31
    one_sandbox.airflow.answers = [MISSING]
    one_sandbox.deliver(a_request("probe", dag_id="gone"))
    assert isinstance(one_sandbox.deliver(a_request("doubtful", dag_id="gone")).outcome, AlreadyTriggered)


def test_a_request_that_died_in_doubt_is_looked_up_before_it_is_tried_again(gateway: Gateway) -> None:
    """Its last attempt may have started the run: the doubt is of that attempt, not of one recorded before it."""
    grows_old(gateway, redriven(0), DAY)
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = list(ALL_LOST)
    assert isinstance(gateway.deliver(redriven(0)).outcome, Rejected)
    gateway.airflow.commands.clear()
    assert isinstance(gateway.deliver(redriven()).outcome, AlreadyTriggered)
    assert ["look up"] == gateway.airflow.commands


def test_a_doubt_that_was_settled_before_death_costs_no_look_up(gateway: Gateway) -> None:
    """The last attempt had found that nothing was there."""
    gateway.airflow.answers = [LOST, NO]
    gateway.airflow.findings = list(ALL_LOST)
    gateway.deliver(redriven(0))
    assert isinstance(gateway.deliver(redriven(0)).outcome, Rejected)
    gateway.airflow.commands.clear()
    gateway.deliver(redriven())
    assert ["trigger"] == gateway.airflow.commands


@pytest.mark.parametrize("when_paused", ["hold", "reject"])
def test_what_may_be_there_is_looked_up_before_it_is_kept_back(listing: Gateway, when_paused: str) -> None:
    """An attempt that was killed may have started the run."""
    attempt = listing.ledger.begin_attempt(kept_back(when_paused), listing.time)
    assert isinstance(attempt, Attempt)
    listing.airflow.trigger(attempt.request.target)
    dispatched = listing.deliver(kept_back(when_paused), receive_count=2)
    assert isinstance(dispatched.outcome, AlreadyTriggered)


def dated(identity: str, date: str = "2026-11-22T00:00:00+00:00") -> TriggerRequest:
    request = a_request(identity)
    return replace(request, target=replace(request.target, logical_date=date))


@pytest.mark.guarantee(19)
def test_another_run_of_the_logical_date_is_not_ours(gateway: Gateway) -> None:
    """Airflow has one run per date: the second event of it is dead for good, with the reason and the date."""
    assert gateway.deliver(dated("first")).outcome == Triggered()
    outcome = gateway.deliver(dated("second")).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason == Reason.LOGICAL_DATE_TAKEN
    assert (
        "another run of 'ingest_orders' has 2026-11-22T00:00:00+00:00: a run of this date exists"
        in outcome.text
    )
    assert gateway.states == ["triggered", "dead"]
    assert [rejected.reason for _, rejected, _ in gateway.dead_letters.notices] == [Reason.LOGICAL_DATE_TAKEN]
    assert gateway.deliver(dated("third", "2026-11-22T00:00:00.000001+00:00")).outcome == Triggered()


@pytest.mark.guarantee(19)
def test_our_own_run_of_the_logical_date_is_found(gateway: Gateway) -> None:
    """Airflow's "exists" may be about a twin of this attempt, which the ledger does not know of."""
    gateway.airflow.trigger(dated("first").target)
    assert isinstance(gateway.deliver(dated("first")).outcome, AlreadyTriggered)
    assert len(gateway.airflow.runs) == 1


def test_a_look_up_may_say_that_the_date_is_taken(gateway: Gateway) -> None:
    """Where Airflow's answer to the start hides what exists."""
    gateway.airflow.answers = [LOST]
    gateway.airflow.findings = [Retryable(Reason.LOGICAL_DATE_TAKEN, "run 'manual__1' has its logical date")]
    outcome = gateway.deliver(dated("first")).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason == Reason.LOGICAL_DATE_TAKEN
    assert "manual__1" in outcome.text


def test_a_taken_date_is_not_believed_without_a_look_up(gateway: Gateway) -> None:
    """A lookup that fails proves nothing; the next attempt looks again."""
    gateway.airflow.trigger(dated("first").target)
    gateway.airflow.findings = [BUSY]
    assert isinstance(gateway.deliver(dated("first")).outcome, OutcomeUnknown)
    assert isinstance(gateway.deliver(dated("first")).outcome, AlreadyTriggered)


def test_a_taken_date_is_redriven_when_the_other_run_is_deleted(gateway: Gateway) -> None:
    gateway.deliver(dated("first"))
    gateway.deliver(dated("second"))
    gateway.airflow.runs.clear()
    assert gateway.deliver(replace(dated("second"), redrive=1)).outcome == Triggered()
