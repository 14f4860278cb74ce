"""The AWS of the local stack: one MiniStack process on the loopback interface, roles enforced."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from local_stack.ports import LOOPBACK, free_port
from local_stack.processes import start_group, stop_group

REGION = "eu-central-1"
ACCOUNT_ID = "000000000000"
# The one pair that MiniStack takes for the account's own administrator when it enforces roles.
CREDENTIALS = ("test", "test")
_USUAL_PORT = 4566
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05


class StackError(Exception):
    """The local stack failed; the text says what happened and where to look."""


class MiniStack:
    """A MiniStack process; its state is in memory. Ends with `stop()`, or with the process that started it.

    Args:
        root: folder of the project (where the layers are).
        state_folder: for temporary files, the unpacked functions among them.
        log_folder: where `ministack.log` is written.
        port: the port wanted; None takes 4566 if it is free, else any.
    """

    SERVER = "local_stack.ministack_server"  # the module that is run

    def __init__(self, *, root: Path, state_folder: Path, log_folder: Path, port: int | None = None) -> None:
        self._root = root
        self._state_folder = state_folder
        self._log_file = log_folder / "ministack.log"
        self.port = free_port(_USUAL_PORT) if port is None else port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """The value of AWS_ENDPOINT_URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers (0.3 to 2 s). Raises StackError with the end of its log."""
        if free_port(self.port) != self.port:
            # Another MiniStack may use the port, and answer instead of ours.
            raise StackError(f"port {self.port} of {LOOPBACK} is in use: choose another with --port")
        temporary = self._state_folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        self._process = start_group(
            [sys.executable, "-m", self.SERVER],
            environment=self._environment(temporary),
            log_file=self._log_file,
            folder=self._root,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_healthy():
            self.check()
            if time.monotonic() > deadline:
                self.stop()
                raise StackError(
                    f"MiniStack did not answer within {_START_SECONDS:.0f} s:\n{self._log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise StackError, with the end of its log, if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise StackError(f"MiniStack ended with code {self._process.returncode}:\n{self._log_tail()}")

    def stop(self) -> None:
        """End it and every function it runs. Safe to call twice."""
        if self._process is not None:
            # It has nothing to save, and its own shutdown waits for idle connections.
            stop_group(self._process.pid, grace_seconds=2.0)
            self._process.wait()
            self._process = None

    def _environment(self, temporary: Path) -> Mapping[str, str]:
        """All of MiniStack's environment, and the base of every function's: nothing of the developer's."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": LOOPBACK,  # its own default is every interface
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true",
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "AWS_ENDPOINT_URL": self.endpoint_url,  # handed on to every function
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",  # invocations wait for a sandbox instead: see ministack_server
            "LAMBDA_WARM_TTL_SECONDS": "120",
        }

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint_url}/_ministack/health", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == HTTPStatus.OK)
        except (urllib.error.URLError, OSError):
            return False

    def _log_tail(self, lines: int = 15) -> str:
        text = self._log_file.read_text(errors="replace") if self._log_file.exists() else ""
        return "\n".join([*text.splitlines()[-lines:], f"(the whole log: {self._log_file})"])
