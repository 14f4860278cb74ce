"""`mwaa-gateway why` as it is used: what it reads, in how many queries, and its exit code."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.requests import a_request
from gateway_cli.answers import gathering
from gateway_cli.answers.answer import judge
from gateway_cli.answers.case import Answer
from gateway_cli.answers.gathering import gather
from gateway_cli.answers.insights import Insights, equals, log_groups
from gateway_cli.answers.states import State
from gateway_cli.answers.subject import subject_of
from gateway_cli.answers.trail import TrailLine, read_line
from gateway_cli.connection import Connection
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.shell import shell
from integration.test_batches_command import DATE, REGIONS, Feeds, member
from integration.test_batches_command import RULE as FEED
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.observability import trail
from mwaa_gateway.outcomes import Reason, Retryable, Triggered
from mwaa_gateway.routing.members import member_digest
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import TriggerRequest, event_hash

URI = "s3://acme/orders/1.csv"
EVENT: dict[str, Any] = {
    "id": "e-1",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "acme"}, "object": {"key": "orders/1.csv"}},
}
CLOUD = {"DescribeStacks"}  # the connection's, once for each command


@dataclass
class FakeTrail:
    """Implements `TrailSource` over lines as the functions log them; a condition is `field = "value"`."""

    lines: list[TrailLine] = field(default_factory=list)
    searches: int = 0

    def log(self, outcome: str, *parts: Mapping[str, Any], ago: float = 60.0, **more: Any) -> None:
        """Write a line with the functions' own code."""
        at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
        document = {**trail.line(*parts, {"outcome": outcome, **more}), "timestamp": at}
        line = read_line(json.dumps(document))
        assert line is not None
        self.lines.append(line)

    def requested(self, request: TriggerRequest, **more: Any) -> None:
        self.log("Requested", trail.request_fields(request), **more)

    def find(self, condition: str, since: float, until: float, most: int = 500) -> list[TrailLine]:
        self.searches += 1
        name, _, value = condition.partition(" = ")
        return [
            line
            for line in sorted(self.lines, key=lambda one: one.at)
            if getattr(line, name) == json.loads(value) and since <= line.at <= until
        ][-most:]


@dataclass
class Asked:
    """A gateway, its trail, and the AWS calls of the last question."""

    gateway: Gateway
    trail: FakeTrail = field(default_factory=FakeTrail)
    calls: Counter[str] = field(default_factory=Counter)

    def why(self, pasted: str, **options: Any) -> Answer:
        """Answer; every call to AWS is counted by botocore's own event."""
        connection = Connection(None, "mwaa-gateway", None, None, None, False, ())
        self.calls.clear()
        self.gateway.asked_of_mwaa = 0
        connection._session.events.register("before-call", lambda model, **_: self.calls.update([model.name]))
        evidence = gather(
            connection,
            subject_of(pasted),
            since=time.time() - 3_600,
            trail=self.trail,
            sleep=lambda _: None,
            **options,
        )
        assert self.calls.total() + self.gateway.asked_of_mwaa <= gathering.MOST_READS, self.calls
        return judge(evidence)

    def start(self, request: TriggerRequest) -> None:
        self.trail.requested(request)
        self.gateway.airflow.answers = [Triggered()]
        self.gateway.dispatch(request.to_json())


@pytest.fixture
def asked(operated: Gateway) -> Asked:
    """A gateway to ask about; its environments use CLI tokens, so that no question reaches Airflow."""
    operated.parameters["Transports"] = "cli"
    return Asked(operated)


def upload(**changes: Any) -> TriggerRequest:
    return replace(a_request(), event=EVENT, **changes)


def test_a_dead_request_costs_one_search_and_one_query(asked: Asked) -> None:
    request = asked.gateway.die()
    asked.trail.requested(replace(request, event=EVENT))
    answer = asked.why(URI)
    assert answer.headline.state is State.DEAD
    assert answer.headline.reason == "conf_refused"
    assert asked.calls == {"BatchGetItem": 1}
    assert asked.trail.searches == 1
    assert asked.why(request.target.run_id).headline.state is State.DEAD
    assert asked.why("e-1").headline.state is State.DEAD
    assert (
        asked.why(json.dumps({"run_id": request.target.run_id, "level": "INFO"})).headline.state is State.DEAD
    )


def test_a_started_request_says_that_airflow_was_not_asked_over_cli_tokens(asked: Asked) -> None:
    asked.start(upload())
    answer = asked.why(URI)
    assert answer.headline.state is State.ACCEPTED
    assert "uses CLI tokens" in answer.headline.sentence


