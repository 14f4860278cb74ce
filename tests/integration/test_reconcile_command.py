"""`mwaa-gateway reconcile` as it is used: what never started is found and started, once, whatever arrives later."""

import json
import time
import tracemalloc
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from click.testing import Result

from fakes.batches import LateMembersInMemory, ManifestsInMemory, TimersInMemory
from fakes.batches_table import BATCHES_TABLE
from gateway_cli.reconcile import commands
from gateway_cli.reconcile.objects import Bucket, Page
from gateway_cli.rules.store import RulesStore
from integration.operated import NO, Gateway
from integration.shell import shell
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.object_claims import BatchClaims
from mwaa_gateway.dispatch.s3_objects import ListedObject
from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.events.event import Event
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.outcomes import AlreadyTriggered, Outcome, Triggered
from mwaa_gateway.routing.members import MemberMessage, member_of, redriven_member
from mwaa_gateway.routing.resolve import Resolved, resolve
from mwaa_gateway.rules import Rule, parse_rule

BUCKET = "acme-landing"
RULE = "finance.orders"
URI = f"s3://{BUCKET}/orders/"
EVERYTHING = ("--older-than", "0s")
PATTERN: dict[str, Any] = {
    "source": ["aws.s3"],
    "detail-type": ["Object Created"],
    "detail": {"bucket": {"name": [BUCKET]}, "object": {"key": [{"wildcard": "orders/*.csv"}]}},
}


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Moto has no attempts under way that one would wait for."""
    monkeypatch.setattr(commands, "SETTLE_SECONDS", 0.0)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def s3(operated: Gateway) -> Any:  # noqa: ARG001
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


def a_rule(rule_id: str = RULE, **changes: Any) -> Rule:
    document = {
        "id": rule_id,
        "pattern": PATTERN,
        "target": {"environment": "analytics", "dag_id": "ingest_orders"},
        **changes,
    }
    return parse_rule(document, environments=None)


def apply(gateway: Gateway, rule: Rule) -> Rule:
    store = RulesStore(gateway.dynamodb, gateway.outputs["RulesTableName"])
    store.put(rule, by="me", now=datetime.now(UTC))
    return rule


@pytest.fixture
def rule(operated: Gateway) -> Rule:
    return apply(operated, a_rule())


def upload(s3: Any, name: str = "1.csv", body: bytes = b"1") -> Event:
    """Put an object; return the event that S3 sends of it."""
    answer = s3.put_object(Bucket=BUCKET, Key=f"orders/{name}", Body=body)
    version = {"version-id": answer["VersionId"]} if "VersionId" in answer else {}
    [event] = from_eventbridge(
        {
            "version": "0",
            "id": f"e-{name}-{time.time_ns()}",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": "123456789012",
            "time": datetime.now(UTC).isoformat(),
            "region": "eu-west-1",
            "resources": [f"arn:aws:s3:::{BUCKET}"],
            "detail": {
                "bucket": {"name": BUCKET},
                "object": {
                    "key": f"orders/{name}",
                    "size": len(body),
                    "etag": answer["ETag"].strip('"'),
                    "sequencer": f"{time.time_ns():X}",
                    **version,
                },
                "reason": "PutObject",
            },
        }
    )
    assert isinstance(event, Event)
    return event


def deliver(gateway: Gateway, event: Event, rule: Rule) -> list[Outcome]:
    """What becomes of an event's requests."""
    found = [one for one in resolve(event, rule, now=gateway.time) if isinstance(one, Resolved)]
    return [gateway.dispatch(one.request.to_json()) for one in found]


def run(*words: str) -> Result:
    return shell("reconcile", URI, *EVERYTHING, *words)


def states(*words: str, exit_code: int = 0) -> dict[str, int]:
    """The number of wants in each state."""
    result = run(*words, "-o", "json")
    assert exit_code == result.exit_code, result.stderr + result.stdout
    found: dict[str, int] = {}
    for one in json.loads(result.stdout)["counts"]:
        found[one["state"]] = found.get(one["state"], 0) + one["count"]
    return found


def runs(gateway: Gateway) -> list[str]:
    """The objects that have a run, once for each run."""
    return sorted(target.conf["detail"]["object"]["key"] for target in gateway.airflow.runs.values())


