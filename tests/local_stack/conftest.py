"""One whole local stack for all tests, which ends with them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway_cli.certify.canary import CANARY_DAG
from gateway_cli.rules.store import RulesStore
from local_stack.apply_rules import apply_folder
from local_stack.ministack import ACCOUNT_ID, REGION
from local_stack.ports import free_port
from local_stack.processes import descendants, is_running
from local_stack.state import StackState
from polling import until
from service_models import service_models_are_read_once

__all__ = ["service_models_are_read_once"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackState]:
    """The whole local stack, started by its own command, with an environment of each Airflow major and all rules."""
    folder = tmp_path_factory.mktemp("stack")
    dags = folder / "dags"
    shutil.copytree(ROOT / "examples" / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "dags", dags, dirs_exist_ok=True)
    _say_which_state_machine(dags / "start_state_machine.py")
    (dags / "mwaa_gateway_certify.py").write_text(CANARY_DAG)
    local = [sys.executable, "-m", "local_stack"]
    environments = ["--environment", "analytics=3.3.1", "--environment", "legacy=2.11.2"]
    places = ["--port", str(free_port()), "--dags-folder", str(dags), "--state-folder", str(folder)]
    try:
        subprocess.run(
            [*local, "up", "--detach", "--transports", "cli", *environments, *places], cwd=ROOT, check=True
        )
        state = StackState.read(folder / "state.json")
        assert state is not None
        store = RulesStore(state.aws.client("dynamodb"), state.rules_table)
        for rules in (ROOT / "examples" / "rules", HERE / "rules"):
            apply_folder(store, rules, set(state.environments), by="tests", now=datetime.now(UTC))
        yield state
        _nothing_outlives(state)
    finally:
        subprocess.run([*local, "down", "--state-folder", str(folder)], cwd=ROOT, check=True)


def _say_which_state_machine(example: Path) -> None:
    """As whoever copies the example does."""
    ours = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:other-direction"
    example.write_text(re.sub('(?m)^STATE_MACHINE = ".*?"', f'STATE_MACHINE = "{ours}"', example.read_text()))


def _nothing_outlives(state: StackState) -> None:
    """SIGKILL leaves no time to clean up; MiniStack, functions, scheduler, web server and workers end all the same."""
    started = descendants(state.pid)
    assert len(started) > 20, started

    os.kill(state.pid, signal.SIGKILL)

    until("the end of all processes", lambda: not any(map(is_running, started)), seconds=30)


@pytest.fixture(scope="session")
def state_machine_role(gateway: StackState) -> str:
    """A role that may call the gateway's function, and nothing else; its ARN."""
    iam = gateway.aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": gateway.step_functions_task_arn,
    }
    role = iam.create_role(
        RoleName="state-machine", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )["Role"]
    iam.put_role_policy(
        RoleName="state-machine",
        PolicyName="call",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    arn: str = role["Arn"]
    return arn
