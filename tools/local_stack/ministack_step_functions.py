"""Patches for states that wait with a task token, where MiniStack 1.5.33 differs from Step Functions.

1. `"x.$": "$$"` passes the whole context object; MiniStack passes null.
2. A state that waits fails when the function it calls fails; MiniStack waits on, until the state's time is up.
3. A state that is tried again gets a new token; MiniStack gives it the old one.
4. A state that does not wait has no token; MiniStack leaves it that of the state before.
5. A state without a heartbeat for HeartbeatSeconds fails with States.HeartbeatTimeout, which a Retry or Catch for
   States.Timeout takes as well; MiniStack does not look at heartbeats.
6. The branches of a Parallel have a context each; MiniStack's share one, so that one calls with the other's state and token.
"""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import stepfunctions  # type: ignore[import-untyped]

_HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"
_CONTEXT = ("Execution", "Map", "State", "StateMachine", "Task")


class _CallFailed(Exception):
    """The function that a waiting state calls has failed; MiniStack ignores its own errors there, but not this one."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


def mend() -> None:
    """Patch the module, before MiniStack serves anything."""
    _pass_the_whole_context()
    _fail_with_the_function()
    _expire_heartbeats()
    _give_each_attempt_its_token()
    _give_each_branch_its_context()


def _pass_the_whole_context() -> None:
    resolve: Callable[..., Any] = stepfunctions._resolve_params_obj  # noqa: SLF001  there is no other way in

    def resolve_with_context(template: Any, data: Any, ctx: Mapping[str, Any] | None = None) -> Any:
        if isinstance(template, dict) and (
            whole := [name for name, value in template.items() if value == "$$"]
        ):
            context = {name: value for name, value in (ctx or {}).items() if name in _CONTEXT}
            rest = {name: value for name, value in template.items() if name not in whole}
            return resolve(rest, data, ctx) | {name.removesuffix(".$"): context for name in whole}
        return resolve(template, data, ctx)

    stepfunctions._resolve_params_obj = resolve_with_context  # noqa: SLF001


def _fail_with_the_function() -> None:
    call: Callable[..., Any] = stepfunctions._call_lambda  # noqa: SLF001
    wait: Callable[..., Any] = stepfunctions._invoke_with_callback  # noqa: SLF001
    waiting = threading.local()

    def call_or_fail(function: Any, event: Any) -> Any:
        try:
            return call(function, event)
        except stepfunctions._ExecutionError as error:  # noqa: SLF001
            if getattr(waiting, "here", False):
                raise _CallFailed(error) from error
            raise

    def wait_or_fail(resource: str, effective: Any, token: str, state: Any) -> Any:
        waiting.here = True
        try:
            return wait(resource, effective, token, state)
        except _CallFailed as failed:
            stepfunctions._task_tokens.pop(token, None)  # noqa: SLF001
            raise failed.error from None
        finally:
            waiting.here = False

    stepfunctions._call_lambda = call_or_fail  # noqa: SLF001
    stepfunctions._invoke_with_callback = wait_or_fail  # noqa: SLF001


def _expire_heartbeats() -> None:
    wait: Callable[..., Any] = stepfunctions._invoke_with_callback  # noqa: SLF001
    beat: Callable[..., Any] = stepfunctions._send_task_heartbeat  # noqa: SLF001
    matches: Callable[..., bool] = stepfunctions._error_matches  # noqa: SLF001

    def wait_with_heartbeats(resource: str, effective: Any, token: str, state: Any) -> Any:
        if seconds := state.get("HeartbeatSeconds"):
            threading.Thread(target=_expire_without_heartbeat, args=(token, seconds), daemon=True).start()
        return wait(resource, effective, token, state)

    def note_heartbeat(data: Mapping[str, Any]) -> Any:
        if task := stepfunctions._task_tokens.get(data.get("taskToken")):  # noqa: SLF001
            task["beat_at"] = time.monotonic()
        return beat(data)

    def matches_as_timeout(error_equals: list[str], error: str) -> bool:
        if error == _HEARTBEAT_TIMEOUT and "States.Timeout" in error_equals:
            return True
        return matches(error_equals, error)

    stepfunctions._invoke_with_callback = wait_with_heartbeats  # noqa: SLF001
    stepfunctions._send_task_heartbeat = note_heartbeat  # noqa: SLF001
    stepfunctions._error_matches = matches_as_timeout  # noqa: SLF001


def _expire_without_heartbeat(token: str, seconds: float) -> None:
    last, pause = time.monotonic(), seconds
    while pause > 0:
        time.sleep(pause)
        task = stepfunctions._task_tokens.get(token)  # noqa: SLF001
        if task is None or task["event"].is_set():
            return
        last = max(last, task.get("beat_at", last))
        pause = last + seconds - time.monotonic()
    task["error"] = {"Error": _HEARTBEAT_TIMEOUT, "Cause": f"no heartbeat for {seconds} seconds"}
    task["event"].set()


def _give_each_attempt_its_token() -> None:
    execute: Callable[..., Any] = stepfunctions._execute_task  # noqa: SLF001

    def execute_without_old_token(state: Any, given: Any, execution: Any, ctx: Any) -> Any:
        ctx.pop("Task", None)
        return execute(state, given, execution, ctx)

    stepfunctions._execute_task = execute_without_old_token  # noqa: SLF001
    for name in ("_apply_parameters", "_apply_jsonata_arguments"):
        _renew_token_before(name)


def _renew_token_before(name: str) -> None:
    apply: Callable[..., Any] = getattr(stepfunctions, name)

    def apply_with_new_token(state: Any, given: Any, ctx: Any = None) -> Any:
        if ctx and "Task" in ctx and ctx.get("State", {}).get("RetryCount"):
            ctx["Task"] = {"Token": str(uuid.uuid4())}
        return apply(state, given, ctx)

    setattr(stepfunctions, name, apply_with_new_token)


def _give_each_branch_its_context() -> None:
    run: Callable[..., Any] = stepfunctions._run_sub_machine  # noqa: SLF001

    def run_with_own_context(states: Any, start_at: str, given: Any, execution: Any, ctx: Any) -> Any:
        # Not a deep copy: the variables inside belong to the whole execution.
        return run(states, start_at, given, execution, {**ctx})

    stepfunctions._run_sub_machine = run_with_own_context  # noqa: SLF001
