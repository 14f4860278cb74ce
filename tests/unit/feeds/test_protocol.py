"""The protocol of batches, explored exhaustively: each event is in exactly one batch, and each batch is one run."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from exploration import Call, Exploration, Ports, Process, Progress, Step, run
from fakes.batches import (
    BatchesInMemory,
    BusInMemory,
    FlushesInMemory,
    LateMembersInMemory,
    ManifestsInMemory,
    TimersInMemory,
)
from fakes.claim_checks import FakeClaimChecks
from fakes.object_claims import FakeClaims
from fakes.rules import FakeRuleSource
from mwaa_gateway.feeds.batch import Batch, Decision, Head, Pointer, Reason, Segment, key_digest
from mwaa_gateway.feeds.collect import Collector, Result
from mwaa_gateway.feeds.expected import ExpectedBatches
from mwaa_gateway.feeds.release import Counted, Releaser
from mwaa_gateway.routing.members import Member, MemberMessage
from mwaa_gateway.trigger_request import TriggerRequest

RULE = "sales.nightly"
DOCUMENT = json.dumps(
    {
        "id": RULE,
        "pattern": {"source": ["acme"]},
        "collect": {"key": ["<$.detail.day>"], "max_wait": "10m"},
        "target": {"environment": "analytics", "dag_id": "load"},
    }
)
EXPECTING = {
    "id": RULE,
    "pattern": {"source": ["acme"]},
    "collect": {
        "key": ["<$.detail.day>"],
        "max_wait": "10m",
        "due": {"at": "00:00", "date": "<day>"},
        "expected": "daily",
    },
    "target": {"id": "default", "environment": "analytics", "dag_id": "load"},
}
LONG_AFTER = 1e9  # every batch has waited for max_wait by then
MINUTES = 1_000.0


DROPPING = DOCUMENT.replace('"max_wait"', '"complete_when": {"count": 1}, "late": "ignore", "max_wait"')


def message(member: str, day: str = "monday", document: str = DOCUMENT) -> MemberMessage:
    return MemberMessage(RULE, 1, document, (("day", day),), Member(member, {"id": member}, member), 1.0)


@dataclass
class World:
    """The tables, the runs that were requested, and the messages of the collect queue that are done."""

    store: BatchesInMemory = field(default_factory=BatchesInMemory)
    manifests: ManifestsInMemory = field(default_factory=ManifestsInMemory)
    runs: "Runs" = field(default_factory=lambda: Runs())  # noqa: PLW0108  the class follows
    done: frozenset[tuple[str, str]] = frozenset()
    dropped: frozenset[str] = frozenset()  # late members that the rule drops

    def copy(self) -> "World":
        tables = {name: dict(table) for name, table in vars(self.store).items()}
        return World(
            type(self.store)(**tables),
            ManifestsInMemory(dict(self.manifests.objects)),
            Runs(self.runs.ids),
            self.done,
            self.dropped,
        )

    def key(self) -> Hashable:
        return (
            tuple(frozenset(table.items()) for table in vars(self.store).values()),
            self.runs.ids,
            self.done,
            self.dropped,
        )


@dataclass
class Runs:
    """The trigger queue: equal run_ids are one run."""

    ids: frozenset[str] = frozenset()

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        self.ids |= {request.target.run_id for request in requests}


@dataclass(frozen=True, kw_only=True)
class Collects:
    """A collector has these messages."""

    messages: tuple[MemberMessage, ...]
    flow: type[Collector] = Collector

    def __call__(self, ports: Ports) -> Callable[[World], None]:
        flow = self.flow(
            store=ports.port("store", one_by_one="point"),
            claims=FakeClaims(),
            manifests=ports.port("manifests"),
            timers=TimersInMemory(),
            late_members=LateMembersInMemory(),
            new_id=ports.new_id,
            now=lambda: 0.0,
        )
        results = flow.collect(self.messages)

        def acknowledge(world: World) -> None:
            world.done |= {_identity(each.message) for each in results if each.result != "again"}
            world.dropped |= {each.message.member.id for each in results if each.result == "late"}

        return acknowledge

    def may_read(self, world: World, called: tuple[str, ...], thing: "Thing") -> bool:  # noqa: ARG002
        match thing:
            case "head" | "decision", _:
                return True
            case "batch", batch_id:
                return batch_id not in world.store.batches
            case "pointer", member:
                return any(each.member.id == member for each in self.messages)
        return False

    def may_write(self, world: World, called: tuple[str, ...], thing: "Thing") -> bool:
        match thing:
            case "segments", _:
                return True
            case "head", key:
                mine = any(key_digest(each.key) == key for each in self.messages)
                return mine and (RULE, key) not in world.store.heads
            case "batch" | "pointer", _:
                return self.may_read(world, called, thing)
        return False


@dataclass(frozen=True, kw_only=True)
class Releases:
    """A look when every batch is quiet; `later` than another's, it takes that for crashed.

    Its calls are batch, segments, pointers, begin_release, head, advance_head, decision, segments, pointers, decide and
    end_release.
    """

    batch_id: str
    flow: type[Releaser] = Releaser
    later: float = 0.0

    def __call__(self, ports: Ports) -> Callable[[World], None]:
        self.flow(
            store=ports.port("store"),
            manifests=ports.port("manifests"),
            flushes=FlushesInMemory(),
            bus=BusInMemory(),
            claim_checks=FakeClaimChecks(),
            queue=ports.port("runs"),
            new_id=ports.new_id,
            now=lambda: LONG_AFTER + self.later,
            claim_check_bucket="",
        ).look(self.batch_id)
        return lambda _: None

    def may_read(self, world: World, called: tuple[str, ...], thing: "Thing") -> bool:
        has_begun = not {"begin_release", "head"}.isdisjoint(called)
        match thing:
            case "head", key:
                return key == key_digest(world.store.batches[self.batch_id].key) and "decision" not in called
            case "batch" | "end", batch_id:
                return batch_id == self.batch_id and not has_begun
            case "segments", batch_id:
                return batch_id == self.batch_id and called.count("segments") < 2 and "decide" not in called
            case "pointer", _:
                return called.count("pointers") < 2 and "decide" not in called
            case "decision", batch_id:
                return batch_id == self.batch_id and "decide" not in called
        return False

    def may_write(self, world: World, called: tuple[str, ...], thing: "Thing") -> bool:
        match thing:
            case "end", batch_id:
                return batch_id == self.batch_id
            case "head" | "batch" | "decision", _:
                return self.may_read(world, called, thing)
        return False


def collect(*messages: MemberMessage, collector: type[Collector] = Collector, **_: Any) -> Collects:
    return Collects(messages=messages, flow=collector)


def release(batch_id: str, releaser: type[Releaser] = Releaser, *, later: float = 0.0, **_: Any) -> Releases:
    return Releases(batch_id=batch_id, flow=releaser, later=later)


def tick() -> Process[World]:
    """The minute's tick opens the batch of an expected day, unless its key has one."""

    def process(ports: Ports) -> Callable[[World], None]:
        rules = FakeRuleSource()
        rules.put_text(RULE, json.dumps(EXPECTING), ["expected"])
        opened = ExpectedBatches(rules=rules, store=ports.port("store"), new_id=ports.new_id).open(0.0)
        assert not opened.failures
        return lambda _: None

    return process


