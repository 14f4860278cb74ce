"""Airflow's command line without the five seconds it takes to start: commands run in warm processes."""

import json
import queue
import socket
from dataclasses import dataclass

from local_stack.mwaa.airflow_host import LENGTH


class CommandInterrupted(Exception):
    """The process that ran the command ended before it answered: perhaps the command took effect."""


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What the command line said: the same as if it had been run by itself."""

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
        """Return the workers' ends of that many new sockets; whoever starts the workers closes them then."""
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
        """Let the workers end."""
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
