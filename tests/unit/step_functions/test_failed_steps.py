"""One bad watch stops nobody: every step that can fail for one watch, or one DAG, fails, and the others are as ever."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from fakes.states import EXECUTION
from fakes.watching import FAILED, SUCCESS, Scene
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.watches import RequestState, Succeeded, UnreadableWatch

OTHER = "arn:aws:states:eu-west-1:123456789012:execution:nightly:other"
REFUSALS = [
    Unavailable("Step Functions did not accept the task's result: KmsAccessDeniedException"),
    Unavailable("Step Functions did not accept the task's result: SomethingNobodyKnows"),
    RuntimeError("a mistake"),
]
DAY = 86_400.0

pytestmark = pytest.mark.guarantee(43)


@pytest.fixture
def scene() -> Scene:
    return Scene(mistakes_expected=True)


def two(scene: Scene, dags: tuple[str, str] = ("load", "load"), **given: Any) -> tuple[str, str]:
    """A bad and a good state, in this order, each in an execution of its own."""
    bad = scene.wait_for(dags[0], token="bad", state="a", **given)
    good = scene.wait_for(dags[1], token="good", state="b", execution=OTHER, **given)
    return bad, good


def failing_for(token: str, call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """As `call`, but for the watch or the run of one token."""

    def called(first: Any, *rest: Any) -> Any:
        if token in (getattr(first, "token_mark", None), *rest):
            raise error
        return call(first, *rest)

    return called


def mark_of(scene: Scene, token: str) -> str:
    return next(mark for mark, one in scene.store.tokens.items() if one.text == token)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error)[-20:])
def test_a_state_that_cannot_be_answered_costs_no_other_its_answer(scene, error):
    """In the same round; it is reported with its step, and counted."""
    bad, good = two(scene)
    scene.airflow.runs |= {bad: SUCCESS, good: SUCCESS}
    scene.states.refuses["bad"] = error
    made = scene.round()
    assert [token for token, _ in scene.states.answers] == ["good"]
    assert (made.watched, made.failing, len(made.answered)) == (1, 1, 1)
    [failure] = made.failures
    assert (failure.watch.run_id, failure.step) == (bad, "answer the state")
    assert failure.text == str(error) if isinstance(error, Unavailable) else "RuntimeError in" in failure.text


def test_what_others_wrote_into_an_exception_is_not_reported(scene):
    """It may be the token."""
    bad, _ = two(scene)
    scene.airflow.runs[bad] = SUCCESS
    scene.states.refuses["bad"] = ValueError("canary-token")
    [failure] = scene.round().failures
    assert "ValueError" in failure.text
    assert "canary-token" not in failure.text


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error)[-20:])
def test_an_answer_is_tried_again_ever_more_seldom_and_given_up_after_a_day(scene, error):
    """Heartbeats go on meanwhile: the state waits, and is answered as soon as it may be."""
    bad, _ = two(scene, wait={"heartbeat_seconds": 180})
    scene.airflow.runs[bad] = SUCCESS
    scene.states.refuses["bad"] = error
    since, made = scene.clock + 5, scene.round()
    in_an_hour = 0
    while not made.given_up and scene.clock < since + 2 * DAY:
        made = scene.round(after=max(5.0, min(60.0, made.next_at - scene.clock)))
        if scene.clock <= since + 3_600:
            in_an_hour = scene.states.tries["bad"]
    assert DAY <= scene.clock - since <= DAY + 610
    assert in_an_hour <= 13
    assert scene.states.tries["bad"] <= 13 + 23 * 6 + 1
    assert scene.states.heartbeats.count("bad") > 0.8 * DAY / 60
    [(watch, text)] = made.given_up
    assert (watch.run_id, text in scene.store.said[-1][1]) == (bad, True)
    assert (made.watched, [token.text for token in scene.store.tokens.values()]) == (1, ["good"])


def test_a_new_sandbox_gives_up_no_sooner_and_no_later(scene):
    """Since when the answer is due is kept with it; who began to wait anew has a day of its own."""
    bad, _ = two(scene)
    scene.airflow.runs[bad] = SUCCESS
    scene.states.refuses["bad"] = REFUSALS[0]
    scene.round()
    scene.new_sandbox()
    assert scene.round(after=DAY - 10).given_up == ()
    scene.wait_for(token="bad-2", state="a", retry_count=1)
    scene.states.refuses["bad-2"] = REFUSALS[0]
    scene.new_sandbox()
    assert scene.round(after=100).given_up == ()
    scene.new_sandbox()
    assert [watch.run_id for watch, _ in scene.round(after=DAY).given_up] == [bad]


def test_an_answer_is_taken_as_soon_as_the_key_allows_it(scene):
    """Within ten minutes, whatever it was refused for before."""
    bad, _ = two(scene)
    scene.airflow.runs[bad] = SUCCESS
    scene.states.refuses["bad"] = REFUSALS[0]
    for _ in range(720):
        scene.round()
    del scene.states.refuses["bad"]
    since = scene.clock
    while not scene.states.answers:
        made = scene.round()
    assert scene.clock - since <= 605
    assert (made.failures, made.failing) == ((), 0)


def test_a_token_that_cannot_be_unsealed_stops_nobody(scene):
    """Neither another's heartbeat nor another's answer."""
    bad, good = two(scene, wait={"heartbeat_seconds": 60})
    scene.store.failures.coming["token bad"] = 1_000
    made = scene.round(after=20)
    assert (scene.states.heartbeats, [one.step for one in made.failures]) == (
        ["good"],
        ["send the heartbeat"],
    )
    scene.airflow.runs |= {bad: SUCCESS, good: SUCCESS}
    scene.round()
    assert [token for token, _ in scene.states.answers] == ["good"]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error)[-20:])
def test_a_heartbeat_that_fails_stops_no_other_and_comes_as_often_as_heartbeats_do(scene, error):
    """The next one may be in time still."""
    two(scene, wait={"heartbeat_seconds": 60})
    sent, send = [], scene.states.heartbeat

    def heartbeat(token):
        if token.text == "bad":
            sent.append(scene.clock)
            raise error
        send(token)

    scene.states.heartbeat = heartbeat
    for _ in range(120):
        made = scene.round()
    assert made.failing == 1
    assert scene.states.heartbeats == ["good"] * 30
    assert 30 <= len(sent) <= 35  # soon at first, then with every third of the minute


def test_heartbeats_that_fail_slowly_come_after_all_others(scene):
    """Each takes the time of a call that is not answered: the others' are sent first."""
    for n in range(50):
        scene.wait_for(index=n, token=f"bad {n}", wait={"heartbeat_seconds": 60})
    scene.wait_for(index=50, token="good", wait={"heartbeat_seconds": 60})
    send = scene.states.heartbeat
    heard = [scene.clock]

    def heartbeat(token):
        if token.text != "good":
            scene.clock += 18
            raise Unavailable("ReadTimeoutError")
        heard.append(scene.clock)
        send(token)

    scene.states.heartbeat = heartbeat
    for _ in range(60):  # until each has failed once
        scene.round()
    heard.clear()
    for _ in range(60):
        scene.round()
    assert max(later - before for before, later in pairwise(heard)) < 60


