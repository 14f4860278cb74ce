"""What a circuit breaker covers: one environment, or one DAG of one environment, and no other."""

import pytest

from fakes.circuit_breakers import FakeCircuitStore
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers, Pass, Wait
from mwaa_gateway.outcomes import Reason, Rejected, Retryable, Triggered
from mwaa_gateway.trigger_request import ResolvedTarget

AWAY = Retryable(Reason.ENVIRONMENT_UNREACHABLE, "no connection")
MISSING = Rejected(Reason.DAG_MISSING, "no such DAG")


def target(environment: str) -> ResolvedTarget:
    return ResolvedTarget(environment, "load", "evt__a__1", {})


@pytest.fixture
def store() -> FakeCircuitStore:
    return FakeCircuitStore()


def sandbox(store: FakeCircuitStore, environment: str) -> CircuitBreakers:
    return CircuitBreakers(environment, store, dag_missing_grace_seconds=900)


def test_an_environment_that_is_away_is_away_for_its_own_new_sandboxes_only(store: FakeCircuitStore) -> None:
    """A sandbox reads its environment's breaker before its first request."""
    asking = sandbox(store, "analytics")
    for now in (1.0, 3.0, 6.0):
        asking.record(target("analytics"), AWAY, now)
    assert isinstance(sandbox(store, "analytics").start_attempt(target("analytics"), 6.5), Wait)
    assert isinstance(sandbox(store, "science").start_attempt(target("science"), 3.5), Pass)


@pytest.mark.parametrize(
    "reason", [Reason.AIRFLOW_REFUSED, Reason.RUN_NOT_THERE, Reason.OVERTAKEN, Reason.DAG_CATALOG_AWAITED]
)
def test_a_failure_that_is_not_the_environments_leaves_its_breaker_closed(
    store: FakeCircuitStore, reason: Reason
) -> None:
    """Airflow answered, or was not asked: other requests for this environment do not wait."""
    circuit_breakers = sandbox(store, "analytics")
    for now in (1.0, 3.0, 6.0):
        circuit_breakers.record(target("analytics"), Retryable(reason, "not the environment's"), now)
    assert circuit_breakers.away_for(6.5) is None
    assert isinstance(sandbox(store, "analytics").start_attempt(target("analytics"), 6.5), Pass)


def test_a_request_that_waits_for_its_dag_leaves_the_environments_probe_to_others(
    store: FakeCircuitStore,
) -> None:
    """Both breakers are open, and only the environment's probe is due."""
    here, beside_it = sandbox(store, "analytics"), sandbox(store, "analytics")
    for now in range(1, 7):
        here.record(target("analytics"), MISSING, float(now))  # the DAG's sixth pause lasts 30 s
    for now in (7.0, 9.0, 12.0):
        here.record(target("analytics"), AWAY, now)
    assert isinstance(here.start_attempt(target("analytics"), 13.5), Wait)
    another_dag = ResolvedTarget("analytics", "other", "evt__b__1", {})
    assert isinstance(beside_it.start_attempt(another_dag, 13.6), Pass)


def test_a_dag_that_appears_in_one_environment_is_still_missing_in_the_other(store: FakeCircuitStore) -> None:
    """There one probe goes on asking for it."""
    here, beside_it, there = (sandbox(store, name) for name in ("analytics", "analytics", "science"))
    for circuit_breakers, environment in ((here, "analytics"), (beside_it, "analytics"), (there, "science")):
        circuit_breakers.record(target(environment), MISSING, 1.0)
    there.record(target("science"), Triggered(), 2.0)
    assert isinstance(here.start_attempt(target("analytics"), 10.0), Pass)
    assert isinstance(beside_it.start_attempt(target("analytics"), 10.0), Wait)
