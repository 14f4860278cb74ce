"""The watcher's rounds: one question a DAG, every wait ended once, and nobody left waiting without word."""

from collections import Counter
from itertools import pairwise

import pytest

from fakes.states import EXECUTION, payload
from fakes.watching import FAILED, SUCCESS, Scene, request_of
from mwaa_gateway.airflow.run_states import RunsUnknown
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.step_functions.task_call import read_task_call
from mwaa_gateway.step_functions.watches import Failed, IdentityTaken, RequestState, Succeeded


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_state_of_a_succeeded_run_gets_one_answer_with_its_times(scene):
    """Then nobody watches any more, and the token is gone."""
    run_id = scene.wait_for()
    assert scene.round().watched == 1
    scene.airflow.runs[run_id] = SUCCESS
    made = scene.round()
    assert (made.watched, len(made.answered)) == (0, 1)
    assert scene.states.answers == [
        (
            "token-1",
            Succeeded(
                {
                    "environment": "analytics",
                    "dag_id": "load",
                    "run_id": run_id,
                    "state": "success",
                    "start_date": "2026-11-22T10:00:00+00:00",
                    "end_date": "2026-11-22T10:01:30+00:00",
                    "duration_seconds": 90.0,
                }
            ),
        )
    ]
    assert scene.store.tokens == {}
    assert scene.round().answered == ()


def test_the_state_of_a_failed_run_gets_the_failed_tasks(scene):
    """What a person needs to begin with."""
    run_id = scene.wait_for()
    scene.airflow.runs[run_id] = FAILED
    scene.airflow.tasks[run_id] = ["second"]
    scene.round()
    [(_, ending)] = scene.states.answers
    assert isinstance(ending, Failed)
    assert (ending.error, ending.cause["failed_tasks"], ending.cause["run_id"]) == (
        "DagRunFailed",
        ["second"],
        run_id,
    )


def test_a_return_value_is_passed_on_or_said_to_be_missing(scene):
    """A run's success does not hang on it."""
    for token, task in (("token-1", "count"), ("token-2", "other")):
        run_id = scene.wait_for(token=token, state=task, wait={"return_value_of": task})
        scene.airflow.runs[run_id] = SUCCESS
    scene.airflow.returned["count"] = {"rows": 7}
    scene.round()
    outputs = [ending.output for _, ending in scene.states.answers]
    assert outputs[0]["return_value"] == {"rows": 7}
    assert outputs[1]["return_value_missing"] == "task other returned nothing"


def test_a_return_value_is_asked_for_again_until_there_is_one_or_a_reason(scene):
    """A web server that is busy for a moment costs nobody the value; one that never answers holds nobody up for ever."""
    run_id = scene.wait_for(wait={"return_value_of": "count"})
    scene.airflow.runs[run_id], scene.airflow.returned["count"] = SUCCESS, {"rows": 7}
    scene.airflow.trouble = RunsUnknown("Airflow said HTTP 503")
    made = scene.round()
    assert (made.watched, made.unclear, scene.states.answers) == (1, ("Airflow said HTTP 503",), [])
    scene.airflow.trouble = None
    scene.round(after=60)
    [(_, sent_answers)] = scene.states.answers
    assert sent_answers.output["return_value"] == {"rows": 7}

    later = scene.wait_for(token="token-2", state="b", wait={"return_value_of": "count"})
    scene.airflow.runs[later] = SUCCESS
    scene.airflow.trouble = RunsUnknown("Airflow said HTTP 503")
    since = scene.clock
    while len(scene.states.answers) == 1 and scene.clock < since + 6_000:
        scene.round()
    assert 600 <= scene.clock - since <= 670
    assert (
        scene.states.answers[1][1].output["return_value_missing"]
        == "no answer for 10 minutes: Airflow said HTTP 503"
    )


