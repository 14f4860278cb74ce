"""All of the local MWAA: environments, their Airflows, their web servers, and the API in front."""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from local_stack.mwaa.airflow import Airflow
from local_stack.mwaa.airflow_install import ensure_airflow
from local_stack.mwaa.api import MwaaApi
from local_stack.mwaa.certificates import LocalAuthority
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.http_server import HttpServer
from local_stack.mwaa.permissions import Permission
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.web_server import WebServer

_NAME: Final = re.compile(r"[a-zA-Z][0-9a-zA-Z_-]{0,79}")


class LocalMwaa:
    """MWAA environments on this machine, each with its own Airflow; also a context manager.

    Servers run as threads of this process, the Airflows as its children: when this process ends, even by
    SIGKILL, they end as well. Everything listens on 127.0.0.1, on free ports.

    Args:
        environments: Airflow version by environment name, such as {"analytics": "3.3.1"}.
        state_folder: for certificate, databases and logs; each start begins anew.
        dags_folder: the DAGs of all environments.
        permission: who may call the API; `MiniStackPermission` in the local stack.
        region: AWS region in the environments' ARNs.
        account_id: AWS account in the environments' ARNs.
        venvs: where the Airflow installations are.
        uv: the uv that installs them; used only when an installation is missing.
        progress: gets a short sentence for each step.
        status_on_error: what the web server answers when a command fails, 200 or 400.
        web_servers: processes of each Airflow 3's API server; MWAA has two or more web servers.
        task_environment: environment variables for the DAGs' tasks (an AWS endpoint, for instance).
        clock: seconds; tokens live by it.
    """

    def __init__(
        self,
        environments: Mapping[str, str],
        *,
        state_folder: Path,
        dags_folder: Path,
        permission: Permission,
        region: str = "us-east-1",
        account_id: str = "000000000000",
        venvs: Path = Path(".venvs"),
        uv: Path = Path(".venvs/uv/bin/uv"),
        progress: Callable[[str], None] = print,
        status_on_error: int = 400,
        web_servers: int = 1,
        task_environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if wrong := [name for name in environments if not _NAME.fullmatch(name)]:
            raise ValueError(
                f"{wrong[0]!r} is no name of an MWAA environment: a letter, then letters, digits, - or _"
            )
        self._versions = {name: AirflowVersion.parse(text) for name, text in environments.items()}
        self._state_folder = state_folder.absolute()
        self._dags_folder = dags_folder.absolute()
        self._permission = permission
        self._arn_prefix = f"arn:aws:airflow:{region}:{account_id}:environment/"
        self._venvs = venvs
        self._uv = uv
        self._progress = progress
        self._status_on_error = status_on_error
        self._web_servers = web_servers
        self._task_environment = task_environment
        self._clock = clock
        self._airflows: dict[str, Airflow] = {}
        self._environments: dict[str, Environment] = {}
        self._endpoint_url = ""
        self._running = ExitStack()

    @property
    def endpoint_url(self) -> str:
        """The URL of the MWAA API (AWS_ENDPOINT_URL_MWAA)."""
        return self._endpoint_url

    @property
    def ca_bundle(self) -> Path:
        """The certificate that clients of the web servers must trust."""
        return self._state_folder / "ca.pem"

    def start(self) -> None:
        """Install what is missing and start everything; returns when commands are accepted.

        Raises InstallError or AirflowError, and leaves nothing running then.
        """
        try:
            self._start_airflows()
            self._start_servers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything; returns when no process is left. Safe to call when nothing runs."""
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def describe(self) -> dict[str, Any]:
        """Return every endpoint, as `mwaa-gateway local status --json` shows it."""
        return {
            "mwaa_endpoint_url": self._endpoint_url,
            "ca_bundle": str(self.ca_bundle),
            "environments": {
                name: {
                    "airflow_version": airflow.settings.version.text,
                    "airflow_url": airflow.settings.url,
                    "airflow_home": str(airflow.settings.home),
                    "dags_folder": str(airflow.settings.dags_folder),
                    "web_server_hostname": self._environments[name].web_server_hostname,
                }
                for name, airflow in self._airflows.items()
            },
        }

    def _start_airflows(self) -> None:
        pythons = {
            version: ensure_airflow(version, venvs=self._venvs, uv=self._uv, progress=self._progress)
            for version in dict.fromkeys(self._versions.values())
        }
        for name, version in self._versions.items():
            airflow = Airflow(
                version,
                python=pythons[version],
                home=self._state_folder / name,
                dags_folder=self._dags_folder,
                progress=lambda step, name=name: self._progress(f"{name}: {step}"),  # type: ignore[misc]
                web_servers=self._web_servers,
                task_environment=self._task_environment,
            )
            self._airflows[name] = airflow
            self._running.callback(airflow.stop)
        # Concurrently: half of a start is waiting. The `with` waits for all of them, failed or not.
        with ThreadPoolExecutor(max_workers=len(self._airflows) or 1) as starts:
            started = [starts.submit(airflow.start) for airflow in self._airflows.values()]
        for start in started:
            start.result()

    def _start_servers(self) -> None:
        authority = LocalAuthority()
        authority.write(self.ca_bundle)
        for name, airflow in self._airflows.items():
            environment = Environment(
                name=name,
                arn=self._arn_prefix + name,
                version=airflow.settings.version,
                command_line=airflow.command_line,
                clock=self._clock,
                status_on_error=self._status_on_error,
                airflow_url=airflow.settings.url,
            )
            self._environments[name] = environment
            server = HttpServer(WebServer(environment).respond, tls=authority.server_context())
            environment.web_server_hostname = f"localhost:{server.port}"
            self._serve(server)
        api = MwaaApi(self._environments, permission=self._permission, arn_prefix=self._arn_prefix)
        server = HttpServer(api.respond)
        self._endpoint_url = f"http://127.0.0.1:{server.port}"
        self._serve(server)

    def _serve(self, server: HttpServer) -> None:
        server.start()
        self._running.callback(server.stop)
