"""A dispatcher on fakes, with a clock that the test moves."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fakes.airflow import BUSY, FakeAirflow
from fakes.catalog import FakeCatalogStore
from fakes.circuit_breakers import FakeCircuitStore
from fakes.ledger import FakeLedger
from fakes.object_claims import FakeClaims
from fakes.pauses import FakePauseStore
from fakes.queues import FakeTriggerDeadLetters
from fakes.requests import a_request
from mwaa_gateway.airflow.dag_list import ListedDag
from mwaa_gateway.dispatch.circuit_breaker import REFUSALS_TOLERATED, CircuitBreakers
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.dispatcher import Dispatched, Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.outcomes import (
    Reason,
    Rejected,
    Retryable,
)
from mwaa_gateway.trigger_request import TriggerRequest

DAY = 86_400
GRACE = 900
RULE = a_request().rule_id
UNREACHABLE = Retryable(Reason.ENVIRONMENT_UNREACHABLE, "no connection")
MISSING = Rejected(Reason.DAG_MISSING, "no such DAG")
NO_PERMISSION = Retryable(Reason.AIRFLOW_REFUSED, "no permission")
NO = Rejected(Reason.CONF_REFUSED, "Airflow said no")
PAUSED = ListedDag("paused", paused=True, stale=False)
STALE = ListedDag("stale", paused=True, stale=True)


@dataclass
class Gateway:
    """A dispatcher on fakes, with a clock that the test moves."""

    ledger: FakeLedger = field(default_factory=FakeLedger)
    claims: FakeClaims = field(default_factory=FakeClaims)
    airflow: FakeAirflow = field(default_factory=FakeAirflow)
    dead_letters: FakeTriggerDeadLetters = field(default_factory=FakeTriggerDeadLetters)
    circuit_breakers: FakeCircuitStore = field(default_factory=FakeCircuitStore)
    pause_store: FakePauseStore = field(default_factory=FakePauseStore)
    pauses: Pauses | None = None  # a new one for each delivery, unless a test names one that knows something
    catalogs: FakeCatalogStore = field(default_factory=FakeCatalogStore)
    catalog_seconds: float = 0.0  # no catalog, unless a test is about it
    unlisted: list[str] = field(default_factory=list)
    time: float = 1_000.0
    jitter: float = 0.5
    slept: list[float] = field(default_factory=list)
    while_asleep: Callable[[], object] = list
    sandbox: CircuitBreakers | None = (
        None  # a new one for each delivery, whose circuits are closed, unless a test names one
    )

    def new_sandbox(self) -> CircuitBreakers:
        return CircuitBreakers("analytics", self.circuit_breakers, dag_missing_grace_seconds=GRACE)

    def dispatcher(self) -> Dispatcher:
        if self.sandbox is None:
            self.circuit_breakers.circuit_breakers.clear()
        return Dispatcher(
            ledger=self.ledger,
            claims=self.claims,
            airflow=self.airflow,
            dead_letters=self.dead_letters,
            pauses=self.pauses or Pauses("analytics", self.pause_store, refresh_seconds=5),
            circuit_breakers=self.sandbox or self.new_sandbox(),
            catalog=LiveCatalog(
                self.catalogs,
                self.airflow,
                refresh_seconds=self.catalog_seconds,
                now=lambda: self.time,
                report=self.unlisted.append,
            ),
            maximum_event_age_seconds=DAY,
            now=lambda: self.time,
            jitter=lambda: self.jitter,
            sleep=self.sleep,
        )

    def deliver(
        self,
        request: TriggerRequest | str | None = None,
        receive_count: int = 1,
        waiting_since: float | None = None,
    ) -> Dispatched:
        request = request or a_request()
        body = request if isinstance(request, str) else request.to_json()
        return self.dispatcher().dispatch(body, receive_count, waiting_since)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.while_asleep()

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.ledger.rows.values()]


def redriven(redrive: int = 1, identity: str = "redriven", **changes: Any) -> TriggerRequest:
    return replace(a_request(identity, **changes), redrive=redrive)


def kept_back(when_paused: str, identity: str = "one", dag_id: str = "paused") -> TriggerRequest:
    return replace(a_request(identity, dag_id=dag_id), when_paused=when_paused)


def listed(*dags: ListedDag) -> tuple[ListedDag, ...]:
    return (ListedDag("ingest_orders", paused=False, stale=False), *dags)


def unpause(listing: Gateway) -> None:
    listing.airflow.listed = listed(ListedDag("paused", paused=False, stale=False), STALE)


def grows_old(gateway: Gateway, request: TriggerRequest, seconds: float) -> None:
    """Tried in vain again and again, at least every 15 minutes, for so long."""
    until = gateway.time + seconds
    while gateway.time < until:
        gateway.airflow.answers.insert(0, BUSY)
        assert isinstance(gateway.deliver(request).outcome, Retryable)
        gateway.time = min(gateway.time + 900, until)


def dies(gateway: Gateway, request: TriggerRequest, outcome: Rejected = NO) -> None:
    gateway.airflow.answers = [outcome]
    assert isinstance(gateway.deliver(request).outcome, Rejected)


def open_circuit(gateway: Gateway, failure: Retryable) -> None:
    """Fail as often as it takes to open the environment's circuit."""
    for number in range(REFUSALS_TOLERATED + 1):
        gateway.airflow.answers = [failure]
        gateway.deliver(a_request(f"failed-{number}"))


def waits(dispatched: Dispatched) -> bool:
    return isinstance(dispatched.outcome, Retryable) and dispatched.outcome.reason is Reason.CIRCUIT_OPEN
