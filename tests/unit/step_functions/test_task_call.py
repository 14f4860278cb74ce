"""What a state passes: identity, token and choices; what is missing is refused with the lines to add."""

import pytest

from fakes.states import EXECUTION, payload
from mwaa_gateway.step_functions.task_call import InvalidTask, NamedDag, Wait, read_task_call


def test_a_call_becomes_an_event_of_step_functions():
    """So that rules and conf see it as any other event."""
    call = read_task_call(payload(index=3))
    envelope = call.event.envelope
    assert (envelope["source"], envelope["detail-type"]) == ("aws.states", "DAG Run Requested")
    assert (envelope["account"], envelope["region"], envelope["resources"]) == (
        "123456789012",
        "eu-west-1",
        [EXECUTION],
    )
    assert envelope["detail"] == {
        "executionArn": EXECUTION,
        "stateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:nightly",
        "state": "Load",
        "enteredTime": "2026-11-22T10:00:00.000Z",
        "mapItemIndex": 3,
        "input": {"day": "2026-11-22"},
    }
    assert call.dag == NamedDag("analytics", "load")
    assert call.wait == Wait()


def test_the_token_is_nowhere_but_in_the_token():
    """Neither in the event, which is logged, queued and passed on, nor in any repr."""
    call = read_task_call(payload(token="canary-token"))
    assert call.token is not None
    assert call.token.text == "canary-token"
    assert "canary-token" not in repr(call)
    assert "canary-token" not in str(call.event.envelope)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"token": "token-2", "retry_count": 1}, True),
        ({"input": {"day": "2026-11-23"}}, True),
        ({"state": "Other"}, False),
        ({"entered": "2026-11-22T10:00:00.001Z"}, False),
        ({"execution": EXECUTION + "2"}, False),
        ({"index": 0}, False),
        ({"request_id": "orders-2026-11-22"}, False),
    ],
)
def test_who_is_the_same_run(other, same):
    """Execution, state, time of entry and item say which run it is; a retry of the state is the same one."""
    assert (
        read_task_call(payload()).event.identity == read_task_call(payload(**other)).event.identity
    ) is same


def test_two_hundred_items_of_a_map_are_two_hundred_runs():
    """All enter their state in the same millisecond."""
    assert len({read_task_call(payload(index=index)).event.identity for index in range(200)}) == 200


def test_the_callers_own_name_is_the_same_run_whoever_asks():
    """Another state, another execution: request_id alone says which run it is."""
    one = read_task_call(payload(request_id="orders-2026-11-22"))
    other = read_task_call(payload(request_id="orders-2026-11-22", state="Again", execution=EXECUTION + "2"))
    assert one.event.identity == other.event.identity


def _partial(**context):
    given = payload()
    del given["context"]["StateMachine"]
    given["context"] |= context
    return given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("text", "the Payload is text"),
        ({}, "context is missing"),
        (_partial(), "context has no Map"),
        (_partial(Map={"Item": {}}), "context.Map.Item.Index is missing"),
        (_partial(Map={"Item": {"Index": "1"}}), "context.Map.Item.Index is text"),
        (_partial(Map=None, Execution={}), "context.Execution.Id is missing"),
        (_partial(Map=None, Execution={"Id": "nightly"}), "expected an execution's ARN"),
        (_partial(Map=None, State={"Name": "Load"}), "context.State.EnteredTime is missing"),
        (_partial(Map=None, State={"EnteredTime": "now"}), "context.State.Name is missing"),
        (payload(token=""), "no task token"),
        (payload(retry_count="1"), "context.State.RetryCount is text"),
        (payload(input=[]), "input is a list"),
        (payload(conf={}), "'conf' is no field of the Payload"),
        (payload(dag={"dag_id": "load"}), "dag must be"),
        (payload(dag={"environment": "analytics", "dag_id": ""}), "dag.dag_id is text"),
        (payload(dag={"environment": "analytics", "dag_id": "-daily"}), "dag.dag_id is '-daily'"),
        (payload(request_id=7), "request_id is a number"),
        (payload(wait={"heartbeat": 60}), "wait.heartbeat is no field of wait"),
        (payload(wait={"heartbeat_seconds": 1}), "wait.heartbeat_seconds"),
        (payload(wait={"heartbeat_seconds": True}), "wait.heartbeat_seconds"),
        (payload(wait={"on_abort": "kill"}), "wait.on_abort is 'kill'"),
        (
            payload(wait={"return_value_of": "../../variables/x"}),
            "wait.return_value_of is '../../variables/x'",
        ),
        (payload(wait={"return_value_of": ""}), "wait.return_value_of is text"),
        (payload(wait=[]), "wait is a list"),
        (payload(token=None, wait={}), "has no Task.Token"),
        (payload(input={"text": "x" * 300_000}), "limit is 262144"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(given, said):
    """The state fails at once, and its author reads what to write instead."""
    with pytest.raises(InvalidTask, match=said.replace("(", r"\(")):
        read_task_call(given)


@pytest.mark.parametrize("given", [{}, _partial(), _partial(Map={"Item": {}})])
def test_a_missing_identity_comes_with_the_lines_to_add(given):
    """In JSONPath and in JSONata."""
    with pytest.raises(InvalidTask) as refused:
        read_task_call(given)
    assert '"context.$": "$$"' in str(refused.value)
    assert "{% $states.context %}" in str(refused.value)


def test_a_context_in_parts_will_do():
    """For an execution whose input is too large to be sent along."""
    given = _partial(Map=None)
    assert read_task_call(given).event.identity == read_task_call(payload()).event.identity


def test_choices_are_taken_over():
    """Each with its default elsewhere."""
    wait = {
        "heartbeat_seconds": 60,
        "when_not_runnable": "fail",
        "after_failed_run": "rerun",
        "on_abort": "fail_run",
        "return_value_of": "count",
    }
    assert read_task_call(payload(wait=wait)).wait == Wait(**wait)
