"""The protocol of reconcile, explored exhaustively: an object starts one run, whenever its event arrives.

A process is a delivery of the event, by the dispatcher as it is, or a reconcile. The dispatcher's Lambda function ends after
its timeout, and a reconcile waits for longer: an order in which a delivery outlasts that wait is left out.
"""

import json
import zlib
from collections.abc import Callable, Hashable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from exploration import READS, Exploration, Ports, Process, run
from fakes.batches import BatchesInMemory, LateMembersInMemory, ManifestsInMemory, TimersInMemory
from fakes.catalog import FakeCatalogStore
from fakes.circuit_breakers import FakeCircuitStore
from fakes.ledger import FakeLedger, Row
from fakes.object_claims import FakeClaims
from fakes.queues import FakeTriggerDeadLetters
from gateway_cli.reconcile.known import recognise
from gateway_cli.reconcile.starting import RESERVED_SECONDS, Starter
from gateway_cli.reconcile.state import Row as WantRow
from gateway_cli.reconcile.state import State
from gateway_cli.reconcile.wants import Want
from mwaa_gateway.airflow.port import Airflow
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.object_claims import CLAIM_SORT, CLAIMS, MEMBER_CLAIMS
from mwaa_gateway.dispatch import dispatcher as dispatch_module
from mwaa_gateway.dispatch import object_claims
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.dispatcher import Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses, PausesRead
from mwaa_gateway.dispatch.s3_objects import ListedObject
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.outcomes import AlreadyTriggered, Reason, Retryable, Triggered
from mwaa_gateway.routing.members import Member, MemberMessage, member_digest
from mwaa_gateway.trigger_request import (
    ResolvedTarget,
    TriggerRequest,
    derive_run_id,
    event_hash,
)

RULE, TARGET = "finance.orders", "default"
COLLECTS = json.dumps(
    {
        "id": RULE,
        "pattern": {"source": ["aws.s3"]},
        "collect": {"max_wait": "10m"},
        "target": {"environment": "analytics", "dag_id": "load"},
    }
)
BUCKET, KEY, ETAG = "acme", "orders/1.csv", "e1"
UPLOADED = 1_000.0
LISTED = 2_000.0
LATER = LISTED + 2 * RESERVED_SECONDS  # every reservation has expired
OBJECT = ListedObject(BUCKET, KEY, ETAG, "", UPLOADED, LISTED)


def request(identity: str) -> TriggerRequest:
    """The event's request has its sequencer as identity, the command's has the object's."""
    event = {
        "id": "e",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "1970-01-01T00:16:40.500000+00:00",
        "detail": {"bucket": {"name": BUCKET}, "object": {"key": KEY, "etag": ETAG}},
    }
    run_id = derive_run_id(identity, RULE, TARGET)
    target = ResolvedTarget("analytics", "ingest", run_id, {})
    return TriggerRequest(identity, event, RULE, 1, TARGET, target, None, UPLOADED)


EVENT = request("s3|acme|orders/1.csv|Object Created|0A")
OWN = request(OBJECT.identity)


@dataclass
class Runs:
    """Airflow: a run_id is created once."""

    ids: frozenset[str] = frozenset()

    def trigger(self, target: ResolvedTarget) -> Triggered | AlreadyTriggered:
        if target.run_id in self.ids:
            return AlreadyTriggered()
        self.ids |= {target.run_id}
        return Triggered()

    def look_up(self, target: ResolvedTarget) -> AlreadyTriggered | Retryable:
        return AlreadyTriggered() if target.run_id in self.ids else Retryable(Reason.RUN_NOT_THERE, "")


