"""Gates: who is not available is asked by one probe, while everybody else's requests wait without asking.

There is a gate before the environment (its web server is down, busy, or being updated) and one before each DAG that
Airflow does not know. A gate is open, and costs nothing, until attempts fail for that reason. For an environment it
takes three in a row: a single 503 is somebody else using the web server, and delays its own message only.

    open ──failed──▶ shut until t ──t──▶ one attempt takes the probe ──failed──▶ shut until t', a little longer
      ▲                                                  │
      └────────────────────answered──────────────────────┘

What the sandboxes of a dispatcher must agree on (who probes, since when it is shut) lies in the ledger table; in
between, each sandbox remembers it and gives messages back without any I/O.
"""

from dataclasses import dataclass
from typing import Protocol

from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

__all__ = ["CircuitBreaker", "CircuitBreakers", "CircuitStore", "DagMissing", "OpenCircuit", "Pass", "Wait"]

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0  # shorter than any wait: whoever comes back may ask again
FAILURES_TOLERATED = 2  # by an environment's gate, in a row and in one sandbox
PROBE_SECONDS = 30.0  # after which a probe that never reported is taken by another

_ENVIRONMENT_FAILED = (
    Reason.ACCESS_DENIED,
    Reason.ENVIRONMENT_UNREACHABLE,
    Reason.TOKEN_REFUSED,
    Reason.TOKEN_UNAVAILABLE,
    Reason.WEB_SERVER_BUSY,
)
_DAG_FAILED = (Reason.DAG_BROKEN, Reason.DAG_MISSING)


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """A shut gate, in seconds since the epoch: since when, when last asked, how often in a row in vain, next probe when."""

    open_since: float
    failed_at: float
    failures: int
    probe_at: float


class CircuitStore(Protocol):
    """Where gates lie. Every call raises Unavailable when it cannot answer."""

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, OpenCircuit | None]:
        """Take the probe if one is due, and keep the others waiting `until` then.

        Returns (whether it was taken, the gate as it is then); the gate is None when it is open.
        """
        ...

    def shut(self, name: str, record: OpenCircuit) -> None:
        """Shut the gate."""
        ...

    def open(self, name: str) -> None:
        """Open it."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """Go ahead."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask nobody for so many seconds; the gate is shut since `shut_since`, and was last asked in vain at `asked_at`."""

    seconds: float
    open_since: float
    asked_at: float


@dataclass(frozen=True, slots=True)
class DagMissing:
    """Airflow has not known this DAG for longer than a missing DAG is given, as far as its gate was asked.

    `text` is the reason of this sandbox's last attempt.
    """

    circuit: Wait
    text: str


class CircuitBreaker:
    """One gate, as one sandbox knows it.

    `forget_after_seconds`: a failure that long after the last one begins a new time of being shut. `tolerated`: so many
    failures in a row leave an open gate open. `look_first`: a new sandbox reads the gate once, before it asks for the
    first time.
    """

    def __init__(
        self,
        name: str,
        store: CircuitStore,
        *,
        forget_after_seconds: float,
        tolerated: int = 0,
        look_first: bool = False,
    ) -> None:
        self._name = name
        self._store = store
        self._forget_after_seconds = forget_after_seconds
        self._tolerated = tolerated
        self._in_a_row = 0
        self._looked = not look_first
        self._known: OpenCircuit | None = None
        self._probing = False
        self._asked_at: float | None = None
        self.last_failure = ""  # for people: what this sandbox's last attempt in vain was answered

    def admit(self, now: float) -> Pass | Wait:
        """Say whether to go ahead; without I/O unless a probe is due."""
        if self._known is not None and now < self._known.probe_at:
            return _wait(self._known, now)
        if self._known is not None or not self._looked:
            self._probing, self._known = self._store.take_probe(self._name, now, now + PROBE_SECONDS)
            self._looked = True
        if self._known is None or self._probing:
            self._asked_at = now
            return Pass()
        return _wait(self._known, now)

    def known_open(self, now: float) -> Wait | None:
        """Tell whether this sandbox knows the gate to be shut; without I/O."""
        return None if self._known is None else _wait(self._known, now)

    def answered(self) -> None:
        """Whoever is behind the gate answered: open it."""
        if self._known is not None:
            self._store.open(self._name)
        self._known, self._probing, self._in_a_row = None, False, 0

    def failed(self, now: float) -> float:
        """Nobody answered: shut the gate, twice as long as the last time; returns since when it is shut."""
        self._in_a_row += 1
        if self._known is None and self._in_a_row <= self._tolerated:
            return now
        known = self._known
        if known is None or now - known.failed_at > self._forget_after_seconds:
            known = OpenCircuit(open_since=now, failed_at=now, failures=0, probe_at=now)
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * (1 << min(known.failures, 10)))
        # When the attempt began: what came in while it was on its way was not asked for by it.
        asked_at = now if self._asked_at is None else self._asked_at
        self._known = OpenCircuit(known.open_since, asked_at, known.failures + 1, now + pause)
        self._probing = False
        self._store.shut(self._name, self._known)
        return known.open_since

    def release_probe(self, now: float) -> None:
        """The probe was taken and not needed: the next attempt may take it at once."""
        if self._probing and self._known is not None:
            self._known = OpenCircuit(
                self._known.open_since, self._known.failed_at, self._known.failures, now
            )
            self._store.shut(self._name, self._known)
        self._probing = False


