"""The functions of the feeds: batch_collector, batch_releaser and batch_timers, wired by `mwaa_gateway.wiring.feeds`."""

import json
import math
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Pointer
from mwaa_gateway.routing.members import SHADOW_SUFFIX
from mwaa_gateway.wiring import feeds as wiring
from simulation.dynamodb import Item, Key, Table
from simulation.lambdas import EventSourceMapping, Sandbox, Sandboxes
from simulation.s3 import LARGE_CONFS
from simulation.scheduler import Process
from simulation.sqs import Message, Queue
from simulation.world import World

if TYPE_CHECKING:
    from simulation.gateway import Gateway

__all__ = ["Feeds"]

# As in template.yaml; tests/template checks them.
COLLECTOR_TIMEOUT, RELEASER_TIMEOUT, TIMERS_TIMEOUT = 30.0, 60.0, 30.0
COLLECT_VISIBILITY, LOOK_VISIBILITY = 180.0, 360.0
COLLECT_BATCH, COLLECT_WINDOW, LOOK_BATCH, CONCURRENCY = 100, 1.0, 10, 5
MAXIMUM_RECEIVES, RETENTION = 1000, 4 * 86_400.0
TICK_SECONDS = 60.0
FINDS_NOTHING = 900.0  # a tick looks 180 s ahead, with a clock that is 300 s ahead of another
PATIENCE = 3600.0

_WIRING = compile(Path(str(wiring.__file__)).read_text(), str(wiring.__file__), "exec")


class CollectQueue(Queue):
    """Notes when each message is sent, and when the last message with such a body is deleted."""

    def __init__(self, world: World, name: str, **settings: Any) -> None:
        super().__init__(world, name, **settings)
        self.sent_at: list[tuple[float, str]] = []
        self.deleted_at: dict[str, float] = {}

    def send(self, body: str, **message: Any) -> None:
        self.sent_at.append((self._world.scheduler.now, body))
        super().send(body, **message)

    def delete(self, message: Message) -> None:
        super().delete(message)
        self.deleted_at[message.body] = self._world.scheduler.now


@dataclass
class SentMember:
    """A member on the collect queue: when it was first sent, its line, and when the last of its messages was deleted."""

    sent_at: float
    item: dict[str, Any]
    deleted_at: float = 0.0


