"""What the tools say that others will run on this template: SAM CLI, cfn-lint, checkov, uv."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_stack.aws import LocalAws
from local_stack.ministack import CREDENTIALS, REGION, MiniStack
from local_stack.ports import free_port
from template.expansion import EVERYTHING, ROOT

SAM = ROOT / ".venvs" / "sam" / "bin" / "sam"
CHECKOV = ROOT / ".venvs" / "checkov" / "bin" / "checkov"
REQUIREMENTS = "layers/dependencies/requirements.txt"


def test_sam_finds_the_template_valid():
    """`sam validate`, with cfn-lint as samconfig.toml asks for, without credentials or network."""
    result = _run(_tool(SAM), "validate", "--region", REGION)
    assert "is a valid SAM Template" in result.stdout


@pytest.mark.parametrize("parameters", [{}, EVERYTHING], ids=["as it comes", "with everything"])
def test_cfn_lint_finds_nothing(expand, tmp_path, parameters):
    """cfn-lint and its serverless rules on what is really deployed: they see neither roles nor loops before that."""
    file = _written(expand("analytics", "legacy", **parameters).cloudformation, tmp_path)
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    result = _run(_tool(cfn_lint), "--append-rules", "cfn_lint_serverless.rules", "--template", str(file))
    assert result.stdout == ""


# What checkov misses as long as the options are not used: a key of one's own (KmsKeyArn), a VPC for the dispatchers.
LEFT_TO_THE_USER = {"CKV_AWS_26", "CKV_AWS_27", "CKV_AWS_158", "CKV_AWS_173", "CKV_AWS_117"}


@pytest.mark.parametrize(
    ("parameters", "left"),
    [({}, LEFT_TO_THE_USER), (EVERYTHING, set())],
    ids=["as it comes", "with everything"],
)
def test_checkov_finds_nothing_that_is_not_explained(expand, tmp_path, parameters, left):
    """Every check passes or is skipped, on that one resource, with a reason.

    It is given the resolved template: it passes over policies and encryption where it meets an Fn::If.
    """
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": expand("analytics", **parameters).resources,
    }
    file = _written(template, tmp_path)
    what = ("--file", str(file), "--framework", "cloudformation", "--output", "json", "--skip-download")
    report = json.loads(_run(_tool(CHECKOV), *what, check=False).stdout)
    failed = sorted((one["check_id"], one["resource"]) for one in report["results"]["failed_checks"])
    assert [one for one in failed if one[0] not in left] == []
    assert {check for check, _ in failed} == left
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] >= 60
    for skipped in report["results"]["skipped_checks"]:
        assert skipped["check_result"]["suppress_comment"]


def test_the_layers_requirements_are_those_of_the_lock(tmp_path):
    """The functions get what was tested. `make lock` writes the file; the command stands in its first lines."""
    text = (ROOT / REQUIREMENTS).read_text()
    header = [line.removeprefix("#").split() for line in text.splitlines()[:2]]
    command = header[1]
    assert (
        command == f"uv export --only-group functions --no-emit-project --output-file {REQUIREMENTS}".split()
    )
    fresh = tmp_path / "requirements.txt"
    _run(_uv(), *command[1:-1], str(fresh), "--locked", "--quiet")
    assert _pins(text) == _pins(fresh.read_text())
    assert all("--hash=sha256:" in pin for pin in _pins(text))


# ------------------------------------------------------------------------- build and deploy, where Python 3.13 is found

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
    sam, environment = _tool(SAM), {"PATH": f"{_python_313()}{os.pathsep}{os.environ['PATH']}"}
    build = folder / "build"
    config = ("--config-file", str(ROOT / "samconfig.toml"))
    _run(
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
        _run(
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
        "EventBridgeEventsFunction",
        "QueuedEventsFunction",
        "S3EventsFunction",
        "SnsEventsFunction",
        "StepFunctionsTaskFunction",
        "dispatcheranalytics",
        "watcheranalytics",
    ]
    layer = build / "DependenciesLayer" / "python"
    assert (layer / "aws_lambda_powertools" / "__init__.py").is_file()
    assert (layer / "requests" / "__init__.py").is_file()
    assert not (layer / "boto3").exists()
    tags = {path.name.split(".", 1)[1] for path in layer.rglob("*.so")}
    assert tags <= {"cpython-313-aarch64-linux-gnu.so", "abi3.so"}


def test_sam_deploys_every_environment_with_its_code(deployed_by_sam):
    """The loop survives packaging: SAM CLI leaves code in a loop over a parameter behind unless its path names a loop."""
    functions = {
        one["FunctionName"]: one for one in deployed_by_sam.aws.client("lambda").list_functions()["Functions"]
    }
    assert sorted(functions) == [
        "mwaa-gateway-dispatcher-legacy",
        "mwaa-gateway-dispatcher-risk",
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


# ------------------------------------------------------------------------------------------------------------- helpers


def _run(
    command: str, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool in the project's folder, with no AWS settings of the developer's; all it said is the failure's text."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    quiet = {"SAM_CLI_TELEMETRY": "0", "NO_COLOR": "1"}
    result = subprocess.run(
        [command, *arguments],
        cwd=ROOT,
        env={**inherited, **quiet, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if check:
        assert result.returncode == 0, f"{command} {arguments[0]} said:\n{result.stdout}\n{result.stderr}"
    return result


def _tool(path: Path) -> str:
    if not path.is_file():
        pytest.fail(f"{path.relative_to(ROOT)} is missing: run `make setup`, which makes every environment")
    return str(path)


def _uv() -> str:
    uv = ROOT / ".venvs" / "uv" / "bin" / "uv"
    return shutil.which("uv") or _tool(uv)


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


def _written(template: Mapping[str, object], folder: Path) -> Path:
    file = folder / "template.json"
    file.write_text(json.dumps(template, indent=1))
    return file


def _pins(requirements: str) -> list[str]:
    lines = [line for line in requirements.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", "").splitlines()
