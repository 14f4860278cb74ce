"""The list of an environment's DAGs."""

from mwaa_gateway.values import value


@value
class ListedDag:
    """One DAG in Airflow's list."""

    dag_id: str
    paused: bool
    stale: bool


@value
class NotListed:
    """Airflow gave no list of DAGs: why, and the HTTP status if there is one."""

    text: str
    status: int | None = None
