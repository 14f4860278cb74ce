"""Runs the tools that others will run on this template, in the project's folder."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from template.expansion import ROOT

__all__ = ["SAM", "run", "tool"]

SAM = ROOT / ".venvs" / "sam" / "bin" / "sam"


def run(
    command: str, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one in the project's folder, with no AWS settings of the developer's; all it said is the failure's text."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    quiet = {"SAM_CLI_TELEMETRY": "0", "NO_COLOR": "1"}
    result = subprocess.run(
        [command, *arguments],
        cwd=ROOT,
        env={**inherited, **quiet, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    if check:
        said = f"{command} {arguments[0]} ended with {result.returncode} and said:\n{result.stdout}\n{result.stderr}"
        assert result.returncode == 0, said
    return result


def tool(path: Path) -> str:
    """The path of a tool, which `make setup` has put there."""
    if not path.is_file():
        pytest.fail(f"{path.relative_to(ROOT)} is missing: run `make setup`, which makes every environment")
    return str(path)
