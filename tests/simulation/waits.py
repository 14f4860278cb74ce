"""A small gateway that has DAG runs waited for: production functions, flows and adapters among simulated parts."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import SimpleNamespace
from typing import Any

from mwaa_gateway.airflow.run_states import Marking, NotAvailable, ReturnValue, RunEnd, RunState, RunsUnknown
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.sqs.queues import TriggerQueues, VisibilityTimeout
from mwaa_gateway.aws.sqs.watch_queues import WatchQueues
from mwaa_gateway.aws.task_callbacks import TaskCallbacks, TokenCipher
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.step_functions.delivery import WatchDeliveries
from mwaa_gateway.step_functions.starter import TaskStarter
from mwaa_gateway.step_functions.watcher import Watcher
from simulation.airflow import Airflow
from simulation.dynamodb import Item, Key
from simulation.gateway import Gateway
from simulation.lambdas import EventSourceMapping, Sandbox, Sandboxes
from simulation.s3 import LARGE_CONFS
from simulation.sqs import Message, Queue
from simulation.step_functions import StepFunctions, WaitingState
from simulation.world import START, Crashes, Rates, World

__all__ = ["Waits"]

TASK_TIMEOUT, WATCHER_TIMEOUT = 30.0, 90.0
ROUND_DELAY, WATCH_VISIBILITY = 5.0, 120.0
INDEX_LAG = 1.0  # of DynamoDB's index behind its table, at most, as a rule
RUN_SECONDS = 20.0
TICK_SECONDS = 60.0
TICK = {"source": "aws.events", "detail-type": "Scheduled Event"}


class FifoQueue(Queue):
    """One message group: nothing is handed out while something of it is being worked on; a repeated id is dropped."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name, visibility_timeout=WATCH_VISIBILITY)
        self._seen: dict[str, float] = {}

    def send_once(self, body: str, deduplication_id: str) -> None:
        now = self._world.scheduler.now
        if now - self._seen.get(deduplication_id, float("-inf")) >= 300:
            self._seen[deduplication_id] = now
            copies = len(self.messages)
            self.send(body, delay=ROUND_DELAY)
            while len(self.messages) > copies + 1:  # a standard queue's second copy
                self.messages.popitem()[1].deleted = True

    def receive(self) -> Message | None:
        now = self._world.scheduler.now
        for message in self.messages.values():
            if message.receives and now < message.visible_at != now + self.visibility_timeout:
                return None
        return super().receive()


class WatchClient:
    """The part of botocore's SQS client that is about the watch queue."""

    def __init__(self, world: World, queue: FifoQueue) -> None:
        self._world, self._queue = world, queue

    def send_message(self, **request: Any) -> Any:
        def send() -> dict[str, Any]:
            self._queue.send_once(request["MessageBody"], request["MessageDeduplicationId"])
            return {"MessageId": request["MessageDeduplicationId"]}

        return self._world.aws_call("sqs", "SendMessage", send)

    def change_message_visibility(self, **request: Any) -> Any:
        def change() -> dict[str, Any]:
            self._queue.change_visibility(request["ReceiptHandle"], request["VisibilityTimeout"])
            return {}

        return self._world.aws_call("sqs", "ChangeMessageVisibility", change)


class Kms:
    """Seals by turning the text around, for its context only."""

    def __init__(self, world: World) -> None:
        self._world = world

    def encrypt(self, *, KeyId: str, Plaintext: bytes, EncryptionContext: dict[str, str]) -> Any:  # noqa: N803
        sealed = json.dumps([KeyId, Plaintext[::-1].decode(), EncryptionContext]).encode()
        return self._world.aws_call("kms", "Encrypt", lambda: {"CiphertextBlob": sealed})

    def decrypt(self, *, CiphertextBlob: bytes, EncryptionContext: dict[str, str]) -> Any:  # noqa: N803
        _key, text, context = json.loads(CiphertextBlob)
        assert context == EncryptionContext
        return self._world.aws_call("kms", "Decrypt", lambda: {"Plaintext": text[::-1].encode()})


