"""Run inside an Airflow environment: import Airflow once, then fork everything that belongs to it.

Scheduler, DAG processor, API server and the warm command-line workers are each Airflow's own command
(`airflow.__main__.main`), run in a fork of one process that has already imported Airflow. So they share most
of their memory, and all of them are up in the time one cold `airflow` command takes.

Started by `airflow.Airflow`, which is also where the other end of its two kinds of sockets is:
- control: this process reports each step as a line of JSON. When the other side closes, or dies, everything
  ends here.
- one per worker: a request is a length and a JSON list of words; the answer is a length and a JSON object
  with exit_code, stdout and stderr, the same as those of the command run by itself in a terminal-less shell.

Only the standard library and what Airflow brings along are imported.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import json
import mmap
import os
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NoReturn

LENGTH: Final = struct.Struct(">I")
# Commands that import what the workers will need, and change nothing.
_WARM_UP = (
    ["dags", "trigger", "no-such-dag", "--run-id=warm-up", "--output=json"],
    ["tasks", "states-for-dag-run", "no-such-dag", "warm-up", "--output=json"],
    ["dags", "list", "--output=json"],
)
# Modules that the first task of each worker would import; each Airflow has some of them.
_FOR_TASKS = (
    "airflow.executors.local_executor",
    "airflow.jobs.local_task_job_runner",
    "airflow.jobs.scheduler_job_runner",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.task.standard_task_runner",
    "airflow.task.task_runner.standard_task_runner",
)
_RESTART_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER = 36


def run_airflow(words: list[str]) -> int:
    """Run one Airflow command in this process and return its exit code; prints what the command prints."""
    import airflow.__main__ as command_line  # noqa: PLC0415 - this module is also read where no Airflow is
    from airflow import settings  # noqa: PLC0415

    sys.argv = ["airflow", *words]
    try:
        command_line.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is Airflow's answer
        # As the interpreter would print it, from `main` on, without our own frame.
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        traceback.print_exception(error)
        return 1
    finally:
        settings.Session.remove()
    return 0


def captured(words: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> dict[str, Any]:
    """Run one command with file descriptors 1 and 2 pointing at the two files, and return what it answered.

    Descriptors, not `sys.stdout`: Airflow's log handlers hold on to the streams they were made with.
    """
    log = os.dup(1), os.dup(2)
    for descriptor, file in ((1, stdout), (2, stderr)):
        file.seek(0)
        file.truncate()
        os.dup2(file.fileno(), descriptor)
    try:
        exit_code = run_airflow(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log[0], 1)
        os.dup2(log[1], 2)
        os.close(log[0])
        os.close(log[1])
    answer: dict[str, Any] = {"exit_code": exit_code}
    for name, file in (("stdout", stdout), ("stderr", stderr)):
        file.seek(0)
        answer[name] = file.read().decode(errors="replace")
    return answer


def serve_commands(worker: socket.socket, busy: mmap.mmap, number: int) -> None:
    """Answer one command after the other until the peer closes the socket."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        while header := worker.recv(LENGTH.size, socket.MSG_WAITALL):
            words = json.loads(worker.recv(LENGTH.unpack(header)[0], socket.MSG_WAITALL))
            busy[number] = 1
            send(worker, captured(words, stdout, stderr))
            busy[number] = 0


def send(worker: socket.socket, answer: dict[str, Any]) -> None:
    """Send one answer to the peer."""
    text = json.dumps(answer).encode()
    worker.sendall(LENGTH.pack(len(text)) + text)


def serve_airflow_2_web(host: str, port: int) -> None:
    """Serve Airflow 2's web application in this process.

    `airflow webserver` starts gunicorn, which imports everything again in three processes of its own: 15
    seconds and 300 MB more for a page that one person looks at.
    """
    from airflow.www.app import cached_app  # noqa: PLC0415
    from werkzeug.serving import run_simple  # noqa: PLC0415

    run_simple(host, port, cached_app(), threaded=True)


def serve_airflow_3_web(words: list[str], address: tuple[str, int] | None) -> int:
    """Run Airflow 3's API server in this process, as it is but for one thing: its audit log is written on a thread.

    Airflow commits it on the event loop. While another call in this process holds SQLite's write lock, and needs the loop
    to come to its own commit, each waits for the other until SQLite's 30 seconds are up, and every other call with them.
    On PostgreSQL, which MWAA has, they are not in each other's way. Several servers share one `address`: each
    connection goes to one of them by chance, however busy that one is.
    """
    import uvicorn  # noqa: PLC0415
    from airflow.api_fastapi.logging import decorators  # noqa: PLC0415
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415

    make: Callable[..., Any] = decorators.action_logging

    def action_logging(*event: Any, **options: Any) -> Any:
        log_action = make(*event, **options)

        async def log_on_a_thread(**given: Any) -> None:
            await log_action(**given | {"session": Uncommitted(given["session"])})
            await run_in_threadpool(given["session"].commit)

        functools.update_wrapper(log_on_a_thread, log_action)
        # What FastAPI must pass; its annotations have a meaning in Airflow's module alone.
        log_on_a_thread.__signature__ = inspect.signature(log_action, eval_str=True)  # type: ignore[attr-defined]
        return log_on_a_thread

    decorators.action_logging = action_logging  # before the routes, which are made with it, are imported
    if address is not None:
        listener = socket.create_server(address, reuse_port=True)
        uvicorn.run = partial(uvicorn.run, fd=listener.fileno())
    return run_airflow(words)


class Uncommitted:
    """A database session that another part commits."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self) -> None:
        """Leave it."""


@dataclass(frozen=True)
class Child:
    """The work of a child of the host; `number` is the worker's, if it is one."""

    name: str
    run: Callable[[], Any]
    number: int | None = None


