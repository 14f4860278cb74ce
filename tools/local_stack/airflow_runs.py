"""DAG runs as Airflow's own REST API reports them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from local_stack.state import EnvironmentState

_TIMEOUT = (5, 30)
_PAGE = 100


@dataclass(frozen=True, slots=True)
class DagRun:
    """A DAG run as Airflow reports it; `ended_at` is in seconds since the epoch, None while it runs."""

    dag_id: str
    run_id: str
    state: str
    conf: dict[str, Any]
    ended_at: float | None

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state in {"success", "failed"}


class AirflowRuns:
    """The DAG runs of one environment. Safe to use from one thread at a time."""

    def __init__(self, environment: EnvironmentState) -> None:
        major = environment.airflow_version.partition(".")[0]
        self._root = f"{environment.airflow_url}/api/{'v1' if major == '2' else 'v2'}"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc: this is our own loopback

    def get(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return one run; None if Airflow has no run with this id."""
        answer = self._session.get(f"{self._runs(dag_id)}/{quote(run_id, safe='')}", timeout=_TIMEOUT)
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        return _dag_run(answer.json())

    def all(self, dag_id: str) -> list[DagRun]:
        """Return every run of a DAG."""
        return list(self._pages(dag_id))

    def _pages(self, dag_id: str) -> Iterator[DagRun]:
        offset, total = 0, 1
        while offset < total:
            answer = self._session.get(
                self._runs(dag_id), params={"limit": str(_PAGE), "offset": str(offset)}, timeout=_TIMEOUT
            )
            answer.raise_for_status()
            page = answer.json()
            total, offset = page["total_entries"], offset + _PAGE
            yield from map(_dag_run, page["dag_runs"])

    def _runs(self, dag_id: str) -> str:
        return f"{self._root}/dags/{quote(dag_id, safe='')}/dagRuns"


def _dag_run(document: dict[str, Any]) -> DagRun:
    ended = document.get("end_date")
    return DagRun(
        dag_id=document["dag_id"],
        run_id=document["dag_run_id"],
        state=document["state"],
        conf=document.get("conf") or {},
        ended_at=datetime.fromisoformat(ended).timestamp() if ended else None,
    )
