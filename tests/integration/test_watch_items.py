"""The watches in DynamoDB, compared with the in-memory fake that the watcher's tests use; the sealed token."""

import io
from dataclasses import replace

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber

from fakes.ledger_table import LEDGER_TABLE
from fakes.states import payload
from fakes.watches import FakeWatchStore
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.task_callbacks import TaskCallbacks, TokenCipher
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Reason, Rejected, Triggered
from mwaa_gateway.step_functions.task_call import Token, read_task_call
from mwaa_gateway.step_functions.watches import (
    ExecutionOver,
    Failed,
    IdentityTaken,
    Opened,
    Succeeded,
    TokenClosed,
    UnreadableWatch,
    Watch,
)
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id

ENDED = Succeeded({"state": "success"})
OPENED = Opened(0, "analytics", "load")


@pytest.fixture
def items(dynamodb):
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    return WatchItems(dynamodb, LEDGER_TABLE, TokenCipher(boto3.client("kms"), key), now=lambda: 2_000.0)


@pytest.fixture(params=["dynamodb", "fake"])
def store(request):
    """Both have to behave alike."""
    return request.getfixturevalue("items") if request.param == "dynamodb" else FakeWatchStore()


def asked(environment: str = "analytics", dag_id: str = "load", **given):
    call = read_task_call(payload(**given))
    target = ResolvedTarget(
        environment, dag_id, derive_run_id(call.event.identity, "r", "default"), {}, watched=True
    )
    return call, TriggerRequest(
        call.event.identity, call.event.envelope, "r", 1, "default", target, None, 1.0
    )


def opened(store, now: float = 1_000.0, **given):
    return store.open(*asked(**given), now)


def test_a_watch_is_found_with_its_token_until_it_is_closed(store):
    """Then it is in no list, and its token is nowhere."""
    assert opened(store, wait={"heartbeat_seconds": 60, "return_value_of": "count"}) == OPENED
    [watch] = store.watched("analytics")
    call, request = asked(wait={"heartbeat_seconds": 60, "return_value_of": "count"})
    assert watch.ledger_key == request.ledger_key
    assert (watch.run_id, watch.dag_id, watch.wait) == (request.target.run_id, "load", call.wait)
    assert (watch.since, watch.waiting_since, watch.ending) == (1_000.0, 1_000.0, None)
    assert store.token(watch).text == "token-1"
    assert store.watched("legacy") == []
    store.close(watch, "answered")
    assert store.watched("analytics") == []
    with pytest.raises(TokenClosed):
        store.token(watch)


def test_the_same_call_twice_is_one_watch(store):
    """Step Functions' own retry of a call that was answered too late."""
    assert [opened(store), opened(store)] == [OPENED, OPENED]
    assert len(store.watched("analytics")) == 1


def test_an_end_is_kept_once_and_only_for_the_token_it_is_about(store):
    """A second watcher, or one that slept, changes nothing."""
    opened(store)
    [old] = store.watched("analytics")
    assert opened(store, token="token-2", retry_count=1) == OPENED
    assert store.record_ending(old, ENDED) is False
    [watch] = store.watched("analytics")
    assert store.record_ending(watch, ENDED) is True
    assert store.watched("analytics") == [replace(watch, ending=ENDED, decided_at=2_000.0)]
    store.close(old, "late")
    assert len(store.watched("analytics")) == 1
    store.close(watch, "answered")
    assert store.record_ending(watch, ENDED) is False


def test_the_first_end_that_is_recorded_stays(store):
    """A watcher that saw another end, late, is refused; the same end once more, as its own write, is not."""
    opened(store)
    [watch] = store.watched("analytics")
    assert store.record_ending(watch, ENDED) is True
    assert store.record_ending(watch, Failed("DagRunFailed", {})) is False
    assert [one.ending for one in store.watched("analytics")] == [ENDED]


