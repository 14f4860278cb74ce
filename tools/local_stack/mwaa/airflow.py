"""One real Airflow: installed, started, watched and ended."""

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
    """An Airflow did not come up or went down; the message holds the end of its logs."""


class Airflow:
    """Real Airflow in a folder of its own: database, scheduler, user interface, and a warm command line.

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
        task_environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = AirflowSettings(
            version=version,
            home=home.absolute(),
            dags_folder=dags_folder.absolute(),
            port=free_port(),
            secret=secrets.token_hex(32),
            task_environment=task_environment or {},
        )
        self.command_line = WarmCli()
        self._python = python
        self._progress = progress
        self._host: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._failure = ""

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
            self._wait_until_started()
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    @property
    def host_pid(self) -> int | None:
        """The process whose session holds all of this Airflow's processes; None when it is not running."""
        return self._host.pid if self._host else None

    def stop(self) -> None:
        """End all processes; returns when none is left. Harmless when nothing runs."""
        if self._host is None:
            return
        if self._control is not None:
            with suppress(OSError):
                self._control.shutdown(
                    socket.SHUT_RDWR
                )  # a mere close() would wait for the thread that reads it
            self._control.close()
        self.command_line.close()
        with suppress(subprocess.TimeoutExpired):
            self._host.wait(_STOP_SECONDS)
        self._host.kill()  # a host that still lives would start again what the next line ends
        airflow_host.end_session(self._host.pid, seconds=1)
        self._host.wait()
        self._host = None

    def _wait_until_started(self) -> None:
        for report in self._reports():
            match report:
                case {"failed": reason}:
                    raise AirflowError(self._explained(str(reason)))
                case {"started": True}:
                    threading.Thread(target=self._follow, daemon=True, name="airflow reports").start()
                    return
                case {"step": step}:
                    self._progress(f"Airflow {self.settings.version.text}: {step}")
        raise AirflowError(self._explained("its host process ended while starting"))

    def _reports(self) -> Iterator[dict[str, Any]]:
        """Yield what the host reports until it ends."""
        assert self._control is not None  # noqa: S101
        with self._control.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)

    def _follow(self) -> None:
        with suppress(OSError, ValueError):
            for report in self._reports():
                self._progress(f"Airflow {self.settings.version.text}: {report.get('restarted', report)}")
        self._failure = "its host process ended"

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        unhealthy = ""
        while time.monotonic() < deadline:
            if self._failure:
                raise AirflowError(self._explained(self._failure))
            try:
                with urllib.request.urlopen(self.settings.health_url, timeout=5) as answer:  # noqa: S310
                    health = json.load(answer)
            except (OSError, ValueError) as error:
                unhealthy = f"its web server does not answer ({error})"
            else:
                parts = self.settings.health_parts
                sick = [part for part in parts if health.get(part, {}).get("status") != "healthy"]
                if not sick:
                    return
                unhealthy = f"not healthy: {', '.join(sick)}"
            time.sleep(0.2)
        raise AirflowError(self._explained(f"{unhealthy} after {_START_SECONDS:.0f} s"))

    def _explained(self, reason: str) -> str:
        """The reason, and the last lines of each log."""
        told = [
            f"Airflow {self.settings.version.text} did not start: {reason}. Logs in {self.settings.logs}:"
        ]
        for log in sorted(self.settings.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            told += [f"--- {log.name}", *lines]
        return "\n".join(told)