def _identity(sent: MemberMessage) -> tuple[str, str]:
    return sent.member.id, sent.key[0][1]


def at_rest(world: World, messages: Sequence[MemberMessage]) -> World:
    """What SQS and the tick do in the end: redeliver what is not done, look at what is due, until nothing is left."""
    for number in range(10):
        waiting = [each for each in messages if _identity(each) not in world.done]
        due = [batch.id for batch in world.store.batches.values() if batch.due_at is not None]
        if not waiting and not due:
            return world
        for each in waiting:
            world = run(collect(each), world, f"again{number}{each.member.id}{each.key}")
        for batch_id in due:
            look = release(batch_id, later=MINUTES * (number + 2))
            world = run(look, world, f"tick{number}{batch_id}")
    raise AssertionError(f"no rest: {waiting} {due}")


def violations(world: World, messages: Sequence[MemberMessage]) -> list[str]:
    """Return what is wrong with a world at rest."""
    decisions = world.store.decisions.values()
    batches_of = Counter(
        member
        for decision in decisions
        if decision.manifest
        for member in world.manifests.members(decision.manifest)
    )
    found = [
        f"member {member} is in {batches_of[member]} batches"
        for member in sorted({each.member.id for each in messages})
        if batches_of[member] + (member in world.dropped) != 1
    ]
    batches = [decision for decision in decisions if decision.count]
    if len(world.runs.ids) != len(batches):
        found.append(f"{len(batches)} batches became {len(world.runs.ids)} runs")
    return found


