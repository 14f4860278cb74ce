"""Watches in a dict, a Step Functions that remembers its calls, and an Airflow that counts its questions."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fakes.failures import Failures
from mwaa_gateway.airflow.run_states import (
    Marking,
    NotAvailable,
    ReturnValue,
    RunEnd,
    RunMarkedFailed,
    RunNotThere,
    RunState,
    RunsUnknown,
)
from mwaa_gateway.step_functions.task_call import TaskCall, Token
from mwaa_gateway.step_functions.watches import (
    Ending,
    ExecutionOver,
    Failed,
    IdentityTaken,
    Opened,
    RequestState,
    Succeeded,
    TaskResult,
    TokenClosed,
    UnreadableWatch,
    Watch,
)
from mwaa_gateway.trigger_request import TriggerRequest, derive_run_id


@dataclass
class FakeWatchStore:
    """Implements `mwaa_gateway.step_functions.watches.WatchStore`; `ledger` is what it says of requests, by run_id."""

    ledger: dict[str, RequestState] = field(default_factory=dict)
    items: dict[tuple[str, str], tuple[Watch, int]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)  # of those that still wait, by mark
    said: list[tuple[str, str]] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)
    now: Callable[[], float] = lambda: 2_000.0
    unreadable: list[UnreadableWatch] = field(default_factory=list)

    def open(self, call: TaskCall, request: TriggerRequest, now: float) -> Opened | IdentityTaken:
        self.failures.raise_if_due("open")
        assert call.token is not None
        assert call.wait is not None
        key = (request.ledger_key[0], f"{request.rule_id}#{request.target_id}")
        fresh = _watch(call, request, now, 0)
        if key in self.items:
            old, generation = self.items[key]
            if old.token_mark == call.token.mark:
                return Opened(generation, old.environment, old.dag_id)
            if old.token_mark in self.tokens and old.ending is None and not call.is_retry:
                return IdentityTaken()
            ending = old.ending
            if isinstance(ending, Failed) and ending.may_be_rerun and call.wait.after_failed_run == "rerun":
                generation += 1
                fresh = _watch(call, request, now, generation)
            else:
                answered_again = isinstance(ending, Succeeded) or (
                    isinstance(ending, Failed) and ending.may_be_rerun
                )
                kept = ending if answered_again else None
                fresh = replace(
                    old,
                    token_mark=call.token.mark,
                    wait=call.wait,
                    waiting_since=now,
                    execution_arn=call.execution_arn,
                    ending=kept,
                    decided_at=old.decided_at if kept else None,
                )
            self.tokens.pop(old.token_mark, None)
        else:
            generation = 0
        self.items[key] = (fresh, generation)
        self.tokens[call.token.mark] = call.token
        return Opened(generation, fresh.environment, fresh.dag_id)

    def watched(self, environment: str) -> list[Watch | UnreadableWatch]:
        self.failures.raise_if_due("watched")
        return self.unreadable + [
            watch
            for watch, _ in self.items.values()
            if watch.environment == environment and watch.token_mark in self.tokens
        ]

    def requests(self, watches: Sequence[Watch]) -> Mapping[tuple[str, str], RequestState]:
        return {
            watch.ledger_key: self.ledger[watch.run_id] for watch in watches if watch.run_id in self.ledger
        }

    def record_ending(self, watch: Watch, ending: Ending) -> bool:
        self.failures.raise_if_due("record_ending")
        key = _key(watch)
        now, generation = self.items[key]
        if now.token_mark != watch.token_mark or now.token_mark not in self.tokens or now.ending is not None:
            return False
        decided_at = None if isinstance(ending, ExecutionOver) else self.now()
        self.items[key] = (replace(now, ending=ending, decided_at=decided_at), generation)
        return True

    def token(self, watch: Watch) -> Token:
        if watch.token_mark not in self.tokens:
            raise TokenClosed("the watch was closed")
        self.failures.raise_if_due(f"token {self.tokens[watch.token_mark].text}")
        return self.tokens[watch.token_mark]

    def close(self, watch: Watch, note: str) -> None:
        self.failures.raise_if_due("close")
        self.tokens.pop(watch.token_mark, None)
        self.said.append((watch.run_id, note))


def _watch(call: TaskCall, request: TriggerRequest, now: float, generation: int) -> Watch:
    assert call.token is not None
    assert call.wait is not None
    event, _ = request.ledger_key
    return Watch(
        ledger_key=(event, f"{request.rule_id}#{request.target_id}#{generation}"),
        environment=request.target.environment,
        dag_id=request.target.dag_id,
        run_id=derive_run_id(request.identity, request.rule_id, request.target_id, generation),
        execution_arn=call.execution_arn,
        token_mark=call.token.mark,
        wait=call.wait,
        since=now,
        waiting_since=now,
    )


def _key(watch: Watch) -> tuple[str, str]:
    event, request = watch.ledger_key
    return event, request.rpartition("#")[0]


@dataclass
class FakeStepFunctions:
    """Implements `mwaa_gateway.step_functions.watches.Callbacks`; `closed` are tokens that nobody waits with any more.

    `refuses` has an exception for each token that is answered with nothing else.
    """

    answers: list[tuple[str, TaskResult]] = field(default_factory=list)
    heartbeats: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    refuses: dict[str, Exception] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)  # answers by token, taken or not
    failures: Failures = field(default_factory=Failures)

    def send(self, token: Token, ending: TaskResult) -> None:
        self.tries[token.text] += 1
        if token.text in self.refuses:
            raise self.refuses[token.text]
        if token.text in self.closed:
            raise TokenClosed("TaskTimedOut")
        self.answers.append((token.text, ending))
        self.closed.add(token.text)
        self.failures.raise_if_due("send")  # after it was taken: the answer is lost

    def heartbeat(self, token: Token) -> None:
        self.failures.raise_if_due("heartbeat")
        if token.text in self.closed:
            raise TokenClosed("TaskTimedOut")
        self.heartbeats.append(token.text)


@dataclass
class FakeRuns:
    """Implements `mwaa_gateway.airflow.port.AirflowRuns`: run states by run_id.

    `trouble` is what the calls that need a web login come to; `silent` what the others do.
    """

    runs: dict[str, RunState] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)  # there, but not in the list
    silent: bool = False
    trouble: NotAvailable | RunsUnknown | None = None

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        assert since > 0
        self.asked.append(("states", dag_id))
        if self.silent:
            return RunsUnknown("no answer")
        return {
            run_id: self.runs[run_id]
            for run_id in run_ids
            if run_id in self.runs and run_id not in self.unlisted
        }

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        self.asked.append(("run_exists", dag_id))
        return run_id in self.runs

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        self.asked.append(("failed_tasks", dag_id))
        return self.tasks.get(run_id, [])

    def return_value(
        self,
        dag_id: str,
        run_id: str,  # noqa: ARG002  the port has it
        task_id: str,
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        self.asked.append(("return_value", dag_id))
        if self.trouble is not None:
            return self.trouble
        if task_id not in self.returned:
            return NotAvailable(f"task {task_id} returned nothing")
        return ReturnValue(self.returned[task_id])

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        self.asked.append(("fail_run", dag_id))
        if self.trouble is not None:
            return self.trouble
        if run_id not in self.runs:
            return RunNotThere()
        if self.runs[run_id].end is not None:
            return self.runs[run_id]
        self.failed.append(run_id)
        self.runs[run_id] = replace(self.runs[run_id], end=RunEnd.FAILED)
        return RunMarkedFailed()
