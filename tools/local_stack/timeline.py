"""Prints the current step of a long operation, and afterwards how long each took."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Phase:
    """A named stretch of time, in seconds since the timeline began."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class Timeline:
    """Lines that begin with the seconds since the start, and their phases. Thread-safe."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._phases: list[Phase] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the timeline began."""
        return time.monotonic() - self._began

    def tell(self, text: str) -> None:
        """Print one line."""
        self.console.print(f"[dim]{self.now():6.1f} s[/]  {text}", highlight=False, soft_wrap=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Print that `name` begins and, unless it fails, how long it took."""
        began = self.now()
        self.tell(f"{name} …")
        yield
        phase = Phase(name, began, self.now())
        with self._lock:
            self._phases.append(phase)
        self.tell(f"[green]✓[/] {name} [dim]({phase.seconds:.1f} s)[/]")

    def phases(self) -> tuple[Phase, ...]:
        """Every phase that ended, in the order in which they began."""
        with self._lock:
            return tuple(sorted(self._phases, key=lambda phase: phase.began))
