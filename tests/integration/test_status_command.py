"""`mwaa-gateway status`, `runs` and `events` as they are used, on a gateway in moto."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from gateway_cli.answers import status_command
from gateway_cli.answers.insights import Insights
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.shell import shell
from integration.test_why_command import EVENT, URI, FakeTrail, a_rule, upload
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.dispatch.circuit_breaker import OpenCircuit
from mwaa_gateway.observability import trail

STACK = ("--stack-name", "mwaa-gateway")


class AnyTrail(FakeTrail):
    """Every condition finds every line."""

    def find(self, condition: str, since: float, until: float, most: int = 500) -> list[Any]:  # noqa: ARG002
        self.searches += 1
        return [line for line in sorted(self.lines, key=lambda one: one.at) if since <= line.at <= until]


@pytest.fixture(autouse=True)
def log(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> AnyTrail:
    """The log of the gateway."""
    found = AnyTrail()
    monkeypatch.setattr(Insights, "of", lambda _: found)
    operated.parameters["SlotsPerEnvironment"] = "3"
    return found


def figure(name: str, value: float, **dimensions: str) -> None:
    boto3.client("cloudwatch").put_metric_data(
        Namespace="MwaaTriggerGateway",
        MetricData=[
            {
                "MetricName": name,
                "Value": value,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=2),
            }
        ],
    )


def status(*words: str) -> dict[str, Any]:
    shown = shell("status", *words, *STACK, "-o", "json")
    assert shown.exit_code == 0, shown.stderr
    document: dict[str, Any] = json.loads(shown.stdout)
    return document


def test_one_look_has_queues_breakers_pauses_held_dead_and_troubles(operated: Gateway, log: AnyTrail) -> None:
    request = operated.die(environment="legacy")
    for number in range(4):
        operated.send("trigger-analytics", f"{number}")
    operated.send("ingress-dlq", "x")
    store = CircuitItems(operated.dynamodb, operated.outputs["LedgerTableName"])
    store.open("gate|environment|legacy", OpenCircuit(time.time() - 600, time.time(), 3, time.time() + 9))
    operated.described["legacy"] = {"Status": "AVAILABLE"}
    shell("environments", "pause", "analytics", "--reason", "moving", "--by", "me", *STACK)
    figure("Triggered", 20, environment="analytics", service="mwaa-gateway-dispatcher-analytics")
    figure("EventsMatched", 3, service="mwaa-gateway-s3-events")
    figure("EventsMatched", 4, service="mwaa-gateway-sns-events")
    log.log("Overdue", batch_id="b" * 32, rule_id="sales.day", message="the batch is overdue")

    found = status()

    analytics, legacy = found["environments"]
    assert (analytics["state"], legacy["state"]) == ("paused", "circuit_open")
    assert (analytics["waiting"], legacy["waiting"]) == (4, 0)
    assert (analytics["starts_per_minute"], analytics["drained_in_seconds"]) == (2.0, 120.0)
    assert (analytics["dead"], legacy["dead"]) == (0, 1)
    assert (analytics["slots_busy"], analytics["slots"]) == (0, 3)
    assert (found["matched"], found["unmatched"]) == (7, 0)
    assert (found["dead_events"], found["open_batches"], found["overdue_batches"]) == (1, 0, 0)
    assert {one["subject"] for one in found["troubles"]} == {request.target.run_id, "b" * 32}


def test_maintenance_is_shown_as_such_and_asked_only_about_what_is_away(operated: Gateway) -> None:
    at = datetime.now(UTC) - timedelta(minutes=3)
    update = {"Status": "PENDING", "CreatedAt": at, "Source": "MaintenanceUpdate"}
    operated.described["legacy"] = {"Status": "MAINTENANCE", "LastUpdate": update}
    store = CircuitItems(operated.dynamodb, operated.outputs["LedgerTableName"])
    store.open("gate|environment|legacy", OpenCircuit(time.time() - 600, time.time(), 3, time.time() + 9))
    analytics, legacy = status()["environments"]
    assert (analytics["state"], legacy["state"], legacy["mwaa_status"]) == (
        "running",
        "maintenance",
        "MAINTENANCE",
    )
    assert operated.asked_of_mwaa == 1
    shown = shell("status", *STACK).stdout
    assert "MWAA reports MAINTENANCE: MWAA maintains the environment" in shown
    assert f"(its last update: {at:%H:%M:%S} UTC (3 min ago) by MaintenanceUpdate, PENDING)" in shown


@pytest.mark.usefixtures("log")
def test_more_than_one_page_is_counted_to_the_end(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        operated.die(name)
    ask = BaseClient._make_api_call

    def one_by_one(self: Any, operation: str, params: Any) -> Any:
        return ask(self, operation, params | ({"Limit": 1} if operation == "Scan" else {}))

    monkeypatch.setattr(BaseClient, "_make_api_call", one_by_one)
    analytics, _ = status()["environments"]
    assert analytics["dead"] == 3


def test_what_does_not_answer_is_a_question_mark_and_never_zero(
    log: AnyTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = BaseClient._make_api_call

    def denied(self: Any, operation: str, params: Any) -> Any:
        if operation == "DescribeStacks":
            return ask(self, operation, params)
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", denied)
    monkeypatch.setattr(log, "find", lambda *_: denied(None, "StartQuery", {}))

    found = status("--environment", "analytics")
    (analytics,) = found["environments"]
    known = {name: value for name, value in analytics.items() if value is not None}
    assert known == {"name": "analytics", "slots": 3}
    assert (found["open_batches"], found["dead_events"], found["troubles"]) == (None, None, None)
    assert len(found["unread"]) >= 7

    screen = shell("status", "--environment", "analytics", *STACK).stdout
    assert screen.splitlines()[2].split() == ["analytics", *["?"], "?", "of", "3", *["?"] * 8]
    assert "newest troubles: ?" in screen
    assert "0" not in screen.splitlines()[2]


def test_figures_of_cloudwatch_are_not_known_while_it_has_none_at_all(operated: Gateway) -> None:
    """Such as right after the deployment, or on a local stack without metrics; the queues are known."""
    operated.send("trigger-legacy", "x")
    analytics, legacy = status()["environments"]
    for one in (analytics, legacy):
        assert (one["slots_busy"], one["starts_per_minute"], one["watched_runs"]) == (None, None, None)
    assert (analytics["waiting"], legacy["waiting"]) == (0, 1)
    assert status()["matched"] is None


def test_the_screen_names_the_command_that_explains_each_trouble(operated: Gateway, log: AnyTrail) -> None:
    request = operated.die()
    screen = shell("status", *STACK).stdout
    assert f"$ mwaa-gateway why {request.target.run_id} --stack-name mwaa-gateway" in screen
    assert "RUNNING" in screen
    assert log.searches == 1


def test_watch_refreshes_until_ctrl_c_and_searches_the_log_once_a_minute(
    log: AnyTrail,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status_command.time, "sleep", sleep)
    shown = shell("status", "--watch", *STACK)
    assert (shown.exit_code, len(looks), log.searches) == (0, 3, 1)
    assert "analytics" in shown.stdout
    assert "Traceback" not in shown.stderr


# --- runs


def test_runs_are_listed_with_their_last_state(operated: Gateway, log: AnyTrail) -> None:
    first, second = upload(), operated.die("two")
    log.requested(first, ago=50)
    log.log("Triggered", trail.request_fields(first), attempt=2, ago=40)
    log.log("AlreadyTriggered", trail.request_fields(first), attempt=3, ago=10)
    log.requested(replace(second, event={**EVENT, "id": "e-2"}), ago=30)
    log.log("Rejected", trail.request_fields(second), attempt=1, ago=20, reason="conf_refused")

    found = json.loads(shell("runs", "list", *STACK, "-o", "json").stdout)
    assert [(run["run_id"], run["state"], run["attempts"], run["reason"]) for run in found] == [
        (first.target.run_id, "started", 3, ""),
        (second.target.run_id, "dead", 1, "conf_refused"),
    ]
    shown = shell("runs", "list", "--state", "dead", *STACK)
    assert second.target.run_id in shown.stdout
    assert first.target.run_id not in shown.stdout
    assert "1 more" in shell("runs", "list", "--limit", "1", *STACK).stderr

    whole = json.loads(shell("runs", "show", second.target.run_id, *STACK, "-o", "json").stdout)
    assert whole["request"]["conf"] == {"key": "orders/1.csv"}
    assert "conf:" in shell("runs", "show", second.target.run_id, *STACK).stdout
    assert shell("runs", "show", URI, *STACK).exit_code == 2


# --- events


def test_tail_prints_each_line_once(log: AnyTrail, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway_cli.events import commands  # noqa: PLC0415

    log.requested(upload())
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            log.log("Unmatched", trail.event_fields(EVENT, "x"), ago=0)
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(commands.time, "sleep", sleep)
    lines = shell("events", "tail", *STACK).stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["Requested", "Unmatched"]
    assert URI in lines[0]
    once = shell("events", "tail", "--no-follow", "-o", "json", *STACK).stdout
    assert [json.loads(line)["outcome"] for line in once.splitlines()] == ["Requested", "Unmatched"]


@pytest.mark.parametrize(
    ("options", "condition"),
    [
        ({}, "ispresent(trail)"),
        ({"rule_id": "a.b"}, 'ispresent(trail) and rule_id = "a.b"'),
        ({"unmatched": True}, 'ispresent(trail) and outcome in ["Unmatched"]'),
        (
            {"dead": True, "unmatched": True},
            'ispresent(trail) and outcome in ["Unmatched", "Dead", "Rejected", "Late"]',
        ),
    ],
)
def test_tail_filters_in_the_log(options: dict[str, Any], condition: str) -> None:
    from gateway_cli.events.commands import tail_condition  # noqa: PLC0415

    wanted: dict[str, Any] = {"rule_id": None, "unmatched": False, "dead": False, **options}
    assert tail_condition(**wanted) == condition


@pytest.fixture
def bucket(operated: Gateway) -> str:  # noqa: ARG001  where the bucket is
    s3 = boto3.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="acme", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="acme", Key="Orders/1.csv", Body=b"x")
    return "s3://acme/Orders/1.csv"


def test_an_object_is_sent_as_the_same_event_however_often(
    operated: Gateway, log: AnyTrail, bucket: str
) -> None:
    for _ in range(2):
        assert shell("events", "send", bucket, *STACK).exit_code == 0
    first, second = map(json.loads, operated.bodies("ingress-retry"))
    assert first == second
    assert first["detail"]["object"]["key"] == "Orders/1.csv"
    assert "S3 has no such object" in shell("events", "send", "s3://acme/no", *STACK).stderr
    log.requested(upload())
    refused = shell("events", "send", bucket, *STACK)
    assert refused.exit_code == 1
    assert "has started a run" in refused.stderr
    assert shell("events", "send", bucket, "--again", *STACK).exit_code == 0


def test_an_event_sent_to_one_rule_starts_one_run_though_its_pattern_does_not_match(
    operated: Gateway, bucket: str
) -> None:
    RulesStore(operated.dynamodb, "rules").put(a_rule(), by="me", now=datetime.now(UTC))
    dry = shell("events", "send", bucket, "--dry-run", *STACK)
    assert "no rule matches" in dry.stdout
    assert "nothing was sent" in dry.stderr
    to_rule = shell("events", "send", bucket, "--rule", "finance.orders", "--dry-run", *STACK)
    assert "finance.orders → analytics:ingest_orders" in to_rule.stdout
    sent = shell("events", "send", bucket, "--rule", "finance.orders", *STACK, "-o", "json")
    assert sent.exit_code == 0, sent.stderr
    ((run_id,),) = [one["run_ids"] for one in json.loads(sent.stdout)]
    shell("events", "send", bucket, "--rule", "finance.orders", *STACK)
    operated.airflow.answers = []
    outcomes = operated.deliver_all()
    assert [type(outcome).__name__ for outcome in outcomes] == ["Triggered", "AlreadyTriggered"]
    assert [target.run_id for target in operated.airflow.runs.values()] == [run_id]


def test_a_file_is_sent_as_its_source_sends_it(operated: Gateway, tmp_path: Any) -> None:
    file = tmp_path / "event.json"
    event = {
        "version": "0",
        "account": "1",
        "region": "eu-west-1",
        "time": "2026-11-29T10:00:00Z",
        "resources": [],
        **EVENT,
        "source": "acme",
    }
    file.write_text(json.dumps(event))
    shown = shell("events", "send", str(file), *STACK)
    assert shown.exit_code == 0, shown.stderr
    assert "mwaa-gateway why e-1 --stack-name mwaa-gateway" in shown.stderr
    assert [json.loads(body) for body in operated.bodies("ingress-retry")] == [event]
    file.write_text("{}")
    assert shell("events", "send", str(file), *STACK).exit_code == 1