class WatchTable:
    """The part of botocore's DynamoDB client that watches need; their index lags behind the table."""

    def __init__(self, gateway: Gateway) -> None:
        self._world, self._table, self._client = gateway.world, gateway.ledger, gateway.dynamodb
        self.exceptions = gateway.dynamodb.exceptions
        self.get_item, self.update_item = self._client.get_item, self._client.update_item
        self.batch_get_item = self._client.batch_get_item
        self.index: dict[Key, Item] = {}
        self.lag = INDEX_LAG
        self._table.watches.append(self._written)

    def put_item(self, **request: Any) -> Any:
        def put() -> dict[str, Any]:
            self._table.put_if(request)
            return {}

        return self._world.aws_call("dynamodb", "PutItem", put)

    def get_paginator(self, operation: str) -> Any:
        assert operation == "query"
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, **request: Any) -> list[dict[str, Any]]:
        wanted = request["ExpressionAttributeValues"][":watched_in"]

        def read() -> dict[str, Any]:
            found = [item for item in self.index.values() if item["watched_in"] == wanted]
            return {"Items": sorted(found, key=lambda item: float(item["since"]["N"]))}

        return [self._world.aws_call("dynamodb", "Query", read)]

    def _written(self, key: Key, _old: Item | None, new: Item) -> None:
        def seen() -> None:
            if "watched_in" in new:
                self.index[key] = {name: new[name] for name in new if name != "sealed_token"}
            else:
                self.index.pop(key, None)

        if key[1].startswith("watch|"):
            self._world.scheduler.after(self.lag, seen)


class Runs:
    """Implements `airflow.port.AirflowRuns` over the simulated one; `fails` says which runs fail, by their conf."""

    def __init__(self, world: World, airflow: Airflow) -> None:
        self._world, self._airflow = world, airflow
        self.fails: Callable[[dict[str, Any]], bool] = lambda _: False
        self.seconds = RUN_SECONDS

    def state(self, dag_id: str, run_id: str) -> RunState | None:
        run = self._airflow.find(dag_id, run_id, self._world.scheduler.now)
        if run is None:
            return None
        age = self._world.scheduler.now - run.created_at
        if age < self.seconds:
            return RunState(None, started=age > 1)
        failed = self.fails(json.loads(run.conf))
        return RunState(RunEnd.FAILED if failed else RunEnd.SUCCESS, started=True)

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        assert since > 0
        if unknown := self._trouble():
            return unknown
        found = {run_id: self.state(dag_id, run_id) for run_id in run_ids}
        return {run_id: state for run_id, state in found.items() if state is not None}

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        return self._trouble() or self.state(dag_id, run_id) is not None

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        del dag_id, run_id
        return self._trouble() or ["second"]

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        del dag_id, run_id
        return self._trouble() or ReturnValue(task_id)

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        del dag_id, run_id
        return self._trouble() or NotAvailable("no web login")

    def _trouble(self) -> RunsUnknown | None:
        """Ask: the process may die in it, and the answer may be none."""
        crash = self._world.next_crash("ask Airflow")
        self._world.scheduler.wait(1.0)
        if crash is not None:
            self._world.scheduler.kill()
        silent = self._world.chance(self._world.rates.web_server_error, "Airflow did not answer")
        return RunsUnknown("no answer") if silent else None


