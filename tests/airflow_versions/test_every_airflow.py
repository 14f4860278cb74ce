"""What the gateway relies on, case by case, on every Airflow that MWAA offers, over each of its transports.

Whether a run exists is read from Airflow's own database, what it was given from its REST API, never from an answer.
"""

import json
import shlex
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_versions.real_airflow import RealAirflow
from airflow_versions.story import Story
from fakes.requests import a_request
from local_stack.mwaa import Faults
from mwaa_gateway.airflow.cli import trigger_command
from mwaa_gateway.dispatch.dispatcher import Airflow
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.routing.resolve import of_generation
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest
from polling import until

SANDBOXES = 3  # of a dispatcher, by default
LONGEST_WORD = 128 * 1024 - 1  # of a command: Linux's MAX_ARG_STRLEN, without the closing NUL
HOSTILE = {
    "quotes": "it's \"quoted\" 'twice' `thrice`",
    "an even number of single quotes": "x'y'z",
    "spaces": "  a b\tc  ",
    "newlines": "a\nb\r\nc",
    "shell": ";$(id)&&|>x<*?[a]{b}#!~ ${HOME}",
    "option": "--help",
    "backslashes": "\\n \\\\ \\",
    "unicode": "€ 😀 é ß 漢字 \u2028 \x7f",
    "template": "{{ ds }} {% raw %}",
    "json": '{"conf": {"x": [1]}}',
    "empty": "",
    "types": [1, 1.5, True, None, {"deep": [{}]}],
}


def target(dag_id: str = "waiting", run_id: str = "", **conf: object) -> ResolvedTarget:
    return ResolvedTarget("analytics", dag_id, run_id or f"evt__test__{uuid.uuid4().hex}", conf)


def reason(outcome: Outcome) -> Reason | None:
    return outcome.reason if isinstance(outcome, Rejected | Retryable | OutcomeUnknown) else None


def test_twenty_runs_of_one_second(airflow: RealAirflow, transport: str) -> None:
    """Airflow 2 takes runs of one logical date for one another; ours are all there, however many share a second."""
    sandboxes = [airflow.transport(transport, beside=SANDBOXES) for _ in range(SANDBOXES)]
    # On a slow machine no two runs of a burst may share a second; then another burst is needed.
    assert any(_burst(airflow, sandboxes, f"evt__burst-{transport}-{number}__") for number in range(50))


def _burst(airflow: RealAirflow, sandboxes: list[Airflow], prefix: str) -> bool:
    """Start twenty runs at once, all of which must be there; whether two of them share a second."""
    targets = [target(run_id=f"{prefix}{number}", n=number) for number in range(20)]
    with ThreadPoolExecutor(SANDBOXES) as threads:
        turns = [
            threads.submit(lambda s, mine: [s.trigger(each) for each in mine], sandbox, targets[n::SANDBOXES])
            for n, sandbox in enumerate(sandboxes)
        ]
    outcomes = [outcome for turn in turns for outcome in turn.result()]
    assert Counter(map(type, outcomes)) == {Triggered: 20}, outcomes
    runs = airflow.runs("waiting", prefix)
    assert sorted(run.conf["n"] for run in runs) == list(range(20))
    return len({run.second for run in runs}) < len(runs)


def test_duplicates_at_once(airflow: RealAirflow, transport: str) -> None:
    """The same run from several sandboxes in the same moment, five times over: one run each, and everyone finds it."""
    sandboxes = [airflow.transport(transport, beside=SANDBOXES) for _ in range(SANDBOXES)]
    for sandbox in sandboxes:
        assert sandbox.trigger(target()) == Triggered()
    for _ in range(5):
        twin = target()
        with ThreadPoolExecutor(SANDBOXES) as threads:
            outcomes = list(threads.map(lambda sandbox, twin=twin: sandbox.trigger(twin), sandboxes))
        # The second start learns that the run exists, or gets an unclear answer: never a refusal, nor "surely not done".
        assert Counter(map(type, outcomes))[Triggered] <= 1, outcomes
        assert {type(outcome) for outcome in outcomes} <= {Triggered, AlreadyTriggered, OutcomeUnknown}
        assert isinstance(sandboxes[0].look_up(twin), AlreadyTriggered)
        assert airflow.count("waiting", twin.run_id) == 1


