"""The fixtures of the dispatcher's tests."""

import pytest

from fakes.dispatching import PAUSED, STALE, Gateway, listed
from fakes.requests import a_request


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def one_sandbox(gateway: Gateway) -> Gateway:
    gateway.sandbox = gateway.new_sandbox()
    gateway.deliver(a_request("warm-up"))  # a new sandbox reads its circuit once
    gateway.airflow.commands.clear()
    return gateway


@pytest.fixture
def listing(gateway: Gateway) -> Gateway:
    """A gateway that knows of a DAG that runs, a paused one and a stale one, if it asks."""
    gateway.catalog_seconds = 300
    gateway.airflow.listed = listed(PAUSED, STALE)
    return gateway
