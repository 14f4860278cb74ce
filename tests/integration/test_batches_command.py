"""`mwaa-gateway batches` as it is used: open batches listed, shown, released or cancelled, each for itself."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from click.testing import Result

from fakes.batches import TimersInMemory
from fakes.batches_table import BATCHES_TABLE
from fakes.object_claims import FakeClaims
from fakes.rules_table import RULES_TABLE
from gateway_cli.batches.views import Batches
from gateway_cli.connection import Connection
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.shell import shell
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.manifests import ManifestBucket
from mwaa_gateway.aws.sqs.feed_queues import LateMemberQueue
from mwaa_gateway.feeds.batch import Batch, key_digest
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.routing.members import Key, Member, MemberMessage, member_digest, redriven_member
from mwaa_gateway.rules import parse_rule

Run = Callable[..., Result]

RULE = "sales.nightly"
BUCKET = "claims"
ARRIVED = 1_795_000_000.0  # 2026-11-18T11:06:40Z
DATE: Key = (("date", "2026-11-18"),)
NEXT: Key = (("date", "2026-11-19"),)


def document(rule_id: str = RULE, **collect: Any) -> str:
    """A rule that collects, as its members carry it."""
    rule = {
        "id": rule_id,
        "pattern": {"source": ["aws.s3"]},
        "captures": {"detail.object.key": "orders/{date}/{region}.csv"},
        "collect": {"key": ["<date>"], "quiet_period": "10m", "max_wait": "20d"} | collect,
        "target": {"environment": "analytics", "dag_id": "load_orders"},
    }
    return json.dumps(parse_rule(rule, environments=None).document())


REGIONS = document(complete_when={"values": {"of": "<region>", "all_of": ["eu", "us", "apac"]}})


def member(name: str, distinct: str | None = None) -> Member:
    return Member(member_digest(name), {"uri": f"s3://landing/{name}", "size": 10}, distinct or name)


@dataclass
class Feeds:
    """The gateway's batches, with the collector's part played by the test."""

    gateway: Gateway
    store: BatchesTable
    ids: int = 0

    def collect(
        self,
        *members: Member,
        key: Key = DATE,
        rule: str = RULE,
        text: str | None = None,
        at: float = ARRIVED,
    ) -> str:
        """Collect members; return the id of their batch."""
        text = text or document(rule)
        return self.deliver(*(MemberMessage(rule, 3, text, key, each, at) for each in members))

    def deliver(self, *messages: MemberMessage) -> str:
        """Deliver messages of the collect queue; return the id of their batch, "" for late members."""
        collector = Collector(
            store=self.store,
            claims=FakeClaims(),
            manifests=ManifestBucket(lambda: boto3.client("s3"), BUCKET),
            timers=TimersInMemory(),
            late_members=LateMemberQueue(self.gateway.sqs, self.gateway.queue("ingress-dlq")),
            new_id=self.new_id,
            now=lambda: 0.0,
        )
        (batch_id,) = {collected.batch_id for collected in collector.collect(messages)}
        return batch_id

    def new_id(self) -> str:
        self.ids += 1
        return f"b{self.ids}"

    def spoil(self, batch_id: str, **content: Any) -> None:
        """Write something into a batch that no version of the gateway can read."""
        self.gateway.dynamodb.update_item(
            TableName=BATCHES_TABLE,
            Key={"partition": {"S": f"batch#{batch_id}"}, "sort": {"S": "batch"}},
            UpdateExpression="SET content = :content",
            ExpressionAttributeValues={":content": {"S": json.dumps(content)}},
        )

    def state(self, batch_id: str) -> tuple[str, str, str]:
        batch = self.store.batch(batch_id)
        assert batch is not None
        return batch.state, batch.reason, batch.by


@pytest.fixture
def feeds(operated: Gateway) -> Feeds:
    """The gateway that the command is for, with a batches table and a bucket for manifests."""
    boto3.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    operated.outputs |= {
        "ClaimCheckBucketName": BUCKET,
        "EventBusName": "default",
    }
    return Feeds(operated, BatchesTable(operated.dynamodb, BATCHES_TABLE, now=lambda: ARRIVED))


def run(*words: str, typed: str | None = None) -> Result:
    return shell("batches", *words, typed=typed)


def listed(*words: str) -> list[dict[str, Any]]:
    return json.loads(run("list", *words, "-o", "json").stdout)


def shown(batch_id: str) -> dict[str, Any]:
    return json.loads(run("show", batch_id, "-o", "json").stdout)


class TestList:
    def test_each_open_batch_with_what_it_has_and_lacks_oldest_first(self, feeds: Feeds) -> None:
        second = feeds.collect(member("c"), key=NEXT, at=ARRIVED + 60)
        first = feeds.collect(member("a", "eu"), member("b", "eu"), text=REGIONS)

        assert listed() == [
            {
                "id": first,
                "rule_id": RULE,
                "rule_version": 3,
                "key": {"date": "2026-11-18"},
                "number": 1,
                "state": "open",
                "late": False,
                "expected": False,
                "members": 2,
                "first_at": "2026-11-18T11:06:40Z",
                "due_at": None,
                "when_due": None,
                "overdue": False,
                "next_look_at": "2026-12-08T11:06:40Z",
                "missing": ["us", "apac"],
            },
            {
                "id": second,
                "rule_id": RULE,
                "rule_version": 3,
                "key": {"date": "2026-11-19"},
                "number": 1,
                "state": "open",
                "late": False,
                "expected": False,
                "members": 1,
                "first_at": "2026-11-18T11:07:40Z",
                "due_at": None,
                "when_due": None,
                "overdue": False,
                "next_look_at": "2026-11-18T11:17:40Z",
                "missing": [],
            },
        ]

    def test_the_table_for_people(self, feeds: Feeds) -> None:
        regions = [f"r{number}" for number in range(8)]
        text = document(complete_when={"values": {"of": "<region>", "all_of": regions}})
        feeds.collect(member("a", "r0"), text=text)

        result = run("list")

        heading, _, row = result.stdout.splitlines()[:3]
        assert heading.split("  ")[0] == "ID"
        assert "date=2026-11-18" in row
        assert "r1, r2, r3, r4, r5 and 2 more" in row
        assert (0, "") == (result.exit_code, result.stderr)

    def test_the_filters(self, feeds: Feeds) -> None:
        here = feeds.collect(member("a"))
        there = feeds.collect(member("b"), key=NEXT)
        other = feeds.collect(member("c"), rule="sales.other")

        assert {each["id"] for each in listed("--rule", RULE)} == {here, there}
        assert {each["id"] for each in listed("--key", "date=2026-11-18")} == {here, other}
        assert [each["id"] for each in listed("--rule", RULE, "--key", "date=2026-11-19")] == [there]

    def test_what_nothing_passes_is_said_and_a_name_that_nobody_has_is_refused(self, feeds: Feeds) -> None:
        assert "there are no open batches" in run("list").stderr
        feeds.collect(member("a"))

        nothing = run("list", "--key", "date=2020-01-01")
        assert (0, "nothing matches: there are no open batches of this key\n") == (
            nothing.exit_code,
            nothing.stderr,
        )
        for words, hint in (
            (("--key", "dat=2026-11-18"), "did you mean 'date'"),
            (("--rule", "sales.nightli"), "did you mean 'sales.nightly'"),
        ):
            refused = run("list", *words)
            assert (1, True) == (refused.exit_code, hint in refused.stderr), refused.stderr
        assert run("list", "--key", "date").exit_code == 2

    def test_a_due_time_and_what_is_overdue(self, feeds: Feeds) -> None:
        """Also a day on which nothing has arrived: its batch has no members."""
        due = {"due": {"after": "1h"}, "when_due": "report"}
        text = document(complete_when={"values": {"of": "<region>", "all_of": ["eu", "us"]}}, **due)
        late, on_time = feeds.collect(member("a", "eu"), text=text), feeds.collect(member("b"), key=NEXT)
        feeds.store.mark_overdue(late)
        absent = Batch(
            id="absent", rule_id=RULE, rule_version=3, document=text, key=(("date", "2026-11-20"),), number=1,
            first_at=ARRIVED, due_at=ARRIVED, is_expected=True,
        )  # fmt: skip
        feeds.store.open_batch(absent)
        feeds.store.mark_overdue(absent.id)

        rows = {row["id"]: row for row in listed("--overdue")}

        assert rows.keys() == {late, "absent"}
        assert {row["id"] for row in listed()} == {late, on_time, "absent"}
        row = rows[late]
        assert (row["due_at"], row["when_due"], row["overdue"]) == ("2026-11-18T12:06:40Z", "report", True)
        row = rows["absent"]
        assert (row["members"], row["expected"], row["missing"]) == (0, True, ["eu", "us"])
        people = run("list", "--overdue", "--key", "date=2026-11-20").stdout
        assert "2026-11-18 11:06    2026-11-18 12:06" in people
        assert "open, overdue, expected" in people
        assert run("list", "--overdue", "--key", "date=2026-11-19").stderr == (
            "nothing matches: there are no open overdue batches of this key\n"
        )

    def test_the_limit_says_how_many_there_are_more(self, feeds: Feeds) -> None:
        for number in range(3):
            feeds.collect(member(f"{number}"), key=(("date", f"{number}"),), at=ARRIVED + number)
        result = run("list", "--limit", "2", "-o", "json")
        assert [each["key"]["date"] for each in json.loads(result.stdout)] == ["0", "1"]
        assert "1 more" in result.stderr

    def test_a_batch_that_cannot_be_read_stops_no_other(self, feeds: Feeds) -> None:
        """Neither one whose item is unreadable, nor one whose rule is."""
        unreadable, good = feeds.collect(member("a")), feeds.collect(member("b"), key=NEXT)
        feeds.spoil(unreadable, strange=True)
        broken = feeds.collect(member("c"), rule="sales.broken", text=document("sales.broken"))
        batch = feeds.store.batch(broken)
        assert batch is not None
        feeds.spoil(
            broken,
            id=broken, rule_id=batch.rule_id, rule_version=3, document="{}", key=[["date", "2026-11-18"]],
            number=1, first_at=ARRIVED, is_late=False,
        )  # fmt: skip

        result = run("list", "-o", "json")

        assert [each["id"] for each in json.loads(result.stdout)] == [good]
        assert result.exit_code == 1
        assert f"{unreadable}: this version cannot read the batch" in result.stderr
        assert f"{broken}: " in result.stderr
        assert "2 batches could not be read" in result.stderr


class TestShow:
    def test_when_an_open_batch_is_released_and_when_at_the_latest(self, feeds: Feeds) -> None:
        """By the function that decides: the end of max_wait lies in every test's future, the quiet period in none's past."""
        future = 4e9
        batch = feeds.collect(member("a"), at=future)
        feeds.collect(member("b"), at=future + 60)

        found = shown(batch)

        assert (found["members"], found["different"], found["missing"]) == (2, 2, [])
        assert found["last_at"] == "2096-10-02T07:07:40Z"
        assert found["releases_at"] == "2096-10-02T07:17:40Z"
        assert found["releases_because"] == "no member arrives for the quiet period"
        assert found["releases_at_the_latest"] == "2096-10-22T07:06:40Z"

    def test_an_incomplete_batch_waits_for_max_wait(self, feeds: Feeds) -> None:
        batch = feeds.collect(member("a", "eu"), text=REGIONS, at=4e9)
        found = shown(batch)
        assert found["missing"] == ["us", "apac"]
        assert found["releases_because"] == "it has waited for max_wait"
        assert found["releases_at"] == found["releases_at_the_latest"] == "2096-10-22T07:06:40Z"

    def test_each_part_with_its_members_and_what_becomes_of_late_ones(self, feeds: Feeds) -> None:
        parts = {
            "orders": {"pattern": {"source": ["aws.s3"]}, "captures": {"detail.object.key": "orders/{date}/{file}"}},
            "customers": {"pattern": {"source": ["crm"]}, "captures": {"detail.day": "{date}"}, "at_least": 2},
        }  # fmt: skip
        rule = {
            "id": RULE,
            "collect": {
                "key": ["<date>"],
                "max_wait": "1d",
                "complete_when": {"parts": parts},
                "late": "ignore",
            },
            "target": {"environment": "analytics", "dag_id": "load_orders"},
        }
        text = json.dumps(parse_rule(rule, environments=None).document())
        of_orders = [replace(member(name), part="orders") for name in ("a", "b")]
        batch = feeds.collect(*of_orders, text=text, at=4e9)

        found = shown(batch)

        assert found["parts"] == {"orders": "2 of 1", "customers": "0 of 2"}
        assert (found["missing"], found["late_members"]) == (["2 of 2 members of customers"], "ignore")
        assert "orders=2 of 1, customers=0 of 2\n" in run("show", batch).stdout

    def test_a_late_batch_has_its_quiet_period_alone(self, feeds: Feeds) -> None:
        feeds.collect(member("a", "eu"), text=REGIONS)
        head = feeds.store.head(RULE, key_digest(DATE))
        assert head is not None
        following = replace(head, batch_id="next", number=2, follows_a_complete_one=True)
        feeds.store.advance_head(following, head.batch_id)
        late = feeds.collect(member("again"), text=REGIONS, at=4e9)
        found = shown(late)
        assert (True, "2096-10-02T07:11:40Z", None) == (
            found["late"],
            found["releases_at"],
            found["releases_at_the_latest"],
        )

    def test_a_released_batch_with_who_why_manifest_and_runs(self, feeds: Feeds) -> None:
        batch = feeds.collect(member("a"), member("b"))
        assert run("release", batch, "--by", "me").exit_code == 0

        found = shown(batch)

        assert (found["state"], found["reason"], found["by"]) == ("released", "operator", "me")
        assert (found["members"], found["complete"], found["next_look_at"]) == (2, True, None)
        (each,) = found["runs"]
        assert (each["environment"], each["dag_id"]) == ("analytics", "load_orders")
        key = found["manifest"].removeprefix(f"s3://{BUCKET}/")
        body = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
        assert {line["uri"] for line in lines} == {"s3://landing/a", "s3://landing/b"}
        people = run("show", batch).stdout
        assert f"manifest      {found['manifest']}" in people
        assert each["run_id"] in people
        assert "key           date=2026-11-18\n" in people

    def test_an_id_that_nobody_has(self, feeds: Feeds) -> None:  # noqa: ARG002
        result = run("show", "nothing")
        assert (1, True) == (
            result.exit_code,
            "nothing: there is no such batch: `mwaa-gateway batches list`" in result.stderr,
        )


class TestRelease:
    def test_a_released_batch_is_one_run_however_often_it_is_released(self, feeds: Feeds) -> None:
        batch = feeds.collect(member("a"), member("b"))

        first, again = run("release", batch), run("release", batch)

        assert (0, "released: 1, left as they are: 0\n") == (first.exit_code, first.stdout)
        assert again.exit_code == 1
        assert f"{batch}: it was released by" in again.stderr
        assert feeds.gateway.deliver_all() == [Triggered()]
        state, reason, by = feeds.state(batch)
        assert (state, reason, by.startswith("arn:aws:")) == ("released", "operator", True)
        assert listed() == []

    def test_a_dry_run_shows_and_changes_nothing(self, feeds: Feeds) -> None:
        batch = feeds.collect(member("a"))
        for command, done in (("release", "released"), ("cancel", "cancelled")):
            result = run(command, "--rule", RULE, "--dry-run")
            assert (0, True, True) == (
                result.exit_code,
                batch in result.stdout,
                f"1 batch would be {done}" in result.stderr,
            )
        assert feeds.state(batch) == ("open", "", "")
        assert feeds.gateway.visible("trigger-analytics") == 0

    def test_by_filter_and_all(self, feeds: Feeds) -> None:
        here, there = feeds.collect(member("a")), feeds.collect(member("b"), key=NEXT)
        assert run("release", "--key", "date=2026-11-18").exit_code == 0
        assert (feeds.state(here)[0], feeds.state(there)[0]) == ("released", "open")
        result = run("release", "--all", "-o", "json")
        assert json.loads(result.stdout) == {"released": [there], "left": []}

    def test_without_a_choice_nothing_is_released(self, feeds: Feeds) -> None:
        batch = feeds.collect(member("a"))
        assert run("release").exit_code == 2
        assert run("release", batch, "--rule", RULE).exit_code == 2
        assert feeds.state(batch)[0] == "open"

    def test_a_bad_batch_stops_no_other(self, feeds: Feeds) -> None:
        """An unknown id, a cancelled batch, one that cannot be read, and one whose queue is gone; the fifth is released."""
        cancelled = feeds.collect(member("a"))
        run("cancel", cancelled, "--yes", "--by", "me")
        unreadable = feeds.collect(member("b"), key=NEXT)
        feeds.spoil(unreadable, strange=True)
        gone = document("sales.gone").replace('"analytics"', '"removed"')
        without_queue = feeds.collect(member("c"), rule="sales.gone", text=gone)
        good = feeds.collect(member("d"), rule="sales.other")

        result = run("release", "unknown", cancelled, unreadable, without_queue, good)

        assert "released: 1, left as they are: 4" in result.stdout
        assert result.exit_code == 1
        for batch_id, why in (
            ("unknown", "there is no such batch"),
            (cancelled, "it was cancelled by me"),
            (unreadable, "this version cannot read the batch"),
            (without_queue, "environment 'removed'"),
        ):
            assert f"{batch_id}: {why}" in result.stderr
        assert feeds.state(good)[0] == "released"
        assert feeds.state(without_queue)[0] == "releasing"  # the next look tries again

    def test_a_rule_whose_batches_all_fail_stops_no_other_rule(self, feeds: Feeds) -> None:
        """After five in a row the command skips the rest of that rule, for time's sake, and says so."""
        gone = document("sales.gone").replace('"analytics"', '"removed"')
        for number in range(20):
            key = (("date", f"{number:02}"),)
            feeds.collect(member(f"{number}"), rule="sales.gone", text=gone, key=key, at=ARRIVED + number)
        good = feeds.collect(member("good"), rule="sales.other", at=ARRIVED + 100)

        result = run("release", "--all")

        assert "released: 1, left as they are: 20" in result.stdout
        assert "skipped, because those before it failed" in result.stderr
        assert feeds.state(good)[0] == "released"

    def test_a_target_that_refuses_the_batch_is_shown(self, feeds: Feeds) -> None:
        rule = json.loads(document())
        (target,) = rule["targets"]
        target |= {"dag_id": "load_<date>", "allowed_dag_ids": ["other_*"]}
        batch = feeds.collect(member("a"), text=json.dumps(rule))
        result = run("release", batch)
        assert "released: 1" in result.stdout
        assert f"{batch}: a target starts no run: " in result.stderr
        assert shown(batch)["refused"] != []


