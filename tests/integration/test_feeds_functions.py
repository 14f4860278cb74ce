"""The functions of the feeds in AWS (moto's): a member becomes part of a batch, a look a trigger request, a tick looks."""

import gzip
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from fakes.batches_table import BATCHES_TABLE, create_batches_table
from fakes.rules_table import RULES_TABLE, create_rules_table
from gateway_cli.rules.store import RulesStore
from integration.billing import Bill, Meter, PriceList, log_bytes, units
from integration.functions import ROOT, Context, Queues, lines, load
from integration.test_event_cost import EVENT, LAMBDAS_LINES, item_bytes
from integration.test_event_cost import PRICES as EVENT_PRICES
from mwaa_gateway.routing.members import Member, MemberMessage, flushed_batch, member_digest
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import TriggerRequest

NOW = 1_763_805_600.0
RULE: dict[str, Any] = {
    "id": "sales.nightly",
    "pattern": {"source": ["aws.s3"]},
    "captures": {"detail.object.key": "orders/{date}/{file}"},
    "collect": {"key": ["<date>"], "quiet_period": "10m"},
    "target": {"environment": "analytics", "dag_id": "load_orders"},
}

MARKED = {
    "key": ["<date>"],
    "max_wait": "3h",
    "complete_when": {
        "event": {
            "pattern": {"detail": {"object": {"key": [{"suffix": "_SUCCESS"}]}}},
            "captures": {"detail.object.key": "orders/{date}/_SUCCESS"},
        }
    },
}


def body(name: str, date: str = "2026-11-22", rule: dict[str, Any] = RULE) -> str:
    """A member as ingress sends it: an upload of 1 MB with a version, some 900 bytes with its rule."""
    key = f"orders/{date}/{name}.parquet"
    uri = f"s3://acme-landing-eu-west-1/{key}"
    item = {"uri": uri, "bucket": "acme-landing-eu-west-1", "key": key, "size": 1_048_576}
    item |= {"etag": "d41d8cd98f00b204e9800998ecf8427e", "version-id": "3HL4kqtJvjVBH40Nrjfkd3"}
    item |= {"time": "2026-11-22T10:00:00Z"}
    document = json.dumps(parse_rule(rule, environments=None).document())
    member = Member(member_digest(uri), item, uri)
    return MemberMessage(rule["id"], 3, document, (("date", date),), member).to_json()


def delivered(*bodies: str, sent_at: float = NOW) -> dict[str, Any]:
    """What Lambda hands over of a queue."""
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"handle-{number}",
                "body": text,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(sent_at * 1000))},
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue",
            }
            for number, text in enumerate(bodies)
        ]
    }


