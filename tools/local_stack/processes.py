"""Child processes that are started, measured and stopped as whole groups, so that nothing outlives the stack."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessGroup", "descendants", "memory_bytes", "start_group", "started_at", "stop_group"]

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A process that leads a group of its own; `started` tells it from a later one with the same number."""

    name: str
    pid: int
    started: str

    @classmethod
    def of(cls, name: str, pid: int) -> "ProcessGroup":
        """Take the fingerprint of a running process."""
        return cls(name, pid, started_at(pid))

    def is_running(self) -> bool:
        """Whether that very process is still there."""
        return bool(self.started) and started_at(self.pid) == self.started


def started_at(pid: int) -> str:
    """When a process began, as `ps` prints it (Linux and macOS alike); "" when there is none."""
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return answer.stdout.strip()


def start_group(
    command: Sequence[str | Path], *, environment: Mapping[str, str], log_file: Path, folder: Path
) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of a new session; both its outputs go to the end of `log_file`.

    The environment is exactly the one given: what runs in the local stack must not see the developer's AWS profile.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_group(pid: int, *, grace_seconds: float = 5.0) -> None:
    """Ask the group led by `pid` to end; kill after `grace_seconds` whatever of it is left. Returns when it is gone."""
    for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            _reap(pid)
            if not _group_exists(pid):
                return
            time.sleep(_POLL_SECONDS)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # not our child, or its Popen has waited for it already


def _group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it. Empty where there is no `/proc` (macOS)."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # ended while we looked
        # "pid (name with anything in it) state ppid …"
        parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid] if Path(f"/proc/{pid}").exists() else []
    while waiting:
        found.append(one := waiting.pop())
        waiting.extend(parents.get(one, ()))
    return found


def memory_bytes(pids: Iterable[int]) -> int | None:
    """What the processes occupy together, shared pages counted once (PSS); None where `/proc` does not tell."""
    total, seen = 0, False
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        seen = True
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total * 1024 if seen else None