def test_a_later_delivery_of_the_same_event_is_a_duplicate(asked: Asked) -> None:
    """Another upload with the same dedupe_key: the ledger has the run from before its request."""
    first = upload()
    asked.gateway.time = time.time() - 600
    asked.gateway.airflow.answers = [Triggered()]
    asked.gateway.dispatch(first.to_json())
    again = replace(first, event={**EVENT, "id": "e-2"})
    asked.trail.requested(again)
    asked.trail.log("AlreadyTriggered", trail.request_fields(again), attempt=1, ago=30)
    answer = asked.why("e-2")
    assert answer.headline.state is State.DUPLICATE
    assert first.target.run_id in answer.headline.sentence


def test_a_request_that_no_dispatcher_has_seen_waits_with_its_queue(asked: Asked) -> None:
    request = upload()
    asked.trail.requested(request)
    asked.gateway.send("trigger-analytics", request.to_json())
    boto3.client("cloudwatch").put_metric_data(
        Namespace="MwaaTriggerGateway",
        MetricData=[
            {
                "MetricName": "Triggered",
                "Value": 40,
                "Dimensions": [
                    {"Name": "environment", "Value": "analytics"},
                    {"Name": "service", "Value": "mwaa-gateway-dispatcher-analytics"},
                ],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=2),
            }
        ],
    )
    answer = asked.why(URI)
    assert answer.headline.state is State.WAITING_FOR_SLOT
    assert "about 1 request in its queue" in answer.headline.sentence
    assert "at 4 starts a minute" in answer.headline.sentence
    assert asked.calls == {"BatchGetItem": 1, "GetQueueAttributes": 1, "GetMetricData": 1}


@pytest.mark.parametrize("missing_dag", [True, False])
def test_an_open_breaker_is_found_as_the_dispatcher_stores_it(asked: Asked, missing_dag: bool) -> None:  # noqa: FBT001
    asked.gateway.described["analytics"] = {"Status": "MAINTENANCE"}
    request = upload()
    asked.trail.requested(request)
    store = CircuitItems(asked.gateway.dynamodb, asked.gateway.outputs["LedgerTableName"])
    breakers = CircuitBreakers("analytics", store, dag_missing_grace_seconds=600)
    reason = Reason.DAG_MISSING if missing_dag else Reason.ENVIRONMENT_UNREACHABLE
    for number in range(9):
        target = replace(request.target, run_id=f"evt__finance.orders__{number}")
        breakers.record(target, Retryable(reason, "no"), time.time())
    answer = asked.why(URI)
    assert answer.headline.state is State.CIRCUIT_OPEN
    assert ("DAG ingest_orders" in answer.headline.sentence) is missing_dag
    assert asked.calls == {"BatchGetItem": 1}
    assert asked.gateway.asked_of_mwaa == (0 if missing_dag else 1)
    assert ("MWAA reports MAINTENANCE" in answer.headline.sentence) is not missing_dag


def a_rule(state: str = "ENABLED", key: str = "orders/") -> Any:
    pattern = {
        "source": ["aws.s3"],
        "detail": {"bucket": {"name": ["acme"]}, "object": {"key": [{"prefix": key}]}},
    }
    target = {"environment": "analytics", "dag_id": "ingest_orders"}
    return parse_rule(
        {"id": "finance.orders", "state": state, "pattern": pattern, "target": target}, environments=None
    )


MET = [
    (0, State.NO_RULE_MATCHES, "it did not exist then"),
    (1, State.NO_RULE_MATCHES, 'as v1 it wanted detail.object.key {"prefix": "other/"}'),
    (2, State.NO_RULE_MATCHES, "as v2 it was SHADOW"),
    (3, State.NO_RULE_MATCHES, "as v3 it was DISABLED"),
    (4, State.NO_RULE_MATCHES, "fits by what the log knows"),
]


