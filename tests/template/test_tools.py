"""What the tools say that others will run on this template: SAM CLI, cfn-lint, AWS's validator, checkov, uv."""

import copy
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cloudformation_validate import CompositeEngine, TemplateContent

from local_stack.ministack import REGION
from template.expansion import EVERYTHING, ROOT
from template.tools import SAM, run, tool

CHECKOV = ROOT / ".venvs" / "checkov" / "bin" / "checkov"
REQUIREMENTS = "layers/dependencies/requirements.txt"
PARAMETERS = {"as it comes": {}, "with everything": EVERYTHING}


def test_sam_finds_the_template_valid():
    """`sam validate`, with cfn-lint as samconfig.toml asks for, without credentials or network."""
    result = run(tool(SAM), "validate", "--region", REGION)
    assert "is a valid SAM Template" in result.stdout


def test_cfn_lint_finds_nothing(expand, tmp_path):
    """cfn-lint and its serverless rules on what is really deployed: they see neither roles nor loops before that."""
    templates = {
        name: expand("analytics", "legacy", **parameters).cloudformation
        for name, parameters in PARAMETERS.items()
    }
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    rules = ("--append-rules", "cfn_lint_serverless.rules")
    result = run(tool(cfn_lint), *rules, "--template", *_written(templates, tmp_path))
    assert result.stdout == ""


@pytest.fixture(scope="module")
def validator() -> CompositeEngine:
    """AWS's own offline validator: it knows where CloudFormation documents an intrinsic function, and each schema."""
    return CompositeEngine()


def test_awss_validator_finds_nothing_in_the_source(validator, source):
    """Loops, conditions and functions as they are written, before any tool has unrolled or translated them."""
    assert _errors(validator, source) == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_awss_validator_finds_nothing_in_what_is_deployed(validator, expand, name):
    """What CloudFormation is given after the transforms, each parameter with the value that it is expanded for."""
    template = copy.deepcopy(expand("analytics", "legacy", **PARAMETERS[name]).cloudformation)
    for parameter, value in PARAMETERS[name].items():
        template["Parameters"][parameter]["Default"] = value
    assert _errors(validator, template) == []


def test_awss_validator_sees_a_function_where_cloudformation_documents_none(validator, source):
    """The check can fail: the delimiter of Fn::Join is plain text."""
    broken = copy.deepcopy(source)
    broken["Outputs"]["EnvironmentNames"]["Value"] = {
        "Fn::Join": [{"Ref": "LogLevel"}, {"Ref": "Environments"}]
    }
    assert [rule for rule, _ in _errors(validator, broken)] == ["E1022"]


def _errors(validator: CompositeEngine, template: Mapping[str, object]) -> list[tuple[str, str]]:
    """Rule and text of each error, without the empty defaults of parameters that conditions keep out of use."""
    report = validator.validate_template(TemplateContent(json.dumps(template), "template.json"))
    return [
        (one.rule_id, one.message)
        for one in report.diagnostics
        if one.severity.name in ("FATAL", "ERROR")
        and not one.message.startswith(("'' does not match", "length 0 is below"))
    ]


@pytest.fixture(scope="module")
def checkov(expand, tmp_path_factory) -> dict[str, Any]:
    """What checkov says of them all, in one run: most of a run is its start.

    It is given the resolved templates: it passes over policies and encryption where it meets an Fn::If.
    """
    templates = {
        name: {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": expand("analytics", **parameters).resources,
        }
        for name, parameters in PARAMETERS.items()
    }
    files = _written(templates, tmp_path_factory.mktemp("checkov"))
    what = ("--framework", "cloudformation", "--output", "json", "--skip-download")
    return json.loads(run(tool(CHECKOV), "--file", *files, *what, check=False).stdout)


# What checkov misses as long as the options are not used: a key of one's own (KmsKeyArn), a VPC for the dispatchers.
LEFT_TO_THE_USER = {"CKV_AWS_26", "CKV_AWS_27", "CKV_AWS_158", "CKV_AWS_173", "CKV_AWS_117"}


@pytest.mark.parametrize(("name", "left"), [("as it comes", LEFT_TO_THE_USER), ("with everything", set())])
def test_checkov_finds_nothing_that_is_not_explained(checkov, name, left):
    """Every check passes or is skipped, on that one resource, with a reason."""
    passed, failed, skipped = (
        [one for one in checkov["results"][kind] if Path(one["file_path"]).stem == name]
        for kind in ("passed_checks", "failed_checks", "skipped_checks")
    )
    found = sorted((one["check_id"], one["resource"]) for one in failed)
    assert [one for one in found if one[0] not in left] == []
    assert {check for check, _ in found} == left
    assert checkov["summary"]["parsing_errors"] == 0
    assert len(passed) >= 60
    for one in skipped:
        assert one["check_result"]["suppress_comment"]


def test_the_layers_requirements_are_those_of_the_lock(tmp_path):
    """The functions get what was tested. `make lock` writes the file; the command stands in its first lines."""
    text = (ROOT / REQUIREMENTS).read_text()
    header = [line.removeprefix("#").split() for line in text.splitlines()[:2]]
    command = header[1]
    assert (
        command == f"uv export --only-group functions --no-emit-project --output-file {REQUIREMENTS}".split()
    )
    fresh = tmp_path / "requirements.txt"
    run(_uv(), *command[1:-1], str(fresh), "--locked", "--quiet")
    assert _pins(text) == _pins(fresh.read_text())
    assert all("--hash=sha256:" in pin for pin in _pins(text))


def _uv() -> str:
    uv = ROOT / ".venvs" / "uv" / "bin" / "uv"
    return shutil.which("uv") or tool(uv)


def _written(templates: Mapping[str, object], folder: Path) -> list[str]:
    """The names of their files: each is called as its template is."""
    files = {folder / f"{name}.json": template for name, template in templates.items()}
    for file, template in files.items():
        file.write_text(json.dumps(template, indent=1))
    return [str(file) for file in files]


def _pins(requirements: str) -> list[str]:
    lines = [line for line in requirements.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", "").splitlines()