class TestAfterwards:
    """What operators do once a batch is released."""

    def test_a_rerun_is_the_next_generation_with_the_same_manifest(self, feeds: Feeds) -> None:
        """As it was pinned, and as the current rule makes it."""
        RulesStore(feeds.gateway.dynamodb, RULES_TABLE).put(
            parse_rule(json.loads(document()), environments=None), by="me", now=datetime.now(UTC)
        )
        batch = feeds.collect(member("a"), member("b"))
        run("release", batch)
        assert feeds.gateway.deliver_all() == [Triggered()]
        (released,) = shown(batch)["runs"]

        for words in ((), ("--generation", "2", "--with-current-rule")):
            result = shell("rerun", "--rule", RULE, *words)
            assert result.exit_code == 0, result.stderr
            assert feeds.gateway.deliver_all() == [Triggered()]

        first, *again = (
            feeds.gateway.airflow.runs["load_orders", f"{released['run_id']}{generation}"].conf
            for generation in ("", "__r1", "__r2")
        )
        for conf, generation in zip(again, (1, 2), strict=True):
            assert conf["mwaa_gateway"]["generation"] == generation
            assert conf["mwaa_gateway"]["batch"] == first["mwaa_gateway"]["batch"]
        assert first["mwaa_gateway"]["batch"]["manifest"] == shown(batch)["manifest"]

    def test_a_late_member_that_is_redriven_opens_a_late_batch(self, feeds: Feeds) -> None:
        """Its rule sends late members to the ingress dead-letter queue."""
        text = document(complete_when={"count": 1}, late="dead_letter")
        first = feeds.collect(member("a"), text=text)
        feeds.store.mark_collected(first, 4e9)
        looked = Batches.of(Connection(None, "gateway", None, None, None, False, ())).releaser.look(first)
        assert looked.decision is not None
        assert looked.decision.is_complete
        assert feeds.collect(member("b"), text=text) == ""
        (dead,) = json.loads(shell("dlq", "list", "-o", "json").stdout)
        assert (dead["reason"], dead["rule_id"]) == ("late_member", RULE)

        assert shell("dlq", "redrive", "--reason", "late_member").exit_code == 0

        (body,) = feeds.gateway.bodies("ingress-retry")
        redriven = redriven_member(body)
        assert redriven is not None
        late = feeds.deliver(replace(redriven, sent_at=ARRIVED))
        assert feeds.deliver(replace(redriven, sent_at=ARRIVED)) == late
        found = shown(late)
        assert (found["late"], found["members"], found["number"]) == (True, 1, 2)
        assert json.loads(shell("dlq", "list", "-o", "json").stdout) == []


