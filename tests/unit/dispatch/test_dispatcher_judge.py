"""The step `judge`: a missing DAG has its grace; a request that is too old, or waited too long, is rejected."""

from dataclasses import replace

import pytest

from fakes.airflow import ALL_LOST, BUSY, LOST
from fakes.dispatching import (
    DAY,
    GRACE,
    MISSING,
    UNREACHABLE,
    Gateway,
    grows_old,
    open_circuit,
    redriven,
)
from fakes.requests import a_request
from mwaa_gateway.dispatch.circuit_breaker import REFUSALS_TOLERATED
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.outcomes import (
    Reason,
    Rejected,
    Retryable,
    Triggered,
)


@pytest.mark.guarantee(20)
@pytest.mark.parametrize("reason", [Reason.DAG_MISSING, Reason.DAG_BROKEN])
def test_a_missing_dag_has_its_grace(gateway: Gateway, reason: Reason) -> None:
    """A DAG file that is deployed after the event came is waited for, 15 minutes from the first attempt."""
    gateway.airflow.answers = [Rejected(reason, "no such DAG")] * 2
    assert isinstance(gateway.deliver().outcome, Retryable)
    gateway.time += GRACE
    assert isinstance(gateway.deliver().outcome, Rejected)


@pytest.mark.guarantee(40)
def test_age_counts_from_the_first_attempt(gateway: Gateway) -> None:
    """Waiting for a slot kills nothing: the request is days old and is still tried."""
    gateway.time += 10 * DAY
    assert Triggered() == gateway.deliver().outcome


@pytest.mark.parametrize(("of_the_rule", "limit"), [(None, DAY), (60, 60)])
def test_what_is_tried_for_too_long_is_dead(gateway: Gateway, of_the_rule: int | None, limit: int) -> None:
    """The rule's own maximum event age goes before the dispatcher's."""
    request = a_request(maximum_event_age_seconds=of_the_rule)
    grows_old(gateway, request, limit - 1)
    gateway.airflow.answers = [BUSY] * 2
    assert isinstance(gateway.deliver(request).outcome, Retryable)
    gateway.time += 1
    dead = gateway.deliver(request)
    assert isinstance(dead.outcome, Rejected)
    assert dead.outcome.reason == Reason.TOO_OLD
    assert "busy" in dead.outcome.text
    assert "may exist" not in dead.outcome.text  # each attempt was refused: nobody has to look for a run


def test_a_request_too_old_is_still_tried_once_more(gateway: Gateway) -> None:
    """The last attempt may be the one that works."""
    gateway.airflow.answers = [BUSY]
    gateway.deliver()
    gateway.time += 2 * DAY
    assert Triggered() == gateway.deliver().outcome


