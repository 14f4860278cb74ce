"""The step `admit`: a pause holds a request, an open circuit breaker makes it wait."""

from dataclasses import replace

import pytest

from fakes.airflow import ALL_LOST, BUSY, LOST
from fakes.dispatching import MISSING, RULE, UNREACHABLE, Gateway, open_circuit, waits
from fakes.requests import a_request
from mwaa_gateway.aws.sqs.trigger_messages import LAST_RECEIVE
from mwaa_gateway.backoff import RECEIVES_TO_SPEND, backoff_seconds, soon_seconds
from mwaa_gateway.dispatch.circuit_breaker import (
    FAILURES_TOLERATED,
    LONGEST_PAUSE_SECONDS,
    LOOK_EVERY_SECONDS,
    PROBE_SECONDS,
    REFUSALS_TOLERATED,
    CircuitBreakers,
    Pass,
)
from mwaa_gateway.dispatch.dispatcher import LONGEST_STAY_SECONDS, STAY_UNTIL_SECONDS
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)


def test_a_held_request_waits_in_the_ledger_and_its_message_is_done_with(gateway: Gateway) -> None:
    """A further delivery asks Airflow nothing, and publishes nothing."""
    held = Held(Reason.RULE_DISABLED, "not now")
    gateway.ledger.hold(a_request(), held, gateway.time)
    gateway.pause_store.rules.add(a_request().rule_id)
    dispatched = gateway.deliver()
    assert (held, None) == (dispatched.outcome, dispatched.redeliver_after)
    assert ([], [], ["held"]) == (gateway.airflow.commands, gateway.dead_letters.notices, gateway.states)


@pytest.mark.parametrize(
    ("rules", "environments", "reason"),
    [
        ({RULE}, set(), Reason.RULE_DISABLED),
        (set(), {"analytics"}, Reason.ENVIRONMENT_PAUSED),
    ],
)
def test_a_pause_holds_what_waits(
    gateway: Gateway, rules: set[str], environments: set[str], reason: Reason
) -> None:
    """One write each, no command, no dead letter; after the pause it runs once."""
    gateway.pause_store.rules, gateway.pause_store.environments = rules, environments
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, Held)
    assert (reason, None) == (dispatched.outcome.reason, dispatched.redeliver_after)
    assert (1, [], []) == (gateway.ledger.writes, gateway.airflow.commands, gateway.dead_letters.notices)
    gateway.pause_store.rules, gateway.pause_store.environments = set(), set()
    for _ in range(2):
        gateway.deliver(replace(a_request(), redrive=1))
    assert (["trigger"], ["triggered"]) == (gateway.airflow.commands, gateway.states)


def test_a_pause_works_without_airflow(gateway: Gateway) -> None:
    """A request that waits for an open circuit is held, too, and takes no probe."""
    gateway.sandbox = gateway.new_sandbox()
    gateway.airflow.answers = [BUSY] * 3
    for number in range(3):
        gateway.deliver(a_request(str(number)))
    calls = gateway.circuit_breakers.calls
    gateway.pause_store.rules.add(RULE)
    assert isinstance(gateway.deliver().outcome, Held)
    assert calls == gateway.circuit_breakers.calls


