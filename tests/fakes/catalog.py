"""An environment's catalog in memory, shared by every sandbox that is given the same one."""

from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.dispatch.dag_catalog import CatalogRecord, DagCatalog


@dataclass
class FakeCatalogStore:
    """Implements `mwaa_gateway.dispatch.dag_catalog.CatalogStore`; `calls` counts what reached it."""

    record: CatalogRecord = field(default_factory=CatalogRecord)
    failures: Failures = field(default_factory=Failures)
    calls: int = 0

    def take_lease(self, now: float, until: float, older_than: float) -> tuple[bool, CatalogRecord]:
        self._call("take_lease")
        catalog = self.record.catalog
        if now < self.record.leased_until or (catalog is not None and catalog.taken_at > older_than):
            return False, self.record
        self.record = CatalogRecord(catalog, until, self.record.failures)
        return True, self.record

    def keep(self, catalog: DagCatalog) -> None:
        self._call("keep")
        self.record = CatalogRecord(catalog)

    def failed(self, failures: int, until: float) -> None:
        self._call("failed")
        self.record = CatalogRecord(self.record.catalog, until, failures)

    def _call(self, method: str) -> None:
        self.failures.raise_if_due(method)
        self.calls += 1
