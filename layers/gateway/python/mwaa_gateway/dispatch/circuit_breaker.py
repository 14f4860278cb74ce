"""Circuit breakers: while a target is unavailable, one request probes it and the others wait.

Each environment has one (its web server is down, busy, or being updated), and so has each DAG that Airflow does not
know. A closed breaker costs nothing. A DAG's opens at the first failure. An environment's opens at the third refusal in a
row, or at the eighth answer in a row that says nothing: at 60 % of lost answers only one attempt in sixty meets so many.
Before that a refusal (a 503, say) makes its sandbox rest for a second or two, which leaves the slot to others.

    closed ──failed──▶ open until t ──t──▶ half-open: one attempt takes the probe ──failed──▶ open until t', a little later
      ▲                                                   │
      └─────────────────────answered──────────────────────┘

The ledger table holds what the sandboxes of a dispatcher must agree on: who probes, and since when a breaker is open.
While an environment's is open, each sandbox looks at it every three seconds, so that all of them know within seconds that
it is closed again.
"""

from typing import Protocol

from mwaa_gateway.backoff import growing_pause
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget
from mwaa_gateway.values import value

FIRST_PAUSE_SECONDS = 1.0
# Of an environment: with a look and the probe's own command, full speed is back within 15 s of its return
LONGEST_PAUSE_SECONDS = 6.0
LOOK_EVERY_SECONDS = 3.0  # at an environment's open breaker
LONGEST_DAG_PAUSE_SECONDS = 30.0
REFUSALS_TOLERATED = 2  # by an environment's breaker, in a row and in one sandbox
FAILURES_TOLERATED = 7  # as above, where no answer is a refusal
PROBE_SECONDS = 15.0  # after which another attempt takes over a probe that never reported

_ENVIRONMENT_FAILED = (
    Reason.ACCESS_DENIED,
    Reason.ENVIRONMENT_UNREACHABLE,
    Reason.TOKEN_REFUSED,
    Reason.TOKEN_UNAVAILABLE,
    Reason.WEB_SERVER_BUSY,
)
_DAG_FAILED = (Reason.DAG_BROKEN, Reason.DAG_MISSING)


@value
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


@value
class Pass:
    """Go ahead."""


@value
class Wait:
    """Wait so many seconds; the breaker is open since `open_since`, and the last probe failed at `asked_at`.

    `for_all`: no request of this environment may start; otherwise only those of one DAG wait.
    """

    seconds: float
    open_since: float
    asked_at: float
    for_all: bool = False


@value
class Rest:
    """Make no attempt in this sandbox for so many seconds; no breaker is open."""

    seconds: float


@value
class DagMissing:
    """Airflow has not known this DAG for longer than its grace, according to the last probe of its breaker.

    `text` is what it answered this sandbox last.
    """

    circuit: Wait
    text: str


class CoolDown:
    """How long one sandbox makes no attempt after failures in a row: one second, then twice as long, at most six.

    So many failures as are `tolerated` make no pause.
    """

    def __init__(self, tolerated: int = 0) -> None:
        self.in_a_row = 0
        self._tolerated = tolerated
        self._until = 0.0

    def record_failure(self, now: float) -> None:
        """Make no attempt for a while. A failure during the rest is of an attempt that was under way, and counts with it."""
        if now < self._until:
            return
        self.in_a_row += 1
        counted = self.in_a_row - self._tolerated
        if counted > 0:
            self._until = now + growing_pause(counted, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)

    def record_success(self) -> None:
        """Attempts are welcome."""
        self.in_a_row, self._until = 0, 0.0

    def rest(self, now: float) -> Rest | None:
        """Return how long to rest before the next attempt; None if it may start now."""
        return Rest(self._until - now) if now < self._until else None