def test_hostile_values(airflow: RealAirflow, transport: str) -> None:
    """As a value and as a key, each arrives unchanged."""
    sandbox = airflow.transport(transport)
    prefix = f"evt__hostile-{transport}__"
    for number, value in enumerate(HOSTILE.values()):
        key = value if isinstance(value, str) else "key"
        asked = target(run_id=f"{prefix}{number:02}", **{"value": value, key: 1})
        assert sandbox.trigger(asked) == Triggered()
    stored = {run.run_id: run.conf for run in airflow.runs("waiting", prefix)}
    for number, (name, value) in enumerate(HOSTILE.items()):
        key = value if isinstance(value, str) else "key"
        assert stored[f"{prefix}{number:02}"] == {"value": value, key: 1}, name


def test_conf_of_128_kb(airflow: RealAirflow, transport: str) -> None:
    """The longest conf a command can carry arrives whole; a byte more is never taken for started over `cli`."""
    sandbox = airflow.transport(transport)
    empty = target(run_id=f"evt__large-{transport}__1", x="")
    [word] = [word for word in shlex.split(trigger_command(empty)) if word.startswith("--conf=")]
    longest = replace(empty, conf={"x": "x" * (LONGEST_WORD - len(word))})
    assert len(json.dumps(longest.conf)) > 128 * 1000
    assert sandbox.trigger(longest) == Triggered()
    [run] = airflow.runs("waiting", longest.run_id)
    assert run.conf == longest.conf

    too_long = target(run_id=f"evt__too-large-{transport}__1", x=longest.conf["x"] + "x")
    outcome = sandbox.trigger(too_long)
    if transport == "cli":
        assert isinstance(outcome, OutcomeUnknown)
        looked_up = sandbox.look_up(too_long)
        assert reason(looked_up) == Reason.RUN_NOT_THERE, looked_up
        assert airflow.count("waiting", too_long.run_id) == 0
    else:
        assert outcome == Triggered()


@pytest.mark.parametrize("dag_id", ["no_such_dag", "broken"])
def test_missing_or_never_parsed(airflow: RealAirflow, transport: str, dag_id: str) -> None:
    """A DAG that never was, and one whose file never could be read: missing."""
    outcome = airflow.transport(transport).trigger(target(dag_id))
    assert reason(outcome) == Reason.DAG_MISSING, outcome


def test_paused(airflow: RealAirflow, transport: str) -> None:
    """Airflow accepts the run and leaves it queued: nothing in the answer says so."""
    asked = target("waiting")
    assert airflow.transport(transport).trigger(asked) == Triggered()
    assert airflow.state("waiting", asked.run_id) == "queued"


def test_stale(airflow: RealAirflow, transport: str) -> None:
    """A DAG whose file is gone: Airflow 2 has forgotten it; 3 accepts a run that never starts."""
    asked = target("gone")
    outcome = airflow.transport(transport).trigger(asked)
    if airflow.version.is_airflow_2:
        assert reason(outcome) == Reason.DAG_MISSING, outcome
        assert airflow.count("gone", asked.run_id) == 0
    elif transport == "cli":
        assert outcome == Triggered()
        assert airflow.state("gone", asked.run_id) == "queued"
    else:
        assert reason(outcome) in (None, Reason.DAG_MISSING, Reason.DAG_BROKEN), outcome
        assert airflow.count("gone", asked.run_id) == (reason(outcome) is None)


def test_broken_later(airflow: RealAirflow, transport: str) -> None:
    """A DAG whose file broke after it was known: refused for good as missing or broken, or accepted; never unclear."""
    asked = target("breaks_later")
    outcome = airflow.transport(transport).trigger(asked)
    assert reason(outcome) in (None, Reason.DAG_MISSING, Reason.DAG_BROKEN), outcome
    assert airflow.count("breaks_later", asked.run_id) == (reason(outcome) is None)