@pytest.mark.parametrize(
    ("value", "said"), [(float("nan"), "not JSON"), ("x" * 200_001, "the limit is 200000"), (None, None)]
)
def test_a_return_value_that_step_functions_would_refuse_is_not_passed(scene, value, said):
    """It would refuse the whole output, round after round."""
    run_id = scene.wait_for(wait={"return_value_of": "count"})
    scene.airflow.runs[run_id], scene.airflow.returned["count"] = SUCCESS, value
    scene.round()
    [(_, sent_answers)] = scene.states.answers
    assert sent_answers.output.get("return_value", "missing") == ("missing" if said else value)
    assert (said or "") in sent_answers.output.get("return_value_missing", "")


def test_return_values_leave_time_to_answer_the_rest_in_the_next_rounds(scene):
    """At a second each, of forty runs."""
    for n in range(40):
        run_id = scene.wait_for(index=n, token=f"token-{n}", wait={"return_value_of": "count"})
        scene.airflow.runs[run_id] = SUCCESS
    fetch = scene.airflow.return_value

    def slowly(*question):
        scene.clock += 1
        return fetch(*question)

    scene.airflow.return_value = slowly
    sent_answers = [len(scene.round().answered) for _ in range(3)]
    assert sent_answers[0] <= 27
    assert sum(sent_answers) == 40


@pytest.mark.parametrize(
    ("state", "choice", "error"),
    [
        (RequestState("dead", Reason.DAG_MISSING, "no such DAG"), "wait", "DagRunRejected"),
        (RequestState("dead", Reason.DAG_MISSING, "no such DAG"), "fail", "DagRunNotRunnable"),
        (RequestState("dead", Reason.DAG_BROKEN, "import errors"), "fail", "DagRunNotRunnable"),
        (RequestState("dead", Reason.CONF_REFUSED, "no"), "fail", "DagRunRejected"),
        (RequestState("held", Reason.RULE_DISABLED, "stopped"), "fail", "DagRunNotRunnable"),
        (RequestState("triggered", None, "", "paused"), "fail", "DagRunNotRunnable"),
        (RequestState("held", Reason.RULE_DISABLED, "stopped"), "wait", None),
        (RequestState("open"), "fail", None),
    ],
)
def test_a_run_that_will_not_run_ends_the_wait_as_the_caller_chose(scene, state, choice, error):
    """Never in silence: with the reason; and Airflow is not asked about what it does not have."""
    run_id = scene.wait_for(in_airflow=False, wait={"when_not_runnable": choice})
    scene.store.ledger[run_id] = state
    scene.round()
    assert [ending.error for _, ending in scene.states.answers] == ([error] if error else [])
    if error:
        cause = scene.states.answers[0][1].cause
        assert (cause["run_id"], cause["reason"]) == (run_id, state.reason or state.not_runnable)
        assert cause["text"] == (
            state.text or "the DAG is paused, and its run starts when somebody unpauses it"
        )
    assert scene.airflow.asked == []


def test_a_run_that_somebody_deleted_is_reported(scene):
    """The ledger says that it was started; a list without it is not believed until it was looked up."""
    kept, deleted = scene.wait_for(token="kept", state="a"), scene.wait_for(token="deleted", state="b")
    scene.round()
    scene.airflow.unlisted.add(kept)
    del scene.airflow.runs[deleted]
    scene.round()
    assert [(token, ending.error) for token, ending in scene.states.answers] == [("deleted", "DagRunDeleted")]


def test_a_thousand_runs_of_ten_dags_cost_ten_questions_a_round(scene):
    """Not one for each run."""
    for index in range(1000):
        scene.wait_for(f"dag_{index % 10}", token=f"token-{index}", index=index)
    made = scene.round()
    assert made.questions == 10
    assert Counter(scene.airflow.asked) == {("states", f"dag_{n}"): 1 for n in range(10)}


def test_polling_begins_at_seconds_and_widens_to_a_minute(scene):
    """A run of an hour is asked about some seventy times, not seven hundred."""
    scene.wait_for()
    asked = [scene.clock - 1_000 for _ in range(720) if scene.round().questions]
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert asked[0] == gaps[0] == 5
    assert max(gaps) == gaps[-1] == 60
    assert len(asked) < 85