def test_no_end_is_recorded_for_a_watch_that_is_closed(store):
    """Nobody waits there."""
    opened(store)
    [watch] = store.watched("analytics")
    store.close(watch, "nobody waits any more")
    assert store.record_ending(watch, ENDED) is False


def test_the_token_of_an_older_wait_is_not_to_be_had(store):
    """A list may still show the old wait: its end must not be sent with the newer token."""
    opened(store)
    [old] = store.watched("analytics")
    opened(store, token="token-2", retry_count=1)
    with pytest.raises(TokenClosed):
        store.token(old)
    [watch] = store.watched("analytics")
    assert store.token(watch).text == "token-2"


def test_a_watch_is_read_consistently(items, dynamodb, monkeypatch):
    """An older state of it would open a watch that is closed, or close one that waits."""
    opened(items)
    [watch] = items.watched("analytics")
    reads, read = [], dynamodb.get_item

    def get_item(**request):
        reads.append(request["ConsistentRead"])
        return read(**request)

    monkeypatch.setattr(dynamodb, "get_item", get_item)
    items.token(watch)
    opened(items, token="token-2", retry_count=1)
    assert reads == [True, True]


@pytest.mark.guarantee(43)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wait", {"S": "[]"}),
        ("run_id", {"BOOL": True}),
        ("wait", {"S": '{"heartbeat_seconds": 60, "of_a_newer_version": 1}'}),
        ("ending", {"S": "no JSON"}),
        ("ending", {"S": '{"neither": 1}'}),
        ("waiting_since", {"S": "not a number"}),
    ],
)
def test_an_item_that_cannot_be_read_hides_no_other(items, dynamodb, name, value):
    """It is named by its key, without its content."""
    opened(items, 1_000.0)
    opened(items, 1_001.0, token="token-2", index=5)
    [row, other] = sorted(dynamodb.scan(TableName=LEDGER_TABLE)["Items"], key=lambda row: row["since"]["N"])
    dynamodb.put_item(TableName=LEDGER_TABLE, Item=row | {name: value})
    unreadable, watch = sorted(items.watched("analytics"), key=lambda one: isinstance(one, Watch))
    assert isinstance(unreadable, UnreadableWatch)
    assert (unreadable.key, watch.run_id) == (
        f"{row['event']['S']} {row['request']['S']}",
        other["run_id"]["S"],
    )
    assert "token" not in unreadable.text


@pytest.mark.guarantee(43)
@pytest.mark.parametrize("change", [{"state": {"N": "1"}}, {"reason": {"S": "of_a_newer_version"}}])
def test_a_row_of_the_ledger_that_cannot_be_read_hides_no_other(items, dynamodb, change):
    """It is said of its request alone."""
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    for index in range(2):
        call, request = asked(token=f"token-{index}", index=index)
        items.open(call, request, 1_000.0 + index)
        ledger.finish(ledger.begin_attempt(request, 1_000.0), Triggered(), 1_001.0)
    watches = items.watched("analytics")
    event, sort = watches[0].ledger_key
    key = {"event": {"S": event}, "request": {"S": sort}}
    row = dynamodb.get_item(TableName=LEDGER_TABLE, Key=key)["Item"] | change
    dynamodb.put_item(TableName=LEDGER_TABLE, Item=row)
    states = items.requests(watches)
    assert [states[watch.ledger_key].state for watch in watches] == ["unreadable", "triggered"]
    assert "cannot read the request's row" in states[watches[0].ledger_key].text


def test_that_a_run_is_to_end_is_kept_for_whichever_watcher_comes_next(store):
    """In a form that an older version reads as a failure: it answers no state, and continues."""
    opened(store)
    [watch] = store.watched("analytics")
    assert store.record_ending(watch, ExecutionOver(1_200.0)) is True
    assert store.watched("analytics") == [replace(watch, ending=ExecutionOver(1_200.0))]


def test_a_first_call_with_another_token_is_refused_while_somebody_waits(store):
    """And taken when nobody does: an execution that is redriven begins to count its retries anew."""
    opened(store)
    assert opened(store, token="token-2") == IdentityTaken()
    [watch] = store.watched("analytics")
    store.close(watch, "its execution is over")
    assert opened(store, token="token-2") == OPENED


