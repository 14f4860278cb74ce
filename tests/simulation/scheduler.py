"""Virtual time: whatever waits, waits in one heap, and code that does I/O can be suspended and killed inside a call.

The flows are ordinary synchronous code. Each invocation runs in a greenlet of its own, so that a fake's method may give
the control back to the scheduler in the middle of a call and get it back later, at another time.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from greenlet import getcurrent, greenlet

__all__ = ["Killed", "Process", "Scheduler"]


class Killed(BaseException):
    """The process ends here, as by SIGKILL or Lambda's time limit: no `except Exception` sees it."""


class Process:
    """One invocation: killed at its deadline, and never heard of again after it was killed."""

    __slots__ = ("calls", "deadline", "killed", "name", "subject")

    def __init__(self, name: str, deadline: float, subject: str = "") -> None:
        self.name = name
        self.deadline = deadline
        self.subject = subject  # what is being worked on: the message or event, for the history
        self.calls = 0
        self.killed = False


class Scheduler:
    """A clock that jumps from one appointment to the next; equal times keep the order in which they were made."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.steps = 0
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []
        self._sequence = 0
        self._hub = getcurrent()
        self._processes: dict[greenlet, Process] = {}

    @property
    def process(self) -> Process:
        """The invocation that is running."""
        return self._processes[getcurrent()]

    def time(self) -> float:
        return self.now

    def at(self, time: float, action: Callable[[], Any]) -> None:
        """Do something later; it must not wait itself, but may start a process."""
        self._sequence += 1
        heappush(self._heap, (time, self._sequence, action))

    def after(self, seconds: float, action: Callable[[], Any]) -> None:
        self.at(self.now + seconds, action)

    def start(
        self, process: Process, body: Callable[[], Any], ended: Callable[[Any, BaseException | None], None]
    ) -> None:
        """Run `body` until its first wait; `ended` gets its result, or the exception that ended it."""
        self._hub = getcurrent()

        def run() -> None:
            result, error = None, None
            try:
                result = body()
            except (Exception, Killed) as raised:  # noqa: BLE001  Lambda catches everything
                error = raised
            del self._processes[getcurrent()]
            ended(result, error)

        coroutine = greenlet(run)
        self._processes[coroutine] = process
        coroutine.switch()

    def wait(self, seconds: float) -> None:
        """Suspend the running process; one whose deadline comes first is killed then."""
        process = self.process
        wake = self.now + seconds
        if wake > process.deadline:
            self.at(process.deadline, getcurrent().switch)
            self._hub.switch()
            self.kill()
        self.at(wake, getcurrent().switch)
        self._hub.switch()

    def kill(self) -> None:
        """End the running process."""
        self.process.killed = True
        raise Killed

    def run(self, until: float) -> None:
        """Work until nothing is left to do, or until the time is up."""
        self._hub = getcurrent()
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, action = heappop(heap)
            self.steps += 1
            action()

    @property
    def idle(self) -> bool:
        return not self._heap
