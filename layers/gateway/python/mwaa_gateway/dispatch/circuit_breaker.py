"""Circuit breakers: while a target is unavailable, one request probes it and the others wait.

Each environment has one (its web server is down, busy, or being updated), and so has each DAG that Airflow does not
know. A closed breaker costs nothing. A DAG's opens at the first failure, an environment's at the third in a row: a
single 503 means that somebody else uses the web server, and delays only its own message.

    closed ──failed──▶ open until t ──t──▶ half-open: one attempt takes the probe ──failed──▶ open until t', a little later
      ▲                                                   │
      └─────────────────────answered──────────────────────┘

The ledger table holds what the sandboxes of a dispatcher must agree on: who probes, and since when a breaker is open.
In between each sandbox remembers it, and sends messages back without I/O.
"""

from dataclasses import dataclass
from typing import Protocol

from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0  # shorter than any wait, so that a message that comes back may probe again
FAILURES_TOLERATED = 2  # by an environment's breaker, in a row and in one sandbox
PROBE_SECONDS = 30.0  # after which another attempt takes over a probe that never reported

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
    """An open breaker, times in seconds since the epoch: open since, last failure, failures in a row, next probe."""

    open_since: float
    failed_at: float
    failures: int
    probe_at: float


class CircuitStore(Protocol):
    """Where open breakers are stored. Every call raises Unavailable when it cannot answer."""

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, OpenCircuit | None]:
        """Take the probe if one is due, and make the others wait `until` then.

        Returns (whether this call took it, the breaker as it is now); None stands for a closed breaker.
        """

    def open(self, name: str, circuit: OpenCircuit) -> None:
        """Open the breaker, or keep it open for longer."""

    def close(self, name: str) -> None:
        """Close the breaker."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Go ahead."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds; the breaker is open since `open_since`, and the last probe failed at `asked_at`."""

    seconds: float
    open_since: float
    asked_at: float


@dataclass(frozen=True, slots=True)
class DagMissing:
    """Airflow has not known this DAG for longer than its grace, according to the last probe of its breaker.

    `text` is what it answered this sandbox last.
    """

    circuit: Wait
    text: str