@pytest.mark.parametrize(
    ("ending", "choice", "generation", "kept"),
    [
        (ENDED, "rerun", 0, True),
        (Failed("DagRunFailed", {"failed_tasks": ["b"]}), "fail", 0, True),
        (Failed("DagRunFailed", {"failed_tasks": ["b"]}), "rerun", 1, False),
        (Failed("DagRunDeleted", {}), "rerun", 1, False),
        (Failed("DagRunRejected", {"text": "no such DAG"}), "rerun", 0, False),
        (ExecutionOver(1_200.0), "rerun", 0, False),
    ],
)
def test_what_a_retry_finds_after_an_end(store, ending, choice, generation, kept):
    """The end it missed, the next run, or another look at a request that was dead."""
    opened(store)
    [watch] = store.watched("analytics")
    store.record_ending(watch, ending)
    store.close(watch, "answered")
    again = {"token": "token-2", "retry_count": 1, "wait": {"after_failed_run": choice}}
    assert opened(store, 1_500.0, **again) == replace(OPENED, generation=generation)
    [watch] = store.watched("analytics")
    assert watch.ending == (ending if kept else None)
    assert watch.run_id.endswith("__r1") is bool(generation)
    assert watch.ledger_key[1] == f"r#default#{generation}"
    assert (watch.since, watch.waiting_since) == (1_500.0 if generation else 1_000.0, 1_500.0)
    assert store.token(watch).text == "token-2"


def test_a_retry_follows_the_run_it_has_wherever_the_rule_leads_by_now(store):
    """The first attempt pinned it; a further generation goes where the rule leads now."""
    opened(store)
    again = asked("legacy", "other", token="token-2", retry_count=1, wait={"after_failed_run": "rerun"})
    assert store.open(*again, 1_100.0) == OPENED
    [watch] = store.watched("analytics")
    assert (watch.dag_id, store.watched("legacy")) == ("load", [])
    store.record_ending(watch, Failed("DagRunFailed", {}))
    third = asked("legacy", "other", token="token-3", retry_count=2, wait={"after_failed_run": "rerun"})
    assert store.open(*third, 1_200.0) == Opened(1, "legacy", "other")
    assert (store.watched("analytics"), len(store.watched("legacy"))) == ([], 1)


def test_the_token_lies_sealed_and_in_no_list(items, dynamodb):
    """Whoever reads the table, or its index, cannot end the task."""
    opened(items, token="canary-token")
    rows = dynamodb.scan(TableName=LEDGER_TABLE)["Items"]
    assert "canary-token" not in str(rows)
    assert rows[0]["sealed_token"]["B"]
    listed = dynamodb.scan(TableName=LEDGER_TABLE, IndexName="watches")["Items"]
    assert [set(row) & {"sealed_token"} for row in listed] == [set()]
    [watch] = items.watched("analytics")
    items.close(watch, "answered")
    [row] = dynamodb.scan(TableName=LEDGER_TABLE)["Items"]
    assert ("sealed_token" in row, row["said"]["S"]) == (False, "answered")
    assert int(row["expires_at"]["N"]) == 2_000 + 90 * 86_400


@pytest.mark.guarantee(46)
def test_row_46_a_token_sealed_under_another_key_is_opened_after_the_key_has_changed(items, dynamodb):
    """As after an upgrade from 0.1.0, which sealed with KmsKeyArn: the ciphertext names its key."""
    opened(items)
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    after = WatchItems(dynamodb, LEDGER_TABLE, TokenCipher(boto3.client("kms"), key), now=lambda: 2_000.0)
    [watch] = after.watched("analytics")
    assert "token-1" == after.token(watch).text


