"""From a trigger request to exactly one run, whatever happens on the way."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.airflow import BUSY, LOST, FakeAirflow
from fakes.catalog import FakeCatalogStore
from fakes.circuit_breakers import FakeCircuitStore
from fakes.ledger import FakeLedger
from fakes.pauses import FakePauseStore
from fakes.queues import FakeTriggerDeadLetters
from fakes.requests import a_request
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.backoff import backoff_seconds, probe_wait_seconds
from mwaa_gateway.dispatch.circuit_breaker import FAILURES_TOLERATED, CircuitBreakers
from mwaa_gateway.dispatch.dag_catalog import DagCatalog, LiveCatalog
from mwaa_gateway.dispatch.dispatcher import Dispatched, Dispatcher
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest

DAY = 86_400
GRACE = 900


@dataclass
class Gateway:
    """A dispatcher on fakes, with a clock that the test moves."""

    ledger: FakeLedger = field(default_factory=FakeLedger)
    airflow: FakeAirflow = field(default_factory=FakeAirflow)
    dead_letters: FakeTriggerDeadLetters = field(default_factory=FakeTriggerDeadLetters)
    circuit_breakers: FakeCircuitStore = field(default_factory=FakeCircuitStore)
    pause_store: FakePauseStore = field(default_factory=FakePauseStore)
    pauses: Pauses | None = None  # a new one for each delivery, unless a test names one that knows something
    catalogs: FakeCatalogStore = field(default_factory=FakeCatalogStore)
    catalog_seconds: float = 0.0  # no catalog, unless a test is about it
    unlisted: list[str] = field(default_factory=list)
    time: float = 1_000.0
    jitter: float = 0.5
    sandbox: CircuitBreakers | None = (
        None  # a new one for each delivery, whose gates are open, unless a test names one
    )

    def new_sandbox(self) -> CircuitBreakers:
        return CircuitBreakers("analytics", self.circuit_breakers, dag_missing_grace_seconds=GRACE)

    def deliver(
        self,
        request: TriggerRequest | str | None = None,
        receive_count: int = 1,
        waiting_since: float | None = None,
    ) -> Dispatched:
        request = request or a_request()
        if self.sandbox is None:
            self.circuit_breakers.circuit_breakers.clear()
        dispatcher = Dispatcher(
            ledger=self.ledger,
            airflow=self.airflow,
            dead_letters=self.dead_letters,
            pauses=self.pauses or Pauses("analytics", self.pause_store, refresh_seconds=5),
            circuit_breakers=self.sandbox or self.new_sandbox(),
            catalog=LiveCatalog(
                self.catalogs,
                self.airflow,
                refresh_seconds=self.catalog_seconds,
                now=lambda: self.time,
                report=self.unlisted.append,
            ),
            maximum_event_age_seconds=DAY,
            now=lambda: self.time,
            jitter=lambda: self.jitter,
        )
        body = request if isinstance(request, str) else request.to_json()
        return dispatcher.dispatch(body, receive_count, waiting_since)

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.ledger.rows.values()]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


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
def test_a_duplicate_starts_nothing_and_is_told_of_the_run(gateway: Gateway) -> None:
    """Delivered twice, run once; Airflow is not even asked."""
    gateway.deliver()
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, AlreadyTriggered)
    assert dispatched.redeliver_after is None
    assert ["trigger"] == gateway.airflow.commands


def test_a_held_request_waits_in_the_ledger_and_its_message_is_done_with(gateway: Gateway) -> None:
    """Whoever delivers it again, nobody asks Airflow; nothing rings."""
    held = Held(Reason.RULE_DISABLED, "not now")
    gateway.ledger.hold(a_request(), held, gateway.time)
    gateway.pause_store.rules.add(a_request().rule_id)
    dispatched = gateway.deliver()
    assert (held, None) == (dispatched.outcome, dispatched.redeliver_after)
    assert ([], [], ["held"]) == (gateway.airflow.commands, gateway.dead_letters.notices, gateway.states)


RULE = a_request().rule_id


@pytest.mark.parametrize(
    ("rules", "environments", "reason"),
    [
        ({RULE}, set(), Reason.RULE_DISABLED),
        (set(), {"analytics"}, Reason.ENVIRONMENT_PAUSED),
    ],
)
def test_the_brake_holds_what_waits(
    gateway: Gateway, rules: set[str], environments: set[str], reason: Reason
) -> None:
    """One write each, no command, no bell; released, it runs once."""
    gateway.pause_store.rules, gateway.pause_store.environments = rules, environments
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, Held)
    assert (reason, None) == (dispatched.outcome.reason, dispatched.redeliver_after)
    assert (1, [], []) == (gateway.ledger.writes, gateway.airflow.commands, gateway.dead_letters.notices)
    gateway.pause_store.rules, gateway.pause_store.environments = set(), set()
    for _ in range(2):
        gateway.deliver(replace(a_request(), redrive=1))
    assert (["trigger"], ["triggered"]) == (gateway.airflow.commands, gateway.states)


def test_the_brake_works_without_airflow(gateway: Gateway) -> None:
    """What waits before a shut gate is held, too, and no probe is wasted on it."""
    gateway.sandbox = gateway.new_sandbox()
    gateway.airflow.answers = [BUSY] * 3
    for number in range(3):
        gateway.deliver(a_request(str(number)))
    calls = gateway.circuit_breakers.calls
    gateway.pause_store.rules.add(RULE)
    assert isinstance(gateway.deliver().outcome, Held)
    assert calls == gateway.circuit_breakers.calls


def test_what_was_tried_before_the_brake_is_looked_up_when_it_is_released(gateway: Gateway) -> None:
    """Its answer was lost, and so were the look-ups: the run may be there, and it is."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = [LOST]
    gateway.deliver()
    gateway.pause_store.rules.add(RULE)
    assert isinstance(gateway.deliver().outcome, Held)
    gateway.pause_store.rules.clear()
    assert isinstance(gateway.deliver(replace(a_request(), redrive=1)).outcome, AlreadyTriggered)
    assert 1 == gateway.airflow.commands.count("trigger")