class CircuitBreakers:
    """The gate before one environment, and those before its DAGs.

    `dag_missing_grace_seconds`: how long requests for a DAG that Airflow does not know wait for it to appear.
    """

    def __init__(self, environment: str, store: CircuitStore, *, dag_missing_grace_seconds: float) -> None:
        self._store = store
        self.dag_missing_grace_seconds = dag_missing_grace_seconds
        self._prefix = f"gate|dag|{environment}|"
        self._environment = CircuitBreaker(
            f"gate|environment|{environment}",
            store,
            forget_after_seconds=3600,
            tolerated=FAILURES_TOLERATED,
            look_first=True,
        )
        self._dags: dict[str, CircuitBreaker] = {}

    def admit(self, target: ResolvedTarget, now: float) -> Pass | Wait | DagMissing:
        """Say whether to go ahead, wait, or give up what was asked for in vain."""
        at_environment = self._environment.admit(now)
        if isinstance(at_environment, Wait):
            return at_environment
        if (dag := self._dags.get(target.dag_id)) is None:
            return Pass()
        at_dag = dag.admit(now)
        if isinstance(at_dag, Wait):
            self._environment.release_probe(now)
            if now - at_dag.open_since >= self.dag_missing_grace_seconds:
                return DagMissing(at_dag, dag.last_failure)
        return at_dag

    def away_for(self, now: float) -> float | None:
        """Return for how many seconds this sandbox knows the environment's gate to be shut, None if open; without I/O."""
        circuit = self._environment.known_open(now)
        return None if circuit is None else now - circuit.open_since

    def known_open(self, target: ResolvedTarget, now: float) -> Wait | None:
        """Return the gate before this target that the sandbox knows to be shut, the environment's first; without I/O."""
        at_environment = self._environment.known_open(now)
        if at_environment is not None or (dag := self._dags.get(target.dag_id)) is None:
            return at_environment
        return dag.known_open(now)

    def report(self, target: ResolvedTarget, outcome: Outcome | None, now: float) -> float | None:
        """Tell what an attempt came to (None: Airflow was not asked after all).

        Returns since when Airflow has not known the DAG, if that is what it came to.
        """
        dag = self._dags.get(target.dag_id)
        if outcome is None or _environment_failed(outcome):
            if outcome is None:
                self._environment.release_probe(now)
            else:
                self._environment.failed(now)
            if dag is not None:
                dag.release_probe(now)
            return None
        self._environment.answered()
        if isinstance(outcome, Rejected | Retryable) and outcome.reason in _DAG_FAILED:
            if dag is None:
                name = self._prefix + target.dag_id
                dag = CircuitBreaker(name, self._store, forget_after_seconds=self.dag_missing_grace_seconds)
                self._dags[target.dag_id] = dag
            dag.last_failure = outcome.text
            return dag.failed(now)
        if dag is not None:
            dag.answered()
            del self._dags[target.dag_id]
        return None


def _wait(known: OpenCircuit, now: float) -> Wait:
    return Wait(max(known.probe_at - now, 0.0), known.open_since, known.failed_at)


def _environment_failed(outcome: Outcome) -> bool:
    """Unknown counts: a look-up right after it was not answered either."""
    return isinstance(outcome, OutcomeUnknown) or (
        isinstance(outcome, Retryable) and outcome.reason in _ENVIRONMENT_FAILED
    )
