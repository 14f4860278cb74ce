"""The DAGs of an environment as its Airflow lists them."""

from dataclasses import dataclass

__all__ = ["ListedDag", "NotListed"]


@dataclass(frozen=True, slots=True)
class ListedDag:
    """One DAG as Airflow lists it."""

    dag_id: str
    paused: bool
    stale: bool


@dataclass(frozen=True, slots=True)
class NotListed:
    """Airflow could not be asked, or its answer is no list: why, and the HTTP status if there was one."""

    text: str
    status: int | None = None
