"""The promises of the circuit breakers' store, kept by DynamoDB (moto's) and by the in-memory fake alike."""

import pytest
from botocore.exceptions import EndpointConnectionError

from fakes.circuit_breakers import FakeCircuitStore
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.dispatch.circuit_breaker import CircuitStore, OpenCircuit
from mwaa_gateway.errors import Unavailable

NAME = "gate|environment|analytics"
SHUT = OpenCircuit(open_since=900.0, failed_at=1_000.5, failures=3, probe_at=1_004.5)


@pytest.fixture(params=["dynamodb", "fake"])
def store(request: pytest.FixtureRequest) -> CircuitStore:
    if request.param == "fake":
        return FakeCircuitStore()
    return CircuitItems(request.getfixturevalue("dynamodb"), "ledger")


def test_a_breaker_that_nothing_opened_is_closed(store: CircuitStore) -> None:
    """There is no probe to take."""
    assert (False, None) == store.take_probe(NAME, 1_000.0, 1_030.0)


def test_an_open_breaker_gives_no_probe_before_its_time(store: CircuitStore) -> None:
    """The breaker says when it opened."""
    store.open(NAME, SHUT)
    assert (False, SHUT) == store.take_probe(NAME, 1_004.4, 1_034.4)


def test_only_one_takes_the_probe(store: CircuitStore) -> None:
    """The second caller learns until when the first may take."""
    store.open(NAME, SHUT)
    probed = OpenCircuit(900.0, 1_000.5, 3, 1_035.0)
    assert (True, probed) == store.take_probe(NAME, 1_005.0, 1_035.0)
    assert (False, probed) == store.take_probe(NAME, 1_006.0, 1_036.0)
    assert (True, OpenCircuit(900.0, 1_000.5, 3, 1_066.0)) == store.take_probe(NAME, 1_036.0, 1_066.0)


def test_a_closed_breaker_can_open_again(store: CircuitStore) -> None:
    """Nothing of the earlier time is left."""
    store.open(NAME, SHUT)
    store.close(NAME)
    assert (False, None) == store.take_probe(NAME, 2_000.0, 2_030.0)
    store.open(NAME, SHUT)
    assert (False, SHUT) == store.take_probe(NAME, 1_000.0, 1_030.0)


def test_breakers_are_independent(store: CircuitStore) -> None:
    """One environment's trouble is not another's."""
    store.open(NAME, SHUT)
    assert (False, None) == store.take_probe("gate|environment|marketing", 2_000.0, 2_030.0)


@pytest.mark.parametrize("call", ["take_probe", "open", "close"])
def test_no_answer_is_unavailable(dynamodb, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever botocore raises."""

    def fail(**_):
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(dynamodb, "update_item", fail)
    arguments = {"take_probe": (1_000.0, 1_030.0), "open": (SHUT,), "close": ()}[call]
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        getattr(CircuitItems(dynamodb, "ledger"), call)(NAME, *arguments)
