"""Step Functions as the watcher meets it: states that wait with a token, are tried again with another, and give up.

A token takes one answer; everything that is sent after that, or after its state has timed out, is refused.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from mwaa_gateway.errors import GatewayError, Unavailable
from simulation.lambdas import Sandboxes
from simulation.world import World

__all__ = ["StepFunctions", "WaitingState"]

EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:nightly:7f3c"
RETRIES_AFTER = 2.0
Word = tuple[str, str]  # "success" or the error, and what came with it, its fields in order


@dataclass
class WaitingState:
    """One state that waits, with Retry on everything but a refusal; `tokens` are all it ever had, the newest last.

    `times_out_after` are the TimeoutSeconds of its first tries; later ones have none.
    """

    name: str
    index: int | None = None
    wait: dict[str, Any] = field(default_factory=dict)
    times_out_after: tuple[float, ...] = ()
    retries_after_failure: int = 0
    tokens: list[str] = field(default_factory=list)
    ended: Word | None = None
    refused: BaseException | None = None
    gone: bool = False
    refuses: str = ""  # the code with which its answers are refused, for ever


@dataclass
class StepFunctions:
    """Executes waiting states, and is the part of botocore's client that the watcher uses."""

    world: World
    functions: Sandboxes
    states: list[WaitingState] = field(default_factory=list)
    open: dict[str, WaitingState] = field(default_factory=dict)  # by token
    said: list[tuple[str, Word]] = field(default_factory=list)  # every word that came, taken or not
    taken: list[tuple[str, Word]] = field(default_factory=list)
    heartbeats: int = 0
    tries_after_failure: int = 0

    def enter(self, state: WaitingState, at: float) -> None:
        """Have a state entered at this time."""
        self.states.append(state)
        self.world.scheduler.at(at, lambda: self._try(state))

    def abort(self, state: WaitingState, at: float) -> None:
        """Have the state's execution end at this time; the event that says so is lost."""

        def aborted() -> None:
            state.gone = True
            for token in state.tokens:
                self.open.pop(token, None)

        self.world.scheduler.at(at, aborted)

    def _try(self, state: WaitingState) -> None:
        tries = len(state.tokens)
        token = str(uuid.UUID(int=self.world.random.getrandbits(128)))
        state.tokens.append(token)
        self.open[token] = state
        if tries < len(state.times_out_after):
            self.world.scheduler.after(state.times_out_after[tries], lambda: self._again(state, token))

        def answered(_result: Any, error: BaseException | None) -> None:
            if isinstance(error, GatewayError) and not isinstance(error, Unavailable):
                state.refused = error
                self.open.pop(token, None)
            elif error is not None:
                self._again(state, token)

        self.functions.invoke(self._payload(state, token, tries), "", answered)

    def _again(self, state: WaitingState, token: str) -> None:
        """The try came to nothing: another one, with another token, unless somebody was quicker."""
        if self.open.pop(token, None) is not None:
            self.world.scheduler.after(RETRIES_AFTER, lambda: self._try(state))

    def _payload(self, state: WaitingState, token: str, retry_count: int) -> dict[str, Any]:
        context: dict[str, Any] = {
            "Execution": {"Id": EXECUTION},
            "StateMachine": {"Id": EXECUTION.replace("execution", "stateMachine")},
            "State": {
                "Name": state.name,
                "EnteredTime": "2027-01-15T08:00:00.000Z",  # one millisecond for all of them
                "RetryCount": retry_count,
            },
            "Task": {"Token": token},
        }
        if state.index is not None:
            context["Map"] = {"Item": {"Index": state.index, "Value": {}}}
        dag = {"environment": "legacy", "dag_id": "load"}
        return {
            "context": context,
            "dag": dag,
            "input": {"state": state.name, "item": state.index},
            "wait": state.wait,
        }

    # --- the client --------------------------------------------------------------------------------------------

    def send_task_success(self, *, taskToken: str, output: str) -> dict[str, Any]:  # noqa: N803  AWS's name
        return self._call("SendTaskSuccess", lambda: self._answer(taskToken, "success", output))

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> dict[str, Any]:  # noqa: N803
        return self._call("SendTaskFailure", lambda: self._answer(taskToken, error, cause))

    def send_task_heartbeat(self, *, taskToken: str) -> dict[str, Any]:  # noqa: N803
        def heard() -> dict[str, Any]:
            self._state_of(taskToken)
            self.heartbeats += 1
            return {}

        return self._call("SendTaskHeartbeat", heard)

    def _call(self, operation: str, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        answer: dict[str, Any] = self.world.aws_call("states", operation, effect)
        return answer

    def _state_of(self, token: str) -> WaitingState:
        if token not in self.open:
            refused: Any = {"Error": {"Code": "TaskTimedOut", "Message": f"Task Timed Out: {token}"}}
            raise ClientError(refused, "SendTask")
        return self.open[token]

    def _answer(self, token: str, end: str, text: str) -> dict[str, Any]:
        document = json.loads(text)
        word = (end, json.dumps(document, sort_keys=True))
        self.said.append((token, word))
        state = self._state_of(token)
        if state.refuses:
            refused: Any = {"Error": {"Code": state.refuses, "Message": token}}
            raise ClientError(refused, "SendTask")
        del self.open[token]
        self.taken.append((token, word))
        if end == "DagRunFailed" and state.retries_after_failure:
            state.retries_after_failure -= 1
            self.tries_after_failure += 1
            self.world.scheduler.after(RETRIES_AFTER, lambda: self._try(state))
        else:
            state.ended = (end, document["run_id"])
        return {}