def test_a_round_says_when_the_next_has_something_to_do(scene):
    """And it has, whenever that is; between two of them nothing becomes due."""
    scene.wait_for("a", token="a", state="a")
    scene.wait_for("b", token="b", state="b", wait={"heartbeat_seconds": 60})
    made, rounds = scene.round(), 0
    while scene.clock < 2_800:
        before = scene.round(after=made.next_at - scene.clock - 1) if made.next_at > scene.clock + 1 else None
        assert before is None or (before.questions, before.heartbeats) == (0, 0)
        made = scene.round(after=made.next_at - scene.clock)
        assert made.questions or made.heartbeats
        rounds += 1
    assert 120 < rounds < 200


def test_a_state_gets_its_answer_within_one_interval(scene):
    """Even one that comes late: an hour after its start within a minute."""
    run_id = scene.wait_for()
    for _ in range(720):
        scene.round()
    scene.airflow.runs[run_id] = SUCCESS
    since = scene.clock
    while not scene.states.answers:
        scene.round()
    assert scene.clock - since <= 60


def test_after_an_unclear_answer_it_is_asked_sooner_and_ever_more_seldom(scene):
    """A long run's state gets its answer in about a minute, though one was lost; an Airflow that is away is asked rarely."""
    scene.wait_for()
    for _ in range(720):
        scene.round()
    scene.airflow.silent = True
    asked = [scene.clock for _ in range(60) if scene.round().questions]
    assert [later - earlier for earlier, later in pairwise(asked)] == [10, 20, 40, 60, 60, 60]
    scene.airflow.silent = False
    asked = [scene.clock for _ in range(36) if scene.round().questions]
    assert [later - earlier for earlier, later in pairwise(asked)] == [60, 60]


def test_heartbeats_come_three_times_as_often_as_they_must(scene):
    """And only where the run goes on."""
    scene.wait_for(wait={"heartbeat_seconds": 60})
    for _ in range(12):
        scene.round()
    assert len(scene.states.heartbeats) == 3


def test_who_has_just_begun_to_wait_is_owed_no_heartbeat_yet(scene):
    """Step Functions counts from the state's entry: two hundred that come at once cost the first round no word."""
    for n in range(200):
        scene.wait_for(index=n, token=f"token {n}", wait={"heartbeat_seconds": 30})
    assert [scene.round(after=after).heartbeats for after in (5, 4, 2, 9, 1)] == [0, 0, 200, 0, 200]


def test_the_most_urgent_heartbeat_is_sent_first(scene):
    """Where a round's time is short: a state that gives up in half a minute, before hundreds that wait for hours."""
    for n in range(200):
        scene.wait_for(index=n, token=f"patient {n}", wait={"heartbeat_seconds": 3_600})
    scene.wait_for(index=200, token="urgent", wait={"heartbeat_seconds": 30})
    scene.clock += 1_200
    scene.new_sandbox()
    scene.slow_heartbeats(0.5)
    for _ in range(3):
        scene.round()
    assert scene.states.heartbeats.index("urgent") == 0
    assert scene.states.heartbeats.count("urgent") == 3


def test_a_long_round_is_interrupted_for_heartbeats(scene):
    """Ten DAGs at five seconds a command, and two hundred answers to send: no heartbeat is half a minute late meanwhile."""
    for n in range(300):
        scene.wait_for(f"dag_{n % 10}", index=n, token=f"token {n}", wait={"heartbeat_seconds": 30})
    heard = {f"token {n}": scene.clock for n in range(300)}
    silences = []
    states, send, tell = scene.airflow.states, scene.states.heartbeat, scene.states.send

    def slow_states(*question):
        scene.clock += 5
        return states(*question)

    def slow_heartbeat(token):
        scene.clock += 0.02
        silences.append(scene.clock - heard[token.text])
        heard[token.text] = scene.clock
        send(token)

    def slow_tell(token, ending):
        scene.clock += 0.2
        tell(token, ending)

    scene.airflow.states = slow_states
    scene.states.heartbeat, scene.states.send = slow_heartbeat, slow_tell
    for _ in range(6):
        scene.round()
    for run_id in list(scene.airflow.runs)[:200]:
        scene.airflow.runs[run_id] = SUCCESS
    for _ in range(6):
        scene.round()
    assert len(scene.states.answers) == 200
    assert max(silences) < 30