def test_a_token_is_unsealed_for_its_own_watch_only(items, dynamodb):
    """The context it was sealed with is the event's: copied to another item it opens nothing."""
    opened(items)
    opened(items, token="token-2", index=5)
    one, other = items.watched("analytics")
    table = boto3.resource("dynamodb").Table(LEDGER_TABLE)
    keys = [{"event": watch.ledger_key[0], "request": "watch|r#default"} for watch in (one, other)]
    sealed = table.get_item(Key=keys[0])["Item"]["sealed_token"]
    table.update_item(
        Key=keys[1], UpdateExpression="SET sealed_token = :s", ExpressionAttributeValues={":s": sealed}
    )
    with pytest.raises(Unavailable):
        items.token(other)
    assert dynamodb is not None


def test_the_ledger_is_read_for_many_watches_at_once(items, dynamodb):
    """What is dead or triggered is said with its reason; what has no row yet is missing."""
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    for index in range(120):
        call, request = asked(token=f"token-{index}", index=index)
        items.open(call, request, 1_000.0)
        if index < 110:
            attempt = ledger.begin_attempt(request, 1_000.0)
            ledger.finish(
                attempt, Rejected(Reason.DAG_MISSING, "no DAG") if index % 2 else Triggered(), 1_001.0
            )
    states = items.requests(items.watched("analytics"))
    assert len(states) == 110
    assert {(state.state, state.reason, state.text) for state in states.values()} == {
        ("dead", Reason.DAG_MISSING, "no DAG"),
        ("triggered", None, ""),
    }


class Reads:
    """Lets reads of many rows fail: `fails` says which, by the text that is sent; each counts, and takes `seconds`."""

    def __init__(self, dynamodb, fails, seconds=0.0):
        self.clock, self.failed, self.calls = 1_000.0, 0, 0
        self._fails, self._seconds = fails, seconds
        dynamodb.meta.events.register_first("before-send.dynamodb.BatchGetItem", self._send)

    def _send(self, request, **_):
        self.calls += 1
        if not self._fails(request.body.decode()):
            return None
        self.failed += 1
        self.clock += self._seconds
        body = b'{"__type": "ValidationException", "message": "a key is bad"}'
        return AWSResponse(request.url, 400, {}, _Raw(body))


class _Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def triggered(number):
    """So many watches, each with its request's row."""
    store = FakeWatchStore()
    for index in range(number):
        opened(store, 1_000.0 + index, token=f"token-{index}", index=index)
    watches = store.watched("analytics")
    rows = [dict(zip(("event", "request"), watch.ledger_key, strict=True)) for watch in watches]
    with boto3.resource("dynamodb").Table(LEDGER_TABLE).batch_writer() as table:
        for row in rows:
            table.put_item(Item=row | {"state": "triggered"})
    return watches


@pytest.mark.guarantee(43, 44)
@pytest.mark.parametrize("place", [0, 49, 99])
def test_a_key_that_fails_its_batch_costs_no_other_its_answer(items, dynamodb, place):
    """Eight failed calls find it among a hundred."""
    watches = triggered(100)
    bad = watches[place].ledger_key
    reads = Reads(dynamodb, lambda body: bad[0] in body)
    states = items.requests(watches)
    assert {key for key, state in states.items() if state.state != "triggered"} == {bad}
    assert (states[bad].state, len(states)) == ("unreadable", 100)
    assert "ValidationException: a key is bad" in states[bad].text
    assert reads.failed <= 8


@pytest.mark.guarantee(44)
def test_reads_that_all_fail_come_to_an_end(items, dynamodb):
    """After forty; every row is unreadable, and says why."""
    watches = triggered(60)
    reads = Reads(dynamodb, lambda _: True)
    states = items.requests(watches)
    assert ({"unreadable"}, 60) == ({state.state for state in states.values()}, len(states))
    assert all("a key is bad" in state.text for state in states.values())
    assert (reads.calls, reads.failed) == (40, 40)