def test_a_dead_request_says_when_its_run_may_exist(gateway: Gateway) -> None:
    """Unknown to the end is not the same as not done."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = ALL_LOST * 2
    grows_old(gateway, a_request(), DAY)
    dead = gateway.deliver()
    assert isinstance(dead.outcome, Rejected)
    assert "may exist" in dead.outcome.text


def test_waiting_for_the_environment_is_not_growing_old(one_sandbox: Gateway) -> None:
    """Away for a week, asked for all the time; the first attempts after it fail, and nobody is too old for that."""
    for number in range(
        REFUSALS_TOLERATED + 1
    ):  # tried while the circuit was closed; their failures opened it
        one_sandbox.airflow.answers = [UNREACHABLE]
        one_sandbox.deliver(a_request(str(number)))
    for _ in range(7 * 24):
        one_sandbox.time += 3600
        one_sandbox.airflow.answers = [UNREACHABLE]
        probe = one_sandbox.deliver(a_request("probe"), receive_count=400)
        assert isinstance(probe.outcome, Retryable)
    one_sandbox.time += 60
    assert Triggered() == one_sandbox.deliver(a_request("opens")).outcome
    for identity in ("0", "1", str(REFUSALS_TOLERATED), "probe"):
        one_sandbox.airflow.answers = [LOST]
        one_sandbox.airflow.findings = []
        assert isinstance(one_sandbox.deliver(a_request(identity)).outcome, Retryable)
        assert Triggered() == one_sandbox.deliver(a_request(identity)).outcome


def test_a_permission_that_is_missing_is_no_environment_that_is_away(one_sandbox: Gateway) -> None:
    """It does not pass by itself: who asks for it grows old, and dies with what is missing."""
    denied = Retryable(Reason.ACCESS_DENIED, "the role needs airflow:CreateCliToken")
    open_circuit(one_sandbox, denied)
    outcome: object = None
    for _ in range(97):
        one_sandbox.time += 900
        one_sandbox.airflow.answers = [denied]
        outcome = one_sandbox.deliver(a_request("asks")).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.TOO_OLD
    assert denied.text in outcome.text


def test_who_waited_for_two_weeks_is_dead_and_says_so(one_sandbox: Gateway) -> None:
    """Also who has asked the whole time alone; a doubt is kept, and a redrive starts the two weeks again."""
    open_circuit(one_sandbox, UNREACHABLE)
    requested_at = one_sandbox.time
    one_sandbox.time += 14 * DAY - 60
    for identity, lost in (("asks", False), ("doubts", True)):
        one_sandbox.airflow.answers = [LOST] if lost else [UNREACHABLE]
        one_sandbox.airflow.findings = list(ALL_LOST)
        one_sandbox.deliver(a_request(identity), waiting_since=requested_at)
        one_sandbox.time += 30
    one_sandbox.airflow.answers, one_sandbox.airflow.findings = [UNREACHABLE] * 3, []
    one_sandbox.deliver(a_request("probe"))
    outcomes = {}
    for identity in ("waits", "doubts", "asks"):
        one_sandbox.time += 31 if identity == "asks" else 0
        outcomes[identity] = one_sandbox.deliver(a_request(identity), waiting_since=requested_at).outcome
    assert {"waits": False, "doubts": True, "asks": False} == {
        identity: outcome.run_may_exist
        for identity, outcome in outcomes.items()
        if isinstance(outcome, Rejected)
    }
    assert all("waited for 14 days for its environment" in outcome.text for outcome in outcomes.values())
    one_sandbox.airflow.answers = [UNREACHABLE]
    again = one_sandbox.deliver(replace(a_request("waits"), redrive=1), waiting_since=one_sandbox.time)
    assert isinstance(again.outcome, Retryable)


def test_two_weeks_in_the_queue_are_no_reason_to_die_where_the_environment_answers(
    one_sandbox: Gateway,
) -> None:
    """The fourteen days are for an environment that is away: here one 503 is one more try."""
    one_sandbox.airflow.answers = [BUSY]
    requested_at, one_sandbox.time = one_sandbox.time, one_sandbox.time + 15 * DAY
    assert isinstance(one_sandbox.deliver(a_request("waited"), waiting_since=requested_at).outcome, Retryable)
    assert Triggered() == one_sandbox.deliver(a_request("waited"), waiting_since=requested_at).outcome


def test_requests_for_a_dag_missing_for_good_die_without_a_command_each(one_sandbox: Gateway) -> None:
    """After the grace: one probe every half minute decides for all that wait."""
    for _ in range(40):
        one_sandbox.airflow.answers = [MISSING]
        one_sandbox.deliver(a_request("first", dag_id="missing"))
        one_sandbox.time += 31
    commands = len(one_sandbox.airflow.commands)
    for _ in range(2):  # the second time a probe that was begun after they came has answered
        one_sandbox.airflow.answers = [MISSING]
        dead = [
            one_sandbox.deliver(a_request(str(number), dag_id="missing")).outcome for number in range(100)
        ]
        one_sandbox.time += 31
    assert all(isinstance(outcome, Rejected) and outcome.reason is Reason.DAG_MISSING for outcome in dead)
    assert all(MISSING.text in outcome.text for outcome in dead if isinstance(outcome, Rejected))
    assert len(one_sandbox.airflow.commands) - commands <= 2
    assert 101 == len({request.identity for request, _, _ in one_sandbox.dead_letters.notices})


def missing_for_long(one_sandbox: Gateway) -> None:
    """A DAG that Airflow has not known for longer than the grace; those who asked for it are dead."""
    for number in range(3):
        one_sandbox.airflow.answers = [MISSING]
        one_sandbox.deliver(a_request(f"before-{number}", dag_id="late"))
        one_sandbox.time += GRACE / 2 + 1


def test_a_dag_deployed_between_two_probes_is_not_missed(one_sandbox: Gateway) -> None:
    """The circuit has long been open, and the last probe found nothing: a later event waits for the next probe."""
    missing_for_long(one_sandbox)
    one_sandbox.time += 31
    one_sandbox.airflow.answers = [MISSING]
    one_sandbox.deliver(a_request("probe", dag_id="late"))
    one_sandbox.airflow.answers = []  # deployed
    one_sandbox.time += 1
    asked = len(one_sandbox.airflow.commands)
    early = one_sandbox.deliver(a_request("early", dag_id="late"))
    assert isinstance(early.outcome, Retryable)
    assert early.redeliver_after is not None
    assert early.redeliver_after <= 55
    assert asked == len(one_sandbox.airflow.commands)
    one_sandbox.time += 55
    assert Triggered() == one_sandbox.deliver(a_request("early", dag_id="late"), receive_count=2).outcome


def test_a_probe_that_was_on_its_way_when_a_request_came_did_not_ask_for_it(one_sandbox: Gateway) -> None:
    """Airflow may have looked before the DAG was there, and answered after the request came."""
    beside_it = one_sandbox.new_sandbox()
    beside_it.record(a_request(dag_id="late").target, MISSING, one_sandbox.time)
    missing_for_long(one_sandbox)
    one_sandbox.time += 31
    came: list[Dispatched] = []

    def meanwhile() -> None:
        one_sandbox.time += 2
        probing, one_sandbox.sandbox = one_sandbox.sandbox, beside_it
        came.append(one_sandbox.deliver(a_request("meanwhile", dag_id="late")))
        one_sandbox.sandbox = probing
        one_sandbox.time += 2

    one_sandbox.airflow.during_trigger = meanwhile
    one_sandbox.airflow.answers = [MISSING]
    one_sandbox.deliver(a_request("probe", dag_id="late"))
    again = one_sandbox.deliver(a_request("meanwhile", dag_id="late"), receive_count=2)
    assert [Retryable, Retryable] == [type(came[0].outcome), type(again.outcome)]


def test_a_dag_missing_again_much_later_has_its_grace_again(one_sandbox: Gateway) -> None:
    """Yesterday's missing DAG says nothing about today's event."""
    one_sandbox.airflow.answers = [MISSING]
    one_sandbox.deliver(a_request("first", dag_id="missing"))
    one_sandbox.time += DAY
    one_sandbox.airflow.answers = [MISSING]
    assert isinstance(one_sandbox.deliver(a_request("second", dag_id="missing")).outcome, Retryable)


def test_a_hundred_redriven_at_once_wait_for_the_first_of_them(one_sandbox: Gateway) -> None:
    """The DAG is there now, but only a probe shows it: the others are not dead again before it has answered."""
    missing_for_long(one_sandbox)
    crowd = [redriven(0, f"crowd-{number}", dag_id="late") for number in range(100)]
    for _ in range(2):
        one_sandbox.airflow.answers = [MISSING]
        for request in crowd:
            one_sandbox.deliver(request)
        one_sandbox.airflow.answers = []
        one_sandbox.time += 31
    assert {"dead"} == {one_sandbox.ledger.rows[request.ledger_key].state for request in crowd}
    others: list[Dispatched] = []
    one_sandbox.time += 31
    one_sandbox.airflow.during_trigger = lambda: others.extend(
        one_sandbox.deliver(replace(request, redrive=1)) for request in crowd[1:]
    )
    assert Triggered() == one_sandbox.deliver(replace(crowd[0], redrive=1)).outcome
    assert {Retryable} == {type(dispatched.outcome) for dispatched in others}
    for request in crowd[1:]:
        assert Triggered() == one_sandbox.deliver(replace(request, redrive=1)).outcome


def test_a_hundred_redriven_for_a_dag_that_is_still_missing_have_their_grace(one_sandbox: Gateway) -> None:
    """One probe after another finds no DAG: the others die with it once their own grace is over, and not before."""
    missing_for_long(one_sandbox)
    crowd = [redriven(1, f"crowd-{number}", dag_id="late") for number in range(100)]
    for request in crowd:
        attempt = one_sandbox.ledger.begin_attempt(replace(request, redrive=0), one_sandbox.time)
        assert isinstance(attempt, Attempt)
        one_sandbox.ledger.finish(attempt, MISSING, one_sandbox.time)
    one_sandbox.airflow.answers = [MISSING] * 1_000
    redriven_at = one_sandbox.time
    while one_sandbox.time < redriven_at + GRACE:
        assert {Retryable} == {type(one_sandbox.deliver(request).outcome) for request in crowd}
        one_sandbox.time += 31
    asked = len(one_sandbox.airflow.commands)
    assert {Rejected} == {type(one_sandbox.deliver(request).outcome) for request in crowd}
    assert len(one_sandbox.airflow.commands) <= asked + 1


def test_a_redriven_request_gives_its_dag_a_grace_of_its_own(one_sandbox: Gateway) -> None:
    """Airflow may take as long to read the corrected file as any new one."""
    missing_for_long(one_sandbox)
    one_sandbox.airflow.answers = [MISSING]
    assert isinstance(one_sandbox.deliver(redriven(0, dag_id="late")).outcome, Rejected)
    one_sandbox.time += 31
    one_sandbox.airflow.answers = [MISSING]
    assert isinstance(one_sandbox.deliver(redriven(dag_id="late")).outcome, Retryable)
    one_sandbox.time += GRACE
    one_sandbox.airflow.answers = [MISSING]
    assert isinstance(one_sandbox.deliver(redriven(dag_id="late")).outcome, Rejected)
