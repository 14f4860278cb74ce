"""What `sam build` and `sam deploy` make of the template, where Python 3.13 is found."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_stack.aws import LocalAws
from local_stack.ministack import CREDENTIALS, REGION, MiniStack
from local_stack.ports import free_port
from template.expansion import ROOT
from template.tools import SAM, run, tool

QUEUES = tuple(f"arn:aws:sqs:{REGION}:000000000000:{name}" for name in ("s3-uploads", "partner_files"))


@dataclass(frozen=True, slots=True)
class Deployed:
    """What `sam build` made, and the AWS that `sam deploy` brought it to."""

    build: Path
    aws: LocalAws


@pytest.fixture(scope="module")
def deployed_by_sam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The README's way, without a change: build, then deploy with other environments than the build knew."""
    folder = tmp_path_factory.mktemp("sam")
    sam, environment = tool(SAM), {"PATH": f"{_python_313()}{os.pathsep}{os.environ['PATH']}"}
    build = folder / "build"
    config = ("--config-file", str(ROOT / "samconfig.toml"))
    run(
        sam,
        "build",
        *config,
        "--build-dir",
        str(build),
        "--cache-dir",
        str(folder / "cache"),
        environment=environment,
    )
    ministack = MiniStack(root=ROOT, state_folder=folder, log_folder=folder, port=free_port())
    ministack.start()
    try:
        for queue in QUEUES:
            LocalAws(ministack.endpoint_url).client("sqs").create_queue(QueueName=queue.rpartition(":")[2])
        run(
            sam,
            "deploy",
            *config,
            *(
                "--template-file",
                str(build / "template.yaml"),
                "--no-confirm-changeset",
                "--parameter-overrides",
            ),
            *(
                "Environments=risk,legacy",
                "Transports=rest",
                "MwaaEnvironmentName=acme-prod_{environment}",
                "LandingBucketName=acme-landing",
                f"EventQueueArns={','.join(QUEUES)}",
            ),
            environment=environment
            | {
                "AWS_ENDPOINT_URL": ministack.endpoint_url,
                "AWS_ACCESS_KEY_ID": CREDENTIALS[0],
                "AWS_SECRET_ACCESS_KEY": CREDENTIALS[1],
                "AWS_DEFAULT_REGION": REGION,
            },
        )
        yield Deployed(build, LocalAws(ministack.endpoint_url))
    finally:
        ministack.stop()


def test_sam_builds_functions_and_layer_for_the_runtime(deployed_by_sam):
    """Each function's code, and wheels of the layer for Python 3.13 on arm64, whatever the machine that builds."""
    build = deployed_by_sam.build
    assert sorted(path.parent.name for path in build.glob("*/app.py")) == [
        "BatchCollectorFunction",
        "BatchReleaserFunction",
        "BatchTimersFunction",
        "DoctorFunction",
        "EndedExecutionsFunction",
        "EventBridgeEventsFunction",
        "QueuedEventsFunction",
        "S3EventsFunction",
        "SnsEventsFunction",
        "StepFunctionsTaskFunction",
        "dispatcheranalytics",
        "watcheranalytics",
    ]
    assert (build / "GatewayLayer" / "python" / "mwaa_gateway" / "__init__.py").is_file()
    layer = build / "DependenciesLayer" / "python"
    assert (layer / "aws_lambda_powertools" / "__init__.py").is_file()
    assert (layer / "requests" / "__init__.py").is_file()
    assert not (layer / "boto3").exists()
    tags = {path.name.split(".", 1)[1] for path in layer.rglob("*.so")}
    assert tags <= {"cpython-313-aarch64-linux-gnu.so", "abi3.so"}


@pytest.mark.parametrize("layer", ["GatewayLayer", "DependenciesLayer"])
def test_lambda_finds_bytecode_of_all_that_the_layers_hold(deployed_by_sam, layer):
    """For its own version of Python, taken as it is whatever times the zip has, and free of the building machine's paths."""
    unchecked_hash = (1).to_bytes(4, "little")
    folder = deployed_by_sam.build / layer
    sources = [path.relative_to(folder) for path in folder.rglob("*.py")]
    assert len(sources) > 50
    for path in sources:
        compiled = (folder / path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc").read_bytes()
        assert compiled[4:8] == unchecked_hash
        assert f"/opt/{path}".encode() in compiled
    assert len(list(folder.rglob("*.pyc"))) == len(sources)
    made_here = str(folder).encode()
    assert not [path for path in folder.rglob("*") if path.is_file() and made_here in path.read_bytes()]
    assert not (folder / "python" / "bin").exists()


def test_sam_deploys_every_environment_with_its_code(deployed_by_sam):
    """The loop survives packaging: SAM CLI leaves code in a loop over a parameter behind unless its path names a loop."""
    functions = {
        one["FunctionName"]: one for one in deployed_by_sam.aws.client("lambda").list_functions()["Functions"]
    }
    assert sorted(functions) == [
        "mwaa-gateway-batch-collector",
        "mwaa-gateway-batch-releaser",
        "mwaa-gateway-batch-timers",
        "mwaa-gateway-dispatcher-legacy",
        "mwaa-gateway-dispatcher-risk",
        "mwaa-gateway-doctor",
        "mwaa-gateway-ended-executions",
        "mwaa-gateway-eventbridge-events",
        "mwaa-gateway-queued-events",
        "mwaa-gateway-run-watcher-legacy",
        "mwaa-gateway-run-watcher-risk",
        "mwaa-gateway-s3-events",
        "mwaa-gateway-sns-events",
        "mwaa-gateway-step-functions-task",
    ]
    for environment in ("legacy", "risk"):
        assert functions[f"mwaa-gateway-run-watcher-{environment}"]["CodeSize"] > 0
        dispatcher = functions[f"mwaa-gateway-dispatcher-{environment}"]
        assert dispatcher["CodeSize"] > 0
        assert dispatcher["Environment"]["Variables"]["MWAA_ENVIRONMENT_NAME"] == f"acme-prod_{environment}"


def test_sam_deploys_a_source_for_each_of_the_users_queues(deployed_by_sam):
    """The other loop, over a list that was empty when it was built."""
    mappings = deployed_by_sam.aws.client("lambda").list_event_source_mappings(
        FunctionName="mwaa-gateway-queued-events"
    )["EventSourceMappings"]
    retry_queue = f"arn:aws:sqs:{REGION}:000000000000:mwaa-gateway-ingress-retry"
    assert {mapping["EventSourceArn"] for mapping in mappings} == {retry_queue, *QUEUES}


def _python_313() -> str:
    """The folder of a real Python 3.13: SAM CLI refuses pyenv's shims and builds with the version of the runtime only."""
    installed = Path.home().glob(".pyenv/versions/3.13*/bin/python3.13")
    for candidate in [shutil.which("python3.13"), *map(str, installed)]:
        if candidate:
            asked = subprocess.run(
                [candidate, "-c", "import os, sys; print(os.path.dirname(os.path.realpath(sys.executable)))"],
                capture_output=True,
                text=True,
                check=False,
            )
            if asked.returncode == 0:
                return asked.stdout.strip()
    pytest.skip(
        "Python 3.13 was not found, and `sam build` needs the runtime's own version: not built, not deployed"
    )
