"""Child processes, started, measured and stopped as whole groups, so that nothing outlives the stack."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_PS = "/bin/ps"  # where there is no /proc: macOS
_POLL_SECONDS = 0.05


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        return _stat(pid)[0] != "Z"
    return not _PROC.is_dir()


def start_group(
    command: Sequence[str | Path], *, environment: Mapping[str, str], log_file: Path, folder: Path
) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of a new session; both its outputs go to the end of `log_file`.

    The environment is exactly the one given: the local stack must not see the developer's AWS profile.
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
    """Ask the process group of `pid` to end, and kill it after `grace_seconds`; returns when it has ended."""
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
    with suppress(ChildProcessError):  # not our child, or its Popen has waited for it already
        os.waitpid(pid, os.WNOHANG)


def _group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def descendants(pid: int) -> list[int]:
    """Return every descendant of `pid`, in any session."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.extend(below)
        waiting.extend(below)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Yield (process, parent) for every process."""
    if not _PROC.is_dir():
        answer = subprocess.run([_PS, "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
        for line in answer.stdout.splitlines():
            child, parent = line.split()
            yield int(child), int(parent)
        return
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # ended while we looked
            yield int(folder.name), int(_stat(int(folder.name))[1])


def _stat(pid: int) -> list[str]:
    """The state of a process, its parent, and what else stands behind "pid (name with anything in it)"."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def kill(pids: Iterable[int]) -> None:
    """Kill all remaining processes at once."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def memory_bytes(pids: Iterable[int]) -> int | None:
    """Return the memory of the processes together, shared pages counted once (PSS); None if the system does not say."""
    total, seen = 0, False
    for pid in pids:
        try:
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        seen = True
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total * 1024 if seen else None