@dataclass
class World:
    """The tables, Airflow and the trigger queue; and who ran while a reconcile waited."""

    ledger: FakeLedger = field(default_factory=FakeLedger)
    claims: FakeClaims = field(default_factory=FakeClaims)
    airflow: Runs = field(default_factory=Runs)
    store: BatchesInMemory = field(default_factory=BatchesInMemory)
    may_be_claimed: bool = False
    sent: frozenset[str] = frozenset()  # identities
    running: frozenset[str] = frozenset()
    outlasted: frozenset[str] = frozenset()  # those that a wait has outlasted: they take no further step
    impossible: bool = False

    def __getattr__(self, name: str) -> "Port":
        if "@" not in name:
            raise AttributeError(name)
        return Port(self, *name.split("@"))

    def copy(self) -> "World":
        rows = {key: replace(row) for key, row in self.ledger.rows.items()}
        return replace(
            self,
            store=BatchesInMemory(**{name: dict(table) for name, table in vars(self.store).items()}),
            ledger=FakeLedger(rows),
            claims=FakeClaims({**self.claims.texts}),
            airflow=Runs(self.airflow.ids),
        )

    def key(self) -> Hashable:
        if self.impossible:
            return "impossible"
        rows = ((key, repr(replace(row, request=None))) for key, row in self.ledger.rows.items())  # type: ignore[arg-type]
        return (
            frozenset(rows),
            frozenset(self.claims.texts.items()),
            self.airflow.ids,
            *(frozenset(table.items()) for table in vars(self.store).values()),
            self.may_be_claimed,
            self.sent,
            self.running,
            self.outlasted,
            self.impossible,
        )

    # --- what a reconcile does beside its claims

    def mark(self) -> None:
        self.may_be_claimed = True

    def settle(self) -> None:
        self.outlasted |= self.running

    def send(self, identities: Sequence[str]) -> None:
        self.sent |= {*identities}

    def begin(self) -> None:
        """A first step, from which the world knows who runs."""

    def is_sent(self, identity: str) -> bool:
        return identity in self.sent

    def items(self) -> list[dict[str, Any]]:
        """Both kinds of the ledger's items, as DynamoDB has them."""
        return [
            {
                "event": {"S": event},
                "request": {"S": sort},
                "state": {"S": row.state},
                "request_body": {"B": zlib.compress(row.request.to_json().encode())},
            }
            for (event, sort), row in self.ledger.rows.items()
        ] + [
            {
                "event": {"S": event_hash(name)},
                "request": {"S": f"{rule}#{target}#{CLAIM_SORT}"},
                CLAIMS: {"S": text},
            }
            for (name, rule, target), text in self.claims.texts.items()
        ]

    def pointers_now(self) -> list[dict[str, Any]]:
        """The items of the batches table, as DynamoDB has them."""
        table = BatchesTable(None, "batches", now=lambda: 0.0)  # type: ignore[arg-type]  # without a client
        return [table._pointer_item(pointer) for pointer in self.store.pointed.values()] + [
            {"partition": {"S": f"{MEMBER_CLAIMS}{rule}#{event_hash(name)}"}, CLAIMS: {"S": text}}
            for (name, rule, _), text in self.claims.texts.items()
        ]

    def read(self, environment: str, rule_id: str) -> PausesRead:  # noqa: ARG002
        return PausesRead({}, self.may_be_claimed)


@dataclass
class Port:
    """A port of one delivery: the world sees who takes a step."""

    world: World
    name: str
    who: str

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in READS:
            self.world.running |= {self.who}
            self.world.impossible |= self.who in self.world.outlasted
        part = self.world if self.name in ("pauses", "begin") else getattr(self.world, self.name)
        return getattr(part, method)  # type: ignore[no-any-return]


def dispatcher(ports: Ports, now: float) -> Dispatcher:
    def port(name: str) -> Any:
        return ports.port(f"{name}@{ports.name}")

    airflow: Airflow = port("airflow")
    return Dispatcher(
        ledger=port("ledger"),
        claims=port("claims"),
        airflow=airflow,
        dead_letters=FakeTriggerDeadLetters(),
        pauses=Pauses("analytics", port("pauses"), refresh_seconds=5),
        circuit_breakers=CircuitBreakers("analytics", FakeCircuitStore(), dag_missing_grace_seconds=900),
        catalog=LiveCatalog(FakeCatalogStore(), airflow, refresh_seconds=0, now=lambda: now, report=print),
        maximum_event_age_seconds=86_400,
        now=lambda: now,
        jitter=lambda: 0.0,
        sleep=lambda _: None,
    )


def delivers(message: TriggerRequest = EVENT, now: float = LISTED) -> Process[World]:
    """A delivery of a message, at a time by its own clock."""

    def process(ports: Ports) -> Callable[[World], None]:
        if message is EVENT or ports.port("world").is_sent(message.identity):
            dispatcher(ports, now).dispatch(message.to_json(), 1)
        return ended(ports.name)

    return process


def member(identity: str) -> MemberMessage:
    item = {
        "uri": f"s3://{BUCKET}/{KEY}",
        "bucket": BUCKET,
        "key": KEY,
        "etag": ETAG,
        "sequencer": "0A",
        "time": EVENT.event["time"],
    }
    return MemberMessage(RULE, 1, COLLECTS, (), Member(member_digest(identity), item, "1"), LISTED)


