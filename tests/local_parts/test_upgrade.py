"""Fault matrix, rows 31 and 46: version 0.1.0 is deployed, interrupted in its work, and upgraded to the working tree.

`update_stack` on MiniStack, with the released functions before it and today's after it. No function receives from the queues
while the stack is updated, so that everything is in flight; MWAA is a small server that counts the runs.
"""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fakes.states import payload
from gateway_cli.rules.store import RulesStore
from local_stack.aws import LocalAws
from local_stack.deploy import deploy
from local_stack.ministack import REGION, MiniStack
from local_stack.ports import free_port
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.task_callbacks import TokenCipher
from mwaa_gateway.rules import parse_rule
from polling import until
from released import unpack_release

ROOT = Path(__file__).parents[2]
STACK = "mwaa-gateway"
BEFORE = json.loads((ROOT / "tests" / "fixtures" / "version_before" / "mid_flight.json").read_text())
NEW, CLAIMED, GIVEN_BACK, IN_DOUBT, DONE, DEAD = range(6)  # what became of each message of the fixture
RULES = {"acme.orders": "ingest", "acme.held": "ingest", "acme.refused": "refused"}  # and the DAG of each
KEPT = ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SNS::Topic")
TRIGGER_QUEUE, RETRY_QUEUE = "-trigger-legacy", "-ingress-retry"
NOT_KEPT_BY_ID = ("AWS::Events::EventBus", "AWS::IAM::ManagedPolicy")


@dataclass
class CountingMwaa:
    """InvokeRestApi in front of an Airflow that knows run_ids only."""

    started: Counter[str] = field(default_factory=Counter)
    refuses: bool = True  # every run of the DAG `refused`
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, call: dict[str, Any]) -> tuple[int, Any]:
        body = call.get("Body") or {}
        with self.lock:
            if call["Path"].endswith("/taskInstances/list"):
                runs = [run for run in body.get("dag_run_ids", []) if run in self.started]
                dag_id = (body.get("dag_ids") or ["?"])[0]
                rows = [{"dag_id": dag_id, "dag_run_id": run, "task_id": "t"} for run in runs]
                return 200, {"task_instances": rows, "total_entries": len(rows)}
            if not (call["Method"] == "POST" and call["Path"].endswith("/dagRuns")):
                return 200, {"dags": [], "dag_runs": [], "total_entries": 0}
            dag_id, run_id = call["Path"].split("/")[2], body["dag_run_id"]
            if dag_id == "refused" and self.refuses:
                return 400, {"detail": "ParamValidationError: 'key' is a required property"}
            if run_id in self.started:
                return 409, {
                    "detail": f"DAGRun with dag_id: '{dag_id}' and dag_run_id: '{run_id}' already exists"
                }
            self.started[run_id] += 1
            return 200, {"dag_id": dag_id, "dag_run_id": run_id, "state": "queued", "logical_date": None}


