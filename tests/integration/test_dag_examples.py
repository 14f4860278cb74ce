"""What the examples for DAG authors do with AWS; that Airflow reads the files is seen on the local stack."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from fakes.messages import messages
from local_stack.template import load_template
from mwaa_gateway.aws.manifests import ManifestBucket
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.routing.members import Member
from mwaa_gateway.step_functions.notices import read_notices

ROOT = Path(__file__).parent.parent.parent
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:etl"


def load(name: str) -> ModuleType:
    """A file of examples/dags."""
    spec = importlib.util.spec_from_file_location(
        f"example_{name}", ROOT / "examples" / "dags" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_template(node: Any, name: str) -> Any:
    """The first thing of that name, wherever it is in the template."""
    if isinstance(node, dict):
        if name in node:
            return node[name]
        node = list(node.values())
    if isinstance(node, list):
        return next((found for one in node if (found := in_template(one, name)) is not None), None)
    return None


@pytest.fixture
def put(aws: None, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:  # noqa: ARG001
    """Every entry that is put on a bus."""
    entries: list[dict[str, Any]] = []

    def call(_: Any, operation: str, params: Any) -> Any:
        assert operation == "PutEvents"
        entries.extend(params["Entries"])
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return entries


def context(conf: Any) -> dict[str, Any]:
    """What Airflow passes to a DAG's callback."""
    return {
        "dag": SimpleNamespace(dag_id="nightly_orders"),
        "run_id": "evt__a__1",
        "dag_run": SimpleNamespace(conf=conf),
    }


def test_a_callback_is_what_the_template_sends_to_the_watcher_and_the_watcher_reads(put):
    """Source, detail-type and detail, by the rule's own pattern."""
    tell = load("gateway_callbacks").tell_gateway(environment="analytics", event_bus="gateway-events")
    tell(context({"mwaa_gateway": {"source": "aws.states"}}))
    [entry] = put
    event = {
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "account": "123456789012",
        "detail": json.loads(entry["Detail"]),
    }
    pattern = in_template(load_template(ROOT / "template.yaml"), "CallbacksRule${Environment}")["Properties"]
    pattern = pattern["EventPattern"] | {
        "account": ["123456789012"],
        "detail": {"environment": ["analytics"]},
    }
    assert compile_pattern(pattern).matches(event)
    assert read_notices(messages(event)).ended_runs == ("evt__a__1",)
    assert entry["EventBusName"] == "gateway-events"


@pytest.mark.parametrize("conf", [None, {}, {"mwaa_gateway": {"source": "aws.s3"}}])
def test_runs_that_no_state_started_are_not_reported(put, conf):
    """A DAG that uploads start a thousand times puts no event for it."""
    load("gateway_callbacks").tell_gateway("analytics", "gateway-events")(context(conf))
    assert put == []


def test_without_a_run_from_airflow_the_gateway_still_gets_the_callback(put):
    """Airflow 3.0 passes the DAG and the run_id only."""
    given = context(None)
    del given["dag_run"]
    load("gateway_callbacks").tell_gateway("analytics", "gateway-events")(given)
    assert len(put) == 1


@pytest.fixture
def example(aws: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:  # noqa: ARG001
    """The DAG that starts a state machine; of Airflow, no more than decorators."""

    def decorated(*_: Any, **__: Any) -> Any:
        return lambda function: lambda *_args, **_kwargs: function

    airflow, sdk = ModuleType("airflow"), ModuleType("airflow.sdk")
    sdk.dag = sdk.task = decorated  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow", airflow)
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    return load("start_state_machine")


def test_a_dag_run_has_one_execution_however_often_its_task_is_tried(example):
    """While it runs and when it is over, whatever the second try passes."""
    client = boto3.client("stepfunctions")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    role = "arn:aws:iam::123456789012:role/states"
    machine = client.create_state_machine(name="etl", definition=definition, roleArn=role)["stateMachineArn"]
    first = example.started(machine, "a" * 64, {"day": 1})
    assert example.started(machine, "a" * 64, {"day": 1}) == first
    assert example.started(machine, "a" * 64, {"day": 2}) == first
    assert len(client.list_executions(stateMachineArn=machine)["executions"]) == 1
    assert example.is_done(first) is False
    client.stop_execution(executionArn=first)
    with pytest.raises(RuntimeError, match="ABORTED"):
        example.is_done(first)


@pytest.fixture
def load_batch(example: ModuleType) -> ModuleType:  # noqa: ARG001 - the decorators are stubs
    """The DAG that maps over the members of a batch."""
    return load("load_batch")


def test_a_batchs_members_are_read_from_the_manifest_that_the_gateway_writes(load_batch):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="claims", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    batch = Batch(
        id="b", rule_id="sales.nightly", rule_version=1, document="{}", key=(), number=1, first_at=0, due_at=0
    )
    some = [Member(f"{n}", {"uri": f"s3://landing/{n}"}, f"{n}") for n in range(3)]
    uri = ManifestBucket(lambda: s3, "claims").put(batch, some)
    assert [each["uri"] for each in load_batch.members(uri)] == [f"s3://landing/{n}" for n in range(3)]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250, 100_000])
def test_every_member_of_a_batch_is_in_one_part(load_batch, count):
    """And Airflow gets no more parts than it maps over by default."""
    parts = load_batch.parts("s3://claims/m", count)
    assert len(parts) <= min(count, load_batch.PARTS)
    members = [number for part in parts for number in range(part["start"], part["stop"])]
    assert members == list(range(count))