def test_the_end_of_a_run_that_cannot_be_recorded_stops_nobody(scene):
    """Its heartbeats go on; it is recorded as soon as that is possible."""
    bad, good = two(scene, wait={"heartbeat_seconds": 60})
    decide = scene.store.record_ending
    scene.store.record_ending = failing_for(mark_of(scene, "bad"), decide, Unavailable("ValidationException"))
    scene.airflow.runs |= {bad: SUCCESS, good: SUCCESS}
    made = scene.round()
    assert ([token for token, _ in scene.states.answers], made.watched) == (["good"], 1)
    assert [one.step for one in made.failures] == ["find out and record how the run ended"]
    for _ in range(24):
        scene.round()
    assert scene.states.heartbeats.count("bad") >= 5
    scene.store.record_ending = decide
    for _ in range(24):
        scene.round()
    assert [token for token, _ in scene.states.answers] == ["good", "bad"]


def test_an_end_that_waits_for_its_next_try_delays_no_other_run_of_its_dag(scene):
    """The second run ends while the record of the first is in its pause."""
    bad, good = two(scene)
    scene.airflow.runs[bad] = SUCCESS
    scene.store.record_ending = failing_for(mark_of(scene, "bad"), scene.store.record_ending, REFUSALS[0])
    for _ in range(4):
        scene.round()
    scene.airflow.runs[good] = SUCCESS
    scene.round(ended_runs=[good])
    assert [token for token, _ in scene.states.answers] == ["good"]