@contextmanager
def served(mwaa: CountingMwaa) -> Iterator[str]:
    """Serve it on the loopback interface; the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, said = mwaa.answer(call)
            document = json.dumps({"RestApiStatusCode": status, "RestApiResponse": said}).encode()
            self.send_response(200 if status == 200 else 400)
            if status != 200:
                self.send_header("x-amzn-ErrorType", "RestApiClientException")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def an_event(identity: str, source: str, number: int) -> dict[str, Any]:
    return {
        "version": "0",
        "id": identity,
        "source": source,
        "detail-type": "x",
        "account": "000000000000",
        "time": "2026-11-22T10:00:00Z",
        "region": REGION,
        "resources": [],
        "detail": {"n": number},
    }


@dataclass
class Stack:
    """The gateway's stack, of whichever version."""

    aws: LocalAws
    folder: Path
    mwaa_url: str
    outputs: dict[str, str] = field(default_factory=dict)

    def deploy(self, template: Path, **parameters: str) -> None:
        (self.folder / template.parent.name).mkdir(exist_ok=True)
        self.outputs = dict(
            deploy(
                self.aws,
                template_file=template,
                stack_name=STACK,
                parameters={
                    "Environments": "legacy",
                    "DagCatalogSeconds": "0",
                    "TaskDags": "*/*",
                    **parameters,
                },
                python=ROOT / ".venvs" / "lambda" / "bin" / "python",
                state_folder=self.folder / template.parent.name,
                environment={
                    "AWS_ENDPOINT_URL_MWAA": self.mwaa_url,
                    "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
                },
            ).outputs
        )

    def resources(self) -> dict[str, str]:
        """The physical ids of what has to outlive an upgrade."""
        pages = (
            self.aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
        )
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] in KEPT + NOT_KEPT_BY_ID
        }

    def receive(self, queue: str, *, enabled: bool) -> None:
        """Let the function behind a queue receive messages, or rest."""
        functions = self.aws.client("lambda")
        for source in functions.list_event_source_mappings()["EventSourceMappings"]:
            if source["EventSourceArn"].endswith(queue):
                functions.update_event_source_mapping(UUID=source["UUID"], Enabled=enabled)

    def event(self, number: int, source: str) -> None:
        """As EventBridge invokes the function. Not through the bus: there version 0.1.0 asks for aws:SourceAccount."""
        event = an_event(f"event-{number}", source, number)
        self.aws.client("lambda").invoke(
            FunctionName=f"{STACK}-eventbridge-events", InvocationType="Event", Payload=json.dumps(event)
        )

    def rows(self) -> list[dict[str, Any]]:
        table = self.outputs["LedgerTableName"]
        return [
            item
            for page in self.aws.client("dynamodb").get_paginator("scan").paginate(TableName=table)
            for item in page["Items"]
        ]

    def in_state(self, state: str, rule: str) -> int:
        return sum(
            row.get("state") == {"S": state} and row["request"]["S"].startswith(f"{rule}#")
            for row in self.rows()
        )

    def queued(self, output: str) -> int:
        queue = self.outputs[output].replace("{environment}", "legacy")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)[
            "Attributes"
        ]
        return sum(int(found[name]) for name in names)

    @property
    def rules(self) -> RulesStore:
        return RulesStore(self.aws.client("dynamodb"), self.outputs["RulesTableName"])


@pytest.fixture
def mwaa() -> CountingMwaa:
    return CountingMwaa()


@pytest.fixture
def stack(tmp_path: Path, mwaa: CountingMwaa) -> Iterator[Stack]:
    ministack = MiniStack(root=ROOT, state_folder=tmp_path, log_folder=tmp_path, port=free_port())
    ministack.start()
    try:
        with served(mwaa) as url:
            yield Stack(LocalAws(ministack.endpoint_url), tmp_path, url)
    finally:
        ministack.stop()


def rows_of_the_fixture(now: float) -> list[dict[str, Any]]:
    """The ledger's rows of version_before, as if they had been written some minutes ago."""
    past = 1_800_000_100 - now + 300

    def moved(name: str, value: dict[str, str]) -> dict[str, Any]:
        if "B" in value:
            return {"B": base64.b64decode(value["B"])}
        return (
            {"N": str(float(value["N"]) - past)} if name.endswith("_at") and name != "expires_at" else value
        )

    return [{name: moved(name, value) for name, value in row.items()} for row in BEFORE["ledger"]]


