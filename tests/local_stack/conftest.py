"""One MiniStack for its contract, one whole local stack for the gateway; each ends with the tests that use it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway_cli.rules.apply import apply_folder
from gateway_cli.rules.store import RulesStore
from local_stack.aws import LocalAws
from local_stack.deploy import deploy
from local_stack.ministack import MiniStack
from local_stack.ports import free_port
from local_stack.state import StackState

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LAMBDA_PYTHON = ROOT / ".venvs" / "lambda" / "bin" / "python"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the whole stack last: what it runs takes part of the processor from the first of them on."""
    items.sort(key=_needs_gateway)


def _needs_gateway(item: pytest.Item) -> bool:
    return "gateway" in getattr(item, "fixturenames", ())


@dataclass(frozen=True, slots=True)
class Probe:
    """The stack of `probe/template.yaml` on a MiniStack of its own."""

    aws: LocalAws
    outputs: dict[str, str]
    left_out: tuple[str, ...]
    told: list[dict[str, Any]] = field(default_factory=list)

    def seen(self, about: str) -> list[dict[str, Any]]:
        """Everything the probe's functions have told so far in which the text `about` occurs."""
        messages = self.take(self.outputs["Seen"])
        self.told.extend(json.loads(message["Body"]) for message in messages)
        return [one for one in self.told if about in json.dumps(one, ensure_ascii=False)]

    def take(self, queue_url: str) -> list[dict[str, Any]]:
        """Every message that is in a queue now, removed from it."""
        sqs = self.aws.client("sqs")
        taken: list[dict[str, Any]] = []
        while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            taken.extend(messages)
        return taken


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Probe]:
    """MiniStack with the probe's stack: the wiring of the gateway without the gateway."""
    if any(_needs_gateway(item) for item in request.session.items):
        request.getfixturevalue("starting")  # these tests wait more than they work
    folder = tmp_path_factory.mktemp("ministack")
    ministack = MiniStack(root=ROOT, state_folder=folder, log_folder=folder, port=free_port())
    ministack.start()
    try:
        aws = LocalAws(ministack.endpoint_url)
        deployment = deploy(
            aws,
            template_file=HERE / "probe" / "template.yaml",
            stack_name="probe",
            parameters={"Names": "one-a,two", "Slots": "3"},
            python=LAMBDA_PYTHON,
            state_folder=folder,
            environment={"PROBE": "exported"},
        )
        yield Probe(aws, dict(deployment.outputs), deployment.left_out)
    finally:
        ministack.stop()


@dataclass(frozen=True, slots=True)
class Starting:
    """A local stack on its way up: its folder, and the command that ends when it is there."""

    folder: Path
    command: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starting]:
    """The start of the whole local stack, by its own command: an environment of each Airflow major."""
    folder = tmp_path_factory.mktemp("stack")
    dags = folder / "dags"
    shutil.copytree(ROOT / "examples" / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "dags", dags, dirs_exist_ok=True)
    local = [sys.executable, "-m", "local_stack"]
    environments = ["--environment", "analytics=3.3.1", "--environment", "legacy=2.11.2"]
    places = ["--port", str(free_port()), "--dags-folder", str(dags), "--state-folder", str(folder)]
    command = subprocess.Popen([*local, "up", "--detach", *environments, *places], cwd=ROOT)
    try:
        yield Starting(folder, command)
    finally:
        command.wait()
        subprocess.run([*local, "down", "--state-folder", str(folder)], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def gateway(starting: Starting) -> StackState:
    """The whole local stack, with all rules."""
    assert starting.command.wait() == 0
    state = StackState.read(starting.folder / "state.json")
    assert state is not None
    store = RulesStore(state.aws.client("dynamodb"), state.rules_table)
    for rules in (ROOT / "examples" / "rules", HERE / "rules"):
        apply_folder(store, rules, set(state.environments), by="tests", now=datetime.now(UTC))
    return state
