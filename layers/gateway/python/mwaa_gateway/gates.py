"""Gates: who is not available is asked by one probe, while everybody else's requests wait without asking.

There is a gate before the environment (its web server is down, busy, or being updated) and one before each DAG that
Airflow does not know. A gate is open, and costs nothing, until an attempt fails for that reason:

    open ──failed──▶ shut until t ──t──▶ one attempt takes the probe ──failed──▶ shut until t', a little longer
      ▲                                                  │
      └────────────────────answered──────────────────────┘

What the sandboxes of a dispatcher must agree on (who probes, since when it is shut) lies in the ledger table; in
between, each sandbox remembers it and gives messages back without any I/O.
"""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Gate", "GateRecord", "GateStore", "Pass", "Wait"]

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0  # with the wait of a message given back, the first run is there 60 s after it is back
PROBE_SECONDS = 30.0  # after which a probe that never reported is taken by another


@dataclass(frozen=True, slots=True)
class GateRecord:
    """A shut gate, in seconds since the epoch: since when, when last found so, how often in a row, next probe when."""

    shut_since: float
    failed_at: float
    failures: int
    probe_at: float


class GateStore(Protocol):
    """Where gates lie. Every call raises Unavailable when it cannot answer."""

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, GateRecord | None]:
        """Take the probe if one is due, and keep the others waiting `until` then.

        Returns (whether it was taken, the gate as it is then); the gate is None when it is open.
        """
        ...

    def shut(self, name: str, record: GateRecord) -> None:
        """Shut the gate."""
        ...

    def open(self, name: str) -> None:
        """Open it."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """Go ahead. `probe`: on behalf of all others, who wait for the answer."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask nobody for so many seconds; the gate is shut since `shut_since`."""

    seconds: float
    shut_since: float


class Gate:
    """One gate, as one sandbox knows it."""

    def __init__(self, name: str, store: GateStore, *, forget_after_seconds: float) -> None:
        """`forget_after_seconds`: a failure that long after the last one begins a new time of being shut."""
        self._name = name
        self._store = store
        self._forget_after_seconds = forget_after_seconds
        self._known: GateRecord | None = None

    def admit(self, now: float) -> Pass | Wait:
        """Say whether to go ahead; without I/O unless a probe is due."""
        if self._known is None:
            return Pass()
        if now < self._known.probe_at:
            return Wait(self._known.probe_at - now, self._known.shut_since)
        taken, self._known = self._store.take_probe(self._name, now, now + PROBE_SECONDS)
        if self._known is None:
            return Pass()
        if taken:
            return Pass(probe=True)
        return Wait(max(self._known.probe_at - now, 0.0), self._known.shut_since)

    def answered(self) -> None:
        """Whoever is behind the gate answered: open it."""
        if self._known is not None:
            self._store.open(self._name)
            self._known = None

    def failed(self, now: float) -> float:
        """Nobody answered: shut the gate, twice as long as the last time; returns since when it is shut."""
        known = self._known
        if known is None or now - known.failed_at > self._forget_after_seconds:
            known = GateRecord(shut_since=now, failed_at=now, failures=0, probe_at=now)
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * (1 << min(known.failures, 10)))
        self._known = GateRecord(known.shut_since, now, known.failures + 1, now + pause)
        self._store.shut(self._name, self._known)
        return known.shut_since

    def not_asked(self, now: float) -> None:
        """The probe was not needed after all: the next attempt may take it at once."""
        if self._known is not None:
            self._known = GateRecord(self._known.shut_since, self._known.failed_at, self._known.failures, now)
            self._store.shut(self._name, self._known)