def test_slow_time_outs_of_airflow_delay_no_heartbeat(scene):
    """Ten DAGs, each of which costs five seconds and gives no answer."""
    for n in range(10):
        scene.wait_for(f"dag_{n}", index=n, token=f"token {n}", wait={"heartbeat_seconds": 30})
    scene.airflow.silent = True
    heard = {f"token {n}": scene.clock for n in range(10)}
    silences = []
    states, send = scene.airflow.states, scene.states.heartbeat

    def slow_states(*question):
        scene.clock += 5
        return states(*question)

    def heartbeat(token):
        silences.append(scene.clock - heard[token.text])
        heard[token.text] = scene.clock
        send(token)

    scene.airflow.states, scene.states.heartbeat = slow_states, heartbeat
    for _ in range(6):
        scene.round()
    assert len(silences) > 60
    assert max(silences) < 30


def test_heartbeats_go_on_while_airflow_is_away(scene):
    """An environment being updated fails no state."""
    scene.wait_for(wait={"heartbeat_seconds": 60})
    scene.airflow.silent = True
    made = [scene.round(after=20) for _ in range(6)]
    assert len(scene.states.heartbeats) == 6
    assert "no answer" in [text for one in made for text in one.unclear]


def test_nobody_waits_any_more_shows_in_the_heartbeat(scene):
    """The watch ends, and Airflow is not asked about its run, which continues."""
    scene.wait_for()
    scene.states.closed.add("token-1")
    made = scene.round(after=60)
    assert (len(made.abandoned), made.watched, made.questions) == (1, 0, 0)
    assert scene.store.tokens == {}


@pytest.mark.parametrize(("on_abort", "failed"), [("leave", False), ("fail_run", True)])
def test_an_execution_that_is_over_waits_no_more(scene, on_abort, failed):
    """Its run goes on or is marked failed, as the caller chose; others' waits are untouched."""
    run_id = scene.wait_for(wait={"on_abort": on_abort})
    scene.wait_for(token="token-2", execution="arn:aws:states:eu-west-1:123456789012:execution:nightly:other")
    made = scene.round(ended_executions=[EXECUTION])
    assert [(one.watch.run_id, one.marked, one.not_marked) for one in made.stopped] == [(run_id, failed, "")]
    assert (made.watched, scene.airflow.failed) == (1, [run_id] if failed else [])


@pytest.mark.guarantee(42)
def test_a_refused_heartbeat_does_not_let_a_run_go_on_that_is_to_end_with_its_execution(scene):
    """It may come before the event that the execution is over; without that event it was the state alone."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.states.closed.add("token-1")
    assert (scene.round().watched, scene.round().abandoned) == (1, ())
    scene.round(ended_executions=[EXECUTION])
    assert scene.airflow.failed == [run_id]

    other = scene.wait_for(token="token-2", state="b", wait={"on_abort": "fail_run"})
    scene.states.closed.add("token-2")
    since = scene.clock
    made = scene.round()
    while made.watched and scene.clock < since + 6_000:
        made = scene.round()
    assert [watch.run_id for watch in made.abandoned] == [other]
    # A minute until the first heartbeat is owed, and five in which the event may come.
    assert 360 <= scene.clock - since <= 370
    assert other not in scene.airflow.failed


@pytest.mark.guarantee(42)
def test_an_execution_that_ended_before_its_watch_is_seen_is_remembered(scene):
    """An index may lag behind; and one that was redriven since waits again."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    watched, scene.store.watched = scene.store.watched, lambda _: []
    scene.round(ended_executions=[EXECUTION])
    scene.store.watched = watched
    made = scene.round()
    assert ([one.watch.run_id for one in made.stopped], scene.airflow.failed) == ([run_id], [run_id])
    scene.clock += 10
    scene.wait_for(token="token-2", state="b", wait={"on_abort": "fail_run"})
    assert scene.round().stopped == ()


