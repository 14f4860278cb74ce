"""The catalog's promises, kept by DynamoDB (moto's) and by the in-memory fake alike."""

import pytest
from botocore.exceptions import EndpointConnectionError

from fakes.catalog import FakeCatalogStore
from mwaa_gateway.aws.dynamodb.dag_catalogs import CatalogItem
from mwaa_gateway.dispatch.dag_catalog import CatalogRecord, CatalogStore, DagCatalog
from mwaa_gateway.errors import Unavailable

CATALOG = DagCatalog(1_000.25, frozenset({"a", "b"}), frozenset({"paused"}), frozenset({"stale"}))


@pytest.fixture(params=["dynamodb", "fake"])
def store(request: pytest.FixtureRequest) -> CatalogStore:
    if request.param == "fake":
        return FakeCatalogStore()
    return CatalogItem(request.getfixturevalue("dynamodb"), "ledger", "analytics")


def test_the_first_lease_is_taken_by_one(store: CatalogStore) -> None:
    """The second caller learns until when the first may take."""
    leased = CatalogRecord(None, 1_060.0, 0)
    assert (True, leased) == store.take_lease(1_000.0, 1_060.0, 700.0)
    assert (False, leased) == store.take_lease(1_001.0, 1_061.0, 701.0)
    assert (True, CatalogRecord(None, 1_120.0, 0)) == store.take_lease(1_060.0, 1_120.0, 760.0)


def test_a_catalog_is_kept_and_read_by_others(store: CatalogStore) -> None:
    """It ends the lease, and no lease is to be had while it is young enough."""
    store.take_lease(1_000.0, 1_060.0, 700.0)
    store.keep(CATALOG)
    assert (False, CatalogRecord(CATALOG)) == store.take_lease(1_002.0, 1_062.0, 702.0)
    assert (True, CatalogRecord(CATALOG, 1_400.0, 0)) == store.take_lease(1_340.0, 1_400.0, 1_040.0)


def test_failures_are_counted_and_make_a_pause(store: CatalogStore) -> None:
    """The catalog before them stays; the next success forgets them."""
    store.keep(CATALOG)
    store.failed(2, 1_500.0)
    assert (False, CatalogRecord(CATALOG, 1_500.0, 2)) == store.take_lease(1_499.0, 1_560.0, 1_200.0)
    assert (True, CatalogRecord(CATALOG, 1_560.0, 2)) == store.take_lease(1_500.0, 1_560.0, 1_200.0)
    store.keep(CATALOG)
    assert (False, CatalogRecord(CATALOG)) == store.take_lease(1_501.0, 1_561.0, 900.0)


def test_environments_have_catalogs_of_their_own(dynamodb) -> None:
    """And whoever only reads takes nothing."""
    CatalogItem(dynamodb, "ledger", "analytics").keep(CATALOG)
    assert CatalogRecord(CATALOG) == CatalogItem(dynamodb, "ledger", "analytics").read()
    assert CatalogRecord() == CatalogItem(dynamodb, "ledger", "marketing").read()


@pytest.mark.parametrize("nonsense", [{"B": b"nonsense"}, {"S": "nonsense"}, {"BOOL": True}])
def test_a_catalog_that_was_changed_by_hand_is_renewed(dynamodb, nonsense: dict) -> None:
    """It counts as none; the next list overwrites it."""
    item = CatalogItem(dynamodb, "ledger", "analytics")
    item.keep(CATALOG)
    dynamodb.update_item(
        TableName="ledger",
        Key={"event": {"S": "catalog|analytics"}, "request": {"S": "catalog"}},
        UpdateExpression="SET dags = :nonsense",
        ExpressionAttributeValues={":nonsense": nonsense},
    )
    assert (True, CatalogRecord(None, 1_400.0, 0)) == item.take_lease(1_340.0, 1_400.0, 1_040.0)
    item.keep(CATALOG)
    assert CatalogRecord(CATALOG) == item.read()


def test_a_catalog_too_large_for_an_item_keeps_what_does_not_run(dynamodb) -> None:
    """What runs is left out first: it is the many."""
    many = frozenset(f"{n:x}-{hash(str(n)):x}-{hash(str(-n)):x}" for n in range(30_000))
    item = CatalogItem(dynamodb, "ledger", "analytics")
    item.keep(DagCatalog(1.0, many, frozenset({"paused"}), frozenset({"stale"})))
    assert DagCatalog(1.0, frozenset(), frozenset({"paused"}), frozenset({"stale"})) == item.read().catalog


@pytest.mark.parametrize("call", ["take_lease", "keep", "failed"])
def test_no_answer_is_unavailable(dynamodb, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever botocore raises."""

    def fail(**_):
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(dynamodb, "update_item", fail)
    arguments = {"take_lease": (1.0, 2.0, 0.0), "keep": (CATALOG,), "failed": (1, 2.0)}[call]
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        getattr(CatalogItem(dynamodb, "ledger", "analytics"), call)(*arguments)