class TestReport:
    def test_what_ran_and_what_never_did(self, operated: Gateway, s3: Any, rule: Rule) -> None:
        """An object that no rule matches is counted; the report starts nothing and writes nothing."""
        assert [Triggered()] == deliver(operated, upload(s3, "1.csv"), rule)
        upload(s3, "2.csv")
        upload(s3, "read-me.txt")
        result = run()
        assert commands.MISSING == result.exit_code
        assert f"{URI}2.csv" in result.stdout
        assert f"{URI}1.csv" not in result.stdout
        assert "1 match none of the enabled rules" in result.stderr
        assert {"ran": 1, "never": 1} == states(exit_code=commands.MISSING)
        assert 0 == operated.visible("trigger-analytics")
        assert (
            not boto3.client("dynamodb")
            .get_item(
                TableName=operated.outputs["RulesTableName"],
                Key={"partition": {"S": "brake"}, "sort": {"S": "objects"}},
            )
            .get("Item")
        )

    def test_nothing_is_missing(self, operated: Gateway, s3: Any, rule: Rule) -> None:
        deliver(operated, upload(s3), rule)
        assert {"ran": 1} == states()

    def test_what_is_dead_or_waits_is_known(self, operated: Gateway, s3: Any, rule: Rule) -> None:
        operated.airflow.answers = [NO]
        deliver(operated, upload(s3), rule)
        assert {"dead": 1} == states()

    @pytest.mark.usefixtures("rule")
    def test_young_objects_are_left_out(self, s3: Any) -> None:
        upload(s3)
        result = shell("reconcile", URI)
        assert (0, True) == (result.exit_code, "1 are younger than --older-than" in result.stderr)

    @pytest.mark.usefixtures("rule")
    def test_old_objects_are_left_out(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """By S3's clock."""
        upload(s3)
        monkeypatch.setattr("gateway_cli.reconcile.objects.s3_time", lambda _: time.time() + 7_200)
        assert {} == states("--since", "1h")
        assert {"never": 1} == states("--since", "3h", exit_code=commands.MISSING)

    def test_a_disabled_rule_is_named(self, operated: Gateway, s3: Any) -> None:
        apply(operated, a_rule(state="DISABLED"))
        upload(s3)
        result = run()
        assert (0, True) == (
            result.exit_code,
            f"rule {RULE}, which starts nothing now, matches 1" in result.stderr,
        )

    def test_each_target_has_its_own_answer(self, operated: Gateway, s3: Any) -> None:
        """Also when the first one ran before the second was added."""
        event = upload(s3)
        deliver(operated, event, a_rule())
        targets = [
            {"id": "default", "environment": "analytics", "dag_id": "ingest_orders"},
            {"id": "audit", "environment": "legacy", "dag_id": "audit_orders"},
        ]
        document = {"id": RULE, "pattern": PATTERN, "targets": targets}
        apply(operated, parse_rule(document, environments=None))
        assert {"ran": 1, "never": 1} == states(exit_code=commands.MISSING)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            (
                {"pattern": {**PATTERN, "detail": {**PATTERN["detail"], "reason": ["CopyObject"]}}},
                "detail.reason",
            ),
            ({"dedupe_key": "<$.detail.reason>"}, "dedupe_key"),
            ({"dedupe_key": {"key": "<$.detail.object.key>", "window": "1h"}}, "dedupe_key"),
        ],
    )
    def test_what_a_listing_does_not_say_is_a_doubt(
        self, operated: Gateway, s3: Any, changes: dict[str, Any], why: str
    ) -> None:
        apply(operated, a_rule(**changes))
        upload(s3)
        result = run()
        assert (commands.MISSING, True) == (result.exit_code, why in result.stdout), result.stdout
        assert {"unsure": 1} == states("--apply", exit_code=commands.MISSING)
        assert {"started": 1} == states("--apply", "--unsure")

    @pytest.mark.parametrize(
        "changes",
        [
            {"captures": {"detail.object.key": "orders/{day}/{file}.csv"}},
            {"dedupe_key": "<$.detail.object.sequencer>"},
        ],
    )
    def test_a_rule_that_refuses_the_object_says_why(
        self, operated: Gateway, s3: Any, changes: dict[str, Any]
    ) -> None:
        apply(operated, a_rule(**changes))
        upload(s3)
        assert {"refused": 1} == states("--apply", exit_code=commands.MISSING)

    def test_an_upload_of_the_same_bytes_a_moment_before_is_a_doubt(
        self, operated: Gateway, s3: Any, rule: Rule
    ) -> None:
        first = upload(s3)
        moment = datetime.fromtimestamp(time.time() - 60, UTC).isoformat()
        deliver(operated, Event({**first.envelope, "time": moment}, first.identity), rule)
        assert {"unsure": 1} == states(exit_code=commands.MISSING)

    def test_an_upload_of_the_same_bytes_long_before_is_another(
        self, operated: Gateway, s3: Any, rule: Rule
    ) -> None:
        first = upload(s3)
        moment = datetime.fromtimestamp(time.time() - 3_600, UTC).isoformat()
        deliver(operated, Event({**first.envelope, "time": moment}, first.identity), rule)
        assert {"never": 1} == states(exit_code=commands.MISSING)

    def test_a_new_content_is_another_object(self, operated: Gateway, s3: Any, rule: Rule) -> None:
        deliver(operated, upload(s3, body=b"1"), rule)
        upload(s3, body=b"2")
        assert {"never": 1} == states(exit_code=commands.MISSING)


