"""The catalog of one environment: the DAGs that would not run although Airflow accepts their runs.

Airflow accepts a run of a paused DAG, and Airflow 3 also one of a stale DAG (its file was removed, or broke after Airflow
had read it). Both runs stay queued, and no answer says so. So while runs start, one dispatcher lists all DAGs every few
minutes, with one command in its own slot, and stores the list for the others:

    too old ──lease──▶ one dispatcher lists ──▶ stored in the ledger table, valid for the next minutes
               │                     └─failed──▶ the lease stays for a while, twice as long each time
               └─refused──▶ another dispatcher is listing: continue with the old list

An environment without events costs nothing. An old catalog decides nothing, and a missing one delays no run.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.port import Airflow
from mwaa_gateway.backoff import growing_pause
from mwaa_gateway.outcomes import NotRunnable
from mwaa_gateway.values import value

LEASE_SECONDS = 60.0  # longer than a dispatcher waits for a list
RECENT_SECONDS = 60.0  # what a catalog may be old that holds a run back, or does not hold the DAG at all
FIRST_PAUSE_SECONDS = 30.0
# A list that never comes (thousands of DAG files on Airflow 2) costs next to nothing
LONGEST_PAUSE_SECONDS = 1800.0
LOOK_AGAIN_SECONDS = 5.0
HOPELESS_FAILURES = 3  # in a row


@value
class DagCatalog:
    """The DAGs as they were at `taken_at`, in seconds since the epoch."""

    taken_at: float
    runnable: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()

    @classmethod
    def of(cls, dags: Iterable[ListedDag], taken_at: float) -> "DagCatalog":
        """Sort the DAGs; one that is stale and paused is stale, as unpausing it would not make it run."""
        listed = tuple(dags)
        stale = frozenset(dag.dag_id for dag in listed if dag.stale)
        paused = frozenset(dag.dag_id for dag in listed if dag.paused) - stale
        return cls(taken_at, frozenset(dag.dag_id for dag in listed) - stale - paused, paused, stale)

    def knows(self, dag_id: str) -> bool:
        """Return whether the list has the DAG."""
        return dag_id in self.runnable or dag_id in self.paused or dag_id in self.stale

    def not_runnable(self, dag_id: str) -> NotRunnable | None:
        """Return why a run of the DAG would stay queued; None if no reason is known."""
        if dag_id in self.stale:
            return NotRunnable.STALE
        return NotRunnable.PAUSED if dag_id in self.paused else None


@value
class CatalogRecord:
    """What is kept: the last catalog, until when somebody has the lease, and how many lists have failed in a row."""

    catalog: DagCatalog | None = None
    leased_until: float = 0.0
    failures: int = 0


class CatalogStore(Protocol):
    """Where an environment's catalog is kept. Every call raises Unavailable when it cannot answer."""

    def take_lease(self, now: float, until: float, older_than: float) -> tuple[bool, CatalogRecord]:
        """Take the lease until `until`, if it is free and the catalog, if any, was taken before `older_than`.

        Returns (whether it was taken, the record as it is then).
        """

    def keep(self, catalog: DagCatalog) -> None:
        """Keep a new catalog, and end the lease."""

    def failed(self, failures: int, until: float) -> None:
        """Note that so many lists in a row have failed, and that the next one may be asked for at `until`."""


class LiveCatalog:
    """The catalog as one sandbox knows it.

    `refresh_seconds`: how old it may grow before it is renewed; twice as old it tells nothing. With 0 there is none.
    `report` gets the reason when a list fails.
    """

    def __init__(
        self,
        store: CatalogStore,
        airflow: Airflow,
        *,
        refresh_seconds: float,
        now: Callable[[], float],
        report: Callable[[str], None],
    ) -> None:
        self._store = store
        self._airflow = airflow
        self._refresh_seconds = refresh_seconds
        self._now = now
        self._report = report
        self._record = CatalogRecord()
        self._ask_at = 0.0
        self._never_listed: set[str] = set()  # by a recent list: it need not hold every DAG

    def not_runnable(self, dag_id: str) -> NotRunnable | None:
        """Return why a run of the DAG would stay queued, by the list at hand; without I/O."""
        catalog = self._usable()
        return None if catalog is None else catalog.not_runnable(dag_id)

    def tells_of(self, dag_id: str, *, recently: bool = False) -> bool:
        """Return whether `not_runnable` has a final answer for this DAG; without I/O.

        `recently`: one that is new enough to hold a run back.
        """
        catalog = self._usable()
        if catalog is None or (recently and self._now() - catalog.taken_at > RECENT_SECONDS):
            return False
        return catalog.knows(dag_id) or dag_id in self._never_listed

    @property
    def may_come(self) -> bool:
        """Whether a short wait for a catalog makes sense: not without a catalog, or after repeated failures."""
        return bool(self._refresh_seconds) and self._record.failures < HOPELESS_FAILURES

    def renew(self, dag_id: str, *, recently: bool = False) -> None:
        """Ask Airflow for a new list if one is due and no other dispatcher asks: sooner for a DAG that is in no list so far.

        Never raises: it reports a failed list, and tries again after growing pauses.
        """
        for _ in range(2):  # what another dispatcher has left may be new, and yet too old for this DAG
            now = self._now()
            catalog = self._usable()
            soon = recently or (catalog is not None and not self.tells_of(dag_id))
            older_than = now - (min(RECENT_SECONDS, self._refresh_seconds) if soon else self._refresh_seconds)
            if not self._refresh_seconds or now < self._ask_at:
                return
            if catalog is None or catalog.taken_at <= older_than:
                try:
                    self._ask(now, older_than)
                except Exception as error:  # noqa: BLE001  the run is started, or will be: nothing here may stop that
                    self._ask_at = now + LOOK_AGAIN_SECONDS
                    self._report(f"{type(error).__name__}: {error}")
            catalog = self._usable()
            if catalog is not None and catalog.taken_at > now - RECENT_SECONDS and not catalog.knows(dag_id):
                self._never_listed.add(dag_id)

    def _ask(self, now: float, older_than: float) -> None:
        taken, self._record = self._store.take_lease(now, now + LEASE_SECONDS, older_than)
        if not taken:
            catalog = self._record.catalog
            if catalog is None or catalog.taken_at <= older_than:
                # Somebody else's list may be there any moment; or lists fail, and the pause is not over.
                self._ask_at = now + LOOK_AGAIN_SECONDS
            return
        listed = self._airflow.list_dags()
        if isinstance(listed, NotListed):
            failures = self._record.failures + 1
            pause = growing_pause(failures, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            self._record = CatalogRecord(self._record.catalog, now + pause, failures)
            self._ask_at = now + pause
            self._report(listed.text)
            self._store.failed(failures, now + pause)
            return
        # As of before it was asked for: what changed meanwhile may not be in it.
        catalog = DagCatalog.of(listed, taken_at=now)
        self._record = CatalogRecord(catalog)
        self._store.keep(catalog)

    def _usable(self) -> DagCatalog | None:
        catalog = self._record.catalog
        if catalog is None or self._now() - catalog.taken_at > 2 * self._refresh_seconds:
            return None
        return catalog
