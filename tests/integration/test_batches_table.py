"""The batches table in DynamoDB keeps what its port promises, as the one in memory does."""

import gzip
import json
from dataclasses import replace
from typing import Any

import boto3
import pytest

from fakes.batches import BatchesInMemory
from fakes.batches_table import BATCHES_TABLE, create_batches_table
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.manifests import ManifestBucket
from mwaa_gateway.aws.sqs.collect_queue import CollectQueue
from mwaa_gateway.aws.sqs.feed_queues import LookQueue
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.feeds.batch import Batch, BatchStore, Decision, Head, Pointer, Segment
from mwaa_gateway.routing.members import CHECKS, Member, MemberMessage

A, B = "a" * 32, "b" * 32
HEAD = Head("sales.nightly", "k" * 32, "batch-1")
BATCH = Batch(
    id="batch-1",
    rule_id="sales.nightly",
    rule_version=3,
    document='{"id": "sales.nightly"}',
    key=(("date", "2026-11-22"), ("region", "eu")),
    number=2,
    first_at=1_000.125,
    due_at=1_600.125,
    is_late=True,
)
POINTER = Pointer("sales.nightly", Member(A, {"uri": "s3://b/é"}, "s3://b/é"), "batch-1", "s-1", "k" * 32)
MARKER = Pointer("sales.nightly", Member(B, {}, "", "marker", 7), "batch-1", "s-1", "k" * 32)
DECISION = Decision(
    "batch-1", "max_wait", False, 2, "s3://claims/feeds/x", (B,), ("eu", "us"), ('{"run": 1}',), ("no",)
)


@pytest.fixture
def table(aws: None) -> BatchesTable:  # noqa: ARG001
    client = boto3.client("dynamodb")
    create_batches_table(client)
    return BatchesTable(client, BATCHES_TABLE, now=lambda: 1_000.0, pause=lambda _: None)


@pytest.fixture(params=["in memory", "in DynamoDB"])
def store(request: pytest.FixtureRequest) -> BatchStore:
    if request.param == "in memory":
        return BatchesInMemory()
    return request.getfixturevalue("table")  # type: ignore[no-any-return]


class TestHead:
    def test_the_first_one_stays(self, store: BatchStore) -> None:
        assert store.head("sales.nightly", "k" * 32) is None
        store.create_head(HEAD)
        store.create_head(replace(HEAD, batch_id="another"))
        assert store.head("sales.nightly", "k" * 32) == HEAD

    def test_it_advances_from_the_batch_that_it_names_only(self, store: BatchStore) -> None:
        store.create_head(HEAD)
        following = Head(HEAD.rule_id, HEAD.key, "batch-2", 2, follows_a_complete_one=True)
        store.advance_head(replace(following, batch_id="lost"), "another")
        assert store.head(HEAD.rule_id, HEAD.key) == HEAD
        store.advance_head(following, "batch-1")
        assert store.head(HEAD.rule_id, HEAD.key) == following

    def test_an_expired_one_does_not_come_back(self, store: BatchStore) -> None:
        store.advance_head(replace(HEAD, batch_id="batch-2"), "batch-1")
        assert store.head(HEAD.rule_id, HEAD.key) is None


class TestBatch:
    def test_it_opens_once(self, store: BatchStore) -> None:
        assert store.batch("batch-1") is None
        assert store.open_batch(BATCH)
        assert not store.open_batch(replace(BATCH, number=9))
        assert store.batch("batch-1") == BATCH

    def test_the_next_look_moves_only_if_nobody_moved_it(self, store: BatchStore) -> None:
        store.open_batch(BATCH)
        assert store.look_again(BATCH, 1_700.5)
        assert not store.look_again(BATCH, 1_800.0)
        assert store.batch("batch-1") == replace(BATCH, due_at=1_700.5)

    def test_the_first_reason_stays(self, store: BatchStore) -> None:
        store.open_batch(BATCH)
        releasing = replace(BATCH, state="releasing", reason="cancelled", by="me")
        assert store.begin_release("batch-1", "cancelled", "me", BATCH.due_at) == releasing
        assert store.begin_release("batch-1", "quiet_period", "", 9_000.0) == releasing
        assert not store.look_again(releasing, 1_900.0)
        assert store.batch("batch-1") == releasing

    @pytest.mark.parametrize(("reason", "state"), [("cancelled", "cancelled"), ("max_wait", "released")])
    def test_it_ends(self, store: BatchStore, reason: Any, state: Any) -> None:
        store.open_batch(BATCH)
        store.begin_release("batch-1", reason, "", 1_000.0)
        store.end_release("batch-1", reason)
        assert store.batch("batch-1") == replace(BATCH, state=state, reason=reason, due_at=None)


class TestMembers:
    def test_segments(self, store: BatchStore) -> None:
        first, second = Segment("s-1", (A, B), 1_000.5), Segment("s-2", (B,), 2_000.0)
        store.add_segment("batch-1", second)
        store.add_segment("batch-1", first)
        store.add_segment("batch-2", first)
        assert [*store.segments("batch-1")] == [first, second]

    def test_the_first_pointer_stays(self, store: BatchStore) -> None:
        assert [*store.point([POINTER, MARKER])] == [POINTER, MARKER]
        later = replace(POINTER, batch_id="batch-2")
        assert [*store.point([later])] == [POINTER]
        assert store.pointers("sales.nightly", [A, B, "c" * 32]) == {A: POINTER, B: MARKER}
        assert store.pointers("another.rule", [A]) == {}

    def test_it_moves_from_the_segment_that_it_names_only(self, store: BatchStore) -> None:
        store.point([POINTER])
        to = replace(POINTER, batch_id="batch-2", segment="s-9")
        store.move_pointer(replace(POINTER, segment="s-2"), to)
        assert store.pointers("sales.nightly", [A]) == {A: POINTER}
        store.move_pointer(POINTER, to)
        assert store.pointers("sales.nightly", [A]) == {A: to}

    def test_more_than_one_call_can_read(self, store: BatchStore) -> None:
        pointers = [replace(POINTER, member=Member(f"{number:032x}", {}, "")) for number in range(120)]
        store.point(pointers)
        assert len(store.pointers("sales.nightly", [each.member.id for each in pointers])) == 120