MEMBER = member("s3|acme|orders/1.csv|Object Created|A")
OWN_MEMBER = member(OBJECT.identity)


def collects(message: MemberMessage = MEMBER, now: float = LISTED) -> Process[World]:
    """A delivery of a member to the collector."""

    def process(ports: Ports) -> Callable[[World], None]:
        if message is OWN_MEMBER and not ports.port("world").is_sent(OBJECT.identity):
            return lambda _: None
        name = ports.name
        ports.port(f"begin@{name}").begin()
        Collector(
            store=ports.port(f"store@{name}", one_by_one="point"),
            claims=ports.port(f"claims@{name}"),
            manifests=ManifestsInMemory(),
            timers=TimersInMemory(),
            late_members=LateMembersInMemory(),
            new_id=ports.new_id,
            now=lambda: now,
        ).collect([message])
        return ended(name)

    return process


def ended(name: str) -> Callable[[World], None]:
    def end(world: World) -> None:
        world.impossible |= name in world.outlasted
        world.running -= {name}

    return end


def reconciles(
    now: float = LISTED, kind: type[Starter] = Starter, *, steps: str = "settle look", plain: bool = True
) -> Process[World]:
    """A reconcile that has listed the object, and found no row; of a rule that is `plain`, or collects."""

    def process(ports: Ports) -> Callable[[World], None]:
        world: Any = ports.port("world")
        with closing(State.opened(":memory:", BUCKET)) as state:
            if plain:
                state.add([Want(OBJECT, RULE, TARGET, event_hash(OBJECT.identity))])
            else:
                state.add([Want(OBJECT, RULE, "", OWN_MEMBER.member.id)])

            def look() -> None:
                if plain:
                    recognise(state, "ledger", world.items())
                else:
                    recognise(state, "batches", world.pointers_now())

            def send(wants: Sequence[WantRow]) -> dict[int, str]:
                world.send([want.listed.identity for want in wants])
                return {}

            look()
            starter = kind(
                state=state,
                claims_of=lambda _: ports.port("claims"),
                is_unchanged=lambda _: True,
                send=send,
                by=ports.name,
                now=now,
            )
            world.mark()
            starter.reserve(["never", "sent"])
            if "settle" in steps:
                world.settle()
            if "look" in steps:
                look()
            starter.start()
        return lambda _: None

    return process


World.world = property(lambda self: self)  # type: ignore[attr-defined]  # its own port


def drained(world: World, *, with_event: bool, plain: bool) -> World:
    """Every message is delivered until it is done, when every reservation has expired."""
    for number in range(3):
        messages: list[Process[World]] = []
        if plain:
            messages += [delivers(EVENT, LATER)] if with_event else []
            messages += [delivers(OWN, LATER)] if world.sent else []
        else:
            messages += [collects(MEMBER, LATER)] if with_event else []
            messages += [collects(OWN_MEMBER, LATER)] if world.sent else []
        for position, message in enumerate(messages):
            world = run(message, world, f"drain-{number}-{position}")
    return world


def started(world: World, *, plain: bool) -> int:
    """How often the object has started: its runs, or its places in batches."""
    return len(world.airflow.ids if plain else world.store.pointed)


def explore(
    processes: dict[str, Process[World]], *, with_event: bool = True, crashes: int = 1, plain: bool = True
) -> int:
    """Every end has one run: with the event, whatever became of the reconcile; without it, after the next reconcile."""
    exploration: Exploration[World] = Exploration(processes, crashes)
    ends: set[Hashable] = set()
    for end in exploration.ends(World()):
        end.running = end.outlasted = frozenset()
        if end.impossible or end.key() in ends:
            continue
        ends.add(end.key())
        world = drained(end, with_event=with_event, plain=plain)
        if with_event:
            assert 1 == started(world, plain=plain)
        world = run(reconciles(LATER, plain=plain), world, "next")
        assert 1 == started(drained(world, with_event=with_event, plain=plain), plain=plain)
    return len(ends)


def collected(crashes: int = 1, *, with_event: bool = True, **processes: Process[World]) -> int:
    return explore(processes, with_event=with_event, crashes=crashes, plain=False)