def test_a_brake_that_was_let_go_of_meanwhile_holds_nothing_for_good(gateway: Gateway) -> None:
    """The sandbox learns of it too late to keep it from holding: it takes up at once what nobody else would release."""
    gateway.pause_store.rules.add(RULE)
    gateway.pauses = Pauses("analytics", gateway.pause_store, refresh_seconds=5)
    gateway.pauses.holds(RULE, gateway.time)
    gateway.pause_store.rules.clear()
    assert Triggered() == gateway.deliver().outcome
    assert ["triggered"] == gateway.states


def test_a_late_message_takes_up_what_a_lifted_brake_has_left_behind(gateway: Gateway) -> None:
    """A write of the hold that arrived after everybody had been released."""
    gateway.ledger.hold(a_request(), Held(Reason.RULE_DISABLED, "not now"), gateway.time)
    assert Triggered() == gateway.deliver().outcome


def test_what_is_held_by_the_other_brake_stays_held(gateway: Gateway) -> None:
    """The rule is enabled, the environment still paused: another reason, and the next release counts."""
    gateway.pause_store.rules.add(RULE)
    gateway.deliver()
    gateway.pause_store.rules, gateway.pause_store.environments = set(), {"analytics"}
    outcome = gateway.deliver(replace(a_request(), redrive=1)).outcome
    assert isinstance(outcome, Held)
    assert Reason.ENVIRONMENT_PAUSED is outcome.reason
    gateway.pause_store.environments = set()
    assert Triggered() == gateway.deliver(replace(a_request(), redrive=2)).outcome


def test_a_redrive_of_the_dead_is_held_by_the_brake(gateway: Gateway) -> None:
    """Its bell is gone with the redrive: dead it would be forgotten, held it is listed."""
    gateway.airflow.answers = [Rejected(Reason.CONF_REFUSED, "no")]
    gateway.deliver()
    gateway.pause_store.rules.add(RULE)
    assert isinstance(gateway.deliver(replace(a_request(), redrive=1)).outcome, Held)
    assert ["held"] == gateway.states


def test_an_outage_of_the_brake_stops_nothing(gateway: Gateway) -> None:
    """Nobody can say whether it is pulled: the runs go on."""
    gateway.pause_store.failures.coming["pulled"] = 1
    assert Triggered() == gateway.deliver().outcome


def test_what_airflow_holds_back_is_parked(gateway: Gateway) -> None:
    """An attempt that finds out that it shall not be made now."""
    held = Held(Reason.AIRFLOW_REFUSED, "not now")
    gateway.airflow.answers = [held]
    dispatched = gateway.deliver()
    assert (held, None, ["held"]) == (dispatched.outcome, dispatched.redeliver_after, gateway.states)
    assert Triggered() != gateway.deliver().outcome


def test_a_cancelled_request_rings_no_bell(gateway: Gateway) -> None:
    """It is dead because somebody said so; a late duplicate of it is nobody's alarm."""
    gateway.ledger.hold(a_request(), Held(Reason.RULE_DISABLED, "not now"), gateway.time)
    gateway.ledger.cancel(a_request())
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, Rejected)
    assert (Reason.CANCELLED, None, []) == (
        dispatched.outcome.reason,
        dispatched.redeliver_after,
        gateway.dead_letters.notices,
    )


def test_a_purged_run_is_not_started_again(gateway: Gateway) -> None:
    """The ledger remembers longer than Airflow."""
    gateway.deliver()
    gateway.airflow.runs.clear()
    gateway.deliver()
    assert {} == gateway.airflow.runs


@pytest.mark.guarantee(17)
def test_a_lost_answer_is_looked_up_at_once(gateway: Gateway) -> None:
    """The run is there: one run, no second trigger."""
    gateway.airflow.lost_after = 1
    dispatched = gateway.deliver()
    assert isinstance(dispatched.outcome, AlreadyTriggered)
    assert ["trigger", "look up"] == gateway.airflow.commands


def test_a_lost_answer_that_started_nothing_is_tried_again(gateway: Gateway) -> None:
    """The look-up proves that nothing was started."""
    gateway.airflow.answers = [LOST]
    first = gateway.deliver()
    assert isinstance(first.outcome, Retryable)
    assert first.outcome.reason == Reason.RUN_NOT_THERE
    assert first.redeliver_after == 2.5
    assert Triggered() == gateway.deliver().outcome
    assert ["trigger", "look up", "trigger"] == gateway.airflow.commands


