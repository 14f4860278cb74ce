"""`mwaa-gateway local` where no stack runs, and the promise that nothing outlives the process that started it."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from local_stack.command import local
from local_stack.lock import StackLock
from local_stack.ministack import MiniStack
from local_stack.ports import free_port
from local_stack.processes import descendants, is_running
from polling import until


def run(*words):
    return CliRunner().invoke(local, [str(word) for word in words])


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["deploy"], ["faults", "--off"]])
def test_without_a_stack_a_command_says_how_to_start_one(tmp_path, words):
    """Exit code 1 and a sentence, not a traceback."""
    result = run(*words, "--state-folder", tmp_path)

    assert (result.exit_code, result.output) == (
        1,
        "Error: no local stack is running here (start one: `mwaa-gateway local up`)\n",
    )


def test_down_without_a_stack_is_no_error(tmp_path):
    """What is wanted is so already."""
    result = run("down", "--state-folder", tmp_path)

    assert (result.exit_code, result.output) == (0, "no local stack was running\n")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("analytics", "is not of the form name=version"),
        ("my-env=3.3.1", "a name is letters and digits"),
        ("analytics=1.10.15", "MWAA does not offer Airflow '1.10.15'"),
    ],
)
def test_an_environment_that_cannot_be_is_refused(tmp_path, value, said):
    """Before anything is started."""
    result = run("up", "--environment", value, "--state-folder", tmp_path)

    assert result.exit_code != 0
    assert said in result.output


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_port_that_somebody_has_is_refused_at_once(tmp_path, command):
    """Nothing is started, nothing is left; the sentence says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = run(command, "--port", port, "--state-folder", tmp_path)

    assert result.exit_code == 1
    assert f"Error: port {port} of 127.0.0.1 is in use" in result.output
    assert f"`lsof -i :{port}` names the process" in result.output
    assert "MiniStack" not in result.output  # no phase of a start was entered
    assert not (tmp_path / "state.json").exists()
    assert StackLock.holder(tmp_path) is None


def test_a_folder_holds_one_stack_at_a_time(tmp_path):
    """The second learns which process runs the first; when the first ends, the folder is free."""
    lock = StackLock.take(tmp_path)
    assert lock is not None

    result = run("up", "--state-folder", tmp_path)

    assert result.exit_code == 1
    assert f"a local stack is running already (process {os.getpid()})" in result.output
    lock.release()
    assert StackLock.holder(tmp_path) is None


def test_ministack_ends_with_the_process_that_started_it(tmp_path):
    """Even by SIGKILL, when nobody can clean up."""
    program = f"""
from pathlib import Path
from local_stack.ministack import MiniStack
folder = Path({str(tmp_path)!r})
MiniStack(root=folder, state_folder=folder, log_folder=folder, port={free_port()}).start()
print("up", flush=True)
input()
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    started = descendants(starter.pid)
    assert started

    starter.kill()
    starter.communicate()

    until("its end", lambda: not any(map(is_running, started)), seconds=10)


def test_ministack_says_why_it_does_not_start(tmp_path):
    """A port in use is named, whoever uses it."""
    first = MiniStack(root=tmp_path, state_folder=tmp_path, log_folder=tmp_path, port=free_port())
    first.start()
    try:
        result = run("up", "--port", first.port, "--state-folder", tmp_path / "second")
    finally:
        first.stop()

    assert result.exit_code == 1
    assert f"port {first.port} of 127.0.0.1 is in use" in result.output


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda starter, _: starter.send_signal(signal.SIGINT), id="Ctrl-C"),
        pytest.param(lambda _, folder: run("down", "--state-folder", folder), id="down"),
    ],
)
def test_an_end_during_the_start_leaves_no_process(tmp_path, end):
    """However far it had got."""
    starter = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "local_stack",
            "up",
            "--port",
            str(free_port()),
            "--state-folder",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until("the first processes", lambda: len(descendants(starter.pid)) >= 2, seconds=30)
    started = descendants(starter.pid)

    end(starter, tmp_path)
    shown, _ = starter.communicate(timeout=300)

    assert "stopped" in shown
    assert [pid for pid in started if is_running(pid)] == []
    assert not (tmp_path / "state.json").exists()


def test_the_demonstration_shows_three_runs_and_leaves_nothing(tmp_path):
    """What `make run ONCE=1` does: exit code 0, one successful run from each source, what it took, no process."""
    command = [sys.executable, "-m", "local_stack", "demo", "--once", "--port", str(free_port())]
    demo = subprocess.Popen(
        [*command, "--state-folder", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    until("the deployment", (tmp_path / "state.json").exists, seconds=120)
    started = descendants(demo.pid)

    shown, _ = demo.communicate(timeout=900)

    assert demo.returncode == 0, shown
    for source in ("S3 upload", "SNS notification", "EventBridge event"):
        _, _, row = shown.partition(f"  {source} → rule ")
        _rule, target, run_id = row.splitlines()[:3]
        assert (target.endswith("  success"), run_id.strip().startswith("evt__")) == (True, True), row
    assert "s3 cp README.md s3://mwaa-gateway-landing/" in shown
    assert "from the start to here" in shown
    assert started
    assert [pid for pid in started if is_running(pid)] == []
