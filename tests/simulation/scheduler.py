"""Virtual time: whatever waits, waits in one heap, and code that does I/O can be suspended and killed inside a call.

The flows are ordinary synchronous code. Each invocation runs in a greenlet of its own, so that a fake's method may give
the control back to the scheduler in the middle of a call and get it back later, at another time.
"""

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Any

from greenlet import getcurrent, greenlet

__all__ = ["Killed", "Process", "Scheduler"]


class Killed(BaseException):
    """The process ends here, as by SIGKILL or Lambda's time limit: no `except Exception` sees it."""


class Process(greenlet):
    """One invocation: killed at its deadline, and never heard of again after it was killed.

    `subject` is what is being worked on. `ended` gets the body's result, or the exception that ended it. `chain` is how
    often each function was invoked in the chain of events that led here, this invocation included.
    """

    def __init__(
        self,
        body: Callable[[], Any],
        ended: Callable[[Any, BaseException | None], None],
        *,
        deadline: float,
        subject: str = "",
        chain: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.chain = chain or {}
        self.deadline = deadline
        self.subject = subject
        self.calls = 0
        self.asked = False  # Airflow, for whatever it was
        self.claimed = False  # an attempt, in the ledger
        self.killed = False
        self.threads: list[Process] = [self]  # of one invocation: who kills one kills all
        self.resumed = False  # by the scheduler itself: who started it has gone on
        self._body = body
        self._ended = ended

    def run(self) -> None:
        result, error = None, None
        try:
            result = self._body()
        except (Exception, Killed) as raised:  # noqa: BLE001  Lambda catches everything
            error = raised
        self._ended(result, error)
        # Nothing refers to itself any more, by way of a closure or a traceback: gone at once, and not by garbage collection.
        del self._body, self._ended, error


class Scheduler:
    """A clock that jumps from one appointment to the next; equal times keep the order in which they were made."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.steps = 0
        self._until = start
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []

    def time(self) -> float:
        return self.now

    def at(self, time: float, action: Callable[[], Any]) -> None:
        """Do something later; it must not wait itself, but may start a process."""
        self.steps += 1
        heappush(self._heap, (time, self.steps, action))

    def after(self, seconds: float, action: Callable[[], Any]) -> None:
        self.steps += 1
        heappush(self._heap, (self.now + seconds, self.steps, action))

    def wait(self, seconds: float) -> None:
        """Suspend the running process; one whose deadline comes first is killed then."""
        process = getcurrent()
        wake = self.now + seconds
        if wake > process.deadline:
            self.at(process.deadline, process.switch)
            process.parent.switch()
            self.kill()
        self.steps += 1
        heap = self._heap
        if process.resumed and wake <= self._until and (not heap or wake < heap[0][0]):
            self.now = wake  # nobody has anything to do before: it would be the next to go on
            return
        heappush(heap, (wake, self.steps, process.switch))
        process.parent.switch()
        process.resumed = True

    def side_by_side(self, work: Callable[[], None], number: int) -> None:
        """Run the work in so many threads of the running process, and wait for them."""
        process = getcurrent()
        if number == 1:
            work()
            return
        left = number

        def ended(_result: Any, error: BaseException | None) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                process.killed = True
                for thread in threads:
                    thread.killed = True
            if not left:
                self.at(self.now, process.switch)

        threads = [
            Process(work, ended, deadline=process.deadline, subject=process.subject, chain=process.chain)
            for _ in range(number)
        ]
        for thread in threads:
            thread.parent, thread.threads = process.parent, threads
            self.at(self.now, thread.switch)
        process.parent.switch()
        process.resumed = True
        if process.killed:
            raise Killed

    @staticmethod
    def kill() -> None:
        """End the running process."""
        getcurrent().killed = True
        raise Killed

    def run(self, until: float) -> None:
        """Work until nothing is left to do, or until the time is up."""
        heap, self._until = self._heap, until
        while heap and heap[0][0] <= until:
            self.now, _, action = heappop(heap)
            action()

    @property
    def idle(self) -> bool:
        return not self._heap