class Waits:
    """States that wait for runs of one DAG."""

    def __init__(self, rates: Rates | None = None, *, seed: int = 0, crashes: Crashes | None = None) -> None:
        self.world = World(seed, rates or Rates())
        if crashes is not None:
            self.world.crashes = crashes
        self.airflow = Airflow("legacy", "2.11.2", {"load"})
        self.gateway = Gateway(self.world, {"legacy": self.airflow})
        self.runs = Runs(self.world, self.airflow)
        self.table = WatchTable(self.gateway)
        self.queue = FifoQueue(self.world, "watch-legacy")
        self._watch_client = WatchClient(self.world, self.queue)
        tasks = Sandboxes(self.world, "step_functions_task", TASK_TIMEOUT, self._task_sandbox)
        self.states = StepFunctions(self.world, tasks)
        watchers = Sandboxes(self.world, "run_watcher", WATCHER_TIMEOUT, self._watcher_sandbox)
        self.watcher = EventSourceMapping(
            self.world, self.queue, watchers, 1, lambda _: "watch", batch_size=10
        )

    def enter(self, *states: WaitingState, at: float = 0.0) -> None:
        """Have states entered, all in the same moment."""
        for state in states:
            self.states.enter(state, START + at)

    def tick(self, until: float) -> None:
        """Have the schedule start a round once a minute, for so many seconds."""
        for n in range(1, int(until / TICK_SECONDS) + 1):
            body = json.dumps({**TICK, "id": n})
            self.world.scheduler.at(
                START + n * TICK_SECONDS, lambda body=body: self.queue.send_once(body, body)
            )

    def play(self, days: float = 1) -> list[str]:
        """Let everything come to its end, and say what is not as promised."""
        self.world.scheduler.run(until=START + days * 86_400)
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from (said for said in self.world.surprises if "AmbiguousIdentity" not in said)
        if not self.world.scheduler.idle or self.queue.messages:
            yield f"the watcher goes on for ever: {len(self.queue.messages)} messages"
        runs = {run.run_id for run in self.airflow.history}
        if len(runs) != len(self.airflow.history):
            yield "a run was started twice"
        for state in self.states.states:
            yield from self._problems_of(state, runs)
        words = set(self.states.said)
        yield from self._problems_of_the_refused()
        if len(words) != len({token for token, _ in words}):
            yield "one token got different answers"
        for item in self.gateway.ledger.items.values():
            if "sealed_token" in item or "watched_in" in item:
                yield f"a watch is left open: {item}"
        written = "\n".join([*self.gateway.texts, *self.queue.sent_bodies, repr(self.gateway.ledger.items)])
        written += "".join(run.conf for run in self.airflow.history)
        tokens = {token for state in self.states.states for token in state.tokens}
        yield from (f"token {token} is written down" for token in tokens if token in written)

    def _problems_of_the_refused(self) -> Iterator[str]:
        refused = [state for state in self.states.states if state.refuses]
        closed = [item["said"]["S"] for item in self.gateway.ledger.items.values() if "said" in item]
        given_up = [said for said in closed if said.startswith("given up")]
        if len(given_up) != len(refused):
            yield f"{len(refused)} states cannot be answered, and {len(given_up)} were given up"
        yield from (
            f"given up without the reason: {said}" for said in given_up if refused[0].refuses not in said
        )

    def _problems_of(self, state: WaitingState, runs: AbstractSet[str]) -> Iterator[str]:
        name = f"{state.name}[{state.index}]"
        if state.ended is not None:
            if state.ended[1] not in runs:
                yield f"{name} got the result of a run that is not there: {state.ended}"
            if state.tokens[-1] not in {token for token, _ in self.states.taken}:
                yield f"{name}: the newest token got no answer"
        elif state.refused is None and not state.gone and not state.refuses:
            yield f"{name} is stuck"

    # --- functions ---------------------------------------------------------------------------------------------

    def _store(self) -> WatchItems:
        table: Any = self.table
        kms: Any = Kms(self.world)
        return WatchItems(table, "ledger", TokenCipher(kms, "key"), now=self.world.clock())

    def _queues(self) -> WatchQueues:
        client: Any = self._watch_client
        return WatchQueues(client, "watch-{environment}")

    def _task_sandbox(self) -> Sandbox:
        world, gateway = self.world, self.gateway
        starter = TaskStarter(
            rules=LiveRules(
                RulesTable(gateway.dynamodb, "rules", pause=world.scheduler.wait),
                environments={"legacy"},
                refresh_seconds=5,
            ),
            allowed=("*/*",),
            environments={"legacy"},
            queue=TriggerQueues(gateway.sqs, "trigger-{environment}"),
            watches=self._store(),
            watch_queue=self._queues(),
            claim_checks=ClaimCheckBucket(lambda: gateway.s3),
            claim_check_bucket=LARGE_CONFS,
            now=world.clock(),
        )
        return gateway.sandbox("step_functions_task", SimpleNamespace(step_functions_task=lambda: starter))

    def _watcher_sandbox(self) -> Sandbox:
        client: Any = self._watch_client
        states: Any = self.states
        function = WatchDeliveries(
            watcher=Watcher(
                environment="legacy",
                store=self._store(),
                airflow=self.runs,
                callbacks=TaskCallbacks(states),
                now=self.world.clock(),
            ),
            queue=VisibilityTimeout(client, "watch-legacy"),
            report=lambda _: None,
            report_unreadable=lambda _: None,
            warn=self.gateway.warn,
            now=self.world.clock(),
        )
        return self.gateway.sandbox("run_watcher", SimpleNamespace(run_watcher=lambda: function))