def test_word_of_an_end_has_it_asked_at_once_and_is_not_believed(scene):
    """A DAG's callback ends the wait sooner; one that lies ends nothing."""
    run_id = scene.wait_for()
    for _ in range(720):
        scene.round()
    scene.airflow.asked.clear()
    assert scene.round(after=1, ended_runs=[run_id]).answered == ()
    assert scene.airflow.asked == [("states", "load")]
    scene.airflow.runs[run_id] = SUCCESS
    assert len(scene.round(after=1, ended_runs=[run_id]).answered) == 1


@pytest.mark.guarantee(27)
@pytest.mark.parametrize("fault", ["record_ending", "send", "close"])
def test_a_watcher_that_dies_in_between_tells_once(scene, fault):
    """The ending is recorded before the answer: another sandbox sends the same again, and recognises an accepted one."""
    run_id = scene.wait_for()
    scene.airflow.runs[run_id] = SUCCESS
    (scene.states if fault == "send" else scene.store).failures.coming[fault] = 1
    made = scene.round()
    assert (len(made.failures), made.watched, made.failing) == (1, 1, 1)
    scene.new_sandbox()
    scene.round()
    assert [(token, type(ending)) for token, ending in scene.states.answers] == [("token-1", Succeeded)]
    assert scene.round().watched == 0


@pytest.mark.guarantee(28)
def test_a_retried_state_is_attached_to_its_run_and_the_newest_token_is_told(scene):
    """One run, one word, to whoever waits last."""
    first = scene.wait_for()
    scene.round()
    assert scene.wait_for(token="token-2", retry_count=1) == first
    scene.airflow.runs[first] = SUCCESS
    scene.round(after=60)
    assert [(token, type(ending)) for token, ending in scene.states.answers] == [("token-2", Succeeded)]


@pytest.mark.guarantee(28)
def test_a_state_retried_after_its_run_succeeded_hears_so_at_once(scene):
    """Its first wait may have timed out: no second run for that."""
    run_id = scene.wait_for()
    scene.airflow.runs[run_id] = SUCCESS
    scene.round()
    assert scene.wait_for(token="token-2", retry_count=1) == run_id
    scene.round()
    assert [token for token, _ in scene.states.answers] == ["token-1", "token-2"]
    assert len(scene.airflow.runs) == 1


@pytest.mark.parametrize(("choice", "runs"), [("fail", 1), ("rerun", 2)])
def test_a_state_retried_after_its_run_failed_is_as_the_caller_chose(scene, choice, runs):
    """The same failure again, or the next generation of the run."""
    failed = scene.wait_for(wait={"after_failed_run": choice})
    scene.airflow.runs[failed] = FAILED
    scene.round()
    again = scene.wait_for(token="token-2", retry_count=1, wait={"after_failed_run": choice})
    scene.round()
    assert len({failed, again}) == runs
    assert again.removeprefix(failed) == ("" if choice == "fail" else "__r1")
    sent_answers = [token for token, _ in scene.states.answers]
    assert sent_answers == (["token-1", "token-2"] if choice == "fail" else ["token-1"])


def test_two_states_that_wait_under_one_identity_are_not_taken_for_one(scene):
    """A Map within a Map, without the outer index: the second is refused rather than never run."""
    scene.wait_for()
    call = read_task_call(payload(token="token-2"))
    assert isinstance(scene.store.open(call, request_of(call), 1.0), IdentityTaken)


