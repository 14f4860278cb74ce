"""Fault matrix, rows 27, 28 and 33: states that wait for DAG runs, under everything that can go wrong in between."""

from collections.abc import Callable
from typing import Any

import pytest

from mwaa_gateway.task import AmbiguousIdentity
from simulation.safeguards import Off, switch_off
from simulation.scheduler import Process
from simulation.step_functions import WaitingState
from simulation.waits import Waits
from simulation.world import START, Crash, Rates


class PlannedCrash:
    """Kills at one call, counted over all processes."""

    def __init__(self, at: int | None = None, crash: Crash = Crash.BEFORE) -> None:
        self.calls: list[str] = []
        self._at, self._crash = at, crash

    def next(self, process: Process, operation: str) -> Crash | None:  # noqa: ARG002
        self.calls.append(operation)
        return self._crash if len(self.calls) - 1 == self._at else None

    def written(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        pass


def first_of_its_state(conf: dict[str, Any]) -> bool:
    """Whether a run is the first that its state asked for."""
    generation: int = conf["mwaa_gateway"]["generation"]
    return generation == 0


def failed_and_timed_out(crashes: PlannedCrash) -> tuple[Waits, WaitingState, WaitingState]:
    """A state whose run fails, so that it has another; beside it one whose time is up twice before its run ends."""
    waits = Waits(crashes=crashes)
    waits.runs.fails = lambda conf: conf["state"] == "Fails" and first_of_its_state(conf)
    fails = WaitingState("Fails", wait={"after_failed_run": "rerun"}, retries_after_failure=1)
    times_out = WaitingState("Times out", times_out_after=(9.0, 6.0))
    waits.enter(fails)
    waits.enter(times_out, at=1.0)
    return waits, fails, times_out


def problems_when_killed(at: int | None, crash: Crash = Crash.BEFORE) -> list[str]:
    """Whatever is not as promised in that story."""
    waits, fails, times_out = failed_and_timed_out(PlannedCrash(at, crash))
    problems = waits.play()
    for state in (fails, times_out):
        if state.ended is not None and state.ended[0] != "success":
            problems.append(f"{state.name} was told {state.ended[0]} in the end")
    if len(waits.airflow.history) != 3:
        problems.append(f"there were {len(waits.airflow.history)} runs, not 3")
    return problems


def calls_of_the_story() -> list[str]:
    waits, _, times_out = failed_and_timed_out(crashes := PlannedCrash())
    assert [] == waits.play()
    assert len(times_out.tokens) == 3
    assert {"Encrypt", "PutItem", "Query", "SendTaskFailure", "SendTaskSuccess"} <= set(crashes.calls)
    return crashes.calls


def test_rows_27_and_28_killed_at_every_point() -> None:
    """Whichever call the process dies in: one run for each, a further one after a failure, the newest token told."""
    for at, call in enumerate(calls_of_the_story()):
        for crash in (Crash.DURING, Crash.AFTER):
            assert [] == problems_when_killed(at, crash), (
                f"killed at call {at} ({call}), {crash.value} its effect"
            )


def timed_out_at_every_moment() -> list[str]:
    """Problems of states that are tried again at every moment of the watcher's rounds, in which heartbeats are due."""
    problems = []
    for quarter in range(20):
        waits = Waits()
        times_out = 7 + quarter / 4
        waits.enter(WaitingState("Load", wait={"heartbeat_seconds": 15}, times_out_after=(times_out,)))
        problems += waits.play()
        assert len(waits.airflow.history) == 1
    return problems


def test_row_28_whenever_a_token_times_out_the_next_one_is_told() -> None:
    """The watcher may still know the old one: the index that it lists lags behind the table."""
    assert [] == timed_out_at_every_moment()


@pytest.mark.parametrize("seed", range(2))
def test_rows_27_and_28_and_33_two_hundred_items_of_one_millisecond_under_all_faults(seed: int) -> None:
    """A run each, an end each; some time out and are tried again, some fail and are run once more."""
    waits = Waits(Rates.of_the_promise(), seed=seed)
    waits.runs.fails = lambda conf: conf["item"] % 7 == 0 and first_of_its_state(conf)
    items = [
        WaitingState(
            "Item",
            index=n,
            wait={"after_failed_run": "rerun"},
            times_out_after=(20.0 + n, 150.0) if n % 5 == 0 else (),
            retries_after_failure=n % 2,
        )
        for n in range(200)
    ]
    waits.enter(*items)

    assert [] == waits.play()

    assert len({item.ended[1] for item in items if item.ended}) == 200
    assert waits.states.tries_after_failure > 0
    assert len(waits.airflow.history) == 200 + waits.states.tries_after_failure
    assert waits.world.faults["states answer lost"] > 0


def test_an_index_that_lags_for_half_a_minute_leaves_nobody_waiting() -> None:
    """The watcher lists watches by it: a round that finds none is no sign that nobody has begun to wait."""
    waits = Waits()
    waits.table.lag = 30.0
    waits.enter(WaitingState("Late"))

    assert [] == waits.play()

    assert len(waits.states.taken) == 1


@pytest.mark.parametrize(("aborted_at", "heartbeat_seconds", "words"), [(3.0, 15, 0), (15.0, 180, 1)])
def test_row_27_where_nobody_waits_any_more_the_watch_ends(
    aborted_at: float, heartbeat_seconds: int, words: int
) -> None:
    """The first heartbeat is refused, or the run's end: once, and then the watch is closed."""
    waits = Waits()
    state = WaitingState("Gone", wait={"heartbeat_seconds": heartbeat_seconds})
    waits.enter(state)
    waits.states.abort(state, START + aborted_at)

    assert [] == waits.play()

    assert len(waits.states.said) == words
    assert waits.states.taken == []
    assert len(waits.airflow.history) == 1


def test_row_28_a_retry_after_a_failed_run_is_told_of_that_run_or_has_another() -> None:
    """As the caller chose: `fail` hears the same again, `rerun` has the next generation."""
    for choice, runs in (("fail", 1), ("rerun", 2)):
        waits = Waits()
        waits.runs.fails = first_of_its_state
        state = WaitingState("Load", wait={"after_failed_run": choice}, retries_after_failure=1)
        waits.enter(state)
        assert [] == waits.play()
        assert len(waits.airflow.history) == runs, choice
        assert len(waits.states.taken) == 2
        assert state.ended is not None
        assert state.ended[0] == ("DagRunFailed" if choice == "fail" else "success")


def two_of_one_identity() -> tuple[Waits, WaitingState, WaitingState]:
    """Inner items of two outer ones: the context has the inner index only."""
    waits = Waits()
    first, second = WaitingState("Inner", index=0), WaitingState("Inner", index=0)
    waits.enter(first)
    waits.enter(second, at=1.0)
    return waits, first, second


def test_row_33_two_items_of_one_identity_are_not_taken_for_one() -> None:
    """The second is refused at once with the remedy, and the first is told its run's end."""
    waits, first, second = two_of_one_identity()

    assert [] == waits.play()

    assert isinstance(second.refused, AmbiguousIdentity)
    assert first.ended is not None
    assert first.ended[0] == "success"
    assert len(waits.airflow.history) == 1


# --- safeguards ------------------------------------------------------------------------------------------------

NOT_KEPT: Off = ("watch", "if self.store.decide(watch, ending):", "if True:")
CLOSES_WHATEVER_IS_THERE: Off = (
    "aws.watch_items",
    'ConditionExpression="token_mark = :mark",',
    'ConditionExpression="attribute_exists(event)",',
)
TAKEN_FOR_ONE: Off = (
    "aws.watch_items",
    'if "watched_in" in item and "ending" not in item and not call.is_retry:',
    "if False:",
)


@pytest.mark.guarantee(27)
def test_an_end_that_is_not_kept_before_it_is_told_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """Told, and died: the state that is tried again is attached to the failed run, instead of having another."""
    at = calls_of_the_story().index("SendTaskFailure")
    assert [] == problems_when_killed(at, Crash.AFTER)
    switch_off(monkeypatch, NOT_KEPT)
    at = calls_without_checks().index("SendTaskFailure")
    assert "Fails was told DagRunFailed in the end" in problems_when_killed(at, Crash.AFTER)
    record_property("red", {"how a run ended is kept before it is told": "told DagRunFailed in the end"})


def calls_without_checks() -> list[str]:
    waits, _, _ = failed_and_timed_out(crashes := PlannedCrash())
    waits.play()
    return crashes.calls


@pytest.mark.guarantee(28)
def test_a_close_that_does_not_look_whose_token_it_is_leaves_a_retry_waiting(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """What was meant for the token that timed out ends the watch of the next."""
    switch_off(monkeypatch, CLOSES_WHATEVER_IS_THERE)
    assert "Load[None] is stuck" in timed_out_at_every_moment()
    record_property("red", {"a watch is closed for its own token": "stuck"})


@pytest.mark.guarantee(33)
def test_two_of_one_identity_taken_for_one_leave_the_first_waiting(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """The second takes the watch over; the first is never told."""
    switch_off(monkeypatch, TAKEN_FOR_ONE)
    waits, _, _ = two_of_one_identity()
    assert "Inner[0] is stuck" in waits.play()
    record_property("red", {"a second state of one identity is refused": "stuck"})
