"""One stack per state folder: held by the process that runs it, released however that process ends."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Self

_POLL_SECONDS = 0.1
_ASKING_SECONDS = 0.5


class StackLock:
    """The right to run a stack in `folder`. Release by `release()` or by ending."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path) -> Self | None:
        """Take the lock and write this process's id into it; return None while another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        file = _path(folder).open("a+")
        # A process that only asks for the holder takes the lock for a moment too; that must not refuse a start.
        deadline = time.monotonic() + _ASKING_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.close()
                    return None
                time.sleep(_POLL_SECONDS)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return cls(file)

    def release(self) -> None:
        """Release the lock."""
        self._file.truncate(0)
        self._file.close()

    @staticmethod
    def holder(folder: Path) -> int | None:
        """The process that runs a stack in `folder`, or None."""
        try:
            with _path(folder).open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0) or None
        except FileNotFoundError:
            pass
        return None


def wait_for_end(folder: Path, *, seconds: float) -> bool:
    """Return whether the stack in `folder` has ended within that time."""
    deadline = time.monotonic() + seconds
    while StackLock.holder(folder) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _path(folder: Path) -> Path:
    return folder / "up.lock"
