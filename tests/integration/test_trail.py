"""The lines of the trail as the functions print them."""

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.airflow import FakeAirflow
from integration.billing import log_bytes
from integration.functions import RULE, Context, Queues, deliveries, lines, load
from integration.test_functions import EVENT, S3_RECORD, SNS
from mwaa_gateway.events import from_s3_notification
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.trigger_request import event_hash
from mwaa_gateway.wiring.ingress import ingress


@pytest.fixture
def apply(deployed: None, dynamodb: Any) -> Iterator[Callable[..., None]]:  # noqa: ARG001
    """Replace the rules."""

    def put(*rules: dict[str, Any]) -> None:
        for item in dynamodb.scan(TableName="rules")["Items"]:
            dynamodb.delete_item(
                TableName="rules", Key={"partition": item["partition"], "sort": item["sort"]}
            )
        head = {"partition": {"S": "*"}, "sort": {"S": "head"}, "generation": {"N": "7"}}
        for rule in rules:
            copied = {"partition": {"S": "*"}, "sort": {"S": f"rule#{rule['id']}"}, "version": {"N": "3"}}
            dynamodb.put_item(TableName="rules", Item=copied | {"document": {"S": json.dumps(rule)}})
        dynamodb.put_item(TableName="rules", Item=head)
        ingress.cache_clear()

    yield put
    ingress.cache_clear()


@pytest.fixture
def dispatch(
    queues: Queues, sqs: Any, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Dispatch every request on the trigger queue, and return them; members have a queue, too."""
    collect_queue = sqs.create_queue(QueueName="gateway-collect")["QueueUrl"]
    monkeypatch.setenv("COLLECT_QUEUE_URL", collect_queue)
    dispatcher = deliveries(queues, dynamodb, sqs, FakeAirflow(), itertools.count(1_000.0).__next__)

    def dispatch_all() -> list[str]:
        bodies = queues.read(queues.trigger)
        messages = [QueueMessage(str(n), body, "r", 1, 1_000.0, 1_000.0) for n, body in enumerate(bodies)]
        assert dispatcher.deliver(messages) == []
        return bodies

    return dispatch_all


NOBODY = {
    "id": "sales.nobody",
    "pattern": {"source": ["acme.nobody"]},
    "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
}


def by_notification(key: str) -> dict[str, Any]:
    record = copy.deepcopy(S3_RECORD)
    record["s3"]["object"]["key"] = key
    return {"Records": [record]}


def by_eventbridge(key: str) -> dict[str, Any]:
    described = {**S3_RECORD["s3"]["object"], "key": key}
    detail = {"bucket": {"name": "acme-landing"}, "object": described}
    return EVENT | {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def test_an_unmatched_event_is_on_record_with_the_rules_as_they_were(
    apply: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """As much as is needed to find out later which rule was expected to match."""
    apply(NOBODY)
    load("s3_events").handler(by_notification("orders/1.csv"), Context())
    line, metric = lines(capsys)
    assert {
        "trail": 1,
        "outcome": "Unmatched",
        "source": "aws.s3",
        "detail_type": "Object Created",
        "event_time": "2026-11-22T10:00:00.000Z",
        "resource": "s3://acme-landing/orders/1.csv",
        "rules_tried": 1,
        "partitions": "aws.s3#acme-landing | aws.s3#* | *",
        "rules_generation": "0 | 0 | 7",
    }.items() <= line.items()
    assert [1.0] == metric["EventsUnmatched"]


@pytest.mark.parametrize("setting", ["all", "sampled", "none"])
def test_both_routes_agree_whether_an_unmatched_event_gets_a_line(
    setting: str,
    apply: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the metric counts every event, with a line or without."""
    monkeypatch.setenv("LOG_UNMATCHED", setting)
    apply(NOBODY)
    in_sample = {True: [], False: []}  # keys
    for number in range(2_000):
        [event] = from_s3_notification(by_notification(f"orders/{number}.csv"))
        in_sample[int(event_hash(event.identity)[:8], 16) % 100 == 0].append(f"orders/{number}.csv")  # type: ignore[union-attr]
    keys = [*in_sample[True][:2], *in_sample[False][:3]]
    expected = {"all": keys, "sampled": keys[:2], "none": []}[setting]
    direct, eventbridge = load("s3_events"), load("eventbridge_events")
    for handler, payload in ((direct.handler, by_notification), (eventbridge.handler, by_eventbridge)):
        for key in keys:
            handler(payload(key), Context())
        printed = lines(capsys)
        found = [line for line in printed if line.get("outcome") == "Unmatched"]
        assert [f"s3://acme-landing/{key}" for key in expected] == [line["resource"] for line in found]
        assert {line.get("sampled") for line in found} <= {100 if setting == "sampled" else None}
        assert [[1.0]] * 5 == [line["EventsUnmatched"] for line in printed if "EventsUnmatched" in line]


CANARY = "canary-of-the-content"
TARGETS = [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}]
EVERYTHING = {"source": [{"anything-but": ["mwaa-gateway"]}]}
REFUSING = {
    "id": "sales.refusing",
    "pattern": EVERYTHING,
    "captures": {"detail.nothing": "{x}"},
    "targets": TARGETS,
}
COLLECTING = {
    "id": "sales.collecting",
    "pattern": EVERYTHING,
    "collect": {"quiet_period": "10m", "max_wait": "1h"},
    "targets": TARGETS,
}