@pytest.mark.parametrize("unsettled", [LOST, BUSY], ids=["unclear", "busy"])
def test_a_doubt_stays_until_a_look_up_settles_it(
    gateway: Gateway, unsettled: OutcomeUnknown | Retryable
) -> None:
    """A look-up that fails proves nothing: the next attempt looks up again before anything else."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = [unsettled, unsettled]
    for _ in range(2):
        outcome = gateway.deliver().outcome
        assert isinstance(outcome, OutcomeUnknown)
        assert outcome.reason == unsettled.reason  # one fault has one name, whichever request met it
    assert isinstance(gateway.deliver().outcome, AlreadyTriggered)
    assert ["trigger", "look up", "look up", "look up"] == gateway.airflow.commands


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


@pytest.mark.guarantee(23)
def test_a_late_attempt_cannot_change_the_row(gateway: Gateway) -> None:
    """Fenced by the attempt number: a zombie's refusal must not bury a request that ran."""
    rejected = Rejected(Reason.CONF_REFUSED, "no")
    gateway.airflow.answers = [rejected]
    gateway.airflow.during_trigger = lambda: gateway.ledger.begin_attempt(a_request(), gateway.time) and None
    zombie = gateway.deliver()
    assert isinstance(zombie.outcome, Retryable)
    assert zombie.outcome.reason == Reason.OVERTAKEN
    assert zombie.redeliver_after is not None
    assert ["open"] == gateway.states
    assert [] == gateway.dead_letters.notices


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


@pytest.mark.guarantee(36)
def test_the_first_attempt_pins_the_target(gateway: Gateway) -> None:
    """The outcome on DAG A is unknown, the rule is edited to DAG B, the event comes again: A is looked up."""
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = [LOST]
    gateway.deliver(a_request(dag_id="dag_a"))
    dispatched = gateway.deliver(a_request(dag_id="dag_b"))
    assert dispatched.request is not None
    assert dispatched.request.target.dag_id == "dag_a"
    assert ["dag_a"] == [run.dag_id for run in gateway.airflow.runs.values()]


def test_a_request_pinned_to_another_environment_waits_for_it(gateway: Gateway) -> None:
    """The other environment's queue holds the message; here nothing is started, and it comes again until that is done."""
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


def test_a_request_pinned_elsewhere_does_not_spin_before_a_gate_it_does_not_use(gateway: Gateway) -> None:
    """It takes the probe that is due and asks nobody: it backs off as ever, the probe stays for one that asks."""
    gateway.sandbox = gateway.new_sandbox()
    gateway.airflow.answers = [BUSY] * 3
    for number in range(3):
        gateway.deliver(a_request(str(number)))
    gateway.ledger.begin_attempt(a_request(environment="marketing"), gateway.time)
    gateway.time += 60
    assert 5.0 == gateway.deliver(receive_count=2).redeliver_after
    assert Triggered() == gateway.deliver(a_request("3")).outcome


def test_what_will_never_work_is_dead_with_the_reason_and_rings(gateway: Gateway) -> None:
    """Dead in the ledger first, then the bell; the message is done with."""
    gateway.airflow.answers = [Rejected(Reason.CONF_REFUSED, "Airflow said no")]
    dispatched = gateway.deliver()
    assert dispatched.redeliver_after is None
    assert ["dead"] == gateway.states
    assert [
        (a_request(), Rejected(Reason.CONF_REFUSED, "Airflow said no"), 1)
    ] == gateway.dead_letters.notices


def test_a_bell_that_could_not_ring_rings_at_the_next_delivery(gateway: Gateway) -> None:
    """Nothing silent: the row is dead, the bell is not yet rung, the message comes again."""
    gateway.airflow.answers = [Rejected(Reason.CONF_REFUSED, "no")]
    gateway.dead_letters.failures.coming["ring"] = 1
    assert gateway.deliver().redeliver_after is not None
    assert ["dead"] == gateway.states
    assert gateway.deliver().redeliver_after is None
    assert 1 == len(gateway.dead_letters.notices)


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


def grows_old(gateway: Gateway, request: TriggerRequest, seconds: float) -> None:
    """Tried in vain again and again, at least every 15 minutes, for so long."""
    until = gateway.time + seconds
    while gateway.time < until:
        gateway.airflow.answers.insert(0, BUSY)
        assert isinstance(gateway.deliver(request).outcome, Retryable)
        gateway.time = min(gateway.time + 900, until)


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
    gateway.airflow.findings = [LOST, LOST]
    grows_old(gateway, a_request(), DAY)
    dead = gateway.deliver()
    assert isinstance(dead.outcome, Rejected)
    assert "may exist" in dead.outcome.text


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


def test_an_unreadable_message_is_kept_and_done_with(gateway: Gateway) -> None:
    """It will never be readable by this version: to the dead-letter queue as it came, not round and round."""
    dispatched = gateway.deliver("{}")
    assert dispatched.redeliver_after is None
    assert dispatched.request is None
    assert [("{}", Reason.MESSAGE_UNREADABLE)] == [
        (body, r.reason) for body, r in gateway.dead_letters.unreadable
    ]