class Feeds:
    """Their table, queues and functions.

    `joined` says when each member came into its batch, by rule and member id; `released` and `decided`, when each batch's
    release began, and was decided; `late`, which members a collector reported as late.

    Ticks that would find nothing due are left out.
    """

    def __init__(self, gateway: "Gateway") -> None:
        self.gateway, self.world = gateway, gateway.world
        world = self.world
        self.table = Table("partition", "sort", world.scheduler.time, indexed="due_shard")
        self.table.watches.append(self._written)
        self.collect_queue = CollectQueue(
            world,
            "collect",
            visibility_timeout=COLLECT_VISIBILITY,
            maximum_receives=MAXIMUM_RECEIVES,
            retention=RETENTION,
        )
        self.look_queue = Queue(world, "look", visibility_timeout=LOOK_VISIBILITY, retention=RETENTION)
        self.collector = self._polled(
            "batch_collector", self.collect_queue, COLLECTOR_TIMEOUT, COLLECT_BATCH, COLLECT_WINDOW
        )
        self.releaser = self._polled("batch_releaser", self.look_queue, RELEASER_TIMEOUT, LOOK_BATCH)
        self.timers = Sandboxes(world, "batch_timers", TIMERS_TIMEOUT, self._timers_sandbox)
        self.bus: list[dict[str, Any]] = []  # entries of PutEvents
        self.joined: dict[tuple[str, str], float] = {}
        self.released: dict[str, float] = {}
        self.decided: dict[str, float] = {}
        self.late: set[tuple[str, str]] = set()
        self.stalled: list[str] = []
        self.refused: list[str] = []
        self.asked: list[str] = []  # batches that an operator wants released or cancelled
        self.given = self.done = 0  # an operator's commands; and those of them that came to their end
        self._ticking = False
        self._wiring: dict[str, Any] = {}

    def sent(self) -> "dict[tuple[str, str], SentMember]":
        """Return what was sent to the collect queue, by rule and member id."""
        sent: dict[tuple[str, str], SentMember] = {}
        for at, body in self.collect_queue.sent_at:
            message = json.loads(body)
            if "member" in message:
                key = message["rule_id"], message["member"]["id"]
                member = sent.setdefault(key, SentMember(at, message["member"]["item"]))
                member.deleted_at = max(member.deleted_at, self.collect_queue.deleted_at.get(body, math.inf))
        return sent

    @property
    def mappings(self) -> tuple[EventSourceMapping, ...]:
        return self.collector, self.releaser

    # --- an operator

    def operate(self, *, cancel: bool, rule: str) -> None:
        """`batches release` or `batches cancel` of the open batches of a rule."""
        rules = {rule, f"{rule}{SHADOW_SUFFIX}"}

        def command() -> None:
            releaser = self._wired("batch_releaser").releaser
            for batch_id, _ in [*releaser.store.due(1e11)]:
                batch = releaser.store.batch(batch_id)
                if batch is not None and batch.state == "open" and batch.rule_id in rules:
                    self.asked.append(batch_id)
                    releaser.release(batch_id, by="somebody", cancel=cancel)

        def ended(_result: Any, error: BaseException | None) -> None:
            if error is None:
                self.done += 1
            elif not process.killed and not isinstance(error, Unavailable):
                self.world.surprises.append(f"the operator saw {error!r}")

        self.given += 1
        deadline = self.world.scheduler.now + PATIENCE
        process = Process(command, ended, deadline=deadline, chain={"operator": 1})
        process.switch()

    # --- the minute's tick

    def tick(self, begins: float, ends: float) -> None:
        """Tick each minute of this time, in seconds since the start, though nothing is due: days are expected."""
        at = begins
        while at < ends:
            self.world.scheduler.at(
                self.world.start + at, lambda: self.timers.invoke({}, "", lambda _result, _error: None)
            )
            at += TICK_SECONDS

    def _written(self, key: Key, old: Item | None, new: Item) -> None:
        if key[1] == "member" and (old is None or old["batch_id"] != new["batch_id"]):
            _, rule_id, member_id = key[0].split("#")
            self.joined[rule_id, member_id] = self.world.scheduler.now
        if key[1] == "decision":
            self.decided[key[0].removeprefix("batch#")] = self.world.scheduler.now
        if key[1] == "batch" and new["state"]["S"] == "releasing":
            self.released.setdefault(key[0].removeprefix("batch#"), self.world.scheduler.now)
        if "due_shard" in new and not self._ticking:
            self._tick_later()

    def _tick_later(self) -> None:
        self._ticking = True
        since_start = self.world.scheduler.now - self.world.start
        next_minute = (math.floor(since_start / TICK_SECONDS) + 1) * TICK_SECONDS
        self.world.scheduler.at(self.world.start + next_minute, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        keys = self.table.keys_to_read({"IndexName": "due"})
        if not keys:
            return
        due = (float(self.table.items[key].get("due_at", {"N": "inf"})["N"]) for key in keys)
        if min(due) <= self.world.scheduler.now + FINDS_NOTHING:
            self.timers.invoke({}, "", lambda _result, _error: None)
        self._tick_later()

    # --- functions

    def _polled(
        self, name: str, queue: Queue, timeout: float, batch_size: int, window: float = 0.0
    ) -> EventSourceMapping:
        sandboxes = Sandboxes(self.world, name, timeout, lambda: self._sandbox(name))
        return EventSourceMapping(
            self.world, queue, sandboxes, CONCURRENCY, lambda _: "", batch_size=batch_size, window=window
        )

    def _sandbox(self, name: str, **instead: Any) -> Sandbox:
        function = self._wired(name)
        return self.gateway.sandbox(name, SimpleNamespace(**{name: lambda: function}, **instead))

    def _timers_sandbox(self) -> Sandbox:
        return self._sandbox(
            "batch_timers", **({} if self.gateway.logged else {"report_timers": self._timers_started})
        )

    def _wired(self, name: str) -> Any:
        """Build a function as its sandbox does, on simulated clients and with a clock of its own."""
        if not self._wiring:
            self._wiring = self._wired_on_simulated_aws()
        self._wiring["time"] = SimpleNamespace(time=self.world.clock())
        return self._wiring[name].__wrapped__()

    def _wired_on_simulated_aws(self) -> dict[str, Any]:
        gateway, world = self.gateway, self.world
        scope: dict[str, Any] = {"__name__": wiring.__name__}
        exec(_WIRING, scope)  # noqa: S102  our own file
        clients = {
            "dynamodb": gateway.dynamodb,
            "sqs": gateway.sqs,
            "s3": gateway.s3,
            "events": SimpleNamespace(put_events=self._put_events),
        }
        environ = {
            "BATCHES_TABLE": "batches",
            "RULES_TABLE": "rules",
            "COLLECT_QUEUE_URL": "collect",
            "LOOK_QUEUE_URL": "look",
            "CLAIM_CHECK_BUCKET": LARGE_CONFS,
            "TRIGGER_QUEUE_URL": "trigger-{environment}",
            "INGRESS_DLQ_URL": "ingress-dlq",
            "EVENT_BUS": "gateway",
        }

        class Batches(BatchesTable):
            """Waits in virtual time, and writes its pointers one after the other: a thread knows no greenlet."""

            def __init__(self, client: Any, table: str, *, now: Callable[[], float]) -> None:
                super().__init__(client, table, now=now, pause=world.scheduler.wait)

            def point(self, pointers: Sequence[Pointer]) -> list[Pointer]:
                return [*map(self._point, pointers)]

        ids = random.Random(world.random.random())
        scope |= {
            "BatchesTable": Batches,
            "boto3": SimpleNamespace(client=lambda service, **_: clients[service]),
            "os": SimpleNamespace(environ=environ),
            "random": SimpleNamespace(random=world.random.random),
            "uuid": SimpleNamespace(uuid4=lambda: uuid.UUID(int=ids.getrandbits(128))),
        }
        if not gateway.logged:
            scope |= {
                "logger": SimpleNamespace(warning=gateway.warn),
                "report_collected": self._collected,
                "report_looked": self._looked,
                "report_failed": self._failed,
            }
        return scope

    def _put_events(self, **request: Any) -> dict[str, Any]:
        def put() -> dict[str, Any]:
            entries = request["Entries"]
            assert 1 <= len(entries) <= 10
            self.bus += entries
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]}

        return self.world.aws_call("events", "PutEvents", put)

    # --- in the place of what logs and counts

    def _collected(self, results: Sequence[Any], problems: Sequence[str] = ()) -> None:
        self.world.surprises += [text for text in problems if "is not flushed" not in text]
        for each in results:
            if each.result == "late":
                self.late.add((each.message.rule_id, each.message.member.id))
            if each.error is not None and not isinstance(each.error, Unavailable):
                self.world.surprises.append(f"the collector raised {each.error!r}")

    def _looked(self, looked: Any) -> None:
        if looked.decision is not None:
            self.refused += looked.decision.refused

    def _failed(self, batch_id: str, error: Exception) -> None:
        if not isinstance(error, Unavailable):
            self.world.surprises.append(f"a look at {batch_id} raised {error!r}")

    def _timers_started(self, started: Any) -> None:
        self.stalled += started.stalled
        if started.failures:
            raise Unavailable(started.failures[0])