class Host:
    """The parent of one environment's processes."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self.specification = specification
        self.control = socket.socket(fileno=specification["control"])
        self.workers = [socket.socket(fileno=descriptor) for descriptor in specification["workers"]]
        for each in (self.control, *self.workers):
            each.set_inheritable(False)
        # Shared with the workers: which of them run a command.
        self.busy = mmap.mmap(-1, len(self.workers) + 1)
        self.children: dict[int, Child] = {}

    def report(self, **step: Any) -> None:
        """Report to the parent in one line of JSON; if the parent has closed the pipe, this process ends soon."""
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(step).encode() + b"\n")

    def start(self) -> None:
        """Start everything in the required order."""
        self.report(step="Importing it")
        import airflow.__main__  # noqa: F401, PLC0415 - here once, so that no child has to

        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # a fifth of the web server's start is looking for garbage
        self.once("Preparing the database", ["db", "migrate"])
        with contextlib.closing(sqlite3.connect(self.specification["database"])) as database:
            # So readers and the writer do not wait for each other; the setting stays with the file.
            database.execute("PRAGMA journal_mode=WAL")
        web = self.specification["web"]
        if web["command"]:
            shared = (web["host"], web["port"]) if web["servers"] > 1 else None
            for _ in range(web["servers"]):
                self.serve(Child("web", partial(serve_airflow_3_web, web["command"], shared)))
        else:
            self.serve(Child("web", lambda: serve_airflow_2_web(web["host"], web["port"])))
        self.once("Reading the DAGs", ["dags", "reserialize"])
        self.report(step="Warming up the command line")
        self.warm_up()
        for number, worker in enumerate(self.workers):
            run = partial(serve_commands, worker, self.busy, number)
            self.serve(Child(f"command-line-{number + 1}", run, number))
        for words in self.specification["servers"]:
            self.serve(Child(words[0], partial(run_airflow, words)))
        self.report(step="Waiting for the scheduler", started=True)

    def warm_up(self) -> None:
        """Import once what every child would import."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            for words in _WARM_UP:
                captured(words, stdout, stderr)
        for module in _FOR_TASKS:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        from airflow import settings  # noqa: PLC0415

        settings.engine.dispose()  # a connection must not be shared with the children
        gc.collect()
        gc.freeze()  # else the first collection in each child would copy every page it has in common with us

    def once(self, step: str, words: list[str]) -> None:
        """Run a command that must succeed, in a child, so that its settings end with it."""
        self.report(step=step)
        pid = self.fork(Child("host", partial(run_airflow, words)))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            self.report(failed=f"`airflow {' '.join(words)}` ended with status {status}")
            raise SystemExit(1)

    def serve(self, child: Child) -> None:
        """Run something in a permanent child."""
        self.children[self.fork(child)] = child

    def fork(self, child: Child) -> int:
        """Return the process id of a new child that does its work, logs to its own file, and ends."""
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with Path(self.specification["logs"], f"{child.name}.log").open("ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            self.control.close()  # its closing is how the other side learns of the host's end
            for number, worker in enumerate(self.workers):
                if number != child.number:
                    worker.close()
            status = int(child.run() or 0)
        except BaseException:  # noqa: BLE001 - a child must never run on as if it were the host
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # not sys.exit: a child must not clean up what is the host's

    def watch(self) -> None:
        """Restart every child that ends, until the peer closes."""
        while not select.select([self.control], [], [], 0.5)[0]:
            pid, status = os.waitpid(-1, os.WNOHANG)
            child = self.children.pop(pid, None)
            if child is None:
                continue
            reason = f"{child.name} ended with status {os.waitstatus_to_exitcode(status)}"
            self.report(restarted=reason)
            if child.number is not None and self.busy[child.number]:
                self.busy[child.number] = 0
                send(self.workers[child.number], {"interrupted": reason})
            time.sleep(_RESTART_PAUSE_SECONDS)
            self.serve(child)

    def stop(self) -> NoReturn:
        """End every process of the session, with SIGTERM first, and this one last."""
        end_session(os.getpid(), seconds=_STOP_SECONDS)
        bury_children()
        os._exit(0)


def end_session(session: int, *, seconds: float) -> None:
    """End all processes of a session but its leader: SIGTERM, and SIGKILL for what is left after `seconds`.

    All descendants of a host are in its session, whatever process groups Airflow makes for its tasks.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in session_members(session):
            with contextlib.suppress(OSError):
                os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while session_members(session) and time.monotonic() < deadline:
            time.sleep(0.05)


def bury_children() -> None:
    """Read the exit status of every child that ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def session_members(session: int) -> list[int]:
    """The process ids in a session, its leader not counted."""
    if Path("/proc/self").exists():
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    else:
        listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)  # noqa: S607
        pids = [int(pid) for pid in listed.stdout.split()]
    return [pid for pid in pids if pid != session and _session_of(pid) == session]


def _session_of(pid: int) -> int | None:
    """The session of a living process; None if there is none, or nothing but its exit status is left."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = ""
    try:
        return None if state == "Z" else os.getsid(pid)
    except OSError:
        return None


def adopt_orphans() -> None:
    """Adopt processes whose parent ended, so that none stays a zombie (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> None:
    """Serve one environment as the specification on the command line says."""
    adopt_orphans()
    host = Host(json.loads(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        host.start()
        host.watch()
    except Exception as error:
        host.report(failed=f"{type(error).__name__}: {error}")
        raise
    finally:
        host.stop()


if __name__ == "__main__":
    main()
