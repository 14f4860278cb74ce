"""What else people do, on the same queues and against the same Airflow: put in the dispatcher's place.

`make baselines` plays the days of three seeds with each, and prints the table that the README has.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from mwaa_gateway.airflow import cli as airflow_cli
from mwaa_gateway.airflow.cli import CommandAnswer
from mwaa_gateway.aws.sqs.trigger_messages import SqsTriggerMessages
from mwaa_gateway.dispatch.concurrency import Concurrency
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import backoff_seconds
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest, UnreadableRequest
from simulation.checker import Bounds
from simulation.gateway import Gateway, cli_transport, dispatcher_settings
from simulation.simulate import simulate
from simulation.world import Rates

__all__ = ["BASELINES", "Figures", "figures"]

IN_PROGRESS_SECONDS = 90.0  # Lambda's time limit, as Powertools takes it from the context
REMEMBERED_SECONDS = 3600.0  # Powertools' default


@dataclass(frozen=True, slots=True)
class Figures:
    """What one strategy did with so many expected runs."""

    strategy: str
    expected: int
    lost: int
    doubled: int


@dataclass
class _Dispatched:
    outcome: Outcome
    redeliver_after: float | None


class _Strategy:
    """A dispatcher without a ledger: starts the run under some id, and tries again when it does not like the answer."""

    def __init__(self, gateway: Gateway, environment: str) -> None:
        self.world = gateway.world
        self.airflow = cli_transport(gateway, dispatcher_settings(gateway, environment))
        self.memory = gateway.memory

    def is_suspect(self, _body: str, _receive_count: int) -> bool:
        return False

    def dispatch(self, body: str, receive_count: int, _waiting_since: float) -> _Dispatched:
        try:
            request = TriggerRequest.from_json(body)
        except UnreadableRequest as error:
            return _Dispatched(Rejected(Reason.MESSAGE_UNREADABLE, str(error)), None)
        outcome = self.start(request)
        if isinstance(outcome, Triggered | AlreadyTriggered | Rejected):
            return _Dispatched(outcome, None)
        return _Dispatched(outcome, backoff_seconds(receive_count, self.world.random.random()))

    def start(self, request: TriggerRequest) -> Outcome:
        raise NotImplementedError

    def under_a_random_id(self, request: TriggerRequest) -> Outcome:
        run_id = f"manual__{self.world.random.getrandbits(64):016x}"
        return self.airflow.trigger(replace(request.target, run_id=run_id))


class RandomRunId(_Strategy):
    """A random run_id; an error is tried again."""

    def start(self, request: TriggerRequest) -> Outcome:
        return self.under_a_random_id(request)


class Idempotency(_Strategy):
    """As Powertools' idempotency does it, on the event's own identity, around a random run_id.

    Record in progress, call, record completed; the record is deleted when the call raises.
    """

    def start(self, request: TriggerRequest) -> Outcome:
        scheduler, key = self.world.scheduler, (*request.ledger_key,)
        self._call()
        state, until = self.memory.get(key, ("", 0.0))
        if until > scheduler.now:
            if state == "completed":
                return AlreadyTriggered()
            return Retryable(Reason.OVERTAKEN, "already in progress")
        self.memory[key] = ("in progress", scheduler.now + IN_PROGRESS_SECONDS)
        outcome = self.under_a_random_id(request)
        self._call()
        if isinstance(outcome, Retryable | OutcomeUnknown):
            self.memory.pop(key, None)
        else:
            self.memory[key] = ("completed", scheduler.now + REMEMBERED_SECONDS)
        return outcome

    def _call(self) -> None:
        self.world.aws_call("dynamodb", "PutItem", lambda: None)


class AlreadyExistsIsSuccess(_Strategy):
    """A derived run_id and the command line's defaults; "already exists" is taken for done."""

    def start(self, request: TriggerRequest) -> Outcome:
        target = request.target
        command = airflow_cli.trigger_command(target).replace(" --no-replace-microseconds", "")
        answer = self.airflow.ask(command)
        outcome = airflow_cli.read_trigger(answer, target) if isinstance(answer, CommandAnswer) else answer
        if isinstance(outcome, OutcomeUnknown) and "DagRunAlreadyExists" in outcome.text:
            return AlreadyTriggered(outcome.text)
        return outcome


class EveryAnswerIsSuccess(_Strategy):
    """As in the sample that AWS's documentation prints: whatever comes back is taken for a run."""

    def start(self, request: TriggerRequest) -> Outcome:
        self.under_a_random_id(request)
        return Triggered()


BASELINES: dict[str, type[_Strategy]] = {
    "random run_id, errors tried again": RandomRunId,
    "Powertools-like idempotency, random run_id": Idempotency,
    "derived run_id, “already exists” is success": AlreadyExistsIsSuccess,
    "every answer is success": EveryAnswerIsSuccess,
}


def figures(name: str, seeds: range, events: int) -> Figures:
    """Run a strategy, or with "" the gateway itself, through the same days."""
    strategy = BASELINES.get(name)
    make: Callable[[Gateway, str], Any] | None = None
    if strategy is not None:

        def make(gateway: Gateway, environment: str) -> Any:
            settings = dispatcher_settings(gateway, environment)
            messages = SqsTriggerMessages(
                gateway.sqs, settings.trigger_queue_url, gateway.world.scheduler.time
            )
            return TriggerDeliveries(
                dispatcher=strategy(gateway, environment),
                messages=messages,
                concurrency=Concurrency(1),
                side_by_side=gateway.world.scheduler.side_by_side,
                close_connections=lambda: None,
                now=gateway.world.scheduler.time,
                report=gateway.dispatched,
                report_bug=gateway.bug,
                warn=gateway.warn,
            )

    expected = lost = doubled = 0
    for seed in seeds:
        simulated = simulate(
            seed,
            events,
            rates=Rates.of_the_promise(),
            poison=0.0,
            bounds=Bounds(1e9, 1e9, 1e9),
            make_dispatcher=make,
        )
        expected += simulated.expected
        lost += simulated.verdict.lost
        doubled += simulated.verdict.doubled
    return Figures(name or "this gateway", expected, lost, doubled)


if __name__ == "__main__":
    sys.stdout.write("| strategy | runs due | lost | doubled |\n|---|---|---|---|\n")
    for strategy in (*BASELINES, ""):
        found = figures(strategy, range(3), 1000)
        sys.stdout.write(f"| {found.strategy} | {found.expected:,} | {found.lost:,} | {found.doubled:,} |\n")
        sys.stdout.flush()