@pytest.mark.guarantee(44)
def test_reads_that_take_long_to_fail_leave_the_round_its_time(dynamodb):
    """None begins more than ten seconds after the first."""
    reads = Reads(dynamodb, lambda _: True, seconds=9.0)
    items = WatchItems(
        dynamodb, LEDGER_TABLE, TokenCipher(boto3.client("kms"), "no key"), now=lambda: reads.clock
    )
    watches = triggered(8)
    assert {"unreadable"} == {state.state for state in items.requests(watches).values()}
    assert reads.failed == 2


@pytest.mark.guarantee(44)
def test_keys_that_dynamodb_leaves_out_are_read_by_the_next_call(items, dynamodb, monkeypatch):
    """A large answer ends at 16 MB; a throttled table may process none."""
    watches = triggered(5)
    read, sizes = dynamodb.batch_get_item, []

    def some(**given):
        keys = given["RequestItems"][LEDGER_TABLE]["Keys"]
        sizes.append(len(keys))
        table = given["RequestItems"][LEDGER_TABLE]
        answer = read(RequestItems={LEDGER_TABLE: table | {"Keys": keys[:2]}})
        return answer | {"UnprocessedKeys": {LEDGER_TABLE: {"Keys": keys[2:]}} if keys[2:] else {}}

    monkeypatch.setattr(dynamodb, "batch_get_item", some)
    assert 5 == sum(state.state == "triggered" for state in items.requests(watches).values())
    assert sizes == [5, 3, 1]

    def none(**given):
        return {"Responses": {}, "UnprocessedKeys": given["RequestItems"]}

    monkeypatch.setattr(dynamodb, "batch_get_item", none)
    texts = {state.text for state in items.requests(watches).values() if state.state == "unreadable"}
    assert texts == {"cannot read the ledger: DynamoDB processed none of the keys"}


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("TaskTimedOut", TokenClosed),
        ("TaskDoesNotExist", TokenClosed),
        ("InvalidToken", TokenClosed),
        ("KmsAccessDeniedException", Unavailable),
        ("KmsInvalidStateException", Unavailable),
        ("KmsThrottlingException", Unavailable),
        ("AccessDeniedException", Unavailable),
        ("SomethingNobodyKnows", Unavailable),
        ("ThrottlingException", Unavailable),
        ("ValidationException", Unavailable),
    ],
)
@pytest.mark.parametrize("method", ["send_task_success", "send_task_failure", "send_task_heartbeat"])
@pytest.mark.usefixtures("aws")
def test_step_functions_errors_are_distinguished_and_contain_no_token(code, raised, method):
    """A token that takes no answer is no outage; and no error repeats what AWS said, which may quote the token."""
    client = boto3.client("stepfunctions")
    calls = {
        "send_task_success": lambda callbacks: callbacks.send(Token("canary-token"), ENDED),
        "send_task_failure": lambda callbacks: callbacks.send(
            Token("canary-token"), Failed("DagRunFailed", {})
        ),
        "send_task_heartbeat": lambda callbacks: callbacks.heartbeat(Token("canary-token")),
    }
    with Stubber(client) as stubber:
        stubber.add_client_error(method, code, "Value 'canary-token' at 'taskToken' failed")
        with pytest.raises(raised) as error:
            calls[method](TaskCallbacks(client))
    assert code in str(error.value)
    assert "canary-token" not in str(error.value)


@pytest.mark.usefixtures("aws")
def test_step_functions_gets_the_output_and_the_cause_as_json():
    """A cause is cut where Step Functions would refuse it."""
    client = boto3.client("stepfunctions")
    with Stubber(client) as stubber:
        stubber.add_response("send_task_success", {}, {"taskToken": "t", "output": '{"state": "success"}'})
        stubber.add_response(
            "send_task_failure",
            {},
            {"taskToken": "t", "error": "DagRunFailed", "cause": '{"text": "' + "x" * 32_758},
        )
        callbacks = TaskCallbacks(client)
        callbacks.send(Token("t"), ENDED)
        callbacks.send(Token("t"), Failed("DagRunFailed", {"text": "x" * 40_000}))
        stubber.assert_no_pending_responses()
