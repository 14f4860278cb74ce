"""A gateway with a bit of everything, for the tests and pictures of the console."""

import copy
import hashlib
import json
import math
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto.backends import get_backend
from moto.cloudwatch.models import Statistics
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT

from gateway_cli.answers import gathering
from gateway_cli.answers.insights import Insights
from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway as ConsoleGateway
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.test_batches_command import BUCKET, Feeds, document, member
from integration.test_why_command import EVENT, FakeTrail, a_rule, upload
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION, environment_sort
from mwaa_gateway.aws.dynamodb.values import attributes, rules_key
from mwaa_gateway.dispatch.circuit_breaker import OpenCircuit
from mwaa_gateway.observability import trail as trail_lines
from mwaa_gateway.outcomes import Reason, Rejected

PAUSE = {
    "updated_by": "user/alice",
    "updated_at": "2026-11-29T19:02:11Z",
    "reason": "the warehouse is being moved",
}


REGIONS = document(
    complete_when={"values": {"of": "<region>", "all_of": ["eu", "us", "apac"]}}, due={"after": "6h"}
)


class SceneFeeds(Feeds):
    """Batches with ids as the gateway makes them."""

    def new_id(self) -> str:
        self.ids += 1
        return hashlib.sha256(str(self.ids).encode()).hexdigest()[:32]


class SceneTrail(FakeTrail):
    """The trail of the scene; every condition but those on one field finds every line."""

    def find(self, condition: str, since: float, until: float, most: int = 500) -> list[Any]:
        if " and " not in condition and not condition.startswith("ispresent"):
            return super().find(condition, since, until, most)
        self.searches += 1
        rule = condition.partition('rule_id = "')[2].partition('"')[0]
        found = [line for line in self.lines if not rule or line.rule_id == rule]
        return sorted(found, key=lambda line: line.at)[-most:]

    def rows(self, query: str, since: float, until: float) -> list[dict[str, str]]:  # noqa: ARG002
        """What `stats count(*) by rule_id, outcome` returns."""
        self.searches += 1
        counts = Counter((line.rule_id, line.outcome) for line in self.lines if line.rule_id)
        return [
            {"rule_id": rule_id, "outcome": outcome, "count(*)": str(number)}
            for (rule_id, outcome), number in counts.items()
        ]


@dataclass
class Scene:
    """A gateway, its trail, and what the console asks of AWS."""

    gateway: Gateway
    trail: SceneTrail = field(default_factory=SceneTrail)
    calls: list[str] = field(default_factory=list)

    def console(self, *, operate: bool = False) -> ConsoleGateway:
        """The gateway as a console has it, whose calls are counted by botocore's own event."""
        connection = Connection(None, "mwaa-gateway", None, None, None, False, ())
        connection.on_call(self.calls.append)
        return ConsoleGateway(connection, operate=operate)

    def figure(
        self, name: str, values: dict[int, float], namespace: str = "MwaaTriggerGateway", **of: str
    ) -> None:
        """Write data points, by minutes ago."""
        points = [
            {
                "MetricName": name,
                "Value": value,
                "Dimensions": [{"Name": key, "Value": each} for key, each in of.items()],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=ago),
            }
            for ago, value in values.items()
        ]
        for start in range(0, len(points), 100):
            boto3.client("cloudwatch").put_metric_data(
                Namespace=namespace, MetricData=points[start : start + 100]
            )