SCENES: list[Callable[..., int]] = [
    lambda **kind: explore({"r": reconciles(**kind), "d": delivers()}),
    lambda **kind: explore({"r": reconciles(**kind), "d1": delivers(), "d2": delivers()}),
    lambda **kind: explore({"r": reconciles(**kind), "d": delivers(), "late": delivers(now=LATER)}),
    lambda **kind: explore(
        {"r1": reconciles(**kind), "r2": reconciles(**kind), "d": delivers(now=LATER)}, crashes=0
    ),
    lambda **kind: explore({"r": reconciles(**kind)}, with_event=False),
    lambda **kind: explore({"r": reconciles(**kind), "own": delivers(OWN), "d": delivers()}, crashes=0),
]
OF_BATCHES: list[Callable[..., int]] = [
    lambda **kind: collected(r=reconciles(**kind, plain=False), c=collects()),
    lambda **kind: collected(r=reconciles(**kind, plain=False), c=collects(), late=collects(now=LATER)),
    lambda **kind: collected(r=reconciles(**kind, plain=False), with_event=False),
    lambda **kind: collected(
        0, r=reconciles(**kind, plain=False), own=collects(OWN_MEMBER), c=collects(now=LATER)
    ),
]


@pytest.mark.guarantee(54)
@pytest.mark.parametrize("scene", [*SCENES, *OF_BATCHES])
def test_an_object_starts_one_run(scene: Callable[..., int]) -> None:
    """Whatever the order of the steps, and wherever one of the processes ends for good."""
    assert scene() > 1


# --- without one of its safeguards, the protocol fails -------------------------------------------------------


class StartsInAnyCase(Starter):
    def _mark_started(self, want: WantRow) -> bool:
        super()._mark_started(want)
        return True


class SendsBeforeItStarts(Starter):
    def _reserve(self, want: WantRow) -> Any:
        self.send([want])
        return super()._reserve(want)


def ignoring_reservations(message: TriggerRequest, claims: Any, now: float) -> Any:
    found = AS_CLAIMED(message, claims, now)
    return message if isinstance(found, Retryable) else found


def never_looking(message: TriggerRequest, claims: Any, now: float) -> Any:  # noqa: ARG001
    return message


def leaving_what_expired(message: TriggerRequest, claims: Any, now: float) -> Any:
    class Kept:
        read = staticmethod(claims.read)

        @staticmethod
        def replace(*_: Any) -> bool:
            raise Expired

    try:
        return AS_CLAIMED(message, Kept, now)
    except Expired:
        return message


class Expired(Exception):
    pass


AS_CLAIMED = object_claims.as_claimed


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"steps": "look"}, id="it waits for attempts under way"),
        pytest.param({"steps": "settle"}, id="it looks into the ledger once more"),
        pytest.param({"kind": StartsInAnyCase}, id="a claim that is gone is not started"),
        pytest.param({"kind": SendsBeforeItStarts}, id="a request is sent after the claim is started"),
    ],
)
def test_each_safeguard_of_the_command_is_needed(kind: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        every_scene(**kind)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"steps": "look"}, id="it waits for collectors under way"),
        pytest.param({"steps": "settle"}, id="it looks into the batches once more"),
        pytest.param({"kind": StartsInAnyCase}, id="a claim that is gone is not started"),
    ],
)
def test_each_safeguard_is_needed_for_members(kind: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        every_scene(OF_BATCHES, **kind)


def test_the_collector_must_look_for_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeClaims, "read_all", lambda *_: {})
    with pytest.raises(AssertionError):
        every_scene(OF_BATCHES)


@pytest.mark.parametrize("without", [ignoring_reservations, never_looking, leaving_what_expired])
def test_each_safeguard_of_the_dispatcher_is_needed(
    without: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_module, "as_claimed", without)
    with pytest.raises(AssertionError):
        every_scene()


def test_an_event_that_is_dropped_is_lost_where_the_command_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the event of a started object is a delivery of its request, and not simply a duplicate."""
    monkeypatch.setattr(
        object_claims, "_with_identity", lambda message, _: replace(message, identity="dropped")
    )
    monkeypatch.setattr(FakeLedger, "begin_attempt", dropping(FakeLedger.begin_attempt))
    with pytest.raises(AssertionError):
        SCENES[0]()


def every_scene(scenes: Sequence[Callable[..., int]] = SCENES, **kind: Any) -> None:
    for scene in scenes:
        scene(**kind)


def dropping(begin: Callable[..., Any]) -> Callable[..., Any]:
    def begin_attempt(ledger: FakeLedger, message: TriggerRequest, now: float) -> Any:
        if message.identity != "dropped":
            return begin(ledger, message, now)
        return FakeLedger._finished(Row(message, state="triggered", finished_at=0.0))

    return begin_attempt