def test_an_unreadable_message_that_cannot_be_kept_comes_again(gateway: Gateway) -> None:
    """Nothing is lost while the dead-letter queue is down."""
    gateway.dead_letters.failures.coming["keep_unreadable"] = 1
    assert gateway.deliver("{}").redeliver_after is not None


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_is_between_nothing_and_fifteen_minutes(attempt: int, jitter: float) -> None:
    """Full jitter: anything up to the bound, which doubles from 5 s."""
    bound = min(900, 5 * 2 ** (attempt - 1)) if attempt < 20 else 900
    assert 0 <= backoff_seconds(attempt, jitter) <= bound


@pytest.mark.parametrize(
    ("until_probe", "open_for", "jitter", "expected"),
    [(1, 0, 0.0, 1), (1, 0, 0.5, 2.5), (30, 119, 0.5, 55), (30, 120, 0.0, 45), (30, 120, 0.5, 50)],
)
def test_a_wait_before_an_open_circuit_follows_the_next_probe(
    until_probe: float, open_for: float, jitter: float, expected: float
) -> None:
    """After a hiccup of a second nobody waits for a minute; in an outage nobody waits for longer than 55 s."""
    assert expected == probe_wait_seconds(until_probe, open_for, jitter)


# --- gates ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gated(gateway: Gateway) -> Gateway:
    gateway.sandbox = gateway.new_sandbox()
    gateway.deliver(a_request("warm-up"))  # a new sandbox looks at its gate once
    gateway.airflow.commands.clear()
    return gateway


def shut(gateway: Gateway, failure: Retryable) -> None:
    """Fail as often as it takes to shut the gate."""
    for number in range(FAILURES_TOLERATED + 1):
        gateway.airflow.answers = [failure]
        gateway.deliver(a_request(f"failed-{number}"))


def waits(dispatched: Dispatched) -> bool:
    return isinstance(dispatched.outcome, Retryable) and dispatched.outcome.reason is Reason.CIRCUIT_OPEN


def test_an_open_gate_costs_nothing(gated: Gateway) -> None:
    """No read, no write: the way without trouble stays two writes and one command."""
    calls = gated.circuit_breakers.calls
    for number in range(10):
        gated.deliver(a_request(str(number)))
    assert calls == gated.circuit_breakers.calls


UNREACHABLE = Retryable(Reason.ENVIRONMENT_UNREACHABLE, "no connection")


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
    gated: Gateway, failure: Retryable
) -> None:
    """Nothing is asked, claimed or written for them, and none of them waits longer than a minute."""
    shut(gated, failure)
    asked = len(gated.airflow.commands)
    writes, calls = gated.ledger.writes, gated.circuit_breakers.calls
    gated.jitter = 0.999
    for number in range(20):
        dispatched = gated.deliver(a_request(str(number)))
        assert waits(dispatched)
        assert dispatched.redeliver_after is not None
        assert dispatched.redeliver_after <= 55
    assert (asked, writes, calls) == (
        len(gated.airflow.commands),
        gated.ledger.writes,
        gated.circuit_breakers.calls,
    )


def test_at_a_gate_open_for_long_everybody_waits_most_of_a_minute(gated: Gateway) -> None:
    """Who has just asked in vain as well: hours of it stay below SQS's 1,000 receives, and nobody backs off for longer."""
    shut(gated, UNREACHABLE)
    for _ in range(20):
        gated.time += 60
        gated.airflow.answers = [UNREACHABLE]
        asked = gated.deliver(a_request("asks"), receive_count=500)
        assert not waits(asked)
        waited = gated.deliver(a_request("waits"))
        assert waits(waited)
    for jitter, seconds in ((0.0, 45.0), (0.5, 50.0), (0.999, 55.0)):
        gated.jitter = jitter
        for identity in ("asks", "waits"):
            assert seconds == pytest.approx(gated.deliver(a_request(identity)).redeliver_after, abs=0.1)
    assert 12 * 3600 / 50 < 900


def test_who_asked_with_an_unknown_outcome_waits_as_the_others_do(gated: Gateway) -> None:
    """The command went out, and neither it nor the look-up was answered."""
    shut(gated, UNREACHABLE)
    gated.time += 300
    gated.airflow.answers, gated.airflow.findings = [LOST], [LOST]
    dispatched = gated.deliver(a_request("asks"))
    assert isinstance(dispatched.outcome, OutcomeUnknown)
    assert 50.0 == dispatched.redeliver_after


def test_waiting_for_the_environment_is_not_growing_old(gated: Gateway) -> None:
    """Away for a week, asked for all the time; the first attempts after it fail, and nobody is too old for that."""
    for number in range(
        FAILURES_TOLERATED + 1
    ):  # tried before, while the gate was open, and by whom it was shut
        gated.airflow.answers = [UNREACHABLE]
        gated.deliver(a_request(str(number)))
    for _ in range(7 * 24):
        gated.time += 3600
        gated.airflow.answers = [UNREACHABLE]
        probe = gated.deliver(a_request("probe"), receive_count=400)
        assert isinstance(probe.outcome, Retryable)
    gated.time += 60
    assert Triggered() == gated.deliver(a_request("opens")).outcome
    for identity in ("0", "1", str(FAILURES_TOLERATED), "probe"):
        gated.airflow.answers = [LOST]
        gated.airflow.findings = []
        assert isinstance(gated.deliver(a_request(identity)).outcome, Retryable)
        assert Triggered() == gated.deliver(a_request(identity)).outcome


