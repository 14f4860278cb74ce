"""Explores every interleaving of processes that share a world: one call of a port is one atomic step.

A process is a plain function of its ports. To take its next step, the explorer runs it from the start, answers the calls
that it made before as they were answered then, and lets the first new call reach the world. Production code runs as it is,
and the state of a process between two steps is the list of its answers. Orders that lead to equal worlds and answers are
explored once.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar


class World(Protocol):
    """What the processes share: attributes that are ports."""

    def copy(self) -> Self:
        """Return a copy whose changes leave this one as it is."""
        ...

    def key(self) -> Hashable:
        """Return what equal worlds have in common."""
        ...


W = TypeVar("W", bound=World)


class _NextStep(BaseException):
    """A call that has no answer yet; no `except Exception` may swallow it."""

    def __init__(self, call: "_Call") -> None:
        self.call = call


@dataclass(frozen=True)
class _Call:
    port: str
    method: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def reach(self, world: World) -> Any:
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

    def answer(self, call: _Call) -> Any:
        """Return the answer to a call that was made before, or stop the process at a new one."""
        if self.asked == len(self.answers):
            raise _NextStep(call)
        self.asked += 1
        return self.answers[self.asked - 1]


@dataclass(frozen=True)
class _Port:
    ports: Ports
    name: str
    one_by_one: str

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if method != self.one_by_one:
                return self.ports.answer(_Call(self.name, method, arguments, keywords))
            return [
                found
                for element in arguments[0]
                for found in self.ports.answer(_Call(self.name, method, ([element],), keywords))
            ]

        return call


# A process returns its last act, which changes the world without a step of its own.
Process = Callable[[Ports], Callable[[W], None]]


@dataclass(frozen=True)
class _Progress:
    """How far a process is; `seen` names its answers."""

    answers: tuple[Any, ...] = ()
    seen: int = 0
    status: str = "runs"


@dataclass
class Exploration(Generic[W]):
    """Every end that the processes reach; up to `crashes` of them stop for good, each at any step."""

    processes: dict[str, Process[W]]
    crashes: int = 0
    states: int = 0
    _known: set[Hashable] = field(default_factory=set)
    _steps: dict[tuple[str, int], _Call | Callable[[W], None]] = field(default_factory=dict)

    def ends(self, world: W) -> Iterator[W]:
        """Yield each end: every process is done or has crashed."""
        stack = [(world, dict.fromkeys(self.processes, _Progress()), self.crashes)]
        while stack:
            world, processes, crashes = stack.pop()
            key = hash((world.key(), *((each.seen, each.status) for each in processes.values()), crashes))
            if key in self._known:
                continue
            self._known.add(key)
            self.states += 1
            running = [name for name, each in processes.items() if each.status == "runs"]
            if not running:
                yield world
            for name in running:
                progress = processes[name]
                after = world.copy()
                match self._next(name, progress):
                    case _Call() as call:
                        answer = call.reach(after)
                        step = _Progress((*progress.answers, answer), hash((progress.seen, repr(answer))))
                    case last_act:
                        last_act(after)
                        step = _Progress(status="done")
                stack.append((after, processes | {name: step}, crashes))
                if crashes:
                    stack.append((world, processes | {name: _Progress(status="crashed")}, crashes - 1))

    def _next(self, name: str, progress: _Progress) -> _Call | Callable[[W], None]:
        """Return the process's next call, or its last act; it depends on the answers so far, and on nothing else."""
        key = name, progress.seen
        if key not in self._steps:
            try:
                self._steps[key] = self.processes[name](Ports(name, progress.answers))
            except _NextStep as step:
                self._steps[key] = step.call
        return self._steps[key]
