"""Runs Airflow commands in warm processes, without the five seconds of a start."""

import json
import queue
import socket
from dataclasses import dataclass

from local_stack.mwaa.airflow_host import LENGTH


class CommandInterrupted(Exception):
    """The process ended before it answered: the command may have taken effect."""


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """The output and exit code of a command, as from a process of its own."""

    exit_code: int
    stdout: str
    stderr: str

    def texts(self) -> dict[str, str]:
        """What it printed, by stream."""
        return {"stdout": self.stdout, "stderr": self.stderr}


class WarmCli:
    """Runs commands in the workers of one Airflow, one at a time in each. Thread-safe."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._workers: list[socket.socket] = []

    def open(self, workers: int) -> list[socket.socket]:
        """Return the workers' ends of that many new sockets; the caller closes them after starting the workers."""
        pairs = [socket.socketpair() for _ in range(workers)]
        self._workers = [ours for ours, _ in pairs]
        for ours in self._workers:
            self._idle.put(ours)
        return [theirs for _, theirs in pairs]

    def run(self, words: list[str]) -> CommandAnswer:
        """Run `airflow <words>`, waiting for a worker if all are busy. Raises CommandInterrupted."""
        worker = self._idle.get()
        try:
            text = json.dumps(words).encode()
            worker.sendall(LENGTH.pack(len(text)) + text)
            answer = json.loads(_received(worker, LENGTH.unpack(_received(worker, LENGTH.size))[0]))
        except OSError as error:
            raise CommandInterrupted(f"the command line is gone: {error}") from error
        finally:
            self._idle.put(worker)
        if "interrupted" in answer:
            raise CommandInterrupted(answer["interrupted"])
        return CommandAnswer(**answer)

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()


def _received(worker: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        piece = worker.recv(length - len(received))
        if not piece:
            raise ConnectionResetError("it closed the connection")
        received += piece
    return bytes(received)