def unmatched(asked: Asked, uri: str, ago: float = 60.0, **more: Any) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    event = {**EVENT, "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}
    asked.trail.log("Unmatched", trail.event_fields(event, "x"), rules_tried=1, ago=ago, **more)


def test_the_wrong_case_of_a_key_is_named_with_the_rule_and_the_field(asked: Asked) -> None:
    RulesStore(asked.gateway.dynamodb, "rules").put(
        a_rule(), by="alice", now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    unmatched(asked, "s3://acme/Orders/1.csv")
    answer = asked.why("s3://acme/Orders/1.csv")
    assert answer.headline.state is State.NO_RULE_MATCHES
    assert 'detail.object.key is "Orders/1.csv"' in answer.headline.sentence
    assert "only upper and lower case differ" in answer.headline.sentence
    assert asked.calls["Query"] == 2  # the rules, the allow-lists


@pytest.mark.parametrize(("generation", "state", "says"), MET)
def test_the_event_is_held_against_the_rules_that_it_met(
    asked: Asked, generation: int, state: State, says: str
) -> None:
    """By generation: the event comes in the second of every change, so that the times say nothing."""
    store = RulesStore(asked.gateway.dynamodb, "rules")
    now = datetime.now(UTC)
    for rule in (a_rule(key="other/"), a_rule("SHADOW"), a_rule("DISABLED"), a_rule()):
        store.put(rule, by="alice", now=now)
    unmatched(
        asked, URI, ago=0.0, partitions="aws.s3#acme | aws.s3#* | *", rules_generation=f"{generation} | 0 | 0"
    )
    answer = asked.why(URI)
    assert (answer.headline.state, says in answer.headline.sentence) == (state, True), answer.headline
    assert asked.calls == ({"Query": 2} if generation == 4 else {"Query": 3})


def test_the_bucket_of_another_stage_is_near_too(asked: Asked) -> None:
    RulesStore(asked.gateway.dynamodb, "rules").put(
        a_rule(), by="alice", now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    unmatched(asked, "s3://acme-test/orders/1.csv")
    assert 'detail.bucket.name is "acme-test"' in asked.why("s3://acme-test/orders/1.csv").headline.sentence


def test_the_rule_with_the_fewest_differences_is_the_nearest(asked: Asked) -> None:
    store = RulesStore(asked.gateway.dynamodb, "rules")
    near = a_rule(key="orders/2").document()
    far = near | {"id": "a.far", "pattern": {**near["pattern"], "detail-type": ["Object Deleted"]}}
    for document in (far, near):
        rule = parse_rule(document, environments=None)
        store.put(rule, by="alice", now=datetime(2026, 1, 1, tzinfo=UTC))
    unmatched(asked, URI)
    headline = asked.why(URI).headline
    assert headline.rule_id == "finance.orders"
    assert "fields differ" not in headline.sentence


def test_the_newest_event_of_a_key_is_the_answer_and_the_others_are_named(asked: Asked) -> None:
    asked.trail.requested(replace(asked.gateway.die(), event=EVENT), ago=600)
    later = replace(a_request("later"), event={**EVENT, "id": "e-2"})
    asked.start(later)
    answer = asked.why(URI)
    assert answer.headline.state is State.ACCEPTED
    assert answer.headline.run_id == later.target.run_id
    assert answer.earlier == ("e-1",)
    assert asked.why("e-1").headline.state is State.DEAD


def test_both_routes_of_an_upload_are_one_event(asked: Asked) -> None:
    """EventBridge gives it an id of its own; the identity is the same."""
    request = upload()
    asked.start(request)
    asked.trail.requested(replace(request, event={**EVENT, "id": "of EventBridge"}), ago=20)
    answer = asked.why(URI)
    assert answer.headline.state is State.ACCEPTED
    assert answer.earlier == ()
    assert len(answer.lines) == 2


def test_a_disabled_rule_is_the_reason_if_it_was_disabled_before_the_event(asked: Asked) -> None:
    store = RulesStore(asked.gateway.dynamodb, "rules")
    store.put(a_rule("DISABLED"), by="alice", now=datetime(2026, 1, 1, tzinfo=UTC))
    unmatched(asked, URI)
    assert asked.why(URI).headline.state is State.RULE_DISABLED


def test_a_rule_corrected_since_is_held_against_the_event_as_it_was_then(asked: Asked) -> None:
    store = RulesStore(asked.gateway.dynamodb, "rules")
    store.put(a_rule(key="Orders/"), by="alice", now=datetime(2026, 1, 1, tzinfo=UTC))
    unmatched(asked, URI)
    store.put(a_rule(), by="bob", now=datetime.now(UTC))
    answer = asked.why(URI)
    assert answer.headline.state is State.NO_RULE_MATCHES
    assert "v2, ENABLED" in answer.headline.sentence
    assert 'by bob; as v1 it wanted detail.object.key {"prefix": "Orders/"}' in answer.headline.sentence
    assert sum(asked.calls.values()) == 3


def test_a_member_of_an_open_batch_is_told_what_the_batch_lacks(asked: Asked) -> None:
    store = BatchesTable(asked.gateway.dynamodb, asked.gateway.outputs["BatchesTableName"], now=time.time)
    batch_id = Feeds(asked.gateway, store).collect(member("one", "eu"), text=REGIONS)
    event = {**EVENT, "detail": {"bucket": {"name": "landing"}, "object": {"key": "one"}}}
    assert event_hash("one")[:32] == member_digest("one")
    asked.trail.log("Member", trail.event_fields(event, "one"), rule_id=FEED, batch_key=trail.key_text(DATE))
    answer = asked.why("s3://landing/one")
    assert answer.headline.state is State.COLLECTING
    assert "It has 1 member. It lacks us, apac." in answer.headline.sentence
    assert answer.headline.batch_id == batch_id
    assert sum(asked.calls.values()) == 3


def test_a_batch_is_found_by_its_id_without_a_line(asked: Asked) -> None:
    store = BatchesTable(asked.gateway.dynamodb, asked.gateway.outputs["BatchesTableName"], now=time.time)
    feeds = Feeds(asked.gateway, store)
    feeds.new_id = lambda: "b" * 32  # type: ignore[method-assign]
    feeds.collect(member("one", "eu"), text=REGIONS)
    assert asked.why("b" * 32).headline.state is State.COLLECTING


def test_an_event_of_eventbridge_is_found_in_the_ledger_when_its_lines_are_gone(asked: Asked) -> None:
    """Its hash follows from its id."""
    asked.gateway.airflow.answers = [Triggered()]
    asked.gateway.dispatch(a_request("eventbridge|e-9").to_json())
    assert asked.why("e-9").headline.state is State.ACCEPTED


def test_an_object_that_never_arrived_is_held_against_s3(asked: Asked) -> None:
    s3 = boto3.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="acme", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert "S3 has no such object" in asked.why(URI).headline.sentence
    s3.put_object(Bucket="acme", Key="orders/1.csv", Body=b"x")
    soon = asked.why(URI)
    assert soon.headline.state is State.NEVER_RECEIVED
    assert "It was uploaded" in soon.headline.sentence
    later = asked.why(URI, now=lambda: time.time() + 600)
    assert "Bucket acme sends no events" in later.headline.sentence
    assert asked.trail.searches == 6  # each question without a line searches once more
    assert asked.calls == {"HeadObject": 1, "GetBucketNotificationConfiguration": 1}


def test_what_cannot_be_read_is_noted_and_the_answer_comes_from_the_log(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "BatchGetItem")

    monkeypatch.setattr(gathering, "rows_by_key", denied)
    request = upload()
    asked.trail.requested(request)
    asked.trail.log(
        "Rejected", trail.request_fields(request), reason="dag_missing", message="no such DAG", ago=30
    )
    answer = asked.why(URI)
    assert answer.headline.state is State.DEAD
    assert any("the ledger could not be read: BatchGetItem" in note for note in answer.notes)


Shown = Callable[..., Any]


@pytest.fixture
def shown(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The command, with the lines of the fake trail."""
    monkeypatch.setattr(Insights, "of", lambda _: asked.trail)
    monkeypatch.setattr(gathering, "_AGAIN_SECONDS", 0.0)
    return lambda *words: shell("why", *words, "--stack-name", "mwaa-gateway")


def test_the_screen_and_the_exit_code_say_whether_it_ran(asked: Asked, shown: Shown) -> None:
    request = asked.gateway.die()
    asked.trail.requested(replace(request, event=EVENT))
    screen = shown(URI)
    assert screen.exit_code == 1
    assert screen.stdout.splitlines()[0] == "DEAD  did not run"
    command = f"$ mwaa-gateway dlq redrive {request.target.run_id} --stack-name mwaa-gateway"
    assert f"    {command}" in screen.stdout.splitlines()
    document = json.loads(shown(URI, "-o", "json").stdout)
    assert document["state"] == "dead"
    assert document["command"] == command.removeprefix("$ ")


def test_exit_codes_tell_ran_not_yet_and_not_known_apart(
    asked: Asked, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(URI.replace("1", "9")).exit_code == 1  # never received
    asked.start(upload())
    assert shown(URI).exit_code == 0
    waiting = upload(
        rule_id="finance.audit", target=replace(a_request().target, run_id=f"evt__a__{'1' * 32}")
    )
    asked.trail.requested(waiting)
    assert shown(URI).exit_code == 3
    assert shown("{}").exit_code == 2
    assert shown("evt__finance.orders__" + "0" * 32).exit_code == 4

    def denied(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "StartQuery")

    monkeypatch.setattr(asked.trail, "find", denied)
    refused = shown(URI)
    assert refused.exit_code == 4
    assert "StartQuery was denied" in refused.stdout


def test_a_gateway_that_cannot_be_read_leaves_the_answer_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 would say that the event did not run."""
    monkeypatch.chdir(tmp_path)
    shown = shell("why", URI, "--local")
    assert shown.exit_code == 4
    assert "no local stack runs here" in shown.stderr


@dataclass
class FakeLogs:
    """botocore's client of Logs, as far as a search needs it."""

    statuses: list[str]
    queries: list[dict[str, Any]] = field(default_factory=list)
    stopped: int = 0

    def start_query(self, **query: Any) -> dict[str, Any]:
        self.queries.append(query)
        return {"queryId": "q"}

    def get_query_results(self, **_: Any) -> dict[str, Any]:
        message = json.dumps({"trail": 1, "outcome": "Unmatched", "resource": 'a"b'})
        row = [
            {"field": "@timestamp", "value": "2026-11-29 10:00:00.000"},
            {"field": "@message", "value": message},
        ]
        return {"status": self.statuses.pop(0), "results": [row, [{"field": "@message", "value": "START"}]]}

    def stop_query(self, **_: Any) -> None:
        self.stopped += 1


def test_one_query_searches_every_log_group_and_waits_for_its_end() -> None:
    logs = FakeLogs(["Scheduled", "Running", "Complete"])
    waits: list[float] = []
    insights = Insights(logs, ["/a", "/b"], sleep=waits.append)  # type: ignore[arg-type]
    (line,) = insights.find('resource = "a\\"b"', 1.0, 2.0)
    assert line.at == datetime(2026, 11, 29, 10, tzinfo=UTC).timestamp()
    (query,) = logs.queries
    assert query["logGroupNames"] == ["/a", "/b"]
    assert (
        query["queryString"]
        == 'fields @timestamp, @message | filter resource = "a\\"b" | sort @timestamp desc | limit 500'
    )
    assert waits == sorted(waits)
    assert len(waits) == 2


def test_a_key_with_quotes_stays_one_text_of_the_query() -> None:
    assert equals("resource", 's3://a/"x" or 1=1\\') == 'resource = "s3://a/\\"x\\" or 1=1\\\\"'


def test_a_query_that_takes_too_long_is_stopped() -> None:
    logs = FakeLogs(["Running", "Running"])
    clock = iter([0.0, 1.0, 1_000.0])
    insights = Insights(logs, ["/a"], sleep=lambda _: None, monotonic=lambda: next(clock))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="ended as Running"):
        insights.find('run_id = "x"', 1.0, 2.0)
    assert logs.stopped == 1


def test_the_log_groups_of_tasks_exist_only_with_them() -> None:
    without = log_groups("g", {}, ["analytics"])
    assert "/aws/lambda/g-dispatcher-analytics" in without
    assert not any("run-watcher" in name or "step-functions" in name for name in without)
    assert "/aws/lambda/g-run-watcher-analytics" in log_groups(
        "g", {"StepFunctionsTasks": "true"}, ["analytics"]
    )


def test_a_run_that_the_watcher_saw_succeed_costs_no_question_to_airflow(asked: Asked) -> None:
    request = upload()
    asked.start(request)
    asked.trail.log("Ended", trail.request_fields(request), state="Succeeded", ago=1)
    assert asked.why(request.target.run_id).headline.state is State.ENDED_SUCCESS
    assert asked.calls == {"BatchGetItem": 1}


def test_an_event_of_two_rules_is_answered_within_the_same_three_queries(asked: Asked) -> None:
    """One rule collects it, the other requests a run: what the batch lacks is not counted, and the answer says so."""
    store = BatchesTable(asked.gateway.dynamodb, asked.gateway.outputs["BatchesTableName"], now=time.time)
    Feeds(asked.gateway, store).collect(member("one", "eu"), text=REGIONS)
    asked.trail.log("Member", trail.event_fields(EVENT, "one"), rule_id=FEED, batch_key=trail.key_text(DATE))
    asked.start(upload())
    answer = asked.why(URI)
    assert [case.state for case in answer.cases] == [State.COLLECTING, State.ACCEPTED]
    assert "What it lacks was not counted." in answer.headline.sentence
    assert asked.calls == {"BatchGetItem": 2, "Query": 1}
    assert "Airflow's state of the run was not read, to keep the answer at 3 queries" in answer.notes
