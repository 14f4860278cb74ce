"""The lines of the trail as the functions print them."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.functions import Context, lines, load
from integration.test_functions import EVENT, S3_RECORD
from mwaa_gateway.events import from_s3_notification
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
