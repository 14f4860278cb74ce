"""Fault matrix, rows 27, 28 and 33: states that wait for DAG runs, under everything that can go wrong in between."""

from collections.abc import Callable
from typing import Any

import pytest

from mwaa_gateway.step_functions.starter import AmbiguousIdentity
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
            problems.append(f"{state.name} got {state.ended[0]} in the end")
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
    """Whichever call the process dies in: one run for each, another after a failure; the newest token gets the answer."""
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


def waited_for(hours: float) -> Waits:
    """A state whose run takes so long gets its answer when nothing stops the rounds."""
    waits = Waits()
    waits.runs.seconds = hours * 3_600
    waits.enter(WaitingState("Long", wait={"heartbeat_seconds": 60}))
    return waits


@pytest.mark.guarantee(53)
def test_row_53_rounds_follow_from_one_another_for_hours_and_make_no_chain() -> None:
    """Lambda stops a function that sends to its own queue; a message that rests is no link of a chain."""
    waits = waited_for(hours=3)

    assert [] == waits.play()

    assert waits.watcher.sandboxes.longest_chain == 1
    assert waits.watcher.queue.deliveries > 1_000
    assert waits.states.heartbeats >= 3 * 60 * 3 * 0.9


def rounds_lost_midway(*, ticks: bool) -> list[str]:
    """Every message of the watch queue vanishes while a state waits; what is not as promised then."""
    waits = waited_for(hours=1)
    if ticks:
        waits.tick(until=2 * 3_600)

    def lose_everything() -> None:
        for message in list(waits.queue.messages.values()):
            waits.queue.delete(message)

    waits.world.scheduler.at(START + 1_000.0, lose_everything)
    return waits.play()


@pytest.mark.guarantee(53)
def test_row_53_a_tick_starts_the_rounds_again_when_their_message_is_lost() -> None:
    """Whatever loses it: within a minute, and the state never notices. Without ticks it would wait for ever."""
    assert [] == rounds_lost_midway(ticks=True)
    assert "Long[None] is stuck" in rounds_lost_midway(ticks=False)


def one_cannot_be_answered(
    code: str, rates: Rates | None = None
) -> tuple[Waits, WaitingState, list[WaitingState]]:
    """Ten states whose runs end at once; the answer to the first, whose watch is the oldest, is refused for ever."""
    waits = Waits(rates, seed=43)
    bad = WaitingState("Bad", wait={"heartbeat_seconds": 60}, refuses=code)
    good = [WaitingState("Good", index=n, wait={"heartbeat_seconds": 60}) for n in range(9)]
    waits.enter(bad, *good)
    return waits, bad, good


@pytest.mark.parametrize("code", ["KmsAccessDeniedException", "SomethingNobodyKnows"])
def test_row_43_a_state_that_cannot_be_answered_stops_nobody(code: str) -> None:
    """All others within the minute, its heartbeats for a day; then it is given up with the reason, and the watcher rests."""
    waits, bad, good = one_cannot_be_answered(code)
    waits.world.scheduler.run(until=START + 60)
    assert [state.ended is not None for state in good] == [True] * 9

    assert [] == waits.play(days=1.1)

    assert bad.ended is None
    assert waits.states.heartbeats > 0.9 * 86_400 / 20
    words = [word for token, word in waits.states.said if token == bad.tokens[0]]
    assert len(words) < 13 + 6 * 24


def test_row_43_a_state_that_cannot_be_answered_stops_nobody_under_all_faults() -> None:
    """As before, while calls fail, answers are lost and watchers are killed."""
    waits, bad, good = one_cannot_be_answered("KmsAccessDeniedException", Rates.of_the_promise())
    assert [] == waits.play(days=2)
    assert {state.ended[0] for state in good if state.ended} == {"success"}
    assert bad.ended is None


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
    """The second is refused at once with the remedy, and the first gets its run's result."""
    waits, first, second = two_of_one_identity()

    assert [] == waits.play()

    assert isinstance(second.refused, AmbiguousIdentity)
    assert first.ended is not None
    assert first.ended[0] == "success"
    assert len(waits.airflow.history) == 1


# --- safeguards ------------------------------------------------------------------------------------------------

SENDS_TO_ITS_OWN_QUEUE: Off = (
    "step_functions.delivery",
    """            self._give_back(message, seconds)
        return [message.id for message in rests]
""",
    """            sent = {"MessageBody": '{"round": "next"}', "MessageDeduplicationId": str(self.now() + seconds)}
            self.queue.client.send_message(QueueUrl=self.queue.url, **sent)
        return []
""",
)

NOT_KEPT: Off = (
    "step_functions.watcher",
    "recorded = self.store.record_ending(watch, ending)",
    "recorded = True",
)
NOT_APART: Off = ("step_functions.failed_steps", "        failure.tries += 1\n", "        raise\n")
CLOSES_WHATEVER_IS_THERE: Off = (
    "aws.dynamodb.watch_items",
    'ConditionExpression="token_mark = :mark",',
    'ConditionExpression="attribute_exists(event)",',
)
TAKEN_FOR_ONE: Off = (
    "aws.dynamodb.watch_items",
    'if "watched_in" in item and "ending" not in item and not call.is_retry:',
    "if False:",
)


@pytest.mark.guarantee(27)
def test_an_end_that_is_not_kept_before_it_is_told_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """The watcher answers, and dies: the retried state attaches to the failed run, instead of getting another."""
    at = calls_of_the_story().index("SendTaskFailure")
    assert [] == problems_when_killed(at, Crash.AFTER)
    switch_off(monkeypatch, NOT_KEPT)
    at = calls_without_checks().index("SendTaskFailure")
    assert "Fails got DagRunFailed in the end" in problems_when_killed(at, Crash.AFTER)
    record_property("red", {"how a run ended is kept before it is told": "told DagRunFailed in the end"})


def calls_without_checks() -> list[str]:
    waits, _, _ = failed_and_timed_out(crashes := PlannedCrash())
    waits.play()
    return crashes.calls


@pytest.mark.guarantee(53)
def test_a_watcher_that_sends_to_its_own_queue_is_stopped_by_lambda(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """As version 0.1.0 did: the seventeenth invocation is dropped after a minute and a half, and the state hears nothing."""
    switch_off(monkeypatch, SENDS_TO_ITS_OWN_QUEUE)
    waits = waited_for(hours=1)
    assert "Long[None] is stuck" in waits.play()
    assert waits.world.faults["recursive invocation dropped"] == 1
    record_property("red", {"a watcher sends nothing to its own queue": "stuck"})


@pytest.mark.guarantee(43)
def test_without_the_boundary_around_each_watch_one_that_cannot_be_answered_stops_all(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """As in version 0.1.0: every round ends at this watch, and those that come after it are never reached."""
    switch_off(monkeypatch, NOT_APART)
    waits, _, good = one_cannot_be_answered("KmsAccessDeniedException")
    waits.world.scheduler.run(until=START + 3_600)
    assert None in [state.ended for state in good]
    record_property("red", {"what fails for one watch is kept apart": "stuck"})


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
    """The second takes the watch over; the first never gets an answer."""
    switch_off(monkeypatch, TAKEN_FOR_ONE)
    waits, _, _ = two_of_one_identity()
    assert "Inner[0] is stuck" in waits.play()
    record_property("red", {"a second state of one identity is refused": "stuck"})