@pytest.mark.parametrize("run_id", ["a/b c", "-x", "é", "x" * 251])
def test_bad_run_id(airflow: RealAirflow, transport: str, run_id: str) -> None:
    """Refused before anything is sent: Airflow's own refusals are among the recorded answers."""
    airflow.control.clear_statistics()
    assert isinstance(airflow.transport(transport).trigger(target(run_id=run_id)), Rejected)
    assert airflow.control.statistics()["analytics"]["commands"] == 0
    assert airflow.control.statistics()["analytics"]["rest_calls"] == 0
    assert airflow.control.statistics()["analytics"]["web_calls"] == 0


def test_look_up(airflow: RealAirflow, transport: str) -> None:
    """Surely not there, then there; and not there in a DAG that does not exist."""
    sandbox, asked = airflow.transport(transport), target()
    assert reason(sandbox.look_up(asked)) == Reason.RUN_NOT_THERE
    assert sandbox.trigger(asked) == Triggered()
    assert isinstance(sandbox.look_up(asked), AlreadyTriggered)
    assert reason(sandbox.look_up(replace(asked, dag_id="no_such_dag"))) == Reason.RUN_NOT_THERE


@pytest.mark.parametrize(
    "fault", ["error_503", "reset_before", "reset_after", "lost_response", "garbled", "error_500"]
)
def test_lost_answer(airflow: RealAirflow, transport: str, fault: str) -> None:
    """The outcome is never a success, nor "surely not done" for what was done; the look-up then says which."""
    sandbox, asked = airflow.transport(transport), target()
    assert sandbox.trigger(target()) == Triggered()
    airflow.control.set_faults(Faults(**{fault: 1.0}))
    outcome = sandbox.trigger(asked)
    airflow.control.clear_faults()
    done = fault in ("reset_after", "lost_response", "garbled", "error_500")
    assert airflow.count("waiting", asked.run_id) == int(done)
    assert isinstance(outcome, OutcomeUnknown if done else OutcomeUnknown | Retryable), outcome
    assert isinstance(sandbox.look_up(asked), AlreadyTriggered) is done


def a_date() -> datetime:
    """A logical date that no other test uses."""
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=uuid.uuid4().int % (5 * 365 * 86_400 * 10**6)
    )


@pytest.mark.parametrize("dag_id", ["dated", "dated_without_tasks"])
def test_logical_dates(airflow: RealAirflow, transport: str, dag_id: str) -> None:
    """A run has its date to the microsecond; a second run of the date is refused for good, and a duplicate is found.

    The rest of a key's batches and a rerun are a microsecond or more apart: they are runs of their own.
    """
    date = a_date()
    prefix = f"dated-{uuid.uuid4()}-"

    def asked(name: str, at: datetime) -> TriggerRequest:
        request = a_request(f"{prefix}{name}", dag_id=dag_id)
        return replace(request, target=replace(request.target, logical_date=at.isoformat()))

    first, other = asked("first", date), asked("other", date)
    later, rerun = asked("late", date + timedelta(microseconds=1)), of_generation(first, 1)
    sandbox = airflow.transport(transport)
    # Each duplicate comes to a dispatcher that knows of no attempt: only Airflow knows whose run has the date.
    for request, reason_of_death in (
        (first, None),
        (first, None),
        (other, Reason.LOGICAL_DATE_TAKEN),
        (later, None),
        (rerun, None),
        (first, None),
    ):
        story = Story()
        story.play([request.to_json()], [lambda: sandbox])
        deaths = [rejected.reason for _, rejected, _ in story.dead_letters.notices]
        assert deaths == ([] if reason_of_death is None else [reason_of_death]), story.dead_letters.notices
        [row] = story.ledger.rows.values()
        assert row.state == ("triggered" if reason_of_death is None else "dead")
    for request in (first, later, rerun):
        run_id = request.target.run_id
        assert airflow.count(dag_id, run_id) == 1
        assert airflow.logical_date(dag_id, run_id).isoformat() == request.target.logical_date
    assert airflow.count(dag_id, other.target.run_id) == 0