def test_a_permission_that_is_missing_is_no_environment_that_is_away(gated: Gateway) -> None:
    """It does not pass by itself: who asks for it grows old, and dies with what is missing."""
    denied = Retryable(Reason.ACCESS_DENIED, "the role needs airflow:CreateCliToken")
    shut(gated, denied)
    outcome: object = None
    for _ in range(97):
        gated.time += 900
        gated.airflow.answers = [denied]
        outcome = gated.deliver(a_request("asks")).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.TOO_OLD
    assert denied.text in outcome.text


def test_who_waited_for_two_weeks_is_dead_and_says_so(gated: Gateway) -> None:
    """Also who has asked the whole time alone; a doubt is kept, and a redrive starts the two weeks again."""
    shut(gated, UNREACHABLE)
    requested_at = gated.time
    gated.time += 14 * DAY - 60
    for identity, lost in (("asks", False), ("doubts", True)):
        gated.airflow.answers = [LOST] if lost else [UNREACHABLE]
        gated.airflow.findings = [LOST]
        gated.deliver(a_request(identity), waiting_since=requested_at)
        gated.time += 30
    gated.airflow.answers, gated.airflow.findings = [UNREACHABLE] * 3, []
    gated.deliver(a_request("probe"))
    outcomes = {}
    for identity in ("waits", "doubts", "asks"):
        gated.time += 31 if identity == "asks" else 0
        outcomes[identity] = gated.deliver(a_request(identity), waiting_since=requested_at).outcome
    assert {"waits": False, "doubts": True, "asks": False} == {
        identity: outcome.run_may_exist
        for identity, outcome in outcomes.items()
        if isinstance(outcome, Rejected)
    }
    assert all("waited for 14 days for its environment" in outcome.text for outcome in outcomes.values())
    again = gated.deliver(replace(a_request("waits"), redrive=1), waiting_since=gated.time)
    assert waits(again)


def test_two_weeks_in_the_queue_are_no_reason_to_die_where_the_environment_answers(gated: Gateway) -> None:
    """The fourteen days are for an environment that is away: here one 503 is one more try."""
    gated.airflow.answers = [BUSY]
    requested_at, gated.time = gated.time, gated.time + 15 * DAY
    assert isinstance(gated.deliver(a_request("waited"), waiting_since=requested_at).outcome, Retryable)
    assert Triggered() == gated.deliver(a_request("waited"), waiting_since=requested_at).outcome


def test_a_few_failures_delay_only_their_own_messages(gated: Gateway) -> None:
    """Now and then a 503: somebody else uses the web server. Nobody else waits for that."""
    for number in range(50):
        gated.airflow.answers = [BUSY] * FAILURES_TOLERATED
        for failed in range(FAILURES_TOLERATED):
            assert not waits(gated.deliver(a_request(f"{number}-{failed}")))
        assert Triggered() == gated.deliver(a_request(str(number))).outcome


def an_hour_away(gated: Gateway) -> list[CircuitBreakers]:
    """A message a second, in three sandboxes by turns, and nobody to be reached; returns the sandboxes."""
    sandboxes = [gated.new_sandbox() for _ in range(3)]
    gated.airflow.answers = [UNREACHABLE] * 10_000
    for second in range(3600):
        gated.time += 1
        gated.sandbox = sandboxes[second % 3]
        gated.deliver(a_request(str(second)))
    return sandboxes


def test_one_probe_asks_for_all_sandboxes(gated: Gateway) -> None:
    """Three sandboxes, a web server that is down for an hour: one command every half minute, not one a message."""
    an_hour_away(gated)
    assert 3600 / 30 <= len(gated.airflow.commands) <= 3600 / 30 + 10 + 3 * FAILURES_TOLERATED


@pytest.mark.guarantee(21)
def test_the_first_run_is_there_within_a_minute_of_the_environment(gated: Gateway) -> None:
    """However long it was away, and whichever sandbox gets the next message; then everybody goes ahead."""
    sandboxes = an_hour_away(gated)
    gated.airflow.answers.clear()
    before = len(gated.airflow.runs)
    back_at = gated.time
    while len(gated.airflow.runs) == before:
        gated.time += 1
        gated.sandbox = sandboxes[int(gated.time) % 3]
        gated.deliver(a_request(str(gated.time)))
    assert gated.time - back_at <= 31
    gated.time += 30
    for sandbox in sandboxes:
        gated.sandbox = sandbox
        assert Triggered() == gated.deliver(a_request(f"after-{id(sandbox)}")).outcome


def test_a_probe_that_was_killed_is_taken_by_another(gated: Gateway) -> None:
    """Half a minute later, by any sandbox."""
    shut(gated, UNREACHABLE)
    gated.time += 5
    killed = gated.new_sandbox()
    killed.start_attempt(a_request().target, gated.time)
    assert waits(gated.deliver(a_request("second")))
    gated.time += 31
    assert Triggered() == gated.deliver(a_request("second")).outcome


def test_a_probe_that_turns_out_a_duplicate_is_passed_on(gated: Gateway) -> None:
    """It asked nobody; the next message probes at once instead of half a minute later."""
    shut(gated, UNREACHABLE)
    gated.time += 5
    assert isinstance(gated.deliver(a_request("warm-up")).outcome, AlreadyTriggered)
    assert Triggered() == gated.deliver(a_request("second")).outcome


