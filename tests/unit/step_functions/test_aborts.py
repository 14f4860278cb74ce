"""Runs that end with their execution: each is marked failed once, none that is over; what is not done is reported."""

import pytest

from fakes.states import EXECUTION
from fakes.watching import FAILED, RUNNING, SUCCESS, TRIGGERED, Scene
from mwaa_gateway.airflow.run_states import NotAvailable, RunsUnknown
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.step_functions.watches import RequestState


@pytest.fixture
def scene() -> Scene:
    return Scene()


def closed(scene: Scene, run_id: str) -> list[str]:
    """What was said of a run's watch when it was closed."""
    return [said for run, said in scene.store.said if run == run_id]


@pytest.mark.guarantee(42)
@pytest.mark.parametrize(
    ("state", "said"), [(SUCCESS, "the run had ended: success"), (FAILED, "the run had ended: failed")]
)
def test_a_run_that_is_over_is_left_as_it_is(scene, state, said):
    """Whoever noticed last: its end, or the execution's."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.airflow.runs[run_id] = state
    made = scene.round(ended_executions=[EXECUTION])
    assert (scene.airflow.failed, scene.airflow.runs[run_id]) == ([], state)
    assert [(one.marked, one.not_marked) for one in made.stopped] == [(False, "")]
    assert closed(scene, run_id) == [f"its execution is over; {said}"]


@pytest.mark.guarantee(42)
def test_a_run_is_marked_though_the_web_server_is_away_when_its_execution_ends(scene):
    """Tried again by whichever watcher there is then, without another word of the execution, and once."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.airflow.trouble = RunsUnknown("Airflow said HTTP 503")
    made = scene.round(ended_executions=[EXECUTION])
    assert (made.watched, made.stopped, made.unclear) == (1, (), ("Airflow said HTTP 503",))
    scene.new_sandbox()
    for _ in range(720):
        scene.round()
    assert scene.airflow.asked.count(("fail_run", "load")) < 90  # an hour; further apart the longer it lasts
    scene.airflow.trouble = None
    made = next(made for _ in range(30) if (made := scene.round()).stopped)
    assert ([one.marked for one in made.stopped], made.watched) == ([True], 0)
    assert closed(scene, run_id) == ["its execution is over; the run was marked failed"]
    scene.airflow.runs[run_id] = RUNNING  # somebody has it run again
    scene.round(ended_executions=[EXECUTION])
    assert scene.airflow.failed == [run_id]


@pytest.mark.guarantee(43)
def test_a_run_whose_row_cannot_be_read_is_counted_until_it_is_marked(scene):
    """As a step that fails: an alarm watches the count."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.store.ledger[run_id] = RequestState("unreadable", text="throttled")
    made = scene.round(ended_executions=[EXECUTION])
    assert ([one.text for one in made.failures], made.stopped) == (["throttled"], ())
    for _ in range(30):
        made = scene.round()
        assert (made.failing, made.watched, scene.airflow.failed) == (1, 1, [])
    scene.store.ledger[run_id] = RequestState("triggered")
    made = next(made for _ in range(30) if (made := scene.round()).stopped)
    assert ([one.marked for one in made.stopped], made.failing) == ([True], 0)


def test_what_cannot_be_done_is_reported_at_once(scene):
    """No state gets another answer: none waits any more."""
    scene.wait_for(wait={"on_abort": "fail_run"})
    scene.airflow.trouble = NotAvailable("set the parameter WebLoginRole")
    made = scene.round(ended_executions=[EXECUTION])
    assert [one.not_marked for one in made.stopped] == ["set the parameter WebLoginRole"]
    assert (made.watched, scene.store.tokens) == (0, {})


@pytest.mark.guarantee(42)
def test_it_is_told_that_an_airflow_never_answered(scene):
    """After a day."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.airflow.trouble = RunsUnknown("no answer")
    since, made = scene.clock, scene.round(ended_executions=[EXECUTION])
    while made.watched and scene.clock < since + 2 * 86_400:
        made = scene.round(after=60)
    assert [one.not_marked for one in made.stopped] == ["no answer"]
    assert 86_400 <= scene.clock - since <= 86_600
    assert closed(scene, run_id) == ["its execution is over; the run may still be running: no answer"]


