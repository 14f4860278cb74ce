"""The few commands that MWAA's web server runs at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SLOTS: Final = 4  # "Typically a maximum of 4 CLI commands can run simultaneously" (MWAA troubleshooting)


class NoFreeSlot(Exception):
    """All slots are in use."""


class Slots:
    """Counts the commands in flight; one too many is refused at once, never queued. Thread-safe."""

    def __init__(self, size: int = SLOTS) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._taken = 0
        self._most_taken = 0
        self._held_seconds = 0.0
        self._begun = 0
        self._begun_before_most = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot for the duration of a block. Raises NoFreeSlot."""
        with self._lock:
            if self._taken == self._size:
                raise NoFreeSlot
            self._taken += 1
            if self._taken > self._most_taken:
                self._most_taken, self._begun_before_most = self._taken, self._begun
            self._begun += 1
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
                self._held_seconds += time.monotonic() - begun

    @property
    def taken(self) -> int:
        """How many commands run now."""
        with self._lock:
            return self._taken

    @property
    def most_taken(self) -> int:
        """The largest number of commands at once since the last `forget`."""
        with self._lock:
            return self._most_taken

    @property
    def begun_before_most(self) -> int:
        """How many commands had begun since the last `forget` when as many as `most_taken` ran for the first time."""
        with self._lock:
            return self._begun_before_most

    @property
    def held_seconds(self) -> float:
        """The total time for which ended commands occupied slots since the last `forget`."""
        with self._lock:
            return self._held_seconds

    def forget(self) -> None:
        """Reset the counts."""
        with self._lock:
            self._most_taken = self._taken
            self._held_seconds = 0.0
            self._begun = self._begun_before_most = 0