class TestApply:
    def test_it_starts_what_never_started(self, operated: Gateway, s3: Any, rule: Rule) -> None:
        """And nothing else, however often it is given."""
        deliver(operated, upload(s3, "1.csv"), rule)
        upload(s3, "2.csv")
        assert {"ran": 1, "started": 1} == states("--apply", "--why", "lost by SNS")
        assert {"ran": 1, "sent": 1} == states()  # not dispatched yet
        assert {"ran": 1, "started": 1} == states("--apply")
        assert [Triggered(), "AlreadyTriggered"] == [
            one if one == Triggered() else type(one).__name__ for one in operated.deliver_all()
        ]
        assert ["orders/1.csv", "orders/2.csv"] == runs(operated)
        assert {"ran": 2} == states("--apply")
        operations = json.loads(shell("operations", "-o", "json").stdout)
        assert [("reconcile", "lost by SNS", [URI, RULE])] == [
            (one["command"], one["why"], one["ids"]) for one in operations if one["why"]
        ]

    @pytest.mark.guarantee(54)
    @pytest.mark.parametrize("versioning", ["", "Enabled", "Suspended"])
    @pytest.mark.parametrize("dispatched_first", [True, False])
    def test_a_late_notification_starts_nothing(
        self, operated: Gateway, s3: Any, rule: Rule, *, versioning: str, dispatched_first: bool
    ) -> None:
        """Whether it comes before or after the dispatcher has the reconcile's request, and as often as it comes."""
        if versioning:
            s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": versioning})
        event = upload(s3)
        assert {"started": 1} == states("--apply")
        if dispatched_first:
            operated.deliver_all()
        outcomes = deliver(operated, event, rule) + deliver(operated, event, rule)
        operated.deliver_all()
        assert ["orders/1.csv"] == runs(operated)
        assert isinstance(outcomes[1], AlreadyTriggered)
        assert {"ran": 1} == states()

    @pytest.mark.parametrize("versioning", ["", "Enabled"])
    def test_a_later_upload_of_the_same_bytes_is_a_new_event(
        self, operated: Gateway, s3: Any, rule: Rule, versioning: str
    ) -> None:
        """Its time is after the listing."""
        if versioning:
            s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": versioning})
        upload(s3)
        assert {"started": 1} == states("--apply")
        later = upload(s3)
        moment = datetime.fromtimestamp(time.time() + 120, UTC).isoformat()
        deliver(operated, Event({**later.envelope, "time": moment}, later.identity), rule)
        operated.deliver_all()
        assert ["orders/1.csv"] * 2 == runs(operated)

    def test_an_event_that_arrives_meanwhile_is_left_to_itself(
        self, operated: Gateway, s3: Any, rule: Rule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its attempt began before the claim was written: the second look finds its row."""
        event = upload(s3)

        def meanwhile(*_: Any) -> None:
            operated.dynamodb.delete_item(
                TableName=operated.outputs["RulesTableName"],
                Key={"partition": {"S": "brake"}, "sort": {"S": "objects"}},
            )
            assert [Triggered()] == deliver(operated, event, rule)

        monkeypatch.setattr(commands.Reconcile, "_settle", meanwhile)
        assert {"ran": 1} == states("--apply")
        assert 0 == operated.visible("trigger-analytics")
        assert ["orders/1.csv"] == runs(operated)

    @pytest.mark.parametrize("deleted", [True, False])
    @pytest.mark.usefixtures("rule")
    def test_an_object_that_changes_meanwhile_is_left(
        self, operated: Gateway, s3: Any, monkeypatch: pytest.MonkeyPatch, *, deleted: bool
    ) -> None:
        upload(s3)

        def meanwhile(*_: Any) -> None:
            if deleted:
                s3.delete_object(Bucket=BUCKET, Key="orders/1.csv")
            else:
                upload(s3, body=b"2")

        monkeypatch.setattr(commands.Reconcile, "_settle", meanwhile)
        assert {"changed": 1} == states("--apply", exit_code=commands.MISSING)
        assert 0 == operated.visible("trigger-analytics")

    def test_a_dedupe_key_that_a_listing_gives_needs_no_claim(self, operated: Gateway, s3: Any) -> None:
        """The event's own request is the same one."""
        rule = apply(operated, a_rule(dedupe_key="<$.detail.object.key>"))
        event = upload(s3)
        assert {"started": 1} == states("--apply")
        deliver(operated, event, rule)
        operated.deliver_all()
        assert ["orders/1.csv"] == runs(operated)
        assert {"ran": 1} == states()

    def test_it_backfills_a_new_rule(self, operated: Gateway, s3: Any, rule: Rule) -> None:
        deliver(operated, upload(s3), rule)
        apply(operated, a_rule("finance.new"))
        assert {"started": 1} == states("--rule", "finance.new", "--apply")
        operated.deliver_all()
        assert ["orders/1.csv"] * 2 == runs(operated)


class TestMembers:
    """A rule that collects: the object becomes a member of a batch, once."""

    @pytest.fixture
    def rule(self, operated: Gateway) -> Rule:
        return apply(operated, a_rule(collect={"key": ["<$.detail.bucket.name>"], "max_wait": "1h"}))

    @staticmethod
    def collect(gateway: Gateway, *messages: MemberMessage) -> list[str]:
        batches = BatchesTable(gateway.dynamodb, BATCHES_TABLE, now=time.time)
        collector = Collector(
            store=batches,
            claims=BatchClaims(gateway.dynamodb, BATCHES_TABLE, time.time),
            manifests=ManifestsInMemory(),
            timers=TimersInMemory(),
            late_members=LateMembersInMemory(),
            new_id=lambda: uuid.uuid4().hex,
            now=time.time,
        )
        return [each.result for each in collector.collect(messages)]

    @staticmethod
    def message(event: Event, rule: Rule) -> MemberMessage:
        assert rule.collect is not None
        message = member_of(event, rule, rule.collect)
        assert isinstance(message, MemberMessage)
        return replace(message, sent_at=time.time())

    def sent(self, gateway: Gateway) -> list[MemberMessage]:
        """What waits in the retry queue, as its function sends it on."""
        members = map(redriven_member, gateway.bodies("ingress-retry"))
        return [replace(member, sent_at=time.time()) for member in members if member is not None]

    @pytest.mark.parametrize("late_first", [True, False])
    def test_what_was_never_collected_is_collected_once(
        self, operated: Gateway, s3: Any, rule: Rule, *, late_first: bool
    ) -> None:
        collected, late = upload(s3, "1.csv"), upload(s3, "2.csv")
        self.collect(operated, self.message(collected, rule))
        assert {"collected": 1, "never": 1} == states(exit_code=commands.MISSING)
        assert {"collected": 1, "started": 1} == states("--apply")
        assert {"collected": 1, "sent": 1} == states()
        messages = [*self.sent(operated), self.message(late, rule)]
        for message in reversed(messages) if late_first else messages:
            assert ["collected"] == self.collect(operated, message)
        pointers = operated.dynamodb.scan(
            TableName=BATCHES_TABLE,
            FilterExpression="begins_with(#partition, :member)",
            ExpressionAttributeNames={"#partition": "partition"},
            ExpressionAttributeValues={":member": {"S": "member#"}},
        )["Items"]
        assert 2 == len(pointers)
        assert {"collected": 2} == states()

    def test_a_member_of_a_reserved_object_waits(
        self, operated: Gateway, s3: Any, rule: Rule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        event = upload(s3)
        results: list[str] = []

        def meanwhile(*_: Any) -> None:
            results.extend(self.collect(operated, self.message(event, rule)))

        monkeypatch.setattr(commands.Reconcile, "_settle", meanwhile)
        assert {"started": 1} == states("--apply")
        assert ["again"] == results


class Endless(Bucket):
    """A bucket with as many objects as one asks for, 1,000 a page."""

    number = 0

    def _page(self, prefix: str, position: Any, most: int) -> Page:
        begin = int(position.get("StartAfter", 0))
        listed = [
            ListedObject(BUCKET, f"{prefix}{number:07}.csv", "e1", "", time.time() - 3_600, time.time(), 1)
            for number in range(begin, begin + most)
        ]
        end = begin + most
        return Page(tuple(listed), {"StartAfter": str(end)} if end < self.number else None)


@pytest.mark.usefixtures("s3")
def test_memory_does_not_grow_with_the_number_of_objects(
    operated: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times as many take no more, but for what the collector has not freed yet; the report names the first ones."""
    apply(operated, a_rule())
    monkeypatch.setattr(commands, "Bucket", Endless)
    peaks = []
    for number in (1_000, 1_000, 10_000):  # the first one also loads what is loaded once
        monkeypatch.setattr(Endless, "number", number)
        tracemalloc.start()
        result = run("--limit", "3", "--restart")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert commands.MISSING == result.exit_code
        assert f"and {number - 3:,} more" in result.stderr
    assert peaks[2] < 1.5 * peaks[1], peaks  # a key kept of each object makes it 1.7


class TestInterrupted:
    """Each call of AWS may be the last one: the same command line continues, and starts each object once."""

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway_cli.reconcile.objects._PAGE", 2)

    def test_it_continues(
        self, operated: Gateway, s3: Any, rule: Rule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each call of the command gets one AWS call further than the one before."""
        events = [upload(s3, f"{number}.csv") for number in range(5)]
        deliver(operated, events[3], rule)
        ask, last = BaseClient._make_api_call, ""
        interrupted: list[str] = []

        def ask_few(client: Any, operation: str, params: Any) -> Any:
            nonlocal last
            last = operation
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return ask(client, operation, params)

        for few in range(1, 200):
            calls = iter(range(few))
            with monkeypatch.context() as patch:
                patch.setattr(BaseClient, "_make_api_call", ask_few)
                result = run("--apply")
            if result.exit_code == 0:
                break
            assert 1 == result.exit_code
            interrupted.append(last)
        assert {"ListObjectsV2", "Scan", "PutItem", "GetItem", "UpdateItem"} <= {*interrupted}
        operated.deliver_all()
        for event in events:
            deliver(operated, event, rule)
        assert [f"orders/{number}.csv" for number in range(5)] == runs(operated)

    @pytest.mark.parametrize("next_call", [("--apply",), ("--apply", "--restart"), None])
    def test_a_claim_whose_request_was_not_sent(
        self,
        operated: Gateway,
        s3: Any,
        rule: Rule,
        monkeypatch: pytest.MonkeyPatch,
        next_call: tuple[str, ...] | None,
    ) -> None:
        """The next call sends it, and so does one that knows nothing of the first; or the object's own event starts it."""
        event = upload(s3)
        ask = BaseClient._make_api_call

        def ask_all_but_one(client: Any, operation: str, params: Any) -> Any:
            if operation == "SendMessageBatch":
                raise KeyboardInterrupt
            return ask(client, operation, params)

        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", ask_all_but_one)
            assert 1 == run("--apply").exit_code
        assert 0 == operated.visible("trigger-analytics")
        if next_call is not None:
            assert {"started": 1} == states(*next_call)
            operated.deliver_all()
        deliver(operated, event, rule)
        assert ["orders/1.csv"] == runs(operated)


@pytest.mark.usefixtures("operated")
@pytest.mark.parametrize(
    ("words", "exit_code", "says"),
    [
        (("acme",), 1, "name a bucket or a prefix"),
        (("s3://nobody/x",), 1, "check the name"),
        (("s3://nobody/x", "--unsure"), 2, "give both"),
        (("s3://nobody/x", "--rule", "nothing"), 1, "there is no rule"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(words: tuple[str, ...], exit_code: int, says: str) -> None:
    result = shell("reconcile", *words)
    assert (exit_code, True) == (result.exit_code, says in result.stderr), result.stderr