# --- which steps commute -------------------------------------------------------------------------------------------------

Thing = tuple[str, str]  # a table, and the key of an item, or of a batch's segments


TOUCHES: dict[str, Callable[..., tuple[Sequence[Thing], Sequence[Thing]]]] = {
    "head": lambda _, key: ([("head", key)], []),
    "create_head": lambda head: ([("head", head.key)], [("head", head.key)]),
    "advance_head": lambda head, _: ([("head", head.key)], [("head", head.key)]),
    "open_batch": lambda batch: ([("batch", batch.id)], [("batch", batch.id)]),
    "batch": lambda batch_id: ([("batch", batch_id), ("end", batch_id)], []),
    "begin_release": lambda batch_id, *_, **__: (
        [("batch", batch_id), ("end", batch_id)],
        [("batch", batch_id)],
    ),
    "end_release": lambda batch_id, _: ([], [("end", batch_id)]),
    "add_segment": lambda batch_id, _: ([], [("segments", batch_id)]),
    "segments": lambda batch_id: ([("segments", batch_id)], []),
    "point": lambda pointers: (of := [("pointer", each.member.id) for each in pointers], of),
    "move_pointer": lambda pointer, _: (of := [("pointer", pointer.member.id)], of),
    "pointers": lambda _, members: ([("pointer", member) for member in members], []),
    "decision": lambda batch_id: ([("decision", batch_id)], []),
    "decide": lambda decision: (of := [("decision", decision.batch_id)], of),
}


def touched(world: World, step: Step[World]) -> tuple[Sequence[Thing], Sequence[Thing]]:
    """Return what a step reads and writes, as far as another process can tell.

    What is written once is neither, as soon as it is there: a decision, a batch's item for who opens it, a head for who
    creates it. A manifest is in the bucket before anybody knows its name, and its name says its content. Requests for runs
    and acknowledgements add to what nobody reads. Two releasers end a release in the same way, and segments have an id each.
    """
    if not isinstance(step, Call) or step.port != "store":
        return [], []
    reads, writes = TOUCHES[step.method](*step.arguments, **step.keywords)
    store = world.store
    is_there = {
        "create_head": lambda: (RULE, reads[0][1]) in store.heads,
        "open_batch": lambda: reads[0][1] in store.batches,
        "decision": lambda: reads[0][1] in store.decisions,
        "decide": lambda: reads[0][1] in store.decisions,
    }
    if step.method in is_there and is_there[step.method]():
        return [], []
    if step.method == "point" and all((RULE, member) in store.pointed for _, member in writes):
        return reads, []
    return reads, writes


def commutes(
    processes: Mapping[str, Collects | Releases],
    world: World,
    name: str,
    step: Step[World],
    progresses: Mapping[str, Progress],
) -> bool:
    """Whether the step has the same answer and effect before and after all that the others may do, and they theirs."""
    reads, writes = touched(world, step)
    mine, called = processes[name], progresses[name].called
    if not (
        all(mine.may_read(world, called, thing) for thing in reads)
        and all(mine.may_write(world, called, thing) for thing in writes)
    ):
        raise NotImplementedError(f"{name} touches more than it may: {step}")
    return not any(
        any(processes[other].may_write(world, progress.called, thing) for thing in (*reads, *writes))
        or any(processes[other].may_read(world, progress.called, thing) for thing in writes)
        for other, progress in progresses.items()
        if other != name and progress.status == "runs"
    )


def exploration_of(processes: Mapping[str, Process[World]], crashes: int) -> Exploration[World]:
    """Explore fewer orders where each process is known; of other code, with a safeguard less, all."""
    known = {
        name: each
        for name, each in processes.items()
        if isinstance(each, Collects | Releases) and each.flow in (Collector, Releaser)
    }
    return Exploration(
        dict(processes), crashes, partial(commutes, known) if known.keys() == processes.keys() else None
    )


