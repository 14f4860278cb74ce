"""How the tests call the Lambda functions: the handler, its context, its queues, and what it writes."""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["RULE", "Context", "CurrentStdout", "Queues", "lines", "load"]

ROOT = Path(__file__).parent.parent.parent
RULE = {
    "id": "finance.everything",
    "pattern": {"source": [{"anything-but": ["mwaa-gateway"]}]},
    "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
}


class CurrentStdout:
    """Standard output as it is at the moment of writing: Powertools keeps the one it found when it was imported."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@dataclass
class Context:
    """What the handlers and Powertools read of Lambda's context."""

    function_name: str = "gateway"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:gateway"
    aws_request_id: str = "request-1"


def load(name: str) -> ModuleType:
    """Import functions/<name>/app.py; all of them are called app."""
    spec = importlib.util.spec_from_file_location(f"functions_{name}", ROOT / "functions" / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Queues:
    """The deployed queues."""

    trigger: str
    trigger_dlq: str
    ingress_dlq: str
    read: Callable[[str], list[str]]  # what can be received of the next ten, left there


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    """The log lines and metrics that were written since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