def test_a_watch_that_is_gone_counts_no_longer_as_unanswered(scene):
    """Else its alarm never ends: here the end is recorded in vain until the execution is over."""
    bad, _ = two(scene)
    scene.airflow.runs[bad] = SUCCESS
    scene.store.record_ending = failing_for(mark_of(scene, "bad"), scene.store.record_ending, REFUSALS[0])
    assert scene.round().failing == 1
    scene.round(ended_executions=[EXECUTION])
    assert scene.round().failing == 0


def test_details_that_cannot_be_read_stop_nobody(scene):
    """An answer of Airflow's of a form that nobody thought of."""
    bad, good = two(scene)
    scene.airflow.runs |= {bad: FAILED, good: FAILED}
    tasks = scene.airflow.failed_tasks
    scene.airflow.failed_tasks = failing_for(bad, tasks, KeyError("task_id"))
    made = scene.round()
    assert ([token for token, _ in scene.states.answers], made.failing) == (["good"], 1)


def test_a_dag_that_cannot_be_asked_about_stops_no_other(scene):
    """And is asked again ever more seldom, as one that Airflow does not answer for."""
    bad, good = two(scene, ("a", "b"))
    scene.airflow.runs |= {bad: SUCCESS, good: SUCCESS}
    ask, asked = scene.airflow.states, []

    def states(dag_id, *rest):
        if dag_id == "a":
            asked.append(scene.clock)
            raise KeyError("state")
        return ask(dag_id, *rest)

    scene.airflow.states = states
    made = scene.round()
    assert ([token for token, _ in scene.states.answers], made.failing) == (["good"], 1)
    assert "DAG a" in made.bugs[0]
    for _ in range(120):
        assert scene.round().failing == 1  # in each, or the alarm's minimum is 0
    assert len(asked) < 30  # of 120 rounds: every minute in the end
    scene.airflow.states = ask
    for _ in range(13):
        made = scene.round()
    assert (len(scene.states.answers), made.failing) == (2, 0)


def test_a_row_of_the_ledger_that_cannot_be_read_stops_nobody(scene):
    """The one of the bad state's request; it is reported, not taken for a run that was never started."""
    bad, good = two(scene)
    scene.airflow.runs |= {bad: SUCCESS, good: SUCCESS}
    scene.store.ledger[bad] = RequestState("unreadable", text="the row cannot be read: KeyError('state')")
    made = scene.round()
    assert [token for token, _ in scene.states.answers] == ["good"]
    assert [one.text for one in made.failures] == ["the row cannot be read: KeyError('state')"]


def test_rows_that_could_not_be_read_are_read_within_a_minute_of_the_end_of_the_trouble(scene):
    """They may be all of a stack's: an hour of trouble costs no state more."""
    bad, good = two(scene)
    scene.airflow.runs |= {bad: SUCCESS, good: SUCCESS}
    scene.store.ledger |= dict.fromkeys((bad, good), RequestState("unreadable", text="throttled"))
    for _ in range(720):
        made = scene.round()
        assert (made.failing, made.watched) == (2, 2)
    scene.store.ledger |= dict.fromkeys((bad, good), RequestState("triggered"))
    for _ in range(25):
        made = scene.round()
    assert (len(scene.states.answers), made.failing) == (2, 0)


def test_a_request_whose_row_is_not_there_after_a_failed_read_is_not_counted(scene):
    """It waits in its queue: nothing fails any more."""
    run_id = scene.wait_for(in_airflow=False)
    scene.store.ledger[run_id] = RequestState("unreadable", text="throttled")
    assert scene.round().failing == 1
    del scene.store.ledger[run_id]
    assert scene.round(after=60).failing == 0


def test_a_reason_that_this_version_does_not_know_stops_nobody(scene):
    """A newer version wrote it, and was rolled back."""
    bad, good = two(scene)
    scene.airflow.runs[good] = SUCCESS
    scene.store.ledger[bad] = RequestState("triggered", not_runnable="of a newer version")
    made = scene.round()
    assert ([token for token, _ in scene.states.answers], made.failing) == (["good"], 1)


def test_an_item_that_cannot_be_read_hides_no_watch_and_is_counted(scene):
    """It is in every round's count until somebody removes it."""
    good = scene.wait_for()
    scene.airflow.runs[good] = SUCCESS
    scene.store.unreadable.append(UnreadableWatch("event watch|r#default", "KeyError: 'wait'"))
    made = scene.round()
    assert (len(made.answered), made.failing, made.watched) == (1, 1, 0)
    assert list(made.unreadable) == scene.store.unreadable
    reported = [len(scene.round(after=60).unreadable) for _ in range(30)]
    assert sum(reported) == 3  # a log line every ten minutes
    assert scene.round().failing == 1


