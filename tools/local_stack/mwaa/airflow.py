"""Starts, watches and stops one real Airflow."""

import json
import secrets
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from local_stack.mwaa import airflow_host
from local_stack.mwaa.airflow_settings import WEB_SERVER_CONFIG, AirflowSettings
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.warm_cli import WarmCli
from local_stack.ports import free_port

WORKERS: Final = 4  # as many as the web server has slots
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 15.0
_LOG_LINES: Final = 15
Progress = Callable[[str], None]


class AirflowError(Exception):
    """An Airflow did not start, or ended; the message contains the end of its logs."""


class Airflow:
    """Real Airflow in its own folder: database, scheduler, user interface, and a warm command line.

    Each start begins with an empty database: what the gateway remembers of earlier runs does not outlive the
    local stack either. The folder keeps the logs of the last start.
    """

    def __init__(
        self,
        version: AirflowVersion,
        *,
        python: Path,
        home: Path,
        dags_folder: Path,
        progress: Progress = print,
        web_servers: int = 1,
        task_environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = AirflowSettings(
            version=version,
            home=home.absolute(),
            dags_folder=dags_folder.absolute(),
            port=free_port(),
            secret=secrets.token_hex(32),
            web_servers=web_servers,
            task_environment=task_environment or {},
        )
        self.command_line = WarmCli()
        self._python = python
        self._progress = progress
        self._host: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._failure = ""
        self._started = False

    def start(self) -> None:
        """Start all processes and wait for the scheduler and the command line. Raises AirflowError."""
        settings = self.settings
        if settings.home.exists():
            shutil.rmtree(settings.home)
        settings.logs.mkdir(parents=True)
        settings.dags_folder.mkdir(parents=True, exist_ok=True)
        (settings.home / "webserver_config.py").write_text(WEB_SERVER_CONFIG)
        self._control, control = socket.socketpair()
        workers = self.command_line.open(WORKERS)
        descriptors = [each.fileno() for each in workers]
        specification = settings.specification(control=control.fileno(), workers=descriptors)
        # -P: the folder of this script has a module called `airflow`, too.
        command = [str(self._python), "-P", airflow_host.__file__, json.dumps(specification)]
        with control, (settings.logs / "host.log").open("wb") as log:
            self._host = subprocess.Popen(
                command,
                env=settings.environment(),
                cwd=settings.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[control.fileno(), *descriptors],
                start_new_session=True,  # so that stop() finds every descendant
            )
        for each in workers:
            each.close()
        try:
            self._wait_until_started(self._control)
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    @property
    def host_pid(self) -> int | None:
        """The process whose session holds all of this Airflow's processes; None when it is not running."""
        return self._host.pid if self._host else None

    def stop(self) -> None:
        """End all processes; returns when none is left. Safe to call when nothing runs."""
        if self._host is None:
            return
        if self._control is not None:
            with suppress(OSError):
                # close() alone would wait for the thread that reads it.
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
        self.command_line.close()
        if self._started:  # else it does not listen yet, and has nothing to put in order
            with suppress(subprocess.TimeoutExpired):
                self._host.wait(_STOP_SECONDS)
        self._host.kill()  # a host that still lives would start again what the next line ends
        airflow_host.end_session(self._host.pid, seconds=1)
        self._host.wait()
        self._host, self._started = None, False

    def _wait_until_started(self, control: socket.socket) -> None:
        control.settimeout(_START_SECONDS)
        reports = _reports(control)
        try:
            for report in reports:
                match report:
                    case {"failed": reason}:
                        raise AirflowError(self._explained(str(reason)))
                    case {"started": True}:
                        control.settimeout(None)
                        self._started = True
                        follower = threading.Thread(target=self._follow, args=(reports,), daemon=True)
                        follower.start()
                        return
                    case {"step": step}:
                        self._progress(f"Airflow {self.settings.version.text}: {step}")
        except TimeoutError:
            raise AirflowError(self._explained(f"nothing happened for {_START_SECONDS:.0f} s")) from None
        raise AirflowError(self._explained("its host process ended"))

    def _follow(self, reports: Iterator[dict[str, Any]]) -> None:
        with suppress(OSError, ValueError):
            for report in reports:
                self._progress(f"Airflow {self.settings.version.text}: {report.get('restarted', report)}")
        self._failure = "its host process ended"

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        unhealthy = ""
        while time.monotonic() < deadline:
            if self._failure:
                raise AirflowError(self._explained(self._failure))
            unhealthy = self._unhealthy()
            if not unhealthy:
                return
            time.sleep(0.2)
        raise AirflowError(self._explained(f"{unhealthy} after {_START_SECONDS:.0f} s"))

    def _unhealthy(self) -> str:
        """Return what is not ready yet; empty when everything is."""
        try:
            if self.settings.task_api_url:
                _answer_of(self.settings.task_api_url)
            health = _answer_of(self.settings.health_url)
        except (OSError, ValueError) as error:
            return f"its web server does not answer ({error})"
        sick = [
            part for part in self.settings.health_parts if health.get(part, {}).get("status") != "healthy"
        ]
        return f"not healthy: {', '.join(sick)}" if sick else ""

    def _explained(self, reason: str) -> str:
        """The reason, and the last lines of each log."""
        version, logs = self.settings.version.text, self.settings.logs
        shown = [f"Airflow {version} did not start: {reason}. Logs in {logs}:"]
        for log in sorted(logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            shown += [f"--- {log.name}", *lines]
        return "\n".join(shown)


def _reports(control: socket.socket) -> Iterator[dict[str, Any]]:
    """Yield what the host reports until it ends."""
    with control.makefile("rb") as lines:
        for line in lines:
            yield json.loads(line)


def _answer_of(url: str) -> dict[str, Any]:
    """Return the JSON at a URL of this machine, past any proxy. Raises OSError or ValueError."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=30) as answer:
        shown: dict[str, Any] = json.load(answer)
        return shown