def test_a_new_sandbox_sees_a_shut_gate(gated: Gateway) -> None:
    """A cold start in the middle of an outage does not ask either."""
    shut(gated, UNREACHABLE)
    gated.sandbox = gated.new_sandbox()
    assert waits(gated.deliver(a_request("second")))


MISSING = Rejected(Reason.DAG_MISSING, "no such DAG")


def test_a_missing_dag_is_asked_for_by_one_probe(gated: Gateway) -> None:
    """The other requests for it wait without asking; other DAGs are not concerned."""
    gated.airflow.answers = [MISSING]
    gated.deliver(a_request("first", dag_id="missing"))
    for number in range(10):
        assert waits(gated.deliver(a_request(str(number), dag_id="missing")))
    assert Triggered() == gated.deliver(a_request("other")).outcome
    assert ["trigger", "trigger"] == gated.airflow.commands


def test_requests_for_a_dag_missing_for_good_die_without_a_command_each(gated: Gateway) -> None:
    """After the grace: one probe every half minute decides for all that wait."""
    for _ in range(40):
        gated.airflow.answers = [MISSING]
        gated.deliver(a_request("first", dag_id="missing"))
        gated.time += 31
    commands = len(gated.airflow.commands)
    for _ in range(2):  # the second time a probe that was begun after they came has answered
        gated.airflow.answers = [MISSING]
        dead = [gated.deliver(a_request(str(number), dag_id="missing")).outcome for number in range(100)]
        gated.time += 31
    assert all(isinstance(outcome, Rejected) and outcome.reason is Reason.DAG_MISSING for outcome in dead)
    assert all(MISSING.text in outcome.text for outcome in dead if isinstance(outcome, Rejected))
    assert len(gated.airflow.commands) - commands <= 2
    assert 101 == len({request.identity for request, _, _ in gated.dead_letters.notices})


def test_a_dag_deployed_between_two_probes_is_not_missed(gated: Gateway) -> None:
    """The gate is shut for long, and the last probe found nothing: an event that comes after it waits for the next one."""
    missing_for_long(gated)
    gated.time += 31
    gated.airflow.answers = [MISSING]
    gated.deliver(a_request("probe", dag_id="late"))
    gated.airflow.answers = []  # deployed
    gated.time += 1
    asked = len(gated.airflow.commands)
    early = gated.deliver(a_request("early", dag_id="late"))
    assert isinstance(early.outcome, Retryable)
    assert early.redeliver_after is not None
    assert early.redeliver_after <= 55
    assert asked == len(gated.airflow.commands)
    gated.time += 55
    assert Triggered() == gated.deliver(a_request("early", dag_id="late"), receive_count=2).outcome


def test_a_probe_that_was_on_its_way_when_a_request_came_did_not_ask_for_it(gated: Gateway) -> None:
    """Airflow may have looked before the DAG was there, and answered after the request came."""
    missing_for_long(gated)
    gated.time += 31
    came: list[Dispatched] = []

    def meanwhile() -> None:
        gated.time += 2
        other = gated.sandbox
        gated.sandbox = gated.new_sandbox()
        gated.sandbox._dags = dict(other._dags) if other else {}
        came.append(gated.deliver(a_request("meanwhile", dag_id="late")))
        gated.sandbox = other
        gated.time += 2

    gated.airflow.during_trigger = meanwhile
    gated.airflow.answers = [MISSING]
    gated.deliver(a_request("probe", dag_id="late"))
    again = gated.deliver(a_request("meanwhile", dag_id="late"), receive_count=2)
    assert [Retryable, Retryable] == [type(came[0].outcome), type(again.outcome)]


def test_a_dag_missing_again_much_later_has_its_grace_again(gated: Gateway) -> None:
    """Yesterday's missing DAG says nothing about today's event."""
    gated.airflow.answers = [MISSING]
    gated.deliver(a_request("first", dag_id="missing"))
    gated.time += DAY
    gated.airflow.answers = [MISSING]
    assert isinstance(gated.deliver(a_request("second", dag_id="missing")).outcome, Retryable)


def test_a_dag_that_appears_is_triggered_by_all_who_waited(gated: Gateway) -> None:
    """The probe opens the gate."""
    gated.airflow.answers = [MISSING]
    gated.deliver(a_request("first", dag_id="late"))
    gated.time += 5
    for identity in ("second", "first", "third"):
        assert Triggered() == gated.deliver(a_request(identity, dag_id="late")).outcome


def test_a_doubtful_request_is_looked_up_even_when_its_dag_is_gone(gated: Gateway) -> None:
    """Its run may exist: dead without a look would be a lie."""
    gated.airflow.lost_after = 1
    gated.airflow.findings = [LOST]
    gated.deliver(a_request("doubtful", dag_id="gone"))
    gated.time += 60
    for _ in range(40):
        gated.airflow.answers = [MISSING]
        gated.deliver(a_request("other", dag_id="gone"))
        gated.time += 31
    gated.airflow.answers = [MISSING]
    gated.deliver(a_request("probe", dag_id="gone"))
    assert isinstance(gated.deliver(a_request("doubtful", dag_id="gone")).outcome, AlreadyTriggered)