@pytest.mark.parametrize("on_abort", ["leave", "fail_run"])
def test_a_wait_that_cannot_be_stopped_stops_no_other(scene, on_abort):
    """Its execution is remembered until it can be, also when that takes longer than the event is waited for."""
    bad, good = two(scene, wait={"on_abort": on_abort, "heartbeat_seconds": 3_600})
    call = "record_ending" if on_abort == "fail_run" else "close"
    works = getattr(scene.store, call)
    setattr(scene.store, call, failing_for(mark_of(scene, "bad"), works, Unavailable("throttled")))
    made = scene.round(ended_executions=[EXECUTION, OTHER])
    assert [one.watch.run_id for one in made.stopped] == [good]
    assert (made.unrecorded_ends, made.watched) == ((EXECUTION,), 1)
    for _ in range(100):
        made = scene.round()
        assert made.unrecorded_ends == (EXECUTION,)
    setattr(scene.store, call, works)
    stopped = [one.watch.run_id for _ in range(120) for one in scene.round().stopped]
    assert stopped == [bad]


def test_a_run_that_cannot_be_ended_stops_no_other(scene):
    """Nor the questions about runs that go on."""
    bad, good = two(scene, ("a", "b"), wait={"on_abort": "fail_run"})
    waits = scene.wait_for("c", token="waits", state="c", execution=OTHER + "-2")
    scene.airflow.runs[waits] = SUCCESS
    scene.airflow.fail_run = failing_for(bad, scene.airflow.fail_run, KeyError("state"))
    made = scene.round(ended_executions=[EXECUTION, OTHER])
    assert [(one.watch.run_id, one.marked) for one in made.stopped] == [(good, True)]
    assert [token for token, _ in scene.states.answers] == ["waits"]
    assert [one.step for one in made.failures] == ["end the run of an execution that is over"]


def test_a_ledger_that_cannot_be_read_delays_no_state_whose_run_was_started(scene):
    """Neither for a run that is to end nor for one that is not known yet: both are counted."""
    good = scene.wait_for(token="good", state="b", execution=OTHER)
    scene.round()
    scene.airflow.runs[good] = SUCCESS
    stopped = scene.wait_for("a", token="bad", state="a", wait={"on_abort": "fail_run"})
    new = scene.wait_for(token="new", state="c", execution=f"{OTHER}-2")
    unread = RequestState("unreadable", text="cannot read the ledger")
    scene.store.ledger |= dict.fromkeys((good, stopped, new), unread)
    made = scene.round(ended_executions=[EXECUTION])
    assert [token for token, _ in scene.states.answers] == ["good"]
    assert [(one.watch.run_id, one.step) for one in made.failures] == [
        (stopped, "end the run of an execution that is over"),
        (new, "read the state of the request"),
    ]
    assert made.failing == 2


def test_answers_that_fail_come_after_those_that_were_never_tried(scene):
    """Ten that take eighteen seconds each, before one that nobody has tried: it is answered in the next round."""
    for n in range(10):
        scene.airflow.runs[scene.wait_for(index=n, token=f"bad {n}")] = SUCCESS
    send = scene.states.send

    def slow(token, ending):
        if token.text != "good":
            scene.clock += 18
            raise Unavailable("ReadTimeoutError")
        send(token, ending)

    scene.states.send = slow
    for _ in range(3):
        scene.round()
    good = scene.wait_for(index=10, token="good")
    scene.airflow.runs[good] = SUCCESS
    [watch] = [one for one in scene.store.watched("analytics") if one.run_id == good]
    scene.store.record_ending(watch, Succeeded({}))  # by a sandbox that died before it answered
    assert [token for token, _ in scene.states.answers] == []
    scene.round(after=60)
    assert [token for token, _ in scene.states.answers] == ["good"]


def test_a_round_rests_while_only_what_failed_is_left(scene):
    """Until the next heartbeat, or the next try; not at once, as where a state is still to be answered."""
    bad, _ = two(scene, wait={"heartbeat_seconds": 3_600})
    scene.airflow.runs[bad] = SUCCESS
    scene.states.refuses["bad"] = REFUSALS[0]
    for _ in range(100):
        made = scene.round()
    assert scene.clock < made.next_at <= scene.clock + 600


def test_watches_that_cannot_be_listed_fail_the_whole_round(scene):
    """What fails for all is made again."""
    two(scene)
    scene.store.failures.coming["watched"] = 1
    with pytest.raises(Unavailable):
        scene.round()
