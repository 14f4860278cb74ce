"""The settings and processes of one local Airflow, each with its reason.

Everything goes by environment variable; nothing of the machine's own Airflow settings or proxies gets in.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local_stack.mwaa.versions import AirflowVersion

_ADDRESS: Final = "127.0.0.1"
# Every visitor of Airflow 2's user interface is administrator: it listens on this machine's loopback alone.
WEB_SERVER_CONFIG: Final = 'AUTH_ROLE_PUBLIC = "Admin"\nWTF_CSRF_ENABLED = True\n'


@dataclass(frozen=True, slots=True)
class AirflowSettings:
    """The folder and ports of one Airflow; `secret` signs its tokens, and its tasks also get `task_environment`.

    `web_servers` is how many processes of Airflow 3's API server there are; Airflow 2 has one.
    """

    version: AirflowVersion
    home: Path
    dags_folder: Path
    port: int
    secret: str
    web_servers: int = 1
    task_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL of the user interface and REST API."""
        return f"http://{_ADDRESS}:{self.port}"

    @property
    def health_url(self) -> str:
        """The URL of the scheduler's health."""
        return self.url + ("/health" if self.version.is_airflow_2 else "/api/v2/monitor/health")

    @property
    def task_api_url(self) -> str | None:
        """The URL that tasks report to on Airflow 3. Its first answer takes four seconds."""
        return None if self.version.is_airflow_2 else f"{self.url}/execution/health"

    @property
    def health_parts(self) -> tuple[str, ...]:
        """The parts that must be healthy, as `health_url` names them, before the environment can be used."""
        parts = ("metadatabase", "scheduler")
        return parts if self.version.is_airflow_2 else (*parts, "dag_processor")

    @property
    def database(self) -> Path:
        """Its SQLite file."""
        return self.home / "airflow.db"

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs; the tasks' logs are in `home / "logs"`."""
        return self.home / "processes"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of all its processes."""
        common = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",  # tasks at once; by default the executor forks 32 children
            # Seconds a writer waits for its turn: with SQLite's five a busy machine sees "database is locked".
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout=30",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        own = self._airflow_2() if self.version.is_airflow_2 else self._airflow_3()
        return common | own | dict(self.task_environment)

    def _airflow_2(self) -> dict[str, str]:
        return {
            # With the write-ahead log SQLite serves several tasks at once; otherwise Airflow 2 runs them one by
            # one, each in a new interpreter that takes five seconds to start.
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "30",  # one that has changed is read at once
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
            "AIRFLOW__WEBSERVER__SECRET_KEY": self.secret,
            "AIRFLOW__WEBSERVER__SHOW_TRIGGER_FORM_IF_NO_PARAMS": "True",
        }

    def _airflow_3(self) -> dict[str, str]:
        return {
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secret,
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": self.secret,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",  # one that has changed is read at once
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        }

    def specification(self, *, control: int, workers: list[int]) -> dict[str, Any]:
        """Return what `airflow_host` must start; the numbers are file descriptors of its sockets."""
        scheduler = ["scheduler", "--skip-serve-logs"]  # logs are read from the files
        web: dict[str, Any] = {
            "host": _ADDRESS,
            "port": self.port,
            "command": None,
            "servers": self.web_servers,
        }
        servers = [scheduler]
        if not self.version.is_airflow_2:
            web["command"] = ["api-server", f"--host={_ADDRESS}", f"--port={self.port}", "--workers=1"]
            servers.append(["dag-processor"])
        return {
            "control": control,
            "workers": workers,
            "database": str(self.database),
            "logs": str(self.logs),
            "web": web,
            "servers": servers,
        }