class TestCancel:
    def test_a_cancelled_batch_starts_no_run(self, feeds: Feeds) -> None:
        batch = feeds.collect(member("a"), member("b"))

        no = run("cancel", batch, typed="n\n")
        assert (1, True, True) == (
            no.exit_code,
            "Cancel 1 batch with 2 members?" in no.stderr,
            "nothing was cancelled" in no.stderr,
        )
        assert feeds.state(batch)[0] == "open"
        yes = run("cancel", batch, typed="y\n")
        assert (0, True) == (yes.exit_code, "cancelled: 1, left as they are: 0" in yes.stdout)

        assert feeds.gateway.visible("trigger-analytics") == 0
        assert feeds.state(batch)[:2] == ("cancelled", "cancelled")
        found = shown(batch)
        assert (found["runs"], found["reason"], found["manifest"] is not None) == ([], "cancelled", True)
        for command in ("release", "cancel"):
            again = run(command, batch)
            assert (1, True) == (again.exit_code, f"{batch}: it was cancelled by" in again.stderr)

    def test_a_release_that_has_begun_is_ended_and_not_cancelled(
        self, feeds: Feeds, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its time comes between the question and the answer, and the releaser crashes half-way."""
        batch = feeds.collect(member("a"))

        def confirm(*_: Any, **__: Any) -> bool:
            feeds.store.begin_release(batch, "quiet_period", by="", due_at=1.0)
            return True

        monkeypatch.setattr("click.confirm", confirm)
        result = run("cancel", batch)

        assert "cancelled: 0, left as they are: 1" in result.stdout
        assert f"{batch}: meanwhile its release began (quiet_period)" in result.stderr
        assert feeds.state(batch)[:2] == ("released", "quiet_period")
        assert feeds.gateway.visible("trigger-analytics") == 1

    def test_a_batch_that_is_released_meanwhile_is_not_cancelled(
        self, feeds: Feeds, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the question and the answer."""
        batch = feeds.collect(member("a"))

        def confirm(*_: Any, **__: Any) -> bool:
            assert run("release", batch, "--by", "another").exit_code == 0
            return True

        monkeypatch.setattr("click.confirm", confirm)
        result = run("cancel", batch)

        assert (1, True) == (
            result.exit_code,
            f"{batch}: meanwhile it was released by another (operator)" in result.stderr,
        )
        assert feeds.gateway.visible("trigger-analytics") == 1
