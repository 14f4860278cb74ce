"""A state's call for a DAG run: the Payload is validated and turned into an event.

    context     the state's context object: `"context.$": "$$"`, or in JSONata `"{% $states.context %}"`
    dag         {environment, dag_id} of a DAG on the allow-list; without it the rules choose the DAG
    input       the conf of a named DAG; rules find it under `detail.input`
    request_id  the caller's own name for this one run, instead of the state's identity
    wait        how a waiting state wants its run to end; only with a task token in the context

The identity consists of the execution, the state, its entered time and the index of the Map item. A retry of the state has
the same identity, so it finds the run that the first try requested. Step Functions enters 200 items of a Map in one
millisecond: without the index they would share one run, so a context that may lack it is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from hashlib import sha256
from typing import Any, Final, Literal, get_args

from mwaa_gateway.airflow.ids import DAG_ID, DAG_ID_WORDS
from mwaa_gateway.airflow.run_states import TASK_ID
from mwaa_gateway.errors import GatewayError, MalformedEvent, kind_of
from mwaa_gateway.events.event import Event, derived_id
from mwaa_gateway.json_values import dig, refuse_beyond_limits
from mwaa_gateway.trigger_request import identity_of
from mwaa_gateway.values import value

AfterFailedRun = Literal["fail", "rerun"]
WhenNotRunnable = Literal["wait", "fail"]
OnAbort = Literal["leave", "fail_run"]

DEFAULT_HEARTBEAT_SECONDS: Final = 180.0  # if the caller names none: a heartbeat each minute
LONGEST_TOKEN: Final = 2048  # characters, the limit of Step Functions' API
FIELDS: Final = ("context", "dag", "input", "request_id", "wait")
WAIT_FIELDS: Final = (
    "heartbeat_seconds",
    "when_not_runnable",
    "after_failed_run",
    "on_abort",
    "return_value_of",
)
_EXECUTION_ARN: Final = re.compile(
    r"arn:[a-z0-9-]+:states:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):execution:[^\s]{1,500}"
)
_LINES_TO_ADD: Final = (
    'Add to the state\'s Payload, in JSONPath: "context.$": "$$", or in JSONata: "context": "{% $states.context %}". '
    "If the execution's input is too large to pass along, pass "
    '{"Execution": {"Id.$": "$$.Execution.Id"}, "State": {"Name.$": "$$.State.Name", '
    '"EnteredTime.$": "$$.State.EnteredTime", "RetryCount.$": "$$.State.RetryCount"}, '
    '"Task": {"Token.$": "$$.Task.Token"}, "Map": {"Item": {"Index.$": "$$.Map.Item.Index"}}} as context '
    '("Map": null outside of a Map, no "Task" if the state does not wait)'
)


class InvalidTask(GatewayError):
    """The Payload cannot start a run; the text names the field and the lines to write instead."""


@value
class Token:
    """A task token, a secret: it lets its holder end the task, so no repr shows it. `mark` is public and unique."""

    text: str = field(repr=False)

    @property
    def mark(self) -> str:
        """The beginning of the token's hash."""
        return sha256(self.text.encode()).hexdigest()[:32]


@value
class NamedDag:
    """The DAG that a state names itself, instead of leaving it to the rules."""

    environment: str
    dag_id: str


@value
class Wait:
    """The options of a waiting state.

    `heartbeat_seconds` is the state's HeartbeatSeconds; the watcher sends three heartbeats in that time.
    `when_not_runnable`: whether the state waits or fails if its run is held, or accepted and not executed.
    `after_failed_run`: whether a retry of the state after a failed run fails with that run or starts another. `on_abort`:
    whether the run ends with its execution. `return_value_of`: the Airflow task whose return value the state gets.
    """

    heartbeat_seconds: float = DEFAULT_HEARTBEAT_SECONDS
    when_not_runnable: WhenNotRunnable = "wait"
    after_failed_run: AfterFailedRun = "fail"
    on_abort: OnAbort = "leave"
    return_value_of: str | None = None


@value
class TaskCall:
    """One call by a state.

    `token` and `wait` are None if the state does not wait. `is_retry`: Step Functions retries the state. `input` is the
    state's input; the event contains it too.
    """

    event: Event
    execution_arn: str
    dag: NamedDag | None
    input: Mapping[str, Any]
    token: Token | None
    wait: Wait | None
    is_retry: bool


def read_task_call(payload: Any) -> TaskCall:
    """Validate the Payload of a state's call.

    Raises:
        InvalidTask: a field is missing or invalid; nothing was started.
    """
    if not isinstance(payload, Mapping):
        raise InvalidTask(f"the Payload is {kind_of(payload)}; expected a JSON object. {_LINES_TO_ADD}")
    if unknown := sorted(payload.keys() - set(FIELDS)):
        raise InvalidTask(f"{unknown[0]!r} is no field of the Payload; the fields are {', '.join(FIELDS)}")
    context = _context(payload.get("context"))
    arn = _text(dig(context, ("Execution", "Id")), "context.Execution.Id")
    if not (match := _EXECUTION_ARN.fullmatch(arn)):
        raise InvalidTask(
            f"context.Execution.Id is {arn[:200]!r}; expected an execution's ARN. {_LINES_TO_ADD}"
        )
    token = _token(context)
    given = payload.get("input", {})
    if not isinstance(given, Mapping):
        raise InvalidTask(f"input is {kind_of(given)}; expected a JSON object: it becomes the run's conf")
    return TaskCall(
        event=_event(payload, context, arn, given, region=match["region"], account=match["account"]),
        execution_arn=arn,
        dag=_dag(payload.get("dag")),
        input=given,
        token=token,
        wait=_wait(payload.get("wait"), token),
        is_retry=_retry_count(context) > 0,
    )


