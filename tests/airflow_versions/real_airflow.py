"""One real Airflow behind the local MWAA, reached by the gateway's own transports and looked at in its database."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import boto3
import requests
from botocore.config import Config

from local_stack.mwaa import ControlClient, LocalMwaa
from local_stack.mwaa.http_server import Answer, Request
from local_stack.mwaa.versions import AirflowVersion
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.dispatch.dispatcher import Airflow
from polling import until

ENVIRONMENT = "analytics"
REGION = "us-east-1"


class Anyone:
    """Everyone may do everything: permissions are tested with MiniStack, which has roles."""

    def refusal(self, request: Request, *, action: str, resource: str) -> Answer | None:
        """Refuse nobody."""

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str]:
        """Grant all of them."""
        del request, action
        return frozenset(resources)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it lies in Airflow's database."""

    run_id: str
    state: str
    second: str
    conf: Any


@dataclass(frozen=True, slots=True)
class RealAirflow:
    """A running environment."""

    version: AirflowVersion
    endpoint_url: str
    airflow_url: str
    web_server_hostname: str
    ca_bundle: str
    database: Path

    @classmethod
    def behind(cls, local: LocalMwaa, version: AirflowVersion) -> Self:
        """The one environment of a local MWAA."""
        about = local.describe()["environments"][ENVIRONMENT]
        return cls(
            version,
            local.endpoint_url,
            about["airflow_url"],
            about["web_server_hostname"],
            str(local.ca_bundle),
            Path(about["airflow_home"], "airflow.db"),
        )

    @property
    def control(self) -> ControlClient:
        """Its faults."""
        return ControlClient(self.endpoint_url)

    def transport(self, name: str, *, beside: int = 1) -> Airflow:
        """The gateway's transport as a dispatcher's sandbox has it, one of so many that share the pace of `rest`."""
        config = Config(inject_host_prefix=False)
        client = boto3.client(
            "mwaa",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config if name == "cli" else REST_CLIENT_CONFIG.merge(config),
        )
        if name == "rest":
            return RestTransport(client, ENVIRONMENT, Pace(8, beside))
        web_server = WebServer(
            "localhost", self.ca_bundle, connect_timeout_seconds=5, read_timeout_seconds=60
        )
        if name == "web":
            session = WebSession(client, ENVIRONMENT, web_server, "RestApiRole")
            return WebTransport(session)
        return CliTransport(client, ENVIRONMENT, web_server)

    def runs(self, dag_id: str, prefix: str = "") -> list[Run]:
        """The runs of a DAG whose run_id begins with `prefix`, as Airflow's REST API lists them."""
        rows = self._rows(
            "SELECT run_id FROM dag_run WHERE dag_id = ? AND substr(run_id, 1, ?) = ?",
            (dag_id, len(prefix), prefix),
        )
        found = []
        for (run_id,) in rows:
            run = self._run(dag_id, run_id)
            when = run.get("run_after") or run.get("logical_date")
            found.append(Run(run["dag_run_id"], run["state"], str(when)[:19], run["conf"]))
        return found

    def _run(self, dag_id: str, run_id: str) -> Any:
        root = f"{self.airflow_url}/api/{'v1' if self.version.is_airflow_2 else 'v2'}"
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{root}/dags/{dag_id}/dagRuns/{run_id}", timeout=30).json()

    def count(self, dag_id: str, run_id: str) -> int:
        """How many runs have this id."""
        [[count]] = self._rows(
            "SELECT count(*) FROM dag_run WHERE dag_id = ? AND run_id = ?", (dag_id, run_id)
        )
        return int(count)

    def state(self, dag_id: str, run_id: str) -> str:
        """The state of the one run with this id."""
        [[state]] = self._rows("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", (dag_id, run_id))
        return str(state)

    def logical_date(self, dag_id: str, run_id: str) -> datetime:
        """The logical date of the one run with this id, as its REST API tells it."""
        run = self._run(dag_id, run_id)
        return datetime.fromisoformat(run["logical_date"])

    def partition_key(self, dag_id: str, run_id: str) -> str | None:
        """The partition key of the one run with this id."""
        [[key]] = self._rows(
            "SELECT partition_key FROM dag_run WHERE dag_id = ? AND run_id = ?", (dag_id, run_id)
        )
        return key if key is None else str(key)

    def wait_until_ruined(self) -> None:
        """Wait until it has noticed which DAG is broken and which is gone."""
        broken = "SELECT filename FROM import_error WHERE filename LIKE '%breaks_later.py'"
        gone = "SELECT dag_id FROM dag WHERE dag_id = 'gone' AND "
        gone += "NOT is_active" if self.version.is_airflow_2 else "is_stale"
        noticed = lambda: self._rows(broken) and self._rows(gone)  # noqa: E731
        until("Airflow to notice", noticed, seconds=120, every=0.3)

    def _rows(self, query: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database:
            return database.execute(query, arguments).fetchall()


@contextlib.contextmanager
def started(version: AirflowVersion, folder: Path, *, venvs: Path) -> Iterator[RealAirflow]:
    """Start it with the DAGs in `folder`, and end it."""
    local = LocalMwaa(
        {ENVIRONMENT: version.text},
        state_folder=folder / "state",
        dags_folder=folder / "dags",
        permission=Anyone(),
        venvs=venvs,
        uv=venvs / "uv" / "bin" / "uv",
    )
    with local:
        yield RealAirflow.behind(local, version)