def test_gates_that_cannot_be_read_lose_nothing(gated: Gateway) -> None:
    """The message comes again."""
    shut(gated, UNREACHABLE)
    gated.time += 5
    gated.circuit_breakers.failures.coming["take_probe"] = 1
    dispatched = gated.deliver(a_request("first"))
    assert isinstance(dispatched.outcome, Retryable)
    assert dispatched.outcome.reason == Reason.AWS_UNAVAILABLE
    assert Triggered() == gated.deliver(a_request("first")).outcome


# --- redrive --------------------------------------------------------------------------------------------------------

NO = Rejected(Reason.CONF_REFUSED, "Airflow said no")


def redriven(redrive: int = 1, identity: str = "redriven", **changes: Any) -> TriggerRequest:
    return replace(a_request(identity, **changes), redrive=redrive)


def dies(gateway: Gateway, request: TriggerRequest, outcome: Rejected = NO) -> None:
    gateway.airflow.answers = [outcome]
    assert isinstance(gateway.deliver(request).outcome, Rejected)


@pytest.mark.parametrize("days", [0, 5])
def test_died_mended_redriven_is_one_run(gateway: Gateway, days: int) -> None:
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
    gateway.airflow.answers = [BUSY] * 5
    assert isinstance(gateway.deliver(redriven(0)).outcome, Rejected)
    gateway.time += 5 * DAY
    first = gateway.deliver(redriven())
    assert (Retryable, 98, 2.5) == (type(first.outcome), first.attempt, first.redeliver_after)
    assert 5.0 == gateway.deliver(redriven(), receive_count=2).redeliver_after
    grows_old(gateway, redriven(), DAY)
    dead = gateway.deliver(redriven())
    assert isinstance(dead.outcome, Rejected)
    assert dead.outcome.text.startswith("tried for 86400 s of 86400 s, 99 times")


def test_two_messages_of_one_request_do_not_put_each_other_off(gateway: Gateway) -> None:
    """An upload that comes by both routes: each message waits as long as it was tried itself, not as both were."""
    gateway.airflow.answers = [BUSY] * 6
    waits = [gateway.deliver(receive_count=times).redeliver_after for times in (1, 1, 2, 2, 3, 3)]
    assert [2.5, 2.5, 5.0, 5.0, 10.0, 10.0] == waits


def test_a_request_that_died_in_doubt_is_looked_up_before_it_is_tried_again(gateway: Gateway) -> None:
    """Its last attempt may have started the run: the doubt is of that attempt, not of one recorded before it."""
    grows_old(gateway, redriven(0), DAY)
    gateway.airflow.lost_after = 1
    gateway.airflow.findings = [LOST]
    assert isinstance(gateway.deliver(redriven(0)).outcome, Rejected)
    gateway.airflow.commands.clear()
    assert isinstance(gateway.deliver(redriven()).outcome, AlreadyTriggered)
    assert ["look up"] == gateway.airflow.commands


def test_a_doubt_that_was_settled_before_death_costs_no_look_up(gateway: Gateway) -> None:
    """The last attempt had found that nothing was there."""
    gateway.airflow.answers = [LOST, NO]
    gateway.airflow.findings = [LOST]
    gateway.deliver(redriven(0))
    assert isinstance(gateway.deliver(redriven(0)).outcome, Rejected)
    gateway.airflow.commands.clear()
    gateway.deliver(redriven())
    assert ["trigger"] == gateway.airflow.commands


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


def test_gates_that_cannot_be_told_cost_no_outcome(gateway: Gateway) -> None:
    """The run was started: it is recorded, whatever became of the gate's item."""
    gateway.sandbox = gateway.new_sandbox()
    for number in range(FAILURES_TOLERATED + 1):
        gateway.airflow.answers = [BUSY]
        gateway.deliver(a_request(f"failed-{number}"))
    gateway.time += 5
    gateway.circuit_breakers.failures.coming["close"] = 1
    assert Triggered() == gateway.deliver().outcome
    assert "triggered" in gateway.states


def test_gates_that_cannot_be_told_cost_no_duplicates_answer(gateway: Gateway) -> None:
    """It took the probe and did not need it; that it cannot be passed on is no reason to come again."""
    gateway.sandbox = gateway.new_sandbox()
    gateway.deliver()
    shut(gateway, UNREACHABLE)
    gateway.time += 5
    gateway.circuit_breakers.failures.coming["open"] = 1
    duplicate = gateway.deliver()
    assert isinstance(duplicate.outcome, AlreadyTriggered)
    assert duplicate.redeliver_after is None
    assert not gateway.circuit_breakers.failures.coming.get("open")


def missing_for_long(gated: Gateway) -> None:
    """A DAG that Airflow has not known for longer than the grace; those who asked for it are dead."""
    for number in range(3):
        gated.airflow.answers = [MISSING]
        gated.deliver(a_request(f"before-{number}", dag_id="late"))
        gated.time += GRACE / 2 + 1