class CircuitBreaker:
    """One breaker, as one sandbox knows it.

    `forget_after_seconds`: a failure that long after the last one counts as a new outage. `tolerated`: so many failures
    in a row leave a closed breaker closed. `look_first`: a new sandbox reads the stored breaker before its first attempt.
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
        self.last_failure = ""  # for people: the last answer to this sandbox that was a failure

    def start_attempt(self, now: float) -> Wait | None:
        """Start an attempt, and take the probe if one is due; return the wait if no attempt may start now."""
        wait = self.known_open(now)
        if wait is not None and wait.seconds > 0:
            return wait
        if wait is not None or not self._looked:
            self._probing, self._known = self._store.take_probe(self._name, now, now + PROBE_SECONDS)
            self._looked = True
            if self._known is not None and not self._probing:
                return _wait(self._known, now)
        self._asked_at = now
        return None

    def known_open(self, now: float) -> Wait | None:
        """Return the wait if this sandbox knows the breaker to be open; without I/O."""
        return None if self._known is None else _wait(self._known, now)

    def record_success(self) -> None:
        """Close the breaker: the target answered."""
        if self._known is not None:
            self._store.close(self._name)
        self._known, self._probing, self._in_a_row = None, False, 0

    def record_failure(self, now: float) -> float:
        """Open the breaker, for twice as long as the last time; return since when it is open."""
        self._in_a_row += 1
        if self._known is None and self._in_a_row <= self._tolerated:
            return now
        known = self._known
        if known is None or now - known.failed_at > self._forget_after_seconds:
            known = OpenCircuit(open_since=now, failed_at=now, failures=0, probe_at=now)
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * (1 << min(known.failures, 10)))
        # The time the attempt began: it did not ask for requests that arrived while it was on its way.
        asked_at = now if self._asked_at is None else self._asked_at
        self._known = OpenCircuit(known.open_since, asked_at, known.failures + 1, now + pause)
        self._probing = False
        self._store.open(self._name, self._known)
        return known.open_since

    def release_probe(self, now: float) -> None:
        """Return a probe that was taken and not used: the next attempt may take it at once."""
        if self._probing and self._known is not None:
            known = self._known
            self._known = OpenCircuit(known.open_since, known.failed_at, known.failures, now)
            self._store.open(self._name, self._known)
        self._probing = False


class CircuitBreakers:
    """The breaker of one environment, and those of its DAGs.

    `dag_missing_grace_seconds`: how long requests for a DAG that Airflow does not know wait for it to appear.
    """

    def __init__(self, environment: str, store: CircuitStore, *, dag_missing_grace_seconds: float) -> None:
        self._store = store
        self.dag_missing_grace_seconds = dag_missing_grace_seconds
        # Stored under the name that the first version gave breakers
        self._prefix = f"gate|dag|{environment}|"
        self._environment = CircuitBreaker(
            f"gate|environment|{environment}",
            store,
            forget_after_seconds=3600,
            tolerated=FAILURES_TOLERATED,
            look_first=True,
        )
        self._dags: dict[str, CircuitBreaker] = {}

    def start_attempt(self, target: ResolvedTarget, now: float) -> Pass | Wait | DagMissing:
        """Start an attempt, and take the probes that are due; otherwise it must wait, or its DAG's grace is over."""
        at_environment = self._environment.start_attempt(now)
        if at_environment is not None:
            return at_environment
        if (dag := self._dags.get(target.dag_id)) is None:
            return Pass()
        at_dag = dag.start_attempt(now)
        if at_dag is None:
            return Pass()
        self._environment.release_probe(now)
        if now - at_dag.open_since < self.dag_missing_grace_seconds:
            return at_dag
        return DagMissing(at_dag, dag.last_failure)

    def away_for(self, now: float) -> float | None:
        """Return for how many seconds the environment's breaker is known to be open, None if it is closed; without I/O."""
        circuit = self._environment.known_open(now)
        return None if circuit is None else now - circuit.open_since

    def known_open(self, target: ResolvedTarget, now: float) -> Wait | None:
        """Return the wait for this target if a breaker is known to be open, the environment's first; without I/O."""
        at_environment = self._environment.known_open(now)
        if at_environment is not None or (dag := self._dags.get(target.dag_id)) is None:
            return at_environment
        return dag.known_open(now)

    def record(self, target: ResolvedTarget, outcome: Outcome | None, now: float) -> float | None:
        """Record the outcome of an attempt; None says that it did not ask Airflow, and releases its probes.

        Returns since when Airflow has not known the DAG, if that is the outcome.
        """
        dag = self._dags.get(target.dag_id)
        if outcome is None or _environment_failed(outcome):
            if outcome is None:
                self._environment.release_probe(now)
            else:
                self._environment.record_failure(now)
            if dag is not None:
                dag.release_probe(now)
            return None
        self._environment.record_success()
        if isinstance(outcome, Rejected | Retryable) and outcome.reason in _DAG_FAILED:
            if dag is None:
                name = self._prefix + target.dag_id
                dag = CircuitBreaker(name, self._store, forget_after_seconds=self.dag_missing_grace_seconds)
                self._dags[target.dag_id] = dag
            dag.last_failure = outcome.text
            return dag.record_failure(now)
        if dag is not None:
            dag.record_success()
            del self._dags[target.dag_id]
        return None


def _wait(known: OpenCircuit, now: float) -> Wait:
    return Wait(max(known.probe_at - now, 0.0), known.open_since, known.failed_at)


def _environment_failed(outcome: Outcome) -> bool:
    """Unknown counts: the look-up right after it got no answer either."""
    return isinstance(outcome, OutcomeUnknown) or (
        isinstance(outcome, Retryable) and outcome.reason in _ENVIRONMENT_FAILED
    )
