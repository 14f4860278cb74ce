"""The states that people copy, of docs/step-functions.md and examples/state_machines: the gateway takes what they pass."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.states import payload
from mwaa_gateway.errors import GatewayError, Unavailable
from mwaa_gateway.step_functions import starter as task
from mwaa_gateway.step_functions import task_call
from mwaa_gateway.step_functions import task_results as endings
from mwaa_gateway.step_functions.task_call import TaskCall, read_task_call

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "step-functions.md").read_text()
JSON_SHOWN = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
EXAMPLES = {
    path.name: json.loads(path.read_text()) for path in (ROOT / "examples/state_machines").glob("*.json")
}
WAITING = "arn:aws:states:::lambda:invoke.waitForTaskToken"
GOING_ON = "arn:aws:states:::lambda:invoke"


def machines(document: Any) -> Iterator[dict[str, Any]]:
    """Every object that has States: the state machine, and its branches."""
    if isinstance(document, dict):
        if "States" in document:
            yield document
        for value in document.values():
            yield from machines(value)
    elif isinstance(document, list):
        for value in document:
            yield from machines(value)


def tasks(document: Any) -> list[dict[str, Any]]:
    """Every state that calls the gateway."""
    states = [state for machine in machines(document) for state in machine["States"].values()]
    return [state for state in states if state.get("Resource") in (WAITING, GOING_ON)]


SHOWN = [one for one in JSON_SHOWN if one.get("Resource") in (WAITING, GOING_ON)]
COPIED = SHOWN + [state for document in EXAMPLES.values() for state in tasks(document)]


def called(state: dict[str, Any]) -> TaskCall:
    """What the gateway reads of the state's Payload, filled in as Step Functions does."""
    token = "token-1" if state["Resource"] == WAITING else None
    given = state.get("Parameters") or state["Arguments"]
    assert given["FunctionName"] == "${StepFunctionsTaskFunctionArn}"
    return read_task_call(filled(given["Payload"], payload(token=token)["context"]))


def filled(template: Any, context: dict[str, Any]) -> Any:
    """Paths and expressions replaced: the context object where it is named, and a sample for all else."""
    match template:
        case dict():
            return {
                name.removesuffix(".$"): _value(one, context) if name.endswith(".$") else filled(one, context)
                for name, one in template.items()
            }
        case "{% $states.context %}":
            return context
        case str() if template.startswith("{%"):
            return "sample"
        case _:
            return template


def _value(path: str, context: dict[str, Any]) -> Any:
    if path.startswith("States."):
        return "sample"
    if not path.startswith("$$"):
        return {"day": "2026-11-22"}
    value: Any = context
    for name in path.split(".")[1:]:
        value = value[name]
    return value


@pytest.mark.parametrize("state", COPIED, ids=range(len(COPIED)))
def test_the_gateway_takes_what_a_copied_state_passes(state: dict[str, Any]) -> None:
    """And the state's HeartbeatSeconds is what it says of it."""
    call = called(state)
    assert call.dag is not None
    assert (call.wait is not None) is (state["Resource"] == WAITING)
    if call.wait is not None:
        assert state["HeartbeatSeconds"] == call.wait.heartbeat_seconds
        assert state["TimeoutSeconds"] > state["HeartbeatSeconds"]


def test_both_ways_are_shown_in_both_languages() -> None:
    """JSONPath and JSONata, waiting and going on."""
    shown = {(one["Resource"], one.get("QueryLanguage", "JSONPath")) for one in SHOWN}
    assert shown == {(way, language) for way in (WAITING, GOING_ON) for language in ("JSONPath", "JSONata")}


def test_the_smaller_context_and_the_request_id_shown_are_taken() -> None:
    """As they stand on the page."""
    context = payload()["context"]
    [smaller] = [one for one in JSON_SHOWN if "Execution" in one]
    [named] = [one for one in JSON_SHOWN if "request_id.$" in one]
    whole, less = read_task_call(payload()), read_task_call(payload(context=filled(smaller, context)))
    assert (less.event.identity, less.token) == (whole.event.identity, whole.token)
    assert read_task_call(payload() | filled(named, context)).event.identity.startswith("states")


def test_every_error_is_on_the_page_and_no_other() -> None:
    """Those that the function raises, and those with which the watcher ends a wait."""
    raised = {
        name
        for module in (task, task_call)
        for name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, GatewayError) and one.__module__ == module.__name__
    }
    output = set(re.findall(r'Failed\("(\w+)"', inspect.getsource(endings)))
    errors = PAGE[PAGE.index("## Errors") : PAGE.index("To copy:")]
    assert set(re.findall(r"^\| `(\w+)`", errors, re.MULTILINE)) == raised | output | {Unavailable.__name__}


def test_every_field_is_on_the_page_and_no_other() -> None:
    """Of the payload, and of `wait` with its default."""
    fields = PAGE[PAGE.index("## The fields") : PAGE.index("A rule for such states")]
    of_payload, of_wait = fields.split("| `wait.…`")
    assert re.findall(r"^\| `(\w+)`", of_payload, re.MULTILINE) == list(task_call.FIELDS)
    defaults = {"heartbeat_seconds": "180", "when_not_runnable": "wait", "after_failed_run": "fail"}
    defaults |= {"on_abort": "leave", "return_value_of": "none"}
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(\w+)`? \|", of_wait, re.MULTILINE))
    assert rows == defaults
    default = read_task_call(payload()).wait
    assert default is not None
    assert {name: f"{getattr(default, name) or 'none'}".removesuffix(".0") for name in rows} == defaults


def caught(document: Any) -> set[str]:
    """Every error that a Retry or a Catch of a document names."""
    found = re.findall(r'"ErrorEquals": (\[.*?\])', json.dumps(document))
    return {name for one in found for name in json.loads(one)}


def test_errors_that_are_caught_exist() -> None:
    """A name that nobody raises is a Catch that catches nothing."""
    ours = set(re.findall(r"^\| `(\w+)` \|", PAGE[PAGE.index("## Errors") :], re.MULTILINE))
    named = caught(JSON_SHOWN) | caught(list(EXAMPLES.values()))
    assert {name for name in named if not name.startswith(("States.", "Lambda."))} <= ours


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_whole(name: str) -> None:
    """Every state that is named is there, and reached; every DAG is one of examples/dags."""
    for machine in machines(EXAMPLES[name]):
        own = machine["States"]
        named = {machine["StartAt"]}
        for state in own.values():
            inner = {key: value for key, value in state.items() if key != "Branches"}
            named |= set(re.findall(r'"(?:Next|Default)": "(\w+)"', json.dumps(inner)))
        assert named == set(own)
    defined = set()
    for file in (ROOT / "examples/dags").glob("*.py"):
        defined |= set(re.findall(r"^def (\w+)\(", file.read_text(), re.MULTILINE))
    dags = {call.dag.dag_id for call in map(called, tasks(EXAMPLES[name])) if call.dag is not None}
    assert dags
    assert dags <= defined