@dataclass
class Feeds:
    """The three handlers with their queues, table and bucket, and a clock."""

    sqs: Any
    dynamodb: Any
    look_url: str
    collect_url: str
    queues: Queues
    clock: list[float] = field(default_factory=lambda: [NOW])

    def collect(self, *bodies: str, sent_at: float | None = None) -> list[str]:
        """Deliver messages of the collect queue; the ids of those that must come again."""
        event = delivered(*bodies, sent_at=self.clock[0] if sent_at is None else sent_at)
        return self._failed("batch_collector", event)

    def look(self, *batch_ids: str) -> list[str]:
        """Look at batches; where that flushes the collect queue, the flushes pass it, and the looks come again."""
        failed = self._failed("batch_releaser", delivered(*batch_ids))
        flushes: list[str] = []
        while found := self.sqs.receive_message(QueueUrl=self.collect_url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            flushes += [message["Body"] for message in found]
            for message in found:
                self.sqs.delete_message(QueueUrl=self.collect_url, ReceiptHandle=message["ReceiptHandle"])
        if not flushes:
            return failed
        assert self.collect(*flushes) == []
        flushed = [batch_id for batch_id in map(flushed_batch, flushes) if batch_id]
        return self._failed("batch_releaser", delivered(*flushed))

    def tick(self) -> None:
        load("batch_timers").handler({"detail-type": "Scheduled Event"}, Context())

    def _failed(self, function: str, event: dict[str, Any]) -> list[str]:
        answer = load(function).handler(event, Context())
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    def sort_keys(self, kind: str) -> list[dict[str, Any]]:
        """The items of the table whose sort key begins so."""
        items = self.dynamodb.scan(TableName=BATCHES_TABLE)["Items"]
        return [item for item in items if item["sort"]["S"].startswith(kind)]

    @property
    def batch_ids(self) -> list[str]:
        return [item["partition"]["S"].removeprefix("batch#") for item in self.sort_keys("batch")]

    @property
    def looks(self) -> list[tuple[str, int]]:
        """The bodies of the look queue with their delays."""
        from moto.sqs.models import sqs_backends  # noqa: PLC0415

        queue = sqs_backends["123456789012"]["eu-west-1"].queues["gateway-look"]
        return [
            (each.body, max(0, round((each.delayed_until - each.sent_timestamp) / 1000)))
            for each in queue._messages
        ]

    @property
    def details(self) -> list[dict[str, Any]]:
        """What the requests on the trigger queue say to their DAG about a batch."""
        requests = [TriggerRequest.from_json(text) for text in self.queues.read(self.queues.trigger)]
        return [request.target.conf["detail"] for request in requests]


@pytest.fixture
def feeds(aws: None, sqs, queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feeds]:  # noqa: ARG001
    """As the template sets them up."""
    from mwaa_gateway.wiring import feeds as wiring  # noqa: PLC0415

    dynamodb = boto3.client("dynamodb")
    create_batches_table(dynamodb)
    create_rules_table(dynamodb)
    region = {"LocationConstraint": "eu-west-1"}
    boto3.client("s3").create_bucket(Bucket="large-confs", CreateBucketConfiguration=region)
    urls = {name: sqs.create_queue(QueueName=f"gateway-{name}")["QueueUrl"] for name in ("collect", "look")}
    for name, value in {
        "BATCHES_TABLE": BATCHES_TABLE,
        "CLAIM_CHECK_BUCKET": "large-confs",
        "COLLECT_QUEUE_URL": urls["collect"],
        "EVENT_BUS": "default",
        "RULES_TABLE": RULES_TABLE,
        "INGRESS_DLQ_URL": queues.ingress_dlq,
        "LOOK_QUEUE_URL": urls["look"],
        "TRIGGER_QUEUE_URL": queues.trigger.replace("analytics", "{environment}"),
    }.items():
        monkeypatch.setenv(name, value)
    found = Feeds(sqs, dynamodb, urls["look"], urls["collect"], queues)
    monkeypatch.setattr(wiring, "time", SimpleNamespace(time=lambda: found.clock[0]))
    built: tuple[Callable[..., Any], ...] = (
        wiring.batch_collector,
        wiring.batch_releaser,
        wiring.batch_timers,
    )
    for each in built:
        each.cache_clear()  # type: ignore[attr-defined]
    yield found
    for each in built:
        each.cache_clear()  # type: ignore[attr-defined]


def test_members_become_a_batch_and_a_batch_one_request(
    feeds: Feeds, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two deliveries of one upload are one member; the conf names the manifest, which lists both uploads."""
    assert feeds.collect(body("a"), body("b")) == []
    assert feeds.collect(body("a")) == []
    (batch_id,) = feeds.batch_ids
    assert feeds.looks == []  # due in ten minutes: the tick sends the look

    assert feeds.look(batch_id) == []
    assert feeds.details == []
    feeds.clock[0] += 601
    assert feeds.look(batch_id) == []

    (detail,) = feeds.details
    assert (detail["id"], detail["count"], detail["reason"]) == (batch_id, 2, "quiet_period")
    key = detail["manifest"].removeprefix("s3://large-confs/")
    manifest = boto3.client("s3").get_object(Bucket="large-confs", Key=key)["Body"].read()
    assert [json.loads(line)["key"] for line in gzip.decompress(manifest).splitlines()] == [
        "orders/2026-11-22/a.parquet",
        "orders/2026-11-22/b.parquet",
    ]
    printed = lines(capsys)
    assert [line["MembersCollected"] for line in printed if "MembersCollected" in line] == [[2.0], [1.0]]
    messages = [line["message"] for line in printed if "message" in line]
    assert [
        text for text in messages if "visibility timeout" not in text
    ] == [  # moto knows no such receipt handle
        "members collected",
        "members collected",
        "batch released",
        "run requested for a batch",
    ]
    assert [line["BatchesReleased"] for line in printed if "BatchesReleased" in line] == [[1.0]]


def test_members_of_a_batch_that_is_being_released_wait_and_ring_nobody(
    feeds: Feeds, capsys: pytest.CaptureFixture[str]
) -> None:
    """The releaser stopped after it closed the batch: a redelivered member waits for the decision."""
    feeds.collect(body("a"))
    (head,) = feeds.sort_keys("head")
    content = json.loads(head["content"]["S"]) | {"batch_id": "another"}
    moved = {"batch_id": {"S": "another"}, "content": {"S": json.dumps(content)}}
    feeds.dynamodb.put_item(TableName=BATCHES_TABLE, Item=head | moved)
    capsys.readouterr()

    assert feeds.collect(body("a")) == ["m0"]

    line, refused = lines(capsys)
    assert (line["level"], line["outcome"]) == ("INFO", "GivenBack")
    assert "visibility timeout" in refused["message"]  # moto knows no such receipt handle
    feeds.clock[0] += 601
    assert feeds.look(*feeds.batch_ids) == []
    assert feeds.collect(body("a")) == []
    assert [each["count"] for each in feeds.details] == [1]


def test_a_marker_alone_releases_a_batch_that_starts_no_run(
    feeds: Feeds, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is the only trace: nothing is counted."""
    marker = json.loads(body("a", rule=RULE | {"collect": MARKED}))
    marker["member"] |= {"kind": "marker", "count": None, "distinct": ""}
    feeds.collect(json.dumps(marker))
    feeds.clock[0] += 11_000
    capsys.readouterr()

    assert feeds.look(*feeds.batch_ids) == []

    (line,) = lines(capsys)
    assert (line["level"], line["members"]) == ("WARNING", 0)
    assert feeds.details == []


def test_a_look_that_comes_again_starts_nothing(feeds: Feeds) -> None:
    feeds.collect(body("a"))
    feeds.clock[0] += 601
    for _ in range(3):
        assert feeds.look(*feeds.batch_ids) == []
    assert len(feeds.details) == 1


def test_an_early_look_rests_in_the_queue_and_a_very_early_one_does_not(feeds: Feeds) -> None:
    """The tick brings what is due later than the next minute."""
    feeds.collect(body("a"))
    assert feeds.look(*feeds.batch_ids) == []
    feeds.clock[0] += 570
    assert feeds.look(*feeds.batch_ids) == ["m0"]


def test_a_tick_sends_the_looks_of_the_next_three_minutes(
    feeds: Feeds, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of batches of every shard; a batch that is released leaves the index, and an idle tick writes no line."""
    dates = [f"2026-11-{day:02}" for day in range(1, 13)]
    feeds.collect(*(body("a", date) for date in dates))
    feeds.tick()
    assert feeds.looks == []
    feeds.clock[0] += 500

    feeds.tick()

    assert sorted(feeds.looks) == sorted((batch_id, 100) for batch_id in feeds.batch_ids)
    feeds.clock[0] += 101
    feeds.look(*feeds.batch_ids)
    feeds.sqs.purge_queue(QueueUrl=feeds.look_url)
    capsys.readouterr()
    feeds.tick()
    assert feeds.looks == []
    assert lines(capsys) == []


def test_batches_that_nobody_releases_ring(feeds: Feeds, capsys: pytest.CaptureFixture[str]) -> None:
    feeds.collect(body("a"), body("b", "2026-11-23"))
    feeds.clock[0] += 600 + 299
    feeds.tick()
    assert [line for line in lines(capsys) if "BatchesStalled" in line] == []
    feeds.clock[0] += 2
    feeds.tick()
    printed = lines(capsys)
    assert [line["BatchesStalled"] for line in printed if "BatchesStalled" in line] == [[2.0]]
    (warning,) = (line for line in printed if line.get("level") == "WARNING")
    assert sorted(warning["batch_ids"]) == sorted(feeds.batch_ids)


def test_a_bad_message_stops_no_other(feeds: Feeds, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is no member, and one of a rule that this version cannot read; both come again and are counted."""
    unread = json.loads(body("b", "2026-11-23"))
    unread["rule"]["collect"] = {"quiet_perhaps": "10m"}
    assert feeds.collect("no member", body("a"), json.dumps(unread), body("c", "2026-11-24")) == ["m0", "m2"]
    assert len(feeds.batch_ids) == 2
    printed = lines(capsys)
    assert [line["MembersGivenBack"] for line in printed if "MembersGivenBack" in line] == [[2.0]]


def test_a_bad_batch_stops_no_other(feeds: Feeds, capsys: pytest.CaptureFixture[str]) -> None:
    """The batch stays due, so that the next tick repeats the look; what is no batch at all is nothing to do."""
    feeds.collect(body("a"), body("b", "2026-11-23"))
    good, bad = feeds.batch_ids
    (item,) = (each for each in feeds.sort_keys("batch") if each["partition"]["S"] == f"batch#{bad}")
    feeds.dynamodb.put_item(TableName=BATCHES_TABLE, Item=item | {"content": {"S": "no batch"}})
    feeds.clock[0] += 601

    assert feeds.look("nowhere", bad, good) == []

    assert [each["id"] for each in feeds.details] == [good]
    printed = lines(capsys)
    assert [line["BatchesNotReleased"] for line in printed if "BatchesNotReleased" in line] == [[1.0]]
    feeds.tick()
    assert feeds.looks == [(bad, 0)]


# --- what it costs


def _written(params: Any, _answer: Any) -> tuple[str, float]:
    return "write units", units(item_bytes(params["Item"])) * (2 if "due_shard" in params["Item"] else 1)


BILLS: dict[str, Bill] = {
    "PutItem": _written,  # an item with a due_shard is written to the index, too
    "GetItem": lambda *_: ("reads", 1),
    "BatchGetItem": lambda *_: ("reads", 1),
    "SendMessage": lambda *_: ("SQS requests", 1),
    "ChangeMessageVisibility": lambda *_: ("SQS requests", 1),
}


def test_a_member_of_a_burst_costs_at_most_1_3_write_units(feeds: Feeds) -> None:
    """A pointer for each, and of a hundred together one segment; the batch, its place in the index and the head once."""
    with Meter(BILLS).on() as first:
        assert feeds.collect(*(body(f"part-{number:05}") for number in range(100))) == []
    assert first["write units"] / 100 <= 1.3
    with Meter(BILLS).on() as next_one:
        assert feeds.collect(*(body(f"part-{number:05}") for number in range(100, 200))) == []
    assert next_one["write units"] < first["write units"] <= 110
    assert len(feeds.sort_keys("member")) == 200


def test_a_lone_member_costs_at_most_2_2_write_units(feeds: Feeds) -> None:
    """A pointer and a segment: what its batch, the index and the head cost belongs to the batch."""
    names = [f"part-{number:05}" for number in range(50)]
    random.Random(1).shuffle(names)
    with Meter(BILLS).on() as billed:
        for name in names:
            assert feeds.collect(body(name)) == []
    assert billed["write units"] / 50 <= 2.2


def test_a_member_that_comes_again_writes_nothing(feeds: Feeds) -> None:
    feeds.collect(*(body(f"part-{number:05}") for number in range(100)))
    with Meter(BILLS).on() as billed:
        assert feeds.collect(*(body(f"part-{number:05}") for number in range(100))) == []
    assert billed["write units"] == 0


# --- the README's table

PRICES = PriceList(EVENT_PRICES.dollars_per_million)
OF_A_BATCH = {
    "S3 requests": 5.0,
    "events on the bus": 1.0,
}  # dollars per million: the manifest and the notice
MEMBERS = 10_000
# What follows a request, as the table for one event has it: received, dispatched, deleted.
RUN: Counter[str] = Counter(
    {
        "Lambda invocations": 1,
        "SQS requests": 2,
        "DynamoDB write units": 3,
        "DynamoDB read units": 3,
        "log bytes": 1_600,
    }
)


def _updated(params: Any, answer: Any) -> tuple[str, float]:
    """By the item as it is afterwards; an index entry whose key changes is removed and written."""
    index = (
        2 if "SET due_at" in params["UpdateExpression"] or ", due_at =" in params["UpdateExpression"] else 0
    )
    return "DynamoDB write units", units(item_bytes(answer["Attributes"])) + index


def _queried(params: Any, answer: Any) -> tuple[str, float]:
    size = units(sum(map(item_bytes, answer["Items"])), kilobytes=4) or 1
    return "DynamoDB read units", size * (1 if params.get("ConsistentRead") else 0.5)


def _got(params: Any, _answer: Any) -> tuple[str, float]:
    tables = params["RequestItems"].values()
    return "DynamoDB read units", sum(
        len(each["Keys"]) * (1 if each.get("ConsistentRead") else 0.5) for each in tables
    )


def _sent(params: Any, _answer: Any) -> tuple[str, float]:
    return "SQS requests", units(sum(len(each["MessageBody"]) for each in params["Entries"]), kilobytes=64)


TABLE_BILLS: dict[str, Bill] = {
    "PutItem": lambda params, answer: ("DynamoDB write units", _written(params, answer)[1]),
    "UpdateItem": _updated,
    "GetItem": lambda *_: ("DynamoDB read units", 1),
    "BatchGetItem": _got,
    "Query": _queried,
    "SendMessageBatch": _sent,
    "ChangeMessageVisibility": lambda *_: ("SQS requests", 1),
    "PutObject": lambda *_: ("S3 requests", 1),
    "PutEvents": lambda *_: ("events on the bus", 1),
    # The test itself asks these.
    "ReceiveMessage": lambda *_: ("", 0),
    "DeleteMessage": lambda *_: ("", 0),
}


def test_the_costs_of_members_in_the_readme_are_those_that_are_counted(
    feeds: Feeds, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Uploads from EventBridge to their batch, alone and a hundred at a time, and a whole batch with its run."""
    from mwaa_gateway.wiring.ingress import ingress  # noqa: PLC0415  after the settings of conftest

    for name, value in {
        "LEDGER_TABLE": "ledger",
        "ENVIRONMENTS": "analytics",
        "RULES_REFRESH_SECONDS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    rule = parse_rule(RULE, environments={"analytics"})
    RulesStore(feeds.dynamodb, RULES_TABLE).put(rule, by="tests", now=datetime.now(UTC))
    ingress.cache_clear()
    eventbridge = load("eventbridge_events")

    def metered(call: Callable[[], object], *, invocations: int, polled: int = 0) -> Counter[str]:
        capsys.readouterr()
        with Meter(TABLE_BILLS).on() as counted:
            call()
        counted["Lambda invocations"] += invocations
        counted["SQS requests"] += polled  # Lambda's: ten messages are received, or deleted, with one
        printed = capsys.readouterr().out.splitlines(keepends=True)
        counted["log bytes"] += log_bytes([*LAMBDAS_LINES * invocations, *printed])
        return counted

    def taken_in(number: int) -> Counter[str]:
        upload = EVENT | {"id": f"{number}"}
        upload["detail"] = upload["detail"] | {
            "object": {"key": f"orders/2026-11-22/{number}.csv", "size": 1}
        }
        return metered(lambda: eventbridge.handler(upload, Context()), invocations=1)

    def collected(first: int, number: int) -> Counter[str]:
        bodies = [body(f"part-{each:05}") for each in range(first, first + number)]
        polled = 2 * math.ceil(number / 10)
        return metered(lambda: feeds.collect(*bodies), invocations=1, polled=polled)

    def released() -> Counter[str]:
        """A look that flushes the collect queue, the flush, and the look that releases the batch."""
        (batch_id,) = feeds.batch_ids
        feeds.clock[0] += 601
        return metered(lambda: feeds.look(batch_id), invocations=3, polled=6)

    taken_in(0)  # the sandbox's first: it reads the rules
    one = taken_in(1)
    collected(0, 100)
    alone, burst = one + collected(100, 1), collected(101, 100)
    burst = Counter({name: count / 100 for name, count in burst.items()}) + one
    few, more = _whole_batch(feeds, collected, released, 200), _whole_batch(feeds, collected, released, 400)
    # Beyond the first members, each costs the same.
    whole = Counter(
        {name: (few[name] + (more[name] - few[name]) * (MEMBERS - 200) / 200) / MEMBERS for name in more}
    )
    ingress.cache_clear()
    columns = {
        "alone": alone,
        "of a burst": burst,
        f"of a batch of {MEMBERS:,}, with its run": whole
        + one
        + Counter({name: count / MEMBERS for name, count in RUN.items()}),
    }
    for counted in columns.values():
        counted["log bytes"] = round(counted["log bytes"], -2)
    readme = (ROOT / "README.md").read_text()
    expected = PRICES.table("for one member", "a million members", columns, places=2)
    assert expected in readme, expected
    batch = columns[f"of a batch of {MEMBERS:,}, with its run"]
    dollars = PRICES.dollars(batch) + sum(batch[name] * price for name, price in OF_A_BATCH.items())
    of_events = re.search(r"a million events\*\* \| \*\*\S+ \| \*\*\$([\d.]+)", readme)
    assert of_events is not None
    sentence = (
        f"A batch of {MEMBERS:,} uploads costs ${dollars * MEMBERS / 1e6:.3f}; "
        f"as {MEMBERS:,} runs they cost ${float(of_events[1]) * MEMBERS / 1e6:.3f}"
    )
    assert sentence in " ".join(readme.split()), sentence


def _whole_batch(
    feeds: Feeds,
    collected: Callable[[int, int], Counter[str]],
    released: Callable[[], Counter[str]],
    number: int,
) -> Counter[str]:
    """A batch of so many members, a hundred at a time, and its release."""
    for table in feeds.dynamodb.scan(TableName=BATCHES_TABLE)["Items"]:
        key = {name: table[name] for name in ("partition", "sort")}
        feeds.dynamodb.delete_item(TableName=BATCHES_TABLE, Key=key)
    counted: Counter[str] = Counter()
    for first in range(0, number, 100):
        counted += collected(first, 100)
    return counted + released()
