"""What the local stack is made of, each part by itself: MiniStack for its contract, Airflow behind MWAA's API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_stack.aws import LocalAws
from local_stack.deploy import deploy
from local_stack.ministack import MiniStack
from local_stack.ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LAMBDA_PYTHON = ROOT / ".venvs" / "lambda" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Probe:
    """The stack of `probe/template.yaml` on a MiniStack of its own."""

    aws: LocalAws
    outputs: dict[str, str]
    left_out: tuple[str, ...]
    reported: list[dict[str, Any]] = field(default_factory=list)

    def seen(self, about: str) -> list[dict[str, Any]]:
        """Everything that the probe's functions have reported so far and that contains the text `about`."""
        messages = self.take(self.outputs["Seen"])
        self.reported.extend(json.loads(message["Body"]) for message in messages)
        return [one for one in self.reported if about in json.dumps(one, ensure_ascii=False)]

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
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """MiniStack with the probe's stack: the wiring of the gateway without the gateway."""
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
