"""Feeds on the local stack: a burst of uploads that becomes one run, and how exactly a thousand open batches are released.

    make benchmark-feeds                                     # starts a local stack of its own; some fifteen minutes
    .venv/bin/python -m benchmarks.feeds --uploads 1000 --batches 100

The stack's AWS counts what the functions ask of it, in the units that AWS bills (`metered_ministack`). Dollars are list
prices of us-east-1, without the time of the functions, logs, and storage.
"""

import argparse
import gzip
import json
import sys
import tempfile
import time
import urllib.request
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.measure import percentile
from benchmarks.metered_ministack import METER
from gateway_cli.rules.store import RulesStore
from local_stack.ledger import LedgerRow, rows_about
from local_stack.ministack import MiniStack
from local_stack.mwaa.versions import DEFAULT_VERSION
from local_stack.ports import free_port
from local_stack.stack import LocalStack, StackOptions
from local_stack.state import StackState
from local_stack.timeline import Timeline
from mwaa_gateway.rules import parse_rule

ENVIRONMENT: Final = "analytics"
BUCKET: Final = "benchmark-feeds"
MAX_WAIT_SECONDS: Final = 190  # more than a tick looks ahead: the minute's tick sends the timers
SPREAD_SECONDS: Final = 60.0
DOLLARS_PER_MILLION: Final = {
    "invocations": 0.20,
    "SQS requests": 0.40,
    "DynamoDB write units": 0.625,
    "DynamoDB read units": 0.125,
    "S3 PUT": 5.0,
    "S3 GET": 0.40,
    "events on the bus": 1.0,
}
RULES: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "benchmark.burst",
        "s3": f"s3://{BUCKET}/burst/*.parquet",
        "captures": {"detail.object.key": "burst/{date}/{file}.parquet"},
        "collect": {
            "key": ["<date>"],
            "max_wait": "1d",
            "quiet_period": "1s",
            "complete_when": {
                "event": {
                    "pattern": {"source": ["benchmark.feeds"], "detail-type": ["Done"]},
                    "captures": {"detail.date": "{date}"},
                    "count": "<$.detail.files>",
                }
            },
        },
        "target": {"environment": ENVIRONMENT, "dag_id": "load_batch"},
    },
    {
        "id": "benchmark.moment",
        "pattern": {"source": ["benchmark.feeds"], "detail-type": ["Moment"]},
        "collect": {"key": ["<$.detail.key>"], "max_wait": f"{MAX_WAIT_SECONDS}s"},
        "target": {"environment": ENVIRONMENT, "dag_id": "load_batch"},
    },
)


def metered(state: StackState, method: str = "GET") -> Counter[str]:
    """What the functions have asked of AWS since the last DELETE."""
    request = urllib.request.Request(state.aws_endpoint_url + METER, method=method)  # noqa: S310  our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return Counter(json.load(answer))


def wait_for(probe: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    while not (answer := probe()):
        time.sleep(0.5)
    return answer


def put_event(state: StackState, detail_type: str, detail: Mapping[str, Any]) -> None:
    """Put one event on the gateway's bus."""
    entry = {
        "EventBusName": state.event_bus_name,
        "Source": "benchmark.feeds",
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
    }
    state.aws.client("events").put_events(Entries=[entry])


def print_burst(state: StackState, number: int) -> None:
    """Uploads as fast as eight clients can, then their marker: one run, and what it took."""
    s3, date = state.aws.client("s3"), uuid.uuid4().hex
    keys = [f"burst/{date}/part-{part:05}.parquet" for part in range(number)]
    metered(state, "DELETE")
    began = time.time()
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=b"1"), keys))
    uploaded = time.time()
    put_event(state, "Done", {"date": date, "files": number})

    def triggered() -> LedgerRow | None:
        rows = rows_about(state.aws, state.ledger_table, date)
        return next((row for row in rows if row.state == "triggered"), None)

    row = wait_for(triggered)
    counted = metered(state)
    batch = _batch_of(state, date)
    listed = Counter(line["key"] for line in _manifest(state, batch["manifest"]))
    if listed != Counter(keys):
        sys.exit(
            f"the manifest lists {listed.total()} members, {len(listed)} different: not the {number} uploads"
        )
    last_at = datetime.fromisoformat(batch["last_at"]).timestamp()

    print(f"\n{number:,} uploads, one run; its manifest lists each upload once\n")
    print("| | seconds |\n|---|--:|")
    print(f"| the uploads | {uploaded - began:.0f} |")
    print(f"| from the last upload to the run | {(row.finished_at or 0) - uploaded:.1f} |")
    print(f"| of them: until the last member is on the collect queue | {max(last_at - uploaded, 0):.1f} |")
    print(f"| of them: from then to the run | {(row.finished_at or 0) - last_at:.1f} |")
    _print_counted(counted, number)


