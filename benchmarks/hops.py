"""Where a warm event's time goes: the processor time of the functions themselves, from an event to its recorded run.

    python -m benchmarks.hops

The functions are those that ship, with boto3 and TLS, in a process that holds what a Lambda sandbox holds; AWS, MWAA and
Airflow answer from this process. So the wait for them is in no figure, and every call of theirs is counted.
"""

import argparse
import base64
import json
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import boto3
import certifi
import requests
import trustme
from moto import mock_aws

from benchmarks.cold_start import LAYER, PYTHON, ROOT, SETTINGS
from benchmarks.measure import percentile
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id

REGION: Final = SETTINGS["AWS_DEFAULT_REGION"]
WARM: Final = 20  # invocations that are not measured
CREDENTIALS: Final[dict[str, Any]] = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
RULE: Final = {
    "id": "billing.closed",
    "pattern": {"source": ["acme.billing"]},
    "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
}
# Runs in the measured process: prints the milliseconds of each invocation, in all, in boto3 and in HTTPS to the web server.
MEASURED: Final = """
import json, sys, threading, time
from types import SimpleNamespace
import botocore.client
import app

inside, lock = {"aws": 0.0, "https": 0.0}, threading.Lock()
def timed(owner, name, kind):
    method = getattr(owner, name)
    def call(*arguments, **named):
        begun = time.thread_time()
        try:
            return method(*arguments, **named)
        finally:
            with lock:
                inside[kind] += time.thread_time() - begun
    setattr(owner, name, call)
timed(botocore.client.BaseClient, "_make_api_call", "aws")
if "mwaa_gateway.dispatch" in sys.modules:
    from mwaa_gateway.aws.mwaa.web_server import WebServerWay
    timed(WebServerWay, "send", "https")

context = SimpleNamespace(function_name="hop", memory_limit_in_mb=512, aws_request_id="1",
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:hop")
found = []
for event in json.load(sys.stdin):
    inside.update(aws=0.0, https=0.0)
    begun = time.process_time()
    answer = app.handler(event, context)
    found.append([1000 * each for each in (time.process_time() - begun, inside["aws"], inside["https"])])
    if answer and answer["batchItemFailures"]:
        sys.exit(f"a message was not dispatched: {answer}")
print(json.dumps([1000 * time.process_time(), found]))
"""


@dataclass
class Answers:
    """AWS, MWAA and Airflow, as far as a run needs them; it counts the calls."""

    host: str = ""
    counted: Counter[str] = field(default_factory=Counter)

    def of(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of an answer."""
        target = headers.get("X-Amz-Target", "")
        if target.startswith("DynamoDB"):
            self.counted[f"aws {target.partition('.')[2]}"] += 1
            sent = {name: headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization")}
            answer = requests.post(
                f"https://dynamodb.{REGION}.amazonaws.com/", data=body, headers=sent, timeout=60
            )
            return answer.status_code, {}, answer.content
        if target.startswith("AmazonSQS"):
            self.counted[f"aws {target.partition('.')[2]}"] += 1
            sent_ids = [
                {"Id": each["Id"], "MessageId": each["Id"]} for each in json.loads(body).get("Entries", [])
            ]
            return 200, {}, json.dumps({"Successful": sent_ids}).encode()
        kind = "https" if path.startswith(("/aws_mwaa", "/pluginsv2", "/api")) else "aws"
        self.counted[f"{kind} {path.partition('?')[0]}"] += 1
        return self._mwaa(path, body)

    def _mwaa(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        match path.split("?", maxsplit=1)[0].strip("/").split("/"):
            case ["clitoken", _]:
                return _json({"CliToken": "token", "WebServerHostname": self.host})
            case ["webtoken", _]:
                return _json({"WebToken": "token", "WebServerHostname": self.host})
            case ["restapi", _]:
                call = json.loads(body)
                return _json(
                    {"RestApiStatusCode": 200, "RestApiResponse": _airflow(call["Method"], call.get("Body"))}
                )
            case ["aws_mwaa", "cli"]:
                return _json(_printed(body.decode()))
            case ["pluginsv2", "aws_mwaa", "login"]:
                return 302, {"Set-Cookie": "_token=session; Path=/", "Location": "/"}, b""
            case _:
                return _json(_airflow("POST" if body else "GET", json.loads(body) if body else None))


def _json(document: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _airflow(method: str, body: Any) -> dict[str, Any]:
    if method == "GET":
        dag = {"dag_id": "ingest_orders", "is_paused": False, "is_stale": False}
        return {"dags": [dag], "total_entries": 1}
    return {"dag_run_id": body["dag_run_id"], "dag_id": "ingest_orders", "state": "queued"}


def _printed(command: str) -> dict[str, str]:
    if command.startswith("dags list"):
        row = {"dag_id": "ingest_orders", "is_paused": "False", "is_stale": "False"}
    else:
        run_id = command.partition("--run-id=")[2].split()[0]
        row = {"dag_id": "ingest_orders", "dag_run_id": run_id, "state": "queued", "conf": "{}"}
    stdout = json.dumps([row])
    return {"stdout": base64.b64encode(stdout.encode()).decode(), "stderr": ""}


@contextmanager
def served(answers: Answers, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve the answers on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, answer = answers.of(self.path, self.headers, body)
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Hop:
    """One function with the events that it gets; each of them stands for so many runs."""

    name: str
    function: str
    event: Callable[[int], dict[str, Any]]
    runs: int = 1
    settings: dict[str, str] = field(default_factory=dict)


def delivered(source: str, number: int) -> dict[str, Any]:
    """Return an event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": f"{source}-{number}",
        "detail-type": "Invoice Period Closed",
        "source": source,
        "account": "123456789012",
        "time": "2026-11-22T10:00:00Z",
        "region": REGION,
        "resources": [],
        "detail": {"period": "2026-10", "number": number},
    }


