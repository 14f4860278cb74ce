"""The list of an environment's DAGs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListedDag:
    """One DAG in Airflow's list."""

    dag_id: str
    paused: bool
    stale: bool


@dataclass(frozen=True, slots=True)
class NotListed:
    """Airflow gave no list of DAGs: why, and the HTTP status if there is one."""

    text: str
    status: int | None = None