def test_a_request_tried_before_the_pause_is_looked_up_after_it(gateway: Gateway) -> None:
    """Its answer was lost, and so were the look-ups: the run may be there, and it is."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = list(ALL_LOST)
    gateway.deliver()
    gateway.pause_store.rules.add(RULE)
    assert isinstance(gateway.deliver().outcome, Held)
    gateway.pause_store.rules.clear()
    assert isinstance(gateway.deliver(replace(a_request(), redrive=1)).outcome, AlreadyTriggered)
    assert 1 == gateway.airflow.commands.count("trigger")


def test_a_pause_that_ended_meanwhile_holds_nothing(gateway: Gateway) -> None:
    """The sandbox learns too late that the pause ended, holds the request, and resumes it at once."""
    gateway.pause_store.rules.add(RULE)
    gateway.pauses = Pauses("analytics", gateway.pause_store, refresh_seconds=5)
    gateway.pauses.holds(RULE, gateway.time)
    gateway.pause_store.rules.clear()
    assert Triggered() == gateway.deliver().outcome
    assert ["triggered"] == gateway.states


def test_a_late_message_resumes_what_an_ended_pause_left_held(gateway: Gateway) -> None:
    """It was held after the command had released all others."""
    gateway.ledger.hold(a_request(), Held(Reason.RULE_DISABLED, "not now"), gateway.time)
    assert Triggered() == gateway.deliver().outcome


def test_a_request_stays_held_by_the_other_pause(gateway: Gateway) -> None:
    """The rule is enabled, the environment still paused: another reason, and the next release counts."""
    gateway.pause_store.rules.add(RULE)
    gateway.deliver()
    gateway.pause_store.rules, gateway.pause_store.environments = set(), {"analytics"}
    outcome = gateway.deliver(replace(a_request(), redrive=1)).outcome
    assert isinstance(outcome, Held)
    assert Reason.ENVIRONMENT_PAUSED is outcome.reason
    gateway.pause_store.environments = set()
    assert Triggered() == gateway.deliver(replace(a_request(), redrive=2)).outcome


def test_a_redriven_request_is_held_by_a_pause(gateway: Gateway) -> None:
    """The redrive deleted its dead letter: dead it would be forgotten, held it is listed."""
    gateway.airflow.answers = [Rejected(Reason.CONF_REFUSED, "no")]
    gateway.deliver()
    gateway.pause_store.rules.add(RULE)
    assert isinstance(gateway.deliver(replace(a_request(), redrive=1)).outcome, Held)
    assert ["held"] == gateway.states


def test_pauses_that_cannot_be_read_stop_nothing(gateway: Gateway) -> None:
    """Runs start although no sandbox knows whether their rule is paused."""
    gateway.pause_store.failures.coming["pulled"] = 1
    assert Triggered() == gateway.deliver().outcome


def test_a_request_pinned_elsewhere_does_not_spin_before_a_circuit_it_does_not_use(gateway: Gateway) -> None:
    """It takes the probe that is due and asks nobody: it backs off as ever, the probe stays for one that asks."""
    gateway.sandbox = gateway.new_sandbox()
    gateway.airflow.answers = [BUSY] * 3
    for number in range(3):
        gateway.deliver(a_request(str(number)))
    gateway.ledger.begin_attempt(a_request(environment="marketing"), gateway.time)
    gateway.time += 60
    assert 5.0 == gateway.deliver(receive_count=2).redeliver_after
    assert Triggered() == gateway.deliver(a_request("3")).outcome


def test_a_closed_circuit_costs_nothing(one_sandbox: Gateway) -> None:
    """No read, no write: the way without trouble stays two writes and one command."""
    calls = one_sandbox.circuit_breakers.calls
    for number in range(10):
        one_sandbox.deliver(a_request(str(number)))
    assert calls == one_sandbox.circuit_breakers.calls


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        UNREACHABLE,
        Retryable(Reason.TOKEN_UNAVAILABLE, ""),
        Retryable(Reason.TOKEN_REFUSED, ""),
        Retryable(Reason.ACCESS_DENIED, ""),
    ],
    ids=lambda failure: failure.reason,
)
def test_while_the_environment_is_away_the_others_wait_without_asking(
    one_sandbox: Gateway, failure: Retryable
) -> None:
    """Nothing is asked, claimed or written for them; each stays for ten seconds, with four looks, and is then given back."""
    open_circuit(one_sandbox, failure)
    asked, writes = len(one_sandbox.airflow.commands), one_sandbox.ledger.writes
    one_sandbox.jitter = 0.999
    for number in range(20):
        another_probes(one_sandbox)
        calls = one_sandbox.circuit_breakers.calls
        one_sandbox.slept.clear()
        dispatched = one_sandbox.deliver(a_request(str(number)))
        assert waits(dispatched)
        assert dispatched.redeliver_after is not None
        assert dispatched.redeliver_after <= 2 * PROBE_SECONDS
        assert LONGEST_STAY_SECONDS == sum(one_sandbox.slept)
        assert one_sandbox.circuit_breakers.calls - calls <= 4
    assert (asked, writes) == (len(one_sandbox.airflow.commands), one_sandbox.ledger.writes)


def another_probes(gateway: Gateway) -> None:
    """Another sandbox takes the probe, and is killed, or waits for its answer for long."""
    gateway.time += PROBE_SECONDS
    assert isinstance(gateway.new_sandbox().start_attempt(a_request().target, gateway.time), Pass)


def test_a_sandbox_goes_ahead_as_soon_as_another_one_is_answered(one_sandbox: Gateway) -> None:
    """It waits with its message, and looks: full speed is back seconds after the probe's answer."""
    open_circuit(one_sandbox, UNREACHABLE)
    another_probes(one_sandbox)
    one_sandbox.circuit_breakers.circuit_breakers.clear()  # answered
    assert Triggered() == one_sandbox.deliver(a_request("waits")).outcome
    assert sum(one_sandbox.slept) <= LOOK_EVERY_SECONDS


def test_a_pause_ends_the_wait_for_the_environment(one_sandbox: Gateway) -> None:
    """An environment that is paused while it is away: what waits for it is held."""
    open_circuit(one_sandbox, UNREACHABLE)
    another_probes(one_sandbox)
    one_sandbox.while_asleep = lambda: one_sandbox.pause_store.environments.add("analytics")
    one_sandbox.pauses = Pauses("analytics", one_sandbox.pause_store, refresh_seconds=0)
    assert isinstance(one_sandbox.deliver(a_request("waits")).outcome, Held)


