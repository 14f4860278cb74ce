"""Explores every interleaving of processes that share a world: one call of a port is one atomic step.

A process is a plain function of its ports. To take its next step, the explorer runs it from the start, answers the calls
that it made before as they were answered then, and lets the first new call reach the world. Production code runs as it is,
and the state of a process between two steps is the list of its answers. Orders that lead to equal worlds and answers are
explored once.

`commutes` makes it fewer. It says whether a process's next step has the same answer and effect before and after whatever
the others may still do, and they theirs. Then no end is lost if the process goes first, with its step or its crash:
every way to an end has one of the two, and it can be moved to the front, past the steps and crashes of the others. No
step leads back, so none is put off for ever.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, Self, TypeVar


class World(Protocol):
    """What the processes share: attributes that are ports."""

    def copy(self) -> Self:
        """Return a copy whose changes leave this one as it is."""
        ...

    def key(self) -> Hashable:
        """Return what equal worlds have in common."""
        ...


W = TypeVar("W", bound=World)
READS: Final = frozenset({"head", "batch", "segments", "pointers", "decision", "members"})  # change no world


class _NextStep(BaseException):
    """A call that has no answer yet; no `except Exception` may swallow it."""

    def __init__(self, call: "Call") -> None:
        self.call = call


@dataclass(frozen=True)
class Call:
    """A call of a port."""

    port: str
    method: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def reach(self, world: World) -> Any:
        """Let the call reach the world; return its answer."""
        return getattr(getattr(world, self.port), self.method)(*self.arguments, **self.keywords)


@dataclass
class Ports:
    """What a process sees of its world."""

    name: str
    answers: tuple[Any, ...]
    asked: int = 0
    ids: int = 0

    def port(self, name: str, one_by_one: str = "") -> Any:
        """Return a port; the method `one_by_one` takes a list, each element of which is a step of its own."""
        return _Port(self, name, one_by_one)

    def new_id(self) -> str:
        """Return an id that no other process returns."""
        self.ids += 1
        return f"{self.name}-{self.ids}"

    def answer(self, call: Call) -> Any:
        """Return the answer to a call that was made before, or stop the process at a new one."""
        if self.asked == len(self.answers):
            raise _NextStep(call)
        self.asked += 1
        return self.answers[self.asked - 1]


@dataclass
class _Undisturbed(Ports, Generic[W]):
    """What a process sees that runs alone: each call reaches the world at once."""

    world: W | None = None

    def answer(self, call: Call) -> Any:
        assert self.world is not None
        return call.reach(self.world)


def run(process: "Process[W]", world: W, name: str) -> W:
    """Return the world after a process that nobody disturbs."""
    after = world.copy()
    process(_Undisturbed(name, (), world=after))(after)
    return after


@dataclass(frozen=True)
class _Port:
    ports: Ports
    name: str
    one_by_one: str

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if method != self.one_by_one:
                return self.ports.answer(Call(self.name, method, arguments, keywords))
            return [
                found
                for element in arguments[0]
                for found in self.ports.answer(Call(self.name, method, ([element],), keywords))
            ]

        return call


# A process returns its last act, which changes the world without a step of its own.
Process = Callable[[Ports], Callable[[W], None]]


@dataclass(frozen=True)
class Progress:
    """How far a process is: the methods that it has called, their answers, and `seen`, which names the answers."""

    answers: tuple[Any, ...] = ()
    seen: int = 0
    status: str = "runs"
    called: tuple[str, ...] = ()


Progresses = dict[str, Progress]
Step = Call | Callable[[W], None]  # a process's next call, or its last act
# Whether the next step of the process with this name commutes with all that the others may still do.
Commutes = Callable[[W, str, Step[W], Progresses], bool]


@dataclass
class Exploration(Generic[W]):
    """Every end that the processes reach; up to `crashes` of them stop for good, each at any step."""

    processes: dict[str, Process[W]]
    crashes: int = 0
    commutes: Commutes[W] | None = None
    states: int = 0
    _known: set[Hashable] = field(default_factory=set)
    _steps: dict[tuple[str, int], Step[W]] = field(default_factory=dict)

    def ends(self, world: W) -> Iterator[W]:
        """Yield each end: every process is done or has crashed."""
        stack = [(world, hash(world.key()), dict.fromkeys(self.processes, Progress()), self.crashes)]
        while stack:
            world, named, processes, crashes = stack.pop()
            key = hash((named, *((each.seen, each.status) for each in processes.values()), crashes))
            if key in self._known:
                continue
            self._known.add(key)
            self.states += 1
            steps = {
                name: self._next(name, each) for name, each in processes.items() if each.status == "runs"
            }
            if not steps:
                yield world
            for name in self._first(world, processes, steps):
                after, progress = self._after(world, processes[name], steps[name])
                known = named if after is world else hash(after.key())
                stack.append((after, known, processes | {name: progress}, crashes))
                if crashes:
                    stack.append((world, named, processes | {name: Progress(status="crashed")}, crashes - 1))

    def _first(self, world: W, processes: Progresses, steps: dict[str, Step[W]]) -> list[str]:
        """Return the processes to go on with: one whose step commutes with all others', or all."""
        if self.commutes is not None:
            for name, step in steps.items():
                if self.commutes(world, name, step, processes):
                    return [name]
        return [*steps]

    @staticmethod
    def _after(world: W, progress: Progress, step: Step[W]) -> tuple[W, Progress]:
        if not isinstance(step, Call):
            after = world.copy()
            step(after)
            return after, Progress(status="done")
        after = world if step.method in READS else world.copy()
        answer = step.reach(after)
        return after, Progress(
            (*progress.answers, answer),
            hash((progress.seen, repr(answer))),
            called=(*progress.called, step.method),
        )

    def _next(self, name: str, progress: Progress) -> Step[W]:
        """Return the process's next call, or its last act; it depends on the answers so far, and on nothing else."""
        key = name, progress.seen
        if key not in self._steps:
            try:
                self._steps[key] = self.processes[name](Ports(name, progress.answers))
            except _NextStep as step:
                self._steps[key] = step.call
        return self._steps[key]
