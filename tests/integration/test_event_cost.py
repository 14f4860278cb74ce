"""What an event costs: AWS's calls counted, and compared with the table in the README."""

import json
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

import boto3
import pytest

from fakes.airflow import FakeAirflow
from integration.billing import Bill, Meter, PriceList, log_bytes, read_units_of_keys, units
from integration.functions import ROOT, Context, Queues, load
from mwaa_gateway.aws.dynamodb.pauses import OBJECTS_SORT, PAUSE_PARTITION

PRICES = PriceList(
    {
        "Lambda invocations": 0.20,
        "SQS requests": 0.40,
        "DynamoDB write units": 0.625,
        "DynamoDB read units": 0.125,
        "log bytes": 0.0005,  # 0.50 a GB
    }
)
EVENT = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "123456789012",
    "time": "2026-11-22T10:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:s3:::acme-landing"],
    "detail": {
        "version": "0",
        "bucket": {"name": "acme-landing"},
        "object": {
            "key": "orders/2026-11-22.csv",
            "size": 1024,
            "etag": "d41d8cd9",
            "sequencer": "0055AED6DCD9",
        },
        "request-id": "C3D13FE58DE4C810",
        "requester": "123456789012",
        "source-ip-address": "10.0.0.1",
        "reason": "PutObject",
    },
}
UPLOAD = EVENT["detail"]["object"]
# The same upload as S3 notifies a function directly.
NOTIFICATION = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "awsRegion": EVENT["region"],
    "eventTime": EVENT["time"],
    "eventName": "ObjectCreated:Put",
    "s3": {
        "bucket": {"name": "acme-landing", "arn": EVENT["resources"][0]},
        "object": {
            "key": "both/routes.csv",
            "size": UPLOAD["size"],
            "eTag": UPLOAD["etag"],
            "sequencer": UPLOAD["sequencer"],
        },
    },
}
# What Lambda itself writes to the log of a function that is traced, for each invocation.
REQUEST_ID = "6a7e8feb-b491-4cf7-a9f1-bf3703467718"
LAMBDAS_LINES = (
    f"START RequestId: {REQUEST_ID} Version: $LATEST\n",
    f"END RequestId: {REQUEST_ID}\n",
    (
        f"REPORT RequestId: {REQUEST_ID}\tDuration: 123.45 ms\tBilled Duration: 124 ms\tMemory Size: 512 MB\t"
        "Max Memory Used: 128 MB\t\nXRAY TraceId: 1-674a1e2c-0123456789abcdef01234567\tSegmentId: 0123456789abcdef\t"
        "Sampled: true\t\n"
    ),
)
QUEUE_ARN = "arn:aws:sqs:eu-west-1:123456789012:collected"


def billed() -> AbstractContextManager[Counter[str]]:
    """Count what AWS would bill for every call that is made while it lasts."""
    return Meter(BILLS).on()


def item_bytes(item: dict[str, dict[str, Any]]) -> int:
    """What DynamoDB counts: the attributes' names, and their values; a number as its digits, which is more than it takes."""
    values = [value for attribute in item.values() for value in attribute.values()]
    texts = [value.encode() if isinstance(value, str) else value for value in values]
    return sum(map(len, item)) + sum(len(value) if isinstance(value, bytes) else 1 for value in texts)


BILLS: dict[str, Bill] = {
    # By the item as it is afterwards.
    "UpdateItem": lambda _, answer: ("DynamoDB write units", units(item_bytes(answer["Attributes"]))),
    "BatchGetItem": read_units_of_keys,
    "GetItem": lambda *_: ("DynamoDB read units", 1),  # the claims to an object: consistent, and small
    # A request for each 64 KB.
    "SendMessageBatch": lambda params, _: (
        "SQS requests",
        units(sum(len(each["MessageBody"]) for each in params["Entries"]), kilobytes=64),
    ),
}


def of_queue(bodies: list[str], arn: str = QUEUE_ARN) -> dict[str, Any]:
    """A batch as Lambda hands it over."""
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1763805600000"}
    return {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": "r",
                "body": body,
                "attributes": attributes,
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
            }
            for number, body in enumerate(bodies)
        ]
    }


@pytest.fixture
def gateway(deployed, queues: Queues, monkeypatch: pytest.MonkeyPatch):  # noqa: ARG001
    """The functions as the template sets them up; each invocation reads the rules and pauses again."""
    from mwaa_gateway.wiring.dispatcher import dispatcher  # noqa: PLC0415  after the settings of conftest
    from mwaa_gateway.wiring.ingress import ingress  # noqa: PLC0415
    from mwaa_gateway.wiring.queued_events import queued_events  # noqa: PLC0415

    for name, value in {
        "RULES_REFRESH_SECONDS": "0",
        "BRAKE_REFRESH_SECONDS": "0",
        "DAG_CATALOG_SECONDS": "0",  # a list in five minutes, however many events
        "INGRESS_RETRY_QUEUE_ARN": "arn:aws:sqs:eu-west-1:123456789012:retry",
        "EVENT_QUEUE_ARNS": QUEUE_ARN,
        "ENVIRONMENT": "analytics",
        "MWAA_ENVIRONMENT_NAME": "analytics",
        "TRANSPORTS": "cli",
        "TRIGGER_DLQ_URL": queues.trigger_dlq,
    }.items():
        monkeypatch.setenv(name, value)
    functions = (ingress, queued_events, dispatcher)
    for function in functions:
        function.cache_clear()
    monkeypatch.setattr("mwaa_gateway.wiring.dispatcher.airflow_of", lambda *_, **__: FakeAirflow())
    ingress(), queued_events()  # with the URL of all queues, before the dispatcher has that of its own
    monkeypatch.setenv("TRIGGER_QUEUE_URL", queues.trigger)
    yield dispatcher
    for function in functions:
        function.cache_clear()


