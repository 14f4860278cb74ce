"""The dispatcher's own flow on a queue of a few lines: what SQS and Lambda do around it, in threads, without waiting.

Time is real plus what was skipped: when nothing is due, the clock jumps to the next message.
"""

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fakes.catalog import FakeCatalogStore
from fakes.circuit_breakers import FakeCircuitStore
from fakes.ledger import FakeLedger
from fakes.object_claims import FakeClaims
from fakes.pauses import FakePauseStore
from fakes.queues import FakeTriggerDeadLetters
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.dispatcher import Airflow, Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses

DELIVERIES = 100  # of one message, after which it is stuck


@dataclass
class OneAtATime:
    """The ledger in a dict, one call at a time, as DynamoDB's conditional writes are."""

    ledger: FakeLedger
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.ledger, name)

        def locked(*arguments: Any, **named: Any) -> Any:
            with self.lock:
                return method(*arguments, **named)

        return locked


@dataclass
class Story:
    """A trigger queue and the dispatchers that empty it."""

    ledger: FakeLedger = field(default_factory=FakeLedger)
    dead_letters: FakeTriggerDeadLetters = field(default_factory=FakeTriggerDeadLetters)
    circuit_breakers: FakeCircuitStore = field(default_factory=FakeCircuitStore)
    skipped: float = 0.0
    deliveries: int = 0

    def now(self) -> float:
        """Seconds since the epoch, by this story's clock."""
        return time.time() + self.skipped

    def play(self, bodies: Iterable[str], airflows: list[Callable[[], Airflow]]) -> None:
        """Deliver every message until it is done with; each of `airflows` makes one sandbox its transport."""
        self._waiting = [(self.now(), number, body, 1) for number, body in enumerate(bodies)]
        self._under_way = 0
        self._changed = threading.Condition()
        ledger = OneAtATime(self.ledger)
        sandboxes = [threading.Thread(target=self._sandbox, args=(make(), ledger)) for make in airflows]
        for sandbox in sandboxes:
            sandbox.start()
        for sandbox in sandboxes:
            sandbox.join()

    def _sandbox(self, airflow: Airflow, ledger: OneAtATime) -> None:
        dispatcher = Dispatcher(
            ledger=ledger,
            claims=FakeClaims(),
            airflow=airflow,
            dead_letters=self.dead_letters,
            pauses=Pauses("analytics", FakePauseStore(), refresh_seconds=5),
            circuit_breakers=CircuitBreakers(
                "analytics", self.circuit_breakers, dag_missing_grace_seconds=900
            ),
            catalog=LiveCatalog(FakeCatalogStore(), airflow, refresh_seconds=0, now=self.now, report=print),
            maximum_event_age_seconds=86_400,
            now=self.now,
            jitter=lambda: 0.5,
            sleep=time.sleep,
        )
        while (message := self._received()) is not None:
            _, number, body, receive_count = message
            dispatched = dispatcher.dispatch(body, receive_count)
            with self._changed:
                self._under_way -= 1
                again = dispatched.redeliver_after
                if again is not None and receive_count < DELIVERIES:
                    heapq.heappush(self._waiting, (self.now() + again, number, body, receive_count + 1))
                self._changed.notify_all()

    def _received(self) -> tuple[float, int, str, int] | None:
        with self._changed:
            while self._waiting or self._under_way:
                if self._waiting and (self._waiting[0][0] <= self.now() or not self._under_way):
                    message = heapq.heappop(self._waiting)
                    self.skipped += max(0.0, message[0] - self.now())
                    self._under_way += 1
                    self.deliveries += 1
                    return message
                self._changed.wait(0.05)
        return None
