"""The DAG catalogs in DynamoDB: one item per environment in the ledger table, written only when it is refreshed."""

import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.dynamodb.values import Value, attributes, ledger_key
from mwaa_gateway.aws.errors import refused_item, unavailable_unless_answered
from mwaa_gateway.dispatch.dag_catalog import CatalogRecord, DagCatalog

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SORT = "catalog"  # no trigger request's: those contain two "#"
_LARGEST_BYTES = 350_000  # of DynamoDB's 400 KB; about 50,000 DAGs, compressed


class CatalogItem:
    """Implements `mwaa_gateway.dispatch.dag_catalog.CatalogStore`."""

    def __init__(self, client: "DynamoDBClient", table: str, environment: str) -> None:
        self._client = client
        self._table = table
        self._key = ledger_key(f"catalog|{environment}", _SORT)

    def read(self) -> CatalogRecord:
        """Return the stored catalog, without taking the lease."""
        with unavailable_unless_answered("cannot read the DAG catalog"):
            answer = self._client.get_item(TableName=self._table, Key=self._key)
        return _record(answer.get("Item", {}))

    def take_lease(self, now: float, until: float, older_than: float) -> tuple[bool, CatalogRecord]:
        """Take the lease until `until`, if it is free and the catalog is older than `older_than`."""
        lease_is_free = "(attribute_not_exists(leased_until) OR leased_until <= :now)"
        catalog_is_old = "(attribute_not_exists(taken_at) OR taken_at <= :older_than)"
        with unavailable_unless_answered("cannot take the lease of the DAG catalog"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=self._key,
                    UpdateExpression="SET leased_until = :until",
                    ConditionExpression=f"{lease_is_free} AND {catalog_is_old}",
                    ExpressionAttributeValues=attributes(
                        {":now": now, ":until": until, ":older_than": older_than}
                    ),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return False, _record(refused_item(refused))
        return True, _record(answer["Attributes"])

    def keep(self, catalog: DagCatalog) -> None:
        """Store a new catalog and end the lease; one too large for an item is stored without its runnable DAGs."""
        dags = {"runnable": catalog.runnable, "paused": catalog.paused, "stale": catalog.stale}
        body = _compressed(dags)
        if len(body) > _LARGEST_BYTES:
            body = _compressed(dags | {"runnable": frozenset()})
        self._update(
            "SET taken_at = :taken_at, dags = :dags, failures = :none REMOVE leased_until",
            {":taken_at": catalog.taken_at, ":dags": body, ":none": 0},
        )

    def failed(self, failures: int, until: float) -> None:
        """Record `failures` failed listings in a row; the next one is due at `until`."""
        self._update(
            "SET failures = :failures, leased_until = :until",
            {":failures": failures, ":until": until},
        )

    def _update(self, expression: str, values: Mapping[str, Value]) -> None:
        with unavailable_unless_answered("cannot write the DAG catalog"):
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=expression,
                ExpressionAttributeValues=attributes(values),
            )


def _compressed(dags: dict[str, frozenset[str]]) -> bytes:
    return zlib.compress(json.dumps({name: sorted(ids) for name, ids in dags.items()}).encode())


def _record(item: dict[str, Any]) -> CatalogRecord:
    return CatalogRecord(
        _catalog(item),
        float(item.get("leased_until", {}).get("N", 0)),
        int(item.get("failures", {}).get("N", 0)),
    )


def _catalog(item: dict[str, Any]) -> DagCatalog | None:
    if "dags" not in item:
        return None
    try:
        dags = json.loads(zlib.decompress(item["dags"]["B"]))
        sets = {name: frozenset(dags.get(name, ())) for name in ("runnable", "paused", "stale")}
        return DagCatalog(float(item["taken_at"]["N"]), **sets)
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error):
        return None  # changed by hand: the next listing overwrites it