def test_a_round_begins_nothing_when_its_time_is_up_and_goes_on_where_it_stopped(scene):
    """A function that is killed in the middle answers no state."""
    for name in "abc":
        scene.wait_for(name, token=name, state=name)
    slow = scene.airflow.states

    def states(*question):
        scene.clock += 10
        return slow(*question)

    scene.airflow.states = states
    assert [scene.round(after=5).questions for _ in range(2)] == [2, 2]
    assert {dag_id for _, dag_id in scene.airflow.asked[:3]} == {"a", "b", "c"}


def test_heartbeats_leave_time_to_ask_and_all_are_sent_in_a_few_rounds(scene):
    """A new sandbox owes one to each of a thousand who wait, at a tenth of a second each: far more than a round has."""
    for n in range(1_000):
        scene.wait_for(index=n, token=f"token {n}", wait={"heartbeat_seconds": 3_600})
    scene.clock += 3_000
    scene.new_sandbox()
    scene.slow_heartbeats(0.1)

    rounds = [scene.round() for _ in range(15)]

    assert rounds[0].questions == 1
    assert max(made.heartbeats for made in rounds) <= 81
    assert sorted(scene.states.heartbeats) == sorted(f"token {n}" for n in range(1_000))


def test_runs_that_are_not_in_airflow_yet_are_looked_for_in_the_ledger_ever_more_seldom(scene):
    """A request held for days costs a read a minute, not one every round."""
    scene.wait_for(in_airflow=False)
    reads = []
    read = scene.store.requests
    scene.store.requests = lambda watches: reads.append(scene.clock) or read(watches)
    for _ in range(720):
        scene.round()
    assert 60 < len(reads) < 85
    assert scene.airflow.asked == []


def test_a_request_that_waits_in_its_queue_delays_no_other_state(scene):
    """Of one DAG as well: the trigger queue may have a backlog of hours."""
    scene.wait_for(token="waits", state="a", in_airflow=False)
    ended = scene.wait_for(token="ended", state="b")
    scene.airflow.runs[ended] = SUCCESS
    scene.round()
    assert [token for token, _ in scene.states.answers] == ["ended"]


def test_every_question_to_airflow_is_counted(scene):
    """The metric WatcherQuestions shows what share of the web server the watcher takes."""
    failed = scene.wait_for("a", token="failed", state="a")
    deleted = scene.wait_for("b", token="deleted", state="b")
    returned = scene.wait_for("c", token="returned", state="c", wait={"return_value_of": "count"})
    scene.airflow.runs |= {failed: FAILED, returned: SUCCESS}
    del scene.airflow.runs[deleted]
    scene.airflow.returned["count"] = 7
    assert scene.round().questions == 6
    assert len(scene.states.answers) == 3


def test_a_request_that_waits_does_not_put_its_dags_runs_last(scene):
    """Where a round's time is short, the DAG that was asked longest ago comes first."""
    for name in "ab":  # one round for each, so that "a" is the DAG asked longest ago
        scene.wait_for(name, token=name, state=name)
        scene.round(after=0.5)
    scene.wait_for("a", token="waits", state="waits", in_airflow=False)
    scene.airflow.asked.clear()
    scene.round(after=10)
    assert [dag_id for _, dag_id in scene.airflow.asked] == ["a", "b"]


def test_a_backlog_of_answers_takes_several_rounds_none_of_which_is_killed(scene):
    """Two hundred endings that a sandbox recorded and did not answer, at a second each: the function has ninety."""
    for n in range(200):
        scene.airflow.runs[scene.wait_for(index=n, token=f"token {n}", wait={"heartbeat_seconds": 3_600})] = (
            SUCCESS
        )
    for watch in scene.store.watched("analytics"):
        scene.store.record_ending(watch, Succeeded({}))
    tell = scene.states.send

    def slow_tell(token, ending):
        scene.clock += 1
        tell(token, ending)

    scene.states.send = slow_tell
    sent_answers = []
    while sum(sent_answers) < 200:
        began = scene.clock + 5
        sent_answers.append(len(scene.round().answered))
        assert scene.clock - began <= 77
    assert sent_answers == [76, 76, 48]