def test_a_hundred_redriven_at_once_wait_for_the_first_of_them(gated: Gateway) -> None:
    """The DAG is there now, but only a probe shows it: the others are not dead again before it has answered."""
    missing_for_long(gated)
    crowd = [redriven(0, f"crowd-{number}", dag_id="late") for number in range(100)]
    for _ in range(2):
        gated.airflow.answers = [MISSING]
        for request in crowd:
            gated.deliver(request)
        gated.airflow.answers = []
        gated.time += 31
    assert {"dead"} == {gated.ledger.rows[request.ledger_key].state for request in crowd}
    others: list[Dispatched] = []
    gated.time += 31
    gated.airflow.during_trigger = lambda: others.extend(
        gated.deliver(replace(request, redrive=1)) for request in crowd[1:]
    )
    assert Triggered() == gated.deliver(replace(crowd[0], redrive=1)).outcome
    assert {Retryable} == {type(dispatched.outcome) for dispatched in others}
    for request in crowd[1:]:
        assert Triggered() == gated.deliver(replace(request, redrive=1)).outcome


def test_a_hundred_redriven_for_a_dag_that_is_still_missing_have_their_grace(gated: Gateway) -> None:
    """One probe after another finds no DAG: the others die with it once their own grace is over, and not before."""
    missing_for_long(gated)
    crowd = [redriven(1, f"crowd-{number}", dag_id="late") for number in range(100)]
    for request in crowd:
        attempt = gated.ledger.begin_attempt(replace(request, redrive=0), gated.time)
        assert isinstance(attempt, Attempt)
        gated.ledger.finish(attempt, MISSING, gated.time)
    gated.airflow.answers = [MISSING] * 1_000
    redriven_at = gated.time
    while gated.time < redriven_at + GRACE:
        assert {Retryable} == {type(gated.deliver(request).outcome) for request in crowd}
        gated.time += 31
    asked = len(gated.airflow.commands)
    assert {Rejected} == {type(gated.deliver(request).outcome) for request in crowd}
    assert len(gated.airflow.commands) <= asked + 1


def test_a_redriven_request_gives_its_dag_a_grace_of_its_own(gated: Gateway) -> None:
    """The file that mends it may take as long to be read as any new one."""
    missing_for_long(gated)
    gated.airflow.answers = [MISSING]
    assert isinstance(gated.deliver(redriven(0, dag_id="late")).outcome, Rejected)
    gated.time += 31
    gated.airflow.answers = [MISSING]
    assert isinstance(gated.deliver(redriven(dag_id="late")).outcome, Retryable)
    gated.time += GRACE
    gated.airflow.answers = [MISSING]
    assert isinstance(gated.deliver(redriven(dag_id="late")).outcome, Rejected)


def listed(*dags: ListedDag) -> tuple[ListedDag, ...]:
    return (ListedDag("ingest_orders", paused=False, stale=False), *dags)


PAUSED = ListedDag("paused", paused=True, stale=False)
STALE = ListedDag("stale", paused=True, stale=True)


@pytest.fixture
def listing(gateway: Gateway) -> Gateway:
    """A gateway that knows of a DAG that runs, a paused one and a stale one, if it asks."""
    gateway.catalog_seconds = 300
    gateway.airflow.listed = listed(PAUSED, STALE)
    return gateway


@pytest.mark.parametrize(("dag_id", "why"), [("paused", NotRunnable.PAUSED), ("stale", NotRunnable.STALE)])
def test_a_run_that_stays_queued_is_told_as_such(listing: Gateway, dag_id: str, why: NotRunnable) -> None:
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
    """Started at once; told when the list is there."""
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
    """Airflow pauses new DAGs: the list of a minute ago does not hold this one, and its run stays queued."""
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


def kept_back(when_paused: str, identity: str = "one", dag_id: str = "paused") -> TriggerRequest:
    return replace(a_request(identity, dag_id=dag_id), when_paused=when_paused)


def unpause(listing: Gateway) -> None:
    listing.airflow.listed = listed(ListedDag("paused", paused=False, stale=False), STALE)


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


def test_a_brake_holds_what_a_paused_dag_held(listing: Gateway) -> None:
    """The DAG is unpaused, the rule is disabled by now: nothing starts."""
    listing.deliver(kept_back("hold"))
    unpause(listing)
    listing.pause_store.rules.add(RULE)
    listing.time += 450
    assert isinstance(listing.deliver(kept_back("hold"), receive_count=2).outcome, Held)
    assert [] == listing.airflow.commands


def test_a_paused_dags_run_is_rejected_if_its_rule_says_so(listing: Gateway) -> None:
    """Dead with the bell; redriven, it starts once the DAG is unpaused."""
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
def test_what_may_be_there_is_looked_up_before_it_is_kept_back(listing: Gateway, when_paused: str) -> None:
    """An attempt that was killed may have started the run."""
    attempt = listing.ledger.begin_attempt(kept_back(when_paused), listing.time)
    assert isinstance(attempt, Attempt)
    listing.airflow.trigger(attempt.request.target)
    dispatched = listing.deliver(kept_back(when_paused), receive_count=2)
    assert isinstance(dispatched.outcome, AlreadyTriggered)


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
    """Nobody can tell whether the DAG is paused: what cannot be known keeps nothing back for long."""
    listing.airflow.listed = NotListed("no answer")
    waits = listing.deliver(kept_back(when_paused))
    assert isinstance(waits.outcome, Retryable)
    assert Reason.DAG_CATALOG_AWAITED is waits.outcome.reason
    listing.time += 61
    assert Triggered() == listing.deliver(kept_back(when_paused), receive_count=2).outcome