def trigger_request(identity: str) -> TriggerRequest:
    """Return a request for a run of its own."""
    run_id = derive_run_id(identity, "finance.orders", "default")
    return TriggerRequest(
        identity=identity,
        event=delivered("acme.billing", 0),
        rule_id="finance.orders",
        rule_version=1,
        target_id="default",
        target=ResolvedTarget("analytics", "ingest_orders", run_id, {"key": "orders/1.csv"}),
        maximum_event_age_seconds=None,
        requested_at=time.time(),
    )


def messages(hop: str, number: int, size: int) -> dict[str, Any]:
    """Return a batch of trigger requests as Lambda delivers it."""
    records = [
        {
            "messageId": f"{number}-{each}",
            "receiptHandle": "handle",
            "body": trigger_request(f"{hop}-{number}-{each}").to_json(),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(round(time.time() * 1000))},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:trigger",
        }
        for each in range(size)
    ]
    return {"Records": records}


def _dispatching(transport: str, size: int) -> Hop:
    name = f"message → recorded run, `{transport}`" + (f", {size} at once" if size > 1 else "")
    return Hop(
        name,
        "dispatcher",
        lambda number: messages(f"{transport}-{size}", number, size),
        size,
        {"TRANSPORTS": transport, "REST_SHARE": "100000", "WEB_CONCURRENCY": "30"},
    )


HOPS: Final = (
    Hop(
        "event → nothing, no rule matches",
        "eventbridge_events",
        lambda number: delivered("acme.other", number),
    ),
    Hop("event → message", "eventbridge_events", lambda number: delivered("acme.billing", number)),
    _dispatching("cli", 1),
    *(_dispatching(transport, size) for transport in ("rest", "web") for size in (1, 10)),
)