@pytest.mark.guarantee(31, 46)
def test_row_31_an_upgrade_from_version_0_1_0_loses_and_doubles_nothing(
    stack: Stack, mwaa: CountingMwaa
) -> None:
    """Requests that wait, are open, in doubt, done, held and dead, events still at ingress, and a state that waits."""
    sqs, dynamodb = stack.aws.client("sqs"), stack.aws.client("dynamodb")
    stack.deploy(unpack_release(stack.folder / "v0.1.0"), RestEnvironments="legacy")
    for rule, dag_id in RULES.items():
        document = {"id": rule, "pattern": {"source": [rule]}}
        target = {"environment": "legacy", "dag_id": dag_id}
        stack.rules.put(
            parse_rule({**document, "target": target}, environments={"legacy"}),
            by="tests",
            now=datetime.now(UTC),
        )
    # Version 0.1.0 at work: one run, one dead request, one that is held.
    stack.event(1, "acme.orders")
    stack.event(2, "acme.refused")
    until("a run of version 0.1.0", lambda: stack.in_state("triggered", "acme.orders") == 1, seconds=24)
    until("a dead request", lambda: stack.in_state("dead", "acme.refused") == 1, seconds=24)
    stack.receive(TRIGGER_QUEUE, enabled=False)
    stack.event(3, "acme.held")
    until("the event to be held", lambda: stack.queued("TriggerQueueUrlTemplate") == 1, seconds=24)
    stack.rules.set_state("acme.held", "DISABLED", by="tests", now=datetime.now(UTC))
    stack.receive(TRIGGER_QUEUE, enabled=True)
    until("a held request", lambda: stack.in_state("held", "acme.held") == 1, seconds=24)
    stack.receive(TRIGGER_QUEUE, enabled=False)
    # And now in the middle of it: what the fixture has, five events more, a state that waits, an event at ingress.
    for row in rows_of_the_fixture(time.time()):
        dynamodb.put_item(TableName=stack.outputs["LedgerTableName"], Item=row)
    queue = stack.outputs["TriggerQueueUrlTemplate"].replace("{environment}", "legacy")
    for number, message in enumerate(BEFORE["messages"]):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(message))
        if number in (CLAIMED, IN_DOUBT, DONE):
            mwaa.started[message["run_id"]] = 1
    for number in range(10, 15):
        stack.event(number, "acme.orders")
    call = payload(dag={"environment": "legacy", "dag_id": "ingest"}, token="token-of-0.1.0")
    task = stack.aws.client("lambda").invoke(
        FunctionName=stack.outputs["StepFunctionsTaskFunctionArn"], Payload=json.dumps(call)
    )
    assert "FunctionError" not in task, task["Payload"].read()
    waiting = len(BEFORE["messages"]) + 6
    until("all requests in the queue", lambda: stack.queued("TriggerQueueUrlTemplate") == waiting, seconds=24)
    at_ingress = an_event("at-ingress", "acme.orders", 20)
    gave_up = {
        "version": "1.0",
        "timestamp": "2026-11-22T10:00:00Z",
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": at_ingress,
        "responsePayload": {},
    }
    before = stack.resources()
    # MiniStack kills what a function does when its code changes; Lambda lets it finish.
    stack.receive(RETRY_QUEUE, enabled=False)
    sqs.send_message(QueueUrl=stack.outputs["IngressRetryQueueUrl"], MessageBody=json.dumps(gave_up))

    stack.deploy(ROOT / "template.yaml", Transports="rest")

    after = stack.resources()
    assert before == {name: after.get(name) for name in before}
    stack.receive(TRIGGER_QUEUE, enabled=True)
    stack.receive(RETRY_QUEUE, enabled=True)
    expected = 1 + 5 + 1 + 1 + len(BEFORE["messages"]) - 1  # the fixture's dead one stays dead
    until(f"{expected} runs", lambda: len(mwaa.started) >= expected, seconds=24)
    until("an empty trigger queue", lambda: stack.queued("TriggerQueueUrlTemplate") == 0, seconds=24)
    assert len(mwaa.started) == expected
    assert set(mwaa.started.values()) == {1}
    assert BEFORE["messages"][DEAD]["run_id"] not in mwaa.started
    assert (1, 1) == (stack.in_state("held", "acme.held"), stack.in_state("dead", "acme.refused"))
    assert stack.queued("TriggerDlqUrlTemplate") >= 1
    # The token that version 0.1.0 sealed is opened by the key the run watcher of this one has.
    watcher = stack.aws.client("lambda").get_function_configuration(
        FunctionName=f"{STACK}-run-watcher-legacy"
    )
    key = watcher["Environment"]["Variables"]["TASK_TOKEN_KEY"]
    watches = WatchItems(
        dynamodb, stack.outputs["LedgerTableName"], TokenCipher(stack.aws.client("kms"), key), now=time.time
    )
    assert ["token-of-0.1.0"] == [watches.token(watch).text for watch in watches.watched("legacy")]