def _context(context: Any) -> Mapping[str, Any]:
    if not isinstance(context, Mapping):
        raise InvalidTask(f"context is {kind_of(context)}; expected the context object. {_LINES_TO_ADD}")
    if "StateMachine" not in context and "Map" not in context:
        raise InvalidTask(f"context has no Map, which tells the items of a Map apart. {_LINES_TO_ADD}")
    return context


def _event(
    payload: Mapping[str, Any],
    context: Mapping[str, Any],
    arn: str,
    given: Mapping[str, Any],
    *,
    region: str,
    account: str,
) -> Event:
    state = _text(dig(context, ("State", "Name")), "context.State.Name")
    entered = _text(dig(context, ("State", "EnteredTime")), "context.State.EnteredTime")
    detail: dict[str, Any] = {"executionArn": arn, "state": state, "enteredTime": entered, "input": given}
    if isinstance(machine := dig(context, ("StateMachine", "Id")), str):
        detail["stateMachineArn"] = machine
    if payload.get("request_id") is not None:
        detail["requestId"] = _text(payload["request_id"], "request_id")
        # On purpose, two executions share a run if they pass the same request_id.
        identity = identity_of("states", account, region, "request", detail["requestId"])
    else:
        parts = [arn, state, entered]
        if (index := _item_index(context)) is not None:
            detail["mapItemIndex"] = index
            parts.append(str(index))
        identity = identity_of("states", *parts)
    envelope = {
        "version": "0",
        "id": derived_id(identity),
        "detail-type": "DAG Run Requested",
        "source": "aws.states",
        "account": account,
        "time": entered,
        "region": region,
        "resources": [arn],
        "detail": detail,
    }
    try:
        refuse_beyond_limits(envelope)
    except MalformedEvent as error:
        raise InvalidTask(str(error)) from None
    return Event(envelope, identity)


def _item_index(context: Mapping[str, Any]) -> int | None:
    if not context.get("Map"):
        return None
    index = dig(context, ("Map", "Item", "Index"))
    if not isinstance(index, int) or isinstance(index, bool):
        raise InvalidTask(
            f"context.Map.Item.Index is {kind_of(index)}; expected the item's index. {_LINES_TO_ADD}"
        )
    return index


def _retry_count(context: Mapping[str, Any]) -> int:
    count = dig(context, ("State", "RetryCount"))
    if count is None:
        return 0
    if not isinstance(count, int) or isinstance(count, bool):
        raise InvalidTask(f"context.State.RetryCount is {kind_of(count)}; expected a number")
    return count


def _token(context: Mapping[str, Any]) -> Token | None:
    token = dig(context, ("Task", "Token"))
    if token is None:
        return None
    if not isinstance(token, str) or not 0 < len(token) <= LONGEST_TOKEN:
        raise InvalidTask(
            f"context.Task.Token is no task token; expected text of at most {LONGEST_TOKEN} characters"
        )
    return Token(token)


def _dag(named: Any) -> NamedDag | None:
    if named is None:
        return None
    if not isinstance(named, Mapping) or named.keys() != {"environment", "dag_id"}:
        raise InvalidTask(
            'dag must be {"environment": …, "dag_id": …}; leave it out to let the rules choose the DAG'
        )
    dag_id = _text(named["dag_id"], "dag.dag_id")
    if not DAG_ID.fullmatch(dag_id):
        raise InvalidTask(f"dag.dag_id is {dag_id[:200]!r}; expected {DAG_ID_WORDS}")
    return NamedDag(_text(named["environment"], "dag.environment"), dag_id)


def _wait(wait: Any, token: Token | None) -> Wait | None:
    if token is None:
        if wait is not None:
            raise InvalidTask(
                "wait is set, but context has no Task.Token: a waiting state has the Resource "
                f"arn:aws:states:::lambda:invoke.waitForTaskToken. {_LINES_TO_ADD}"
            )
        return None
    wait = {} if wait is None else wait
    if not isinstance(wait, Mapping):
        raise InvalidTask(f"wait is {kind_of(wait)}; expected a JSON object")
    if unknown := sorted(wait.keys() - set(WAIT_FIELDS)):
        raise InvalidTask(f"wait.{unknown[0]} is no field of wait; the fields are {', '.join(WAIT_FIELDS)}")
    seconds = wait.get("heartbeat_seconds", DEFAULT_HEARTBEAT_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 15 <= seconds <= 31_536_000:  # noqa: PLR2004
        raise InvalidTask(
            "wait.heartbeat_seconds must be a number of seconds from 15 to a year: the state's own HeartbeatSeconds"
        )
    task = wait.get("return_value_of")
    return Wait(
        heartbeat_seconds=float(seconds),
        when_not_runnable=_choice(wait, "when_not_runnable", get_args(WhenNotRunnable), "wait"),
        after_failed_run=_choice(wait, "after_failed_run", get_args(AfterFailedRun), "fail"),
        on_abort=_choice(wait, "on_abort", get_args(OnAbort), "leave"),
        return_value_of=None if task is None else _task_id(task),
    )


def _task_id(task: Any) -> str:
    """Return the Airflow task's id, which becomes part of an API path."""
    if not TASK_ID.fullmatch(_text(task, "wait.return_value_of")):
        raise InvalidTask(f"wait.return_value_of is {task[:200]!r}; expected a task_id: {TASK_ID.pattern}")
    return str(task)


def _choice(wait: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str) -> Any:
    value = wait.get(name, default)
    if value not in choices:
        raise InvalidTask(f"wait.{name} is {value!r}; expected one of {', '.join(choices)}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidTask(f"{name} is {kind_of(value)}; expected text. {_LINES_TO_ADD}")
    return value