class Measuring:
    """AWS, MWAA and Airflow in this process, for a function in another one."""

    def __init__(self, endpoint: str, ca_bundle: Path, answers: Answers) -> None:
        self._endpoint = endpoint
        self._ca_bundle = ca_bundle
        self._answers = answers

    def row(self, hop: Hop, runs: int) -> dict[str, float]:
        """Return the milliseconds of a warm run, and the calls that it makes."""
        invocations = WARM + max(1, runs // hop.runs)
        self._answers.counted.clear()
        _, figures = self._run(hop, [hop.event(number) for number in range(invocations)])
        every, counted = invocations * hop.runs, self._answers.counted
        total, aws, https = (
            [each[kind] / hop.runs for each in figures[WARM:]] for kind in range(len(figures[0]))
        )
        return {
            "p50": percentile(total, 50),
            "p99": percentile(total, 99),
            "boto3": percentile(aws, 50),
            "https": percentile(https, 50),
            "gateway": percentile([a - b - c for a, b, c in zip(total, aws, https, strict=True)], 50),
            "AWS calls": sum(n for name, n in counted.items() if name.startswith("aws")) / every,
            "HTTPS requests": sum(n for name, n in counted.items() if name.startswith("https")) / every,
        }

    def first(self, hop: Hop, starts: int) -> float:
        """Return the milliseconds of a new sandbox until its first event is done, without those of a bare interpreter."""
        bare, quickest = float("inf"), float("inf")
        for start in range(starts):
            quickest = min(quickest, self._run(hop, [hop.event(1_000_000 + start)])[0])
            program = "import json, time; print(1000 * time.process_time())"
            bare = min(bare, float(subprocess.check_output([PYTHON, "-c", program])))
        return quickest - bare

    def _run(self, hop: Hop, events: list[dict[str, Any]]) -> tuple[float, list[list[float]]]:
        environment = {
            **SETTINGS,
            **hop.settings,
            "PYTHONPATH": f"{LAYER}:{ROOT / 'functions' / hop.function}",
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "TRIGGER_QUEUE_URL": f"{self._endpoint}/123456789012/{{environment}}",
            "WEB_SERVER_HOST": self._answers.host,
            "WEB_SERVER_CA_BUNDLE": str(self._ca_bundle),
            "POWERTOOLS_SERVICE_NAME": "gateway",
            "POWERTOOLS_METRICS_NAMESPACE": "gateway",
        }
        if hop.function == "dispatcher":
            environment["TRIGGER_QUEUE_URL"] = f"{self._endpoint}/123456789012/trigger"
        done = subprocess.run(
            [PYTHON, "-c", MEASURED],
            input=json.dumps(events),
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise SystemExit("\n".join(done.stdout.splitlines()[-5:]))
        spent, figures = json.loads(done.stdout.splitlines()[-1])
        return spent, figures


@contextmanager
def measuring() -> Iterator[Measuring]:
    """Serve AWS, MWAA and Airflow while it lasts."""
    answers = Answers()
    with tempfile.TemporaryDirectory() as folder, mock_aws():
        dynamodb = boto3.client("dynamodb", REGION, **CREDENTIALS)
        for name, keys in (("ledger", ("event", "request")), ("rules", ("partition", "sort"))):
            dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind}
                    for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)
                ],
            )
        partition = {"partition": {"S": "acme.billing#*"}}
        copy = {"version": {"N": "1"}, "document": {"S": json.dumps(RULE)}}
        dynamodb.put_item(TableName="rules", Item=partition | {"sort": {"S": f"rule#{RULE['id']}"}} | copy)
        head = {"sort": {"S": "head"}, "generation": {"N": "1"}}
        dynamodb.put_item(TableName="rules", Item=partition | head)
        authority = trustme.CA()
        ca_bundle = Path(folder) / "ca.pem"  # with as many authorities as a function trusts
        ca_bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with served(answers) as port, served(answers, context) as secure_port:
            answers.host = f"localhost:{secure_port}"
            yield Measuring(f"http://127.0.0.1:{port}", ca_bundle, answers)


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300, help="how many runs of each hop")
    parser.add_argument("--starts", type=int, default=9, help="how many new sandboxes; the quickest counts")
    options = parser.parse_args()
    with measuring() as functions:
        columns = ("p50", "p99", "boto3", "https", "gateway", "AWS calls", "HTTPS requests")
        print(f"| milliseconds a run | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
        for hop in HOPS:
            row = functions.row(hop, options.runs)
            print(f"| {hop.name} | {' | '.join(f'{row[name]:.2f}' for name in columns)} |", flush=True)
        print("\n| a new sandbox until its first event is done | milliseconds |\n|---|--:|")
        for hop in HOPS:
            if hop.runs == 1:
                print(f"| {hop.name} | {functions.first(hop, options.starts):.0f} |", flush=True)


if __name__ == "__main__":
    main()