def explore(
    processes: Mapping[str, Process[World]], world: World, messages: Sequence[MemberMessage], *, crashes: int
) -> None:
    """Explore everything, let each end come to rest, and raise AssertionError for the first that breaks the promise."""
    exploration = exploration_of(processes, crashes)
    known: set[Hashable] = set()
    for end in exploration.ends(world):
        if end.key() not in known:
            known.add(end.key())
            found = violations(at_rest(end, messages), messages)
            assert not found, (found, end)


def collected(*messages: MemberMessage, **flows: Any) -> tuple[World, str]:
    """Return a world whose open batch has these members, though SQS does not know it yet; and the batch."""
    world = run(collect(*messages, **flows), World(), "first")
    world.done = frozenset()
    [batch_id] = world.store.batches
    return world, batch_id


# B and OTHER_DAY are one event: its key changed.
A, B, OTHER_DAY, C = message("a"), message("b"), message("b", "tuesday"), message("c")


def a_redelivery_meets_a_release(**flows: Any) -> None:
    """`a` comes again while its batch is being released; `b` is new. Either process crashes anywhere."""
    world, batch = collected(A, **flows)
    explore({"c": collect(A, B, **flows), "r": release(batch, **flows)}, world, [A, B], crashes=1)


def a_key_changes_during_a_release(**flows: Any) -> None:
    """Two collectors have one event under two keys, a redelivery and a new one; a release; one of all crashes."""
    world, batch = collected(A, **flows)
    processes = {
        "c1": collect(A, B, **flows),
        "c2": collect(OTHER_DAY, C, **flows),
        "r": release(batch, **flows),
    }
    explore(processes, world, [A, B, OTHER_DAY, C], crashes=1)


def a_head_expires(**flows: Any) -> None:
    """The key's first batch is released and its head expired; its member comes again, and a new one."""
    world, batch = collected(A, **flows)
    world = run(release(batch, **flows), world, "release")
    world.store.heads.clear()
    explore({"c1": collect(A, **flows), "c2": collect(B, **flows)}, world, [A, B], crashes=1)


def a_late_member_is_dropped(**flows: Any) -> None:
    """Its batch is complete and being released as it comes, twice; one of all crashes."""
    a, b = message("a", document=DROPPING), message("b", document=DROPPING)
    world, batch = collected(a, **flows)
    explore({"c": collect(a, b, **flows), "r": release(batch, **flows)}, world, [a, b], crashes=1)


def two_releasers_meet(**flows: Any) -> None:
    """Two releasers have one batch, and a member arrives."""
    world, batch = collected(A, **flows)
    processes = {
        "c": collect(B, **flows),
        "r1": release(batch, **flows),
        "r2": release(batch, later=MINUTES, **flows),
    }
    explore(processes, world, [A, B], crashes=0)


def a_day_is_opened_as_its_first_member_comes(**flows: Any) -> None:
    """The tick, a collector and a releaser meet at one key; one of them crashes."""
    first = message("a", "1970-01-01")
    world, batch = collected(message("z"), **flows)
    processes = {"t": tick(), "c": collect(first, **flows), "r": release(batch, **flows)}
    explore(processes, world, [message("z"), first], crashes=1)


SCENES = [a_redelivery_meets_a_release, a_head_expires, a_key_changes_during_a_release]


@pytest.mark.guarantee(47)
@pytest.mark.parametrize(
    "scene",
    [*SCENES, a_late_member_is_dropped, two_releasers_meet, a_day_is_opened_as_its_first_member_comes],
    ids=lambda scene: scene.__name__,
)
def test_row_47_each_event_is_in_one_batch_and_each_batch_is_one_run(scene: Callable[..., None]) -> None:
    scene()