def events(number: int, *, first: int = 0, source: str = "aws.s3") -> list[dict[str, Any]]:
    """So many uploads, each one another object."""
    return [
        EVENT
        | {
            "id": f"event-{source}-{first + each}",
            "source": source,
            "detail": EVENT["detail"]
            | {
                "object": EVENT["detail"]["object"]
                | {"key": f"orders/{first + each}.csv", "sequencer": f"{first + each:X}"}
            },
        }
        for each in range(number)
    ]


@pytest.mark.usefixtures("gateway")
def test_the_costs_in_the_readme_are_those_that_are_counted(
    queues: Queues, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event no rule matches, one that becomes a run, one that comes twice, and ten at a time. Prints what is expected."""
    eventbridge, collected, dispatch = load("eventbridge_events"), load("queued_events"), load("dispatcher")
    s3 = load("s3_events")

    def invoked(function: Any, payload: dict[str, Any], polled: int = 0) -> Counter[str]:
        """One invocation: its calls, its log, and so many requests of Lambda's to the queue it comes from."""
        capsys.readouterr()
        with billed() as counted:
            assert function.handler(payload, Context()) in (None, {"batchItemFailures": []})
        counted["Lambda invocations"] += 1
        counted["SQS requests"] += polled
        counted["log bytes"] += log_bytes(
            [*LAMBDAS_LINES, *capsys.readouterr().out.splitlines(keepends=True)]
        )
        return counted

    def dispatched(expected: int) -> Counter[str]:
        """Every request on the trigger queue, each received, dispatched and deleted."""
        counted: Counter[str] = Counter()
        requests = messages(queues)
        assert len(requests) == expected
        for request in requests:
            counted.update(invoked(dispatch, of_queue([request]), polled=2))
        return counted

    eventbridge.handler(events(1, first=1_000)[0], Context())  # the sandbox's first: it reads the rules
    s3.handler({"Records": [NOTIFICATION]}, Context())
    collected.handler(of_queue([json.dumps(events(1, first=1_001)[0])]), Context())
    for request in messages(queues):
        dispatch.handler(of_queue([request]), Context())

    both = events(1, first=2_000)[0]
    both["detail"]["object"] |= {"key": "both/ways.csv", "sequencer": UPLOAD["sequencer"]}
    direct = NOTIFICATION | {
        "s3": NOTIFICATION["s3"] | {"object": NOTIFICATION["s3"]["object"] | {"key": "both/ways.csv"}}
    }
    uploads = of_queue([json.dumps(event) for event in events(10, first=10)])
    unmatched = invoked(eventbridge, events(1, source="mwaa-gateway")[0])
    assert messages(queues) == []
    run = invoked(eventbridge, events(1)[0]) + dispatched(1)
    two_routes = invoked(eventbridge, both) + invoked(s3, {"Records": [direct]}) + dispatched(2)
    ten = invoked(collected, uploads, polled=2) + dispatched(10)  # received at once, and deleted

    columns = {
        "that no rule matches": unmatched,
        "that becomes a run": run,
        "an upload by both routes": two_routes,
        "of ten from a queue": Counter({what: number / 10 for what, number in ten.items()}),
    }
    boto3.client("dynamodb").put_item(
        TableName="rules", Item={"partition": {"S": PAUSE_PARTITION}, "sort": {"S": OBJECTS_SORT}}
    )
    claimable = invoked(eventbridge, events(1, first=3_000)[0]) + dispatched(1)
    assert run["DynamoDB read units"] + 1 == claimable["DynamoDB read units"]

    for counted in columns.values():
        counted["log bytes"] = round(counted["log bytes"], -2)  # a word more in a line is no news
    assert run["DynamoDB write units"] <= 4  # two writes, of a row of up to 2 KB
    readme = (ROOT / "README.md").read_text()
    expected = PRICES.table("for one event", "a million events", columns, places=2)
    assert expected in readme, expected
    foreign = f"ten million such events cost ${10 * PRICES.dollars(unmatched):,.2f} a month"
    assert foreign in " ".join(readme.split()), foreign


def messages(queues: Queues) -> list[str]:
    """What is on the trigger queue, taken from it."""
    import boto3  # noqa: PLC0415

    sqs, taken = boto3.client("sqs"), []
    while found := sqs.receive_message(QueueUrl=queues.trigger, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            sqs.delete_message(QueueUrl=queues.trigger, ReceiptHandle=message["ReceiptHandle"])
            taken.append(message["Body"])
    return taken
