"""How many calls of InvokeRestApi an environment takes in a second."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

CALLS_PER_SECOND: Final = 10  # "throttled at 10 TPS" (MWAA user guide, Apache Airflow REST API)


class Throttle:
    """A bucket of calls that fills up evenly, as AWS's APIs throttle; `clock` in seconds. Thread-safe."""

    def __init__(
        self, per_second: int = CALLS_PER_SECOND, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._left = float(per_second)
        self._filled_at = clock()
        self._within_a_second: deque[float] = deque()
        self._most = 0
        self._first_at: float | None = None
        self._last_at = 0.0

    def admits(self) -> bool:
        """Take one call out of the bucket; False when it is empty."""
        with self._lock:
            now = self._clock()
            self._left = min(self._per_second, self._left + (now - self._filled_at) * self._per_second)
            self._filled_at = self._last_at = now
            if self._first_at is None:
                self._first_at = now
            while self._within_a_second and self._within_a_second[0] <= now - 1:
                self._within_a_second.popleft()
            self._within_a_second.append(now)
            self._most = max(self._most, len(self._within_a_second))
            if self._left < 1:
                return False
            self._left -= 1
            return True

    @property
    def most_in_a_second(self) -> int:
        """The largest number of calls within one second, admitted or not, since the last `forget`."""
        with self._lock:
            return self._most

    @property
    def seconds(self) -> float:
        """The time from the first call since the last `forget` to the newest one."""
        with self._lock:
            return 0.0 if self._first_at is None else self._last_at - self._first_at

    def forget(self) -> None:
        """Reset the counts."""
        with self._lock:
            self._most = 0
            self._first_at = None