def test_nobody_waits_with_a_message_of_yesterday(one_sandbox: Gateway) -> None:
    """It is given back at once: SQS deletes what nobody received for four days, and a backlog may be large."""
    open_circuit(one_sandbox, UNREACHABLE)
    another_probes(one_sandbox)
    yesterday = one_sandbox.time - STAY_UNTIL_SECONDS
    one_sandbox.slept.clear()
    assert waits(one_sandbox.deliver(a_request("old"), waiting_since=yesterday))
    assert [] == one_sandbox.slept


def test_a_message_that_was_received_often_waits_most_of_a_minute(one_sandbox: Gateway) -> None:
    """Before that at most twice the time to the next probe. Twelve hours of it stay below SQS's 1,000 receives."""
    open_circuit(one_sandbox, UNREACHABLE)
    for receives, jitter, seconds in (
        (RECEIVES_TO_SPEND - 1, 0.0, 5.0),
        (RECEIVES_TO_SPEND - 1, 0.5, 7.5),
        (RECEIVES_TO_SPEND, 0.0, 45.0),
        (RECEIVES_TO_SPEND, 0.999, 55.0),
    ):
        another_probes(one_sandbox)
        one_sandbox.jitter = jitter
        dispatched = one_sandbox.deliver(a_request("waits"), receive_count=receives)
        assert seconds == pytest.approx(dispatched.redeliver_after, abs=0.1)
    assert RECEIVES_TO_SPEND + 12 * 3600 / (50 + LONGEST_STAY_SECONDS) <= LAST_RECEIVE + 20


def test_a_refusal_rests_its_sandbox(one_sandbox: Gateway) -> None:
    """A 503 leaves the slot to others: for a second, after the second one in a row for two; an answer ends it."""
    for identity, answers, rests in (
        ("first", [BUSY], []),
        ("second", [BUSY], [1.0]),
        ("third", [], [2.0]),
        ("fourth", [], []),
    ):
        one_sandbox.airflow.answers = list(answers)
        one_sandbox.slept.clear()
        assert not waits(one_sandbox.deliver(a_request(identity)))
        assert rests == one_sandbox.slept


def test_lost_answers_open_the_circuit_only_at_the_eighth_in_a_row(one_sandbox: Gateway) -> None:
    """They say nothing about the load: the slots stay at work. Eight in a row are an environment that is away."""
    for number in range(FAILURES_TOLERATED + 1):
        assert one_sandbox.circuit_breakers.circuit_breakers == {}
        one_sandbox.airflow.answers, one_sandbox.airflow.findings = [LOST], list(ALL_LOST)
        assert isinstance(one_sandbox.deliver(a_request(str(number))).outcome, OutcomeUnknown)
    assert len(one_sandbox.circuit_breakers.circuit_breakers) == 1
    assert [] == one_sandbox.slept


def test_aws_that_does_not_answer_twice_in_a_row_rests_the_sandbox(one_sandbox: Gateway) -> None:
    """Once may be the fault of one request, which backs off alone; then the trouble is everybody's, and paced here."""
    one_sandbox.ledger.failures.coming["claim"] = 1
    first = one_sandbox.deliver(a_request("first"), receive_count=8)
    assert [] == one_sandbox.slept
    assert first.redeliver_after == backoff_seconds(8, one_sandbox.jitter)
    for rest in ([], [1.0], [2.0]):
        one_sandbox.ledger.failures.coming["claim"] = 1
        again = one_sandbox.deliver(a_request("again"), receive_count=8)
        assert again.redeliver_after == soon_seconds(one_sandbox.jitter)
        assert rest == one_sandbox.slept
        one_sandbox.slept.clear()
    assert Triggered() == one_sandbox.deliver(a_request("again")).outcome
    one_sandbox.slept.clear()
    assert Triggered() == one_sandbox.deliver(a_request("another")).outcome
    assert [] == one_sandbox.slept


def test_a_few_failures_delay_only_their_own_messages(one_sandbox: Gateway) -> None:
    """Now and then a 503: somebody else uses the web server. Nobody else waits for that."""
    for number in range(50):
        one_sandbox.airflow.answers = [BUSY] * REFUSALS_TOLERATED
        for failed in range(REFUSALS_TOLERATED):
            assert not waits(one_sandbox.deliver(a_request(f"{number}-{failed}")))
        assert Triggered() == one_sandbox.deliver(a_request(str(number))).outcome