def _print_counted(counted: Mapping[str, int], number: int) -> None:
    units = {
        "invocations": float(sum(n for name, n in counted.items() if name.startswith("invocations"))),
        "SQS requests": float(counted["SQS requests"]),
        "DynamoDB write units": float(counted["DynamoDB write units"]),
        "DynamoDB read units": counted["DynamoDB read units, halves"] / 2,
        "S3 PUT": float(counted.get("s3:PUT", 0)),
        "S3 GET": float(counted.get("s3:GET", 0)),
        "events on the bus": float(counted.get("events:PutEvents", 0)),
    }
    print("\n| counted | number | for each upload | dollars |\n|---|--:|--:|--:|")
    dollars = 0.0
    for name, count in units.items():
        price = count * DOLLARS_PER_MILLION[name] / 1e6
        dollars += price
        print(f"| {name} | {count:,.0f} | {count / number:.3f} | {price:.4f} |")
    print(f"| **together** | | | **{dollars:.4f}** |")
    print("\n| function or request | number |\n|---|--:|")
    for name, count in sorted(counted.items()):
        if ":" in name or name.startswith("invocations"):
            print(f"| {name} | {count:,} |")


def _batch_of(state: StackState, date: str) -> dict[str, Any]:
    """The batch's event, from the request in the ledger."""
    table = state.aws.table(state.ledger_table)
    items = table.scan(ConsistentRead=True)["Items"]
    (item,) = (item for item in items if date in item.get("identity", ""))
    request = json.loads(zlib.decompress(bytes(item["request_body"])))
    batch: dict[str, Any] = request["conf"]["mwaa_gateway"]["batch"]
    return batch


def _manifest(state: StackState, uri: str) -> list[dict[str, Any]]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = state.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


def print_moments(state: StackState, number: int) -> None:
    """Open batches that are due within a minute: from each one's moment to its request on the trigger queue."""
    aws, queue = state.aws, state.environments[ENVIRONMENT].trigger_queue_url
    _stop_dispatcher(state)
    run = uuid.uuid4().hex
    metered(state, "DELETE")
    began = time.time()
    for each in range(number):
        time.sleep(max(0.0, began + each * SPREAD_SECONDS / number - time.time()))
        put_event(state, "Moment", {"key": f"{run}-{each}"})
    print(f"\n{number:,} batches opened in {time.time() - began:.0f} s", flush=True)
    delays: dict[str, float] = {}
    copies = 0
    sqs = aws.client("sqs")
    time.sleep(max(0.0, began + MAX_WAIT_SECONDS - 5 - time.time()))  # nobody asks meanwhile
    while len(delays) < number:
        found = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2, AttributeNames=["SentTimestamp"]
        ).get("Messages", [])
        for message in found:
            detail = json.loads(message["Body"])["conf"]["mwaa_gateway"]["batch"]
            moment = datetime.fromisoformat(detail["first_at"]).timestamp() + MAX_WAIT_SECONDS
            delay = int(message["Attributes"]["SentTimestamp"]) / 1000 - moment
            delays[detail["id"]] = min(delay, delays.get(detail["id"], delay))
            copies += 1
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    seconds = sorted(delays.values())
    print(
        "\n| seconds from a batch's moment to its request | p50 | p99 | longest | earliest |\n|---|--:|--:|--:|--:|"
    )
    print(
        f"| {number:,} open batches, due within {SPREAD_SECONDS:.0f} s "
        f"| {percentile(seconds, 50):.1f} | {percentile(seconds, 99):.1f} | {seconds[-1]:.1f} | {seconds[0]:.1f} |"
    )
    print(f"\n{copies - number:,} requests were sent twice, which the ledger recognises")
    _print_counted(metered(state), number)


def _stop_dispatcher(state: StackState) -> None:
    """Leave the requests on the trigger queue."""
    lambda_ = state.aws.client("lambda")
    function = state.environments[ENVIRONMENT].dispatcher
    for mapping in lambda_.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]:
        lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def _prepare(state: StackState) -> None:
    """A bucket that reports by EventBridge alone, as one's own buckets do, and the rules; every function starts once."""
    s3 = state.aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": state.region})
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    store = RulesStore(state.aws.client("dynamodb"), state.rules_table)
    for document in RULES:
        rule = parse_rule(document, environments=frozenset({ENVIRONMENT}))
        store.put(rule, by="benchmarks.feeds", now=datetime.now(UTC))


def main() -> None:
    """Start a stack, print both, and stop it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uploads", type=int, default=12_000, help="how many become one run")
    parser.add_argument("--batches", type=int, default=1_000, help="how many are open at once")
    options = parser.parse_args()
    MiniStack.SERVER = "benchmarks.metered_ministack"
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(
            StackOptions({ENVIRONMENT: DEFAULT_VERSION}, Path(folder), port=free_port()), Timeline(Console())
        )
        try:
            state = stack.start()
            _prepare(state)
            print_burst(state, 20)  # sandboxes are warm then, and the rules are known
            print_burst(state, options.uploads)
            print_moments(state, options.batches)
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