def test_logical_dates_with_lost_answers(airflow: RealAirflow, transport: str) -> None:
    """Ten dates, two events of each, every second answer lost: each date has one run, and each other event is dead."""
    dates = [a_date() for _ in range(10)]
    requests = []
    for number, date in enumerate(dates * 2):
        request = a_request(f"lost-{transport}-{number}-{uuid.uuid4()}", dag_id="dated")
        requests.append(replace(request, target=replace(request.target, logical_date=date.isoformat())))
    sandboxes = [lambda: airflow.transport(transport, beside=SANDBOXES)] * SANDBOXES
    airflow.control.set_faults(Faults(lost_response=0.5, seed=3))
    story = Story()
    story.play([request.to_json() for request in requests * 2], sandboxes)
    airflow.control.clear_faults()
    runs = Counter(
        request.target.logical_date for request in requests if airflow.count("dated", request.target.run_id)
    )
    assert runs == Counter(date.isoformat() for date in dates)
    states = Counter(row.state for row in story.ledger.rows.values())
    assert states == {"triggered": 10, "dead": 10}
    assert {rejected.reason for _, rejected, _ in story.dead_letters.notices} == {Reason.LOGICAL_DATE_TAKEN}


def _numbers(airflow: RealAirflow) -> tuple[int, ...]:
    return tuple(map(int, airflow.version.text.split(".")))


def test_partition_key(airflow: RealAirflow, transport: str) -> None:
    """Not over `cli`, from Airflow 3.2 on, from 3.3 on for partitioned DAGs; else refused for good, with what it needs."""
    asked = replace(target("partitioned"), partition_key="2026-11-22")
    outcome = airflow.transport(transport).trigger(asked)
    if transport != "cli" and _numbers(airflow) >= (3, 2):
        assert outcome == Triggered()
        assert airflow.partition_key("partitioned", asked.run_id) == "2026-11-22"
        another = replace(target("partitioned"), partition_key="2026-11-22")
        assert airflow.transport(transport).trigger(another) == Triggered()
        unpartitioned = replace(target("waiting"), partition_key="2026-11-22")
        outcome = airflow.transport(transport).trigger(unpartitioned)
        if _numbers(airflow) >= (3, 3):
            assert reason(outcome) == Reason.AIRFLOW_REFUSED
            assert isinstance(outcome, Rejected)
            assert "is not a partitioned Dag" in outcome.text
        return
    assert reason(outcome) == Reason.AIRFLOW_REFUSED
    assert isinstance(outcome, Rejected)
    assert "partition_key needs Airflow 3.2 or later and the transport rest" in outcome.text
    assert airflow.count("partitioned", asked.run_id) == 0


def test_story_with_faults(airflow: RealAirflow, transport: str) -> None:
    """Thirty events, each delivered twice, a third of all calls going wrong: thirty runs, none dead; they execute."""
    events = [a_request(f"{transport}-{number}-{uuid.uuid4()}", dag_id="waiting") for number in range(29)]
    executed = a_request(f"{transport}-executed-{uuid.uuid4()}", dag_id="working")
    sandboxes = [lambda: airflow.transport(transport, beside=SANDBOXES)] * SANDBOXES
    airflow.control.clear_statistics()
    airflow.control.set_faults(
        Faults(error_503=0.1, lost_response=0.1, reset_before=0.05, reset_after=0.05, garbled=0.05, seed=7)
    )
    story = Story()
    story.play([event.to_json() for event in [*events, executed] * 2], sandboxes)

    statistics = airflow.control.statistics()["analytics"]
    assert sum(statistics["faults"].values()) > 10
    assert (statistics["refused_no_free_slot"], statistics["refused_throttled"]) == (0, 0)
    assert story.dead_letters.notices == []
    assert [row.state for row in story.ledger.rows.values()] == ["triggered"] * 30
    for event in events:
        assert airflow.count("waiting", event.target.run_id) == 1
    run_id = executed.target.run_id
    until("the run's success", lambda: airflow.state("working", run_id) == "success", seconds=90)
    assert airflow.count("working", run_id) == 1