def test_the_first_decision_stays(store: BatchStore) -> None:
    assert store.decision("batch-1") is None
    assert store.decide(DECISION) == DECISION
    assert store.decide(replace(DECISION, count=9)) == DECISION
    assert store.decision("batch-1") == DECISION


class TestDue:
    def test_batches_are_due_until_they_are_released(self, table: BatchesTable) -> None:
        for number in range(20):
            table.open_batch(replace(BATCH, id=f"batch-{number}", due_at=float(number)))
        table.begin_release("batch-3", "max_wait", "", 6.5)
        table.begin_release("batch-4", "max_wait", "", 1_500.0)
        table.end_release("batch-4", "max_wait")
        table.look_again(replace(BATCH, id="batch-5", due_at=5.0), 50.0)
        due = [(f"batch-{number}", float(number)) for number in (0, 1, 2, 6, 7)]
        assert sorted(table.due(7.0)) == sorted([*due, ("batch-3", 6.5)])

    def test_a_batch_that_this_sandbox_opened_costs_no_second_write(self, table: BatchesTable) -> None:
        """And one that is gone does not disappear silently."""
        table.open_batch(BATCH)
        boto3.client("dynamodb").delete_table(TableName=BATCHES_TABLE)
        assert not table.open_batch(BATCH)
        with pytest.raises(Unavailable, match="ResourceNotFound"):
            table.batch("batch-1")


class TestUnprocessed:
    """DynamoDB may leave keys of a read unprocessed: no pointer may count as absent for that."""

    class Client:
        """A client that leaves all keys of the first reads."""

        def __init__(self, client: Any, times: int) -> None:
            self._client, self.times, self.exceptions = client, times, client.exceptions

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803  boto3's name
            if not self.times:
                return self._client.batch_get_item(RequestItems=RequestItems)
            self.times -= 1
            return {"Responses": {}, "UnprocessedKeys": RequestItems}

    def test_they_are_read_again(self, table: BatchesTable) -> None:
        table.point([POINTER])
        client = self.Client(boto3.client("dynamodb"), times=3)
        again = BatchesTable(client, BATCHES_TABLE, now=lambda: 1.0, pause=lambda _: None)  # type: ignore[arg-type]
        assert again.pointers("sales.nightly", [A]) == {A: POINTER}

    def test_in_the_end_the_read_fails(self, table: BatchesTable) -> None:
        table.point([POINTER])
        client = self.Client(boto3.client("dynamodb"), times=99)
        never = BatchesTable(client, BATCHES_TABLE, now=lambda: 1.0, pause=lambda _: None)  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match="unprocessed"):
            never.pointers("sales.nightly", [A])


def test_a_manifest_has_a_line_for_each_member(aws: None) -> None:  # noqa: ARG001
    """Its name is its content's, so that storing it again changes nothing."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="claims", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    bucket = ManifestBucket(lambda: s3, "claims")

    uri = bucket.put(BATCH, [POINTER.member, Member(B, {"source": "acme", "id": "e-1"}, "")])

    assert uri == bucket.put(BATCH, [POINTER.member, Member(B, {"source": "acme", "id": "e-1"}, "")])
    assert uri.startswith("s3://claims/feeds/sales.nightly/batch-1/")
    assert bucket.members(uri) == {A, B}
    (stored,) = s3.list_objects_v2(Bucket="claims")["Contents"]
    body = s3.get_object(Bucket="claims", Key=stored["Key"])["Body"].read()
    assert [json.loads(line) for line in gzip.decompress(body).splitlines()] == [
        {"uri": "s3://b/é", "member_id": A},
        {"source": "acme", "id": "e-1", "member_id": B},
    ]


def test_queues(aws: None) -> None:  # noqa: ARG001
    """A member's message carries its rule and no time; a look is delayed, by 15 minutes at most."""
    sqs = boto3.client("sqs")
    collect, look = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("collect", "look"))
    message = MemberMessage(
        "sales.nightly", 3, '{"id":"sales.nightly"}', BATCH.key, POINTER.member, sent_at=5.0
    )

    CollectQueue(sqs, collect).collect([message] * 11)
    bodies = []
    for _ in range(2):
        received = sqs.receive_message(QueueUrl=collect, MaxNumberOfMessages=10)
        bodies += [each["Body"] for each in received.get("Messages", [])]
    assert LookQueue(sqs, look).look([("batch-1", 0), ("batch-2", 5_000.5)]) == {}
    LookQueue(sqs, look).check("batch-3")

    assert [MemberMessage.from_json(body, 5.0) for body in bodies] == [message] * 11
    seen = sqs.receive_message(QueueUrl=look, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])
    groups = {each["Body"]: each["Attributes"].get("MessageGroupId") for each in seen["Messages"]}
    assert groups == {"batch-1": None, "batch-3": CHECKS}