class CircuitBreaker:
    """One breaker, as one sandbox knows it: the breaker of one DAG, or of an environment.

    `forget_after_seconds`: a failure that long after the last one counts as a new outage. `longest_pause_seconds` is
    between two probes. `for_all`: it is an environment's. So a new sandbox looks at the stored breaker before its first
    attempt, and every `LOOK_EVERY_SECONDS` while it is open.
    """

    def __init__(
        self,
        name: str,
        store: CircuitStore,
        *,
        forget_after_seconds: float,
        longest_pause_seconds: float,
        for_all: bool = False,
    ) -> None:
        self._name = name
        self._store = store
        self._forget_after_seconds = forget_after_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._for_all = for_all
        self._look_at = 0.0 if for_all else None
        self._known: OpenCircuit | None = None
        self._probing = False
        self._asked_at: float | None = None
        self.last_failure = ""  # for people: the last answer to this sandbox that was a failure

    def start_attempt(self, now: float) -> Wait | None:
        """Start an attempt, and take the probe if one is due; return the wait if no attempt may start now."""
        wait = self.known_open(now)
        look = self._look_at is not None and now >= self._look_at
        if wait is not None and wait.seconds > 0 and not look:
            return wait
        if wait is not None or look:
            self._probing, self._known = self._store.take_probe(self._name, now, now + PROBE_SECONDS)
            self._look_again(now)
            if self._known is not None and not self._probing:
                return self._wait(self._known, now)
        self._asked_at = now
        return None

    def known_open(self, now: float) -> Wait | None:
        """Return the wait if this sandbox knows the breaker to be open; without I/O."""
        return None if self._known is None else self._wait(self._known, now)

    def record_success(self) -> None:
        """Close the breaker: the target answered."""
        if self._known is not None:
            self._store.close(self._name)
        self._known, self._probing = None, False

    def record_failure(self, now: float) -> float:
        """Open the breaker, for twice as long as the last time; return since when it is open."""
        known = self._known
        if known is None or now - known.failed_at > self._forget_after_seconds:
            known = OpenCircuit(open_since=now, failed_at=now, failures=0, probe_at=now)
        pause = growing_pause(known.failures + 1, FIRST_PAUSE_SECONDS, self._longest_pause_seconds)
        # The time the attempt began: it did not ask for requests that arrived while it was on its way.
        asked_at = now if self._asked_at is None else self._asked_at
        self._known = OpenCircuit(known.open_since, asked_at, known.failures + 1, now + pause)
        self._probing = False
        self._store.open(self._name, self._known)
        self._look_again(now)
        return known.open_since

    def release_probe(self, now: float) -> None:
        """Return a probe that was taken and not used: the next attempt may take it at once."""
        if self._probing and self._known is not None:
            known = self._known
            self._known = OpenCircuit(known.open_since, known.failed_at, known.failures, now)
            self._store.open(self._name, self._known)
        self._probing = False

    def _look_again(self, now: float) -> None:
        if self._for_all:
            self._look_at = None if self._known is None else now + LOOK_EVERY_SECONDS

    def _wait(self, known: OpenCircuit, now: float) -> Wait:
        seconds = max(known.probe_at - now, 0.0)
        return Wait(seconds, known.open_since, known.failed_at, for_all=self._for_all)


class CircuitBreakers:
    """The breaker of one environment, and those of its DAGs.

    The threads of a sandbox share it without a lock: each change is one assignment, and the store decides who probes.

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
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            for_all=True,
        )
        self._dags: dict[str, CircuitBreaker] = {}
        self._failures = 0  # of the environment in a row, to this sandbox
        self._failed: frozenset[str] = frozenset()  # the runs that met them
        self._refusals = CoolDown()  # those of them that are refusals: its load, or its absence
        self._aws = CoolDown(tolerated=1)  # the ledger does not answer; once may be the fault of one request

    def start_attempt(self, target: ResolvedTarget, now: float) -> Pass | Rest | Wait | DagMissing:
        """Start an attempt, and take the probes that are due; otherwise it must wait, or its DAG's grace is over."""
        wait = self._aws.rest(now) or self._refusals.rest(now) or self._environment.start_attempt(now)
        if wait is not None:
            return wait
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
                self._record_failure(target.run_id, outcome, now)
            if dag is not None:
                dag.release_probe(now)
            return None
        self._failures, self._failed = 0, frozenset()
        self._refusals.record_success()
        self._environment.record_success()
        if isinstance(outcome, Rejected | Retryable) and outcome.reason in _DAG_FAILED:
            if dag is None:
                name = self._prefix + target.dag_id
                dag = CircuitBreaker(
                    name,
                    self._store,
                    forget_after_seconds=self.dag_missing_grace_seconds,
                    longest_pause_seconds=LONGEST_DAG_PAUSE_SECONDS,
                )
                self._dags[target.dag_id] = dag
            dag.last_failure = outcome.text
            return dag.record_failure(now)
        if dag is not None:
            dag.record_success()
            self._dags.pop(target.dag_id, None)
        return None

    def _record_failure(self, run_id: str, outcome: Outcome, now: float) -> None:
        """Open the environment's breaker if it is open already, or if there are too many failures in a row."""
        self._failures, self._failed = self._failures + 1, self._failed | {run_id}
        if isinstance(outcome, Retryable):
            self._refusals.record_failure(now)
        else:
            self._refusals.record_success()  # it took the command
        tolerable = self._failures <= FAILURES_TOLERATED and self._refusals.in_a_row <= REFUSALS_TOLERATED
        if tolerable and self._environment.known_open(now) is None:
            return
        self._failures, self._failed = 0, frozenset()
        self._refusals.record_success()
        self._environment.record_failure(now)

    def record_aws(self, *, answered: bool, now: float) -> None:
        """Record whether the ledger answered: if it does not, twice in a row, this sandbox makes no attempt for a while."""
        if answered:
            self._aws.record_success()
        else:
            self._aws.record_failure(now)

    def caused(self, outcome: Retryable | OutcomeUnknown) -> bool:
        """Return whether the environment or AWS is in trouble, so that the failure is not the request's own."""
        match outcome.reason:
            case Reason.AWS_UNAVAILABLE:
                return self._aws.in_a_row > 1
            case Reason.CIRCUIT_OPEN:
                return True
            case reason:
                lost = isinstance(outcome, OutcomeUnknown) and len(self._failed) > 1
                return lost or reason in _ENVIRONMENT_FAILED


def _environment_failed(outcome: Outcome) -> bool:
    """Unknown counts: the look-up right after it got no answer either."""
    return isinstance(outcome, OutcomeUnknown) or (
        isinstance(outcome, Retryable) and outcome.reason in _ENVIRONMENT_FAILED
    )