def an_hour_away(one_sandbox: Gateway) -> list[CircuitBreakers]:
    """Six hundred messages, in three sandboxes by turns, and nobody to be reached; returns the sandboxes."""
    sandboxes = [one_sandbox.new_sandbox() for _ in range(3)]
    one_sandbox.airflow.answers = [UNREACHABLE] * 10_000
    for second in range(600):
        one_sandbox.time += 1
        one_sandbox.sandbox = sandboxes[second % 3]
        one_sandbox.deliver(a_request(str(second)))
    return sandboxes


def test_one_probe_asks_for_all_sandboxes(one_sandbox: Gateway) -> None:
    """Three sandboxes, a web server that is down: one command every six seconds, not one a message."""
    began = one_sandbox.time
    an_hour_away(one_sandbox)
    probes = (one_sandbox.time - began) / LONGEST_PAUSE_SECONDS
    assert 0.5 * probes <= len(one_sandbox.airflow.commands) <= probes + 10 + 3 * REFUSALS_TOLERATED


@pytest.mark.guarantee(21)
def test_the_first_run_is_there_within_a_minute_of_the_environment(one_sandbox: Gateway) -> None:
    """However long it was away, and whichever sandbox gets the next message; then everybody goes ahead."""
    sandboxes = an_hour_away(one_sandbox)
    one_sandbox.airflow.answers.clear()
    before = len(one_sandbox.airflow.runs)
    back_at = one_sandbox.time
    while len(one_sandbox.airflow.runs) == before:
        one_sandbox.time += 1
        one_sandbox.sandbox = sandboxes[int(one_sandbox.time) % 3]
        one_sandbox.deliver(a_request(str(one_sandbox.time)))
    assert one_sandbox.time - back_at <= 31
    one_sandbox.time += 30
    for sandbox in sandboxes:
        one_sandbox.sandbox = sandbox
        assert Triggered() == one_sandbox.deliver(a_request(f"after-{id(sandbox)}")).outcome


def test_a_probe_that_was_killed_is_taken_by_another(one_sandbox: Gateway) -> None:
    """Half a minute later, by any sandbox."""
    open_circuit(one_sandbox, UNREACHABLE)
    one_sandbox.time += 5
    killed = one_sandbox.new_sandbox()
    killed.start_attempt(a_request().target, one_sandbox.time)
    assert waits(one_sandbox.deliver(a_request("second")))
    one_sandbox.time += 31
    assert Triggered() == one_sandbox.deliver(a_request("second")).outcome


def test_a_probe_that_turns_out_a_duplicate_is_passed_on(one_sandbox: Gateway) -> None:
    """It asked nobody; the next message probes at once instead of half a minute later."""
    open_circuit(one_sandbox, UNREACHABLE)
    one_sandbox.time += 5
    assert isinstance(one_sandbox.deliver(a_request("warm-up")).outcome, AlreadyTriggered)
    assert Triggered() == one_sandbox.deliver(a_request("second")).outcome


def test_a_new_sandbox_sees_an_open_circuit(one_sandbox: Gateway) -> None:
    """A cold start in the middle of an outage does not ask either."""
    open_circuit(one_sandbox, UNREACHABLE)
    another_probes(one_sandbox)
    one_sandbox.sandbox = one_sandbox.new_sandbox()
    assert waits(one_sandbox.deliver(a_request("second")))


def test_a_missing_dag_is_asked_for_by_one_probe(one_sandbox: Gateway) -> None:
    """The other requests for it wait without asking; other DAGs are not concerned."""
    one_sandbox.airflow.answers = [MISSING]
    one_sandbox.deliver(a_request("first", dag_id="missing"))
    for number in range(10):
        assert waits(one_sandbox.deliver(a_request(str(number), dag_id="missing")))
    assert Triggered() == one_sandbox.deliver(a_request("other")).outcome
    assert ["trigger", "trigger"] == one_sandbox.airflow.commands


def test_a_dag_that_appears_is_triggered_by_all_who_waited(one_sandbox: Gateway) -> None:
    """The probe closes the circuit."""
    one_sandbox.airflow.answers = [MISSING]
    one_sandbox.deliver(a_request("first", dag_id="late"))
    one_sandbox.time += 5
    for identity in ("second", "first", "third"):
        assert Triggered() == one_sandbox.deliver(a_request(identity, dag_id="late")).outcome


def test_circuits_that_cannot_be_read_lose_nothing(one_sandbox: Gateway) -> None:
    """The message comes again."""
    open_circuit(one_sandbox, UNREACHABLE)
    one_sandbox.time += 5
    one_sandbox.circuit_breakers.failures.coming["take_probe"] = 1
    dispatched = one_sandbox.deliver(a_request("first"))
    assert isinstance(dispatched.outcome, Retryable)
    assert dispatched.outcome.reason == Reason.AWS_UNAVAILABLE
    assert Triggered() == one_sandbox.deliver(a_request("first")).outcome