def with_canaries(payload: Any) -> Any:
    """Put the canary into every text that is content: not into the envelope, and not into what the resource is made of."""
    payload = copy.deepcopy(payload)
    if "detail" in payload:
        payload["detail"] |= {"note": CANARY, "nested": {"list": [CANARY], CANARY: 1}}
        payload["account"] = payload["region"] = CANARY
        return payload
    for record in payload["Records"]:
        if "Sns" in record:
            record["Sns"] |= {
                "Message": json.dumps({"note": CANARY}),
                "Subject": CANARY,
                "MessageAttributes": {CANARY: {"Type": "String", "Value": CANARY}},
            }
        else:
            record["userIdentity"] = {"principalId": CANARY}
            record["requestParameters"] = {"sourceIPAddress": CANARY}
            record["s3"]["object"]["eTag"] = CANARY
    return payload


@pytest.mark.parametrize(
    ("function", "payload"),
    [
        ("s3_events", {"Records": [S3_RECORD]}),
        ("sns_events", SNS),
        ("eventbridge_events", EVENT),
        (
            "eventbridge_events",
            EVENT | {"source": "mwaa-gateway", "detail": {"id": CANARY, "key": {CANARY: CANARY}}},
        ),
    ],
)
def test_no_line_has_content_of_an_event(
    function: str,
    payload: dict[str, Any],
    apply: Callable[..., None],
    dispatch: Callable[[], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the gateway decides: request, member, shadow, dead, unmatched, and the dispatcher's attempt."""
    for rules in ((RULE, REFUSING, COLLECTING, RULE | {"id": "sales.shadow", "state": "SHADOW"}), (NOBODY,)):
        apply(*rules)
        load(function).handler(with_canaries(payload), Context())
    bodies = dispatch()
    printed = capsys.readouterr().out
    assert CANARY not in printed
    found = {json.loads(line).get("outcome") for line in printed.splitlines()} - {None}
    if payload.get("source") == "mwaa-gateway":  # no rule matches it, not even one for everything
        assert {"Unmatched"} == found
    else:
        assert {"Requested", "Member", "Shadow", "Dead", "Unmatched", "Triggered"} == found
        assert CANARY in bodies[0]  # it is in the conf


def test_the_page_says_what_a_line_of_an_unmatched_event_costs(
    apply: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """What LogUnmatched saves: the bytes of the line, to the hundred, at $0.50 per GB."""
    apply(NOBODY)
    load("eventbridge_events").handler(by_eventbridge("orders/2026-11-22/part-0001.csv"), Context())
    line, _ = capsys.readouterr().out.splitlines(keepends=True)
    size = round(log_bytes([line]), -2)
    dollars = size * 1e6 / 1e9 * 0.5
    sentence = (
        f"The line of an unmatched event has some {size} bytes: `LogUnmatched` `none` saves ${dollars:.2f} per million "
        f"unmatched events, `sampled` ${dollars * 0.99:.2f}."
    )
    page = " ".join((Path(__file__).parents[2] / "docs" / "trail.md").read_text().split())
    assert sentence in page, sentence