@pytest.fixture
def scene(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """An empty gateway with a console."""
    found = Scene(operated)
    operated.parameters |= {"Transports": "cli", "SlotsPerEnvironment": "3", "StepFunctionsTasks": "true"}
    operated.outputs |= {"ClaimCheckBucketName": BUCKET, "EventBusName": "default"}
    monkeypatch.setattr(gathering, "_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(Insights, "of", lambda _: found.trail)
    monkeypatch.setattr(
        Statistics, "get_statistics_for_type", _with_percentiles(Statistics.get_statistics_for_type)
    )
    return found


def _with_percentiles(answer: Any) -> Any:
    """Moto's CloudWatch knows no percentiles."""

    def statistic(of: Statistics, stat: str) -> Any:
        if not stat.startswith("p"):
            return answer(of, stat)
        values = sorted(one.value for one in of.metric_data)
        return values[math.ceil(len(values) * float(stat[1:]) / 100) - 1] if values else None

    return statistic


@pytest.fixture
def busy(scene: Scene) -> Scene:
    """A gateway in trouble: dead and held requests, rules in every state, open batches, an open breaker, waiting states.

    It takes moto a second, and many tests want it: each gets a copy. Its times are relative to now, so a copy is fresh.
    """
    if not _built or time.monotonic() - _built[-1].at > _FRESH_SECONDS:
        fill(scene)
        _built[:] = [_Built.of(scene)]
    else:
        copy_into(scene)
        _create_bucket()
    return scene


def copy_into(scene: Scene) -> None:
    """Replace what the tables, queues, figures and fakes of a scene have by a copy of what was built."""
    built = copy.deepcopy(_built[-1])
    _backend("dynamodb").tables = built.tables
    _backend("cloudwatch").metric_data = built.figures
    for name, messages in built.messages.items():
        _backend("sqs").queues[name]._messages = messages
    scene.trail.lines[:] = built.lines
    scene.gateway.airflow = built.airflow


@dataclass(frozen=True)
class _Built:
    """What `fill` put into moto, and into the scene's fakes."""

    at: float
    tables: Any
    figures: Any
    messages: dict[str, Any]
    lines: list[Any]
    airflow: Any

    @classmethod
    def of(cls, scene: Scene) -> "_Built":
        return cls(
            time.monotonic(),
            *copy.deepcopy(
                (
                    _backend("dynamodb").tables,
                    _backend("cloudwatch").metric_data,
                    {name: queue._messages for name, queue in _backend("sqs").queues.items()},
                    scene.trail.lines,
                    scene.gateway.airflow,
                )
            ),
        )


_FRESH_SECONDS = 15.0
_built: list[_Built] = []


def _backend(service: Any) -> Any:
    return get_backend(service)[ACCOUNT]["eu-west-1"]


def fill(scene: Scene, *, minutes: int = 12) -> None:
    """Put the whole scene into moto, with figures of so many minutes."""
    gateway = scene.gateway
    _rules(scene)
    _requests(scene)
    _feeds(scene)
    _waiting_states(scene)
    gateway.described["legacy"] = {"Status": "AVAILABLE"}
    store = CircuitItems(gateway.dynamodb, gateway.outputs["LedgerTableName"])
    store.open(
        "gate|environment|legacy", OpenCircuit(time.time() - 840, time.time() - 20, 3, time.time() + 12)
    )
    gateway.dynamodb.put_item(
        TableName=gateway.outputs["RulesTableName"],
        Item={**rules_key(PAUSE_PARTITION, environment_sort("analytics")), **attributes(PAUSE)},
    )
    _figures(scene, minutes)


def _rules(scene: Scene) -> None:
    store = RulesStore(scene.gateway.dynamodb, scene.gateway.outputs["RulesTableName"])
    for rule_id, state, key in (
        ("finance.orders", "ENABLED", "orders/"),
        ("finance.refunds", "DISABLED", "refunds/"),
        ("marketing.clicks", "SHADOW", "clicks/"),
    ):
        rule = replace(a_rule(state, key), id=rule_id)
        store.put(rule, by="arn:aws:iam::123456789012:user/alice", now=datetime.now(UTC))
    gone = replace(a_rule("ENABLED", "invoices/"), id="finance.invoices")
    target = replace(gone.targets[0], environment="retired")
    store.put(
        replace(gone, targets=(target,)), by="arn:aws:iam::123456789012:user/bob", now=datetime.now(UTC)
    )


def _requests(scene: Scene) -> None:
    gateway, log = scene.gateway, scene.trail
    missing = Rejected(Reason.DAG_MISSING, "Airflow has had no DAG ingest_ordres for 10 minutes")
    for number, (dag_id, rejected, ago) in enumerate(
        [("ingest_orders", None, 4_000), ("ingest_ordres", missing, 1_500), ("ingest_ordres", missing, 300)]
    ):
        more = {} if rejected is None else {"rejected": rejected}
        request = gateway.die(f"dead {number}", dag_id=dag_id, ago=ago, **more)
        event = {**EVENT, "id": f"e-dead-{number}"}
        log.requested(replace(request, event=event), ago=ago + 5)
        log.log("Rejected", trail_lines.request_fields(request), attempt=1, ago=ago, reason="dag_missing")
    for number in range(2):
        request = replace(upload(), identity=f"held {number}")
        held = replace(request, target=replace(request.target, run_id=f"evt__finance.orders__{number:032x}"))
        gateway.dynamodb.put_item(
            TableName=gateway.outputs["RulesTableName"],
            Item={
                **rules_key(PAUSE_PARTITION, environment_sort("analytics")),
                **attributes(PAUSE),
            },
        )
        gateway.dispatch(held.to_json())
        log.requested(held, ago=600)
        log.log("Held", trail_lines.request_fields(held), attempt=1, ago=590, reason="environment_paused")
    unmatched = {
        **EVENT,
        "id": "e-lost",
        "detail": {"bucket": {"name": "acme"}, "object": {"key": "Orders/1.csv"}},
    }
    log.log(
        "Unmatched",
        trail_lines.event_fields(unmatched, "lost"),
        ago=120,
        rules_tried=4,
        message="no rule matches",
    )


def _feeds(scene: Scene) -> None:
    _create_bucket()
    now = time.time()
    table = BatchesTable(scene.gateway.dynamodb, scene.gateway.outputs["BatchesTableName"], now=time.time)
    feeds = SceneFeeds(scene.gateway, table)
    day, next_day = (("date", "2026-11-28"),), (("date", "2026-11-29"),)
    late = feeds.collect(
        member("28/eu.csv", "eu"), member("28/us.csv", "us"), key=day, text=REGIONS, at=now - 90_000
    )
    table.mark_overdue(late)
    feeds.collect(member("29/eu.csv", "eu"), key=next_day, text=REGIONS, at=now - 3_000)
    counted = document("sales.hourly", complete_when={"count": 24})
    hours = [member(f"hour-{hour}.csv") for hour in range(17)]
    feeds.collect(*hours, key=next_day, rule="sales.hourly", text=counted, at=now - 9_000)


def _create_bucket() -> None:
    boto3.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )


def _waiting_states(scene: Scene) -> None:
    gateway = scene.gateway
    for number, name in enumerate(["nightly-load", "nightly-load", "month-end"]):
        item = {
            "event": f"{number:064x}",
            "request": "watch|tasks.nightly#default",
            "watched_in": "watch#analytics",
            "since": time.time() - 700 * (number + 1),
            "waiting_since": time.time() - 700 * (number + 1),
            "environment": "analytics",
            "dag_id": "load_warehouse",
            "run_id": f"sfn__tasks__{number:032x}",
            "execution_arn": f"arn:aws:states:eu-west-1:123456789012:execution:{name}:run-{number}",
            "ledger_request": "tasks.nightly#default#0",
            "token_mark": "m",
            "wait": json.dumps({}),
        }
        gateway.dynamodb.put_item(TableName=gateway.outputs["LedgerTableName"], Item=attributes(item))


def _figures(scene: Scene, minutes: int) -> None:
    def wave(base: float, swing: float, length: float) -> dict[int, float]:
        return {
            ago: max(0.0, round(base + swing * math.sin(ago / length) + (ago * 7919 % 13) / 4))
            for ago in range(2, minutes)
        }

    service = "mwaa-gateway-s3-events"
    scene.figure("EventsMatched", wave(24, 14, 25), service=service)
    scene.figure("EventsUnmatched", wave(2, 1, 9), service=service)
    for name, waits in (("analytics", 4), ("legacy", 40)):
        dispatcher = {"environment": name, "service": f"mwaa-gateway-dispatcher-{name}"}
        if name == "analytics":
            scene.figure("Triggered", wave(20, 12, 25), **dispatcher)
            scene.figure("EventToAcceptedSeconds", wave(3, 1, 30), **dispatcher)
            scene.figure("EventToAcceptedSeconds", wave(9, 5, 14), **dispatcher)
        queue = {"namespace": "AWS/SQS", "QueueName": f"trigger-{name}"}
        growing = {ago: float(max(0, 30 - ago) * 4) for ago in range(2, minutes)}
        waiting = growing if name == "legacy" else wave(waits, 3, 12)
        scene.figure("ApproximateNumberOfMessagesVisible", waiting, **queue)
        scene.figure("ApproximateNumberOfMessagesNotVisible", {2: 3}, **queue)
        scene.figure("ApproximateAgeOfOldestMessage", {2: 830 if name == "legacy" else 6}, **queue)
        functions = {"namespace": "AWS/Lambda", "FunctionName": f"mwaa-gateway-dispatcher-{name}"}
        scene.figure("ConcurrentExecutions", {3: 2}, **functions)
    for queue_name in ("ingress-dlq", "ingress-retry", "collect"):
        scene.figure("ApproximateNumberOfMessagesVisible", {2: 0}, "AWS/SQS", QueueName=queue_name)