@pytest.mark.full
@pytest.mark.guarantee(47)
@pytest.mark.parametrize("has_expired", [False, True], ids=["", "an expired head"])
def test_row_47_also_with_two_collectors_two_releasers_three_members_and_a_crash(
    *, has_expired: bool
) -> None:
    """Of the three, `a` is delivered again, `b` comes under two keys, and `c` is new.

    Or `a` is in a batch that was released, whose head expired, and `c` is in the open one.
    """
    world, batch = collected(A)
    if has_expired:
        world = run(release(batch), world, "release")
        world.store.heads.clear()
        world = run(collect(C), world, "second")
        [batch] = world.store.batches.keys() - {batch}
        world.done = frozenset()
    processes = {
        "c1": collect(A, B),
        "c2": collect(OTHER_DAY, C),
        "r1": release(batch),
        "r2": release(batch, later=MINUTES),
    }
    explore(processes, world, [A, B, OTHER_DAY, C], crashes=1)


@pytest.mark.parametrize("scene", ["two collectors and a crash", "two releasers"])
def test_orders_that_are_left_out_have_no_end_of_their_own(scene: str) -> None:
    """Exploring all orders, and those that matter, has the same ends."""
    world, batch = collected(A)
    first = B if "crash" in scene else A  # delivered again
    processes: dict[str, Process[World]] = {"c1": collect(first), "r1": release(batch)}
    if scene == "two releasers":
        processes["r2"] = release(batch, later=MINUTES)
    else:
        processes["c2"] = collect(OTHER_DAY)
    crashes = int("crash" in scene)
    every, fewer = Exploration(processes, crashes), exploration_of(processes, crashes)

    assert {end.key() for end in every.ends(world)} == {end.key() for end in fewer.ends(world)}
    assert fewer.states < every.states / 2


# --- without one of its safeguards, the protocol fails -------------------------------------------------------


class NeverReadsTheHeadAgain(Collector):
    def _counted(self, pointers: Sequence[Pointer]) -> tuple[Result, Collection[str]]:
        return "collected", [pointer.member.id for pointer in pointers]


class PointsBeforeItLists(Collector):
    def _listed(self, messages: Sequence[MemberMessage]) -> list[Pointer]:
        head = self._head(messages[0])
        self._open(head, messages)
        segment = Segment(self.new_id(), tuple(each.member.id for each in messages), 1.0)
        pointers = [Pointer(RULE, each.member, head.batch_id, segment.id, head.key) for each in messages]
        self.store.point(pointers)
        self.store.add_segment(head.batch_id, segment)
        return pointers


class CountsWhatIsListed(Releaser):
    def counted(self, batch: Batch) -> Counted:
        listed = {member for segment in self.store.segments(batch.id) for member in segment.members}
        return Counted(tuple(Member(member, {}, member) for member in sorted(listed)), batch.first_at)


class CountsBeforeItCloses(Releaser):
    def _close(self, batch: Batch, reason: Reason) -> None:
        self.store.decide(self._decision(batch, reason))
        super()._close(batch, reason)


class LastDecisionStands(BatchesInMemory):
    def decide(self, decision: Decision) -> Decision:
        self.decisions[decision.batch_id] = decision
        return decision


class NumbersItsBatches(Collector):
    """The id of a batch derives from its key and number, which starts again when the head expires."""

    def _head(self, message: MemberMessage) -> Head:
        key = key_digest(message.key)
        self.store.create_head(Head(RULE, key, f"{key}-1"))
        return self.store.head(RULE, key) or Head(RULE, key, f"{key}-1")


@pytest.mark.parametrize(
    "flows",
    [
        pytest.param({"collector": NeverReadsTheHeadAgain}, id="the head is read again"),
        pytest.param({"collector": PointsBeforeItLists}, id="a segment is written before its pointers"),
        pytest.param({"collector": NumbersItsBatches}, id="a batch's id is random"),
        pytest.param({"releaser": CountsWhatIsListed}, id="a pointer is the membership"),
        pytest.param({"releaser": CountsBeforeItCloses}, id="the head moves before members are counted"),
    ],
)
def test_each_safeguard_is_needed(flows: Any) -> None:
    def every_scene() -> None:
        for scene in SCENES:
            scene(**flows)

    with pytest.raises(AssertionError):
        every_scene()


def test_the_first_decision_must_stand() -> None:
    world, batch = collected(A)
    world.store = LastDecisionStands(**vars(world.store))
    with pytest.raises(AssertionError):
        explore(
            {"c": collect(B), "r1": release(batch), "r2": release(batch, later=MINUTES)},
            world,
            [A, B],
            crashes=0,
        )