@pytest.mark.guarantee(42)
@pytest.mark.parametrize("state", [None, RequestState("open"), RequestState("held", Reason.RULE_DISABLED)])
def test_a_run_that_is_started_after_its_execution_ended_is_ended_then(scene, state):
    """It was waiting for a slot, for its environment, or for somebody to release it."""
    run_id = scene.wait_for(in_airflow=False, wait={"on_abort": "fail_run"})
    if state is not None:
        scene.store.ledger[run_id] = state
    scene.round(ended_executions=[EXECUTION])
    for _ in range(10):
        scene.round()
    assert scene.airflow.asked == []
    scene.store.ledger[run_id], scene.airflow.runs[run_id] = TRIGGERED, RUNNING
    scene.round(after=60)
    assert scene.airflow.failed == [run_id]


def test_a_request_that_is_dead_has_no_run_to_end(scene):
    """And Airflow is not asked for one."""
    run_id = scene.wait_for(in_airflow=False, wait={"on_abort": "fail_run"})
    scene.store.ledger[run_id] = RequestState("dead", Reason.DAG_MISSING)
    made = scene.round(ended_executions=[EXECUTION])
    assert (made.watched, scene.airflow.asked) == (0, [])
    assert closed(scene, run_id) == ["its execution is over; its request is dead: there is no run"]


def test_a_run_that_somebody_deleted_is_not_looked_for_again(scene):
    """Nothing goes on."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    del scene.airflow.runs[run_id]
    made = scene.round(ended_executions=[EXECUTION])
    assert [(one.marked, one.not_marked) for one in made.stopped] == [(False, "")]


@pytest.mark.guarantee(42)
@pytest.mark.parametrize("fault", ["record_ending", "close"])
def test_a_watcher_that_dies_in_between_marks_it_once(scene, fault):
    """Kept before anything is done; and a run that is marked is seen to be over."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.store.failures.coming[fault] = 1
    made = scene.round(ended_executions=[EXECUTION])
    assert (len(made.failures), made.watched) == (1, 1)
    assert made.unrecorded_ends == (
        (EXECUTION,) if fault == "record_ending" else ()
    )  # then its notice comes again
    scene.new_sandbox()
    made = scene.round(ended_executions=[EXECUTION] if fault == "record_ending" else [])
    assert (scene.airflow.failed, made.watched) == ([run_id], 0)


def test_many_that_end_at_once_leave_the_others_their_round(scene):
    """A Map of two hundred is aborted while a run of another execution ends: its state gets the answer within two rounds."""
    ended = [scene.wait_for(index=n, token=f"t{n}", wait={"on_abort": "fail_run"}) for n in range(200)]
    waits = scene.wait_for(
        "other", token="w", execution="arn:aws:states:eu-west-1:123456789012:execution:n:o"
    )
    scene.airflow.runs[waits] = SUCCESS
    fail = scene.airflow.fail_run

    def slowly(*run):
        scene.clock += 0.5
        return fail(*run)

    scene.airflow.fail_run = slowly
    made = scene.round(ended_executions=[EXECUTION])
    assert [token for token, _ in scene.states.answers] == ["w"]
    rounds = 1
    while made.watched and rounds < 50:
        made, rounds = scene.round(), rounds + 1
    assert sorted(scene.airflow.failed) == sorted(ended)
    assert rounds <= 20


def test_a_state_that_is_tried_again_keeps_its_run(scene):
    """An execution that is redriven goes on with it: what was kept was about the execution's end before."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.airflow.trouble = RunsUnknown("no answer")
    scene.round(ended_executions=[EXECUTION])
    scene.airflow.trouble = None
    assert scene.wait_for(token="token-2", retry_count=1, wait={"on_abort": "fail_run"}) == run_id
    scene.round(after=60)
    assert scene.airflow.failed == []
    scene.airflow.runs[run_id] = SUCCESS
    scene.round(after=60)
    assert [token for token, _ in scene.states.answers] == ["token-2"]


def test_a_wait_whose_answer_was_refused_ends_with_its_execution(scene):
    """Its run has ended by itself: there is nothing to mark, and nobody to answer."""
    run_id = scene.wait_for(wait={"on_abort": "fail_run"})
    scene.airflow.runs[run_id] = SUCCESS
    scene.states.refuses["token-1"] = Unavailable("KmsAccessDeniedException")
    assert scene.round().watched == 1
    made = scene.round(ended_executions=[EXECUTION])
    assert ([one.marked for one in made.stopped], made.watched) == ([False], 0)
    assert (scene.airflow.failed, scene.store.tokens) == ([], {})
    assert closed(scene, run_id) == ["its execution is over"]
