"""`mwaa-gateway environments drain`: what would be lost with an environment is waited for or named."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import Result

from fakes.batches_table import BATCHES_TABLE
from fakes.ledger_table import LEDGER_TABLE
from fakes.requests import a_request
from fakes.states import payload
from gateway_cli import environments
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.shell import shell
from integration.test_pause_items import NOW, RULE, a_rule
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.task_callbacks import TokenCipher
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.step_functions.task_call import read_task_call
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id

pytestmark = pytest.mark.guarantee(46)


@pytest.fixture
def gateway(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """The gateway that the command is for; looks follow each other at once."""
    monkeypatch.setattr(environments, "LOOK_SECONDS", 0.0)
    return operated


def drain(*words: str) -> Result:
    return shell("environments", "drain", *words)


def left(result: Result) -> list[tuple[str, str, int | None]]:
    return [(one["environment"], one["what"], one["count"]) for one in json.loads(result.stdout)["left"]]


def a_state_waits(gateway: Gateway, environment: str = "analytics") -> WatchItems:
    call = read_task_call(payload())
    event = call.event
    target = ResolvedTarget(
        environment, "load", derive_run_id(event.identity, "r", "default"), {}, watched=True
    )
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    watches = WatchItems(
        gateway.dynamodb, LEDGER_TABLE, TokenCipher(boto3.client("kms"), key), now=lambda: 1.0
    )
    watches.open(
        call, TriggerRequest(event.identity, event.envelope, "r", 1, "default", target, None, 1.0), 1.0
    )
    return watches


def on_look(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Do something when the queue of `analytics` is looked at for the n-th time."""
    looks, ask = [0], BaseClient._make_api_call

    def call(self, operation, params):
        if operation == "GetQueueAttributes" and params["QueueUrl"] == gateway.queue("trigger-analytics"):
            looks[0] += 1
            if looks[0] == number:
                act()
        return ask(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def test_nothing_left_is_drained(gateway: Gateway) -> None:
    """And the screen says how to delete the queue that stays."""
    result = drain("analytics")
    assert (0, "") == (result.exit_code, result.stdout)
    assert "drained: analytics" in result.stderr
    assert f"aws sqs delete-queue --queue-url {gateway.queue('trigger-dlq-analytics')}" in result.stderr


def test_all_that_would_be_lost_or_waits_for_a_decision_is_named(gateway: Gateway) -> None:
    """Of that environment only; each with what to do."""
    RulesStore(gateway.dynamodb, "rules").put(a_rule(), by="them", now=NOW)
    gateway.die("dead")
    gateway.die("elsewhere", environment="legacy")
    assert 0 == shell("environments", "pause", "analytics", "--by", "me").exit_code
    gateway.send("trigger-analytics", replace(a_request("held"), rule_id=RULE).to_json())
    gateway.deliver_all()
    gateway.send("trigger-analytics", a_request("waiting").to_json())
    a_state_waits(gateway)

    result = drain("analytics", "--timeout", "0s", "-o", "json")

    assert [
        ("analytics", "enabled rules", 1),
        ("analytics", "waiting requests", 1),
        ("analytics", "held requests", 1),
        ("analytics", "dead letters", 1),
        ("analytics", "waiting states", 1),
    ] == left(result)
    assert (1, False) == (result.exit_code, json.loads(result.stdout)["drained"])
    assert "not drained: 1 enabled rules (analytics), 1 waiting requests (analytics)" in result.stderr
    shown = drain("analytics", "--timeout", "0s").stdout
    assert RULE in shown
    for remedy in ("held release --environment analytics", "dlq redrive --environment analytics"):
        assert f"mwaa-gateway {remedy}" in shown


def test_a_message_that_a_dispatcher_has_in_hand_counts(gateway: Gateway) -> None:
    """It is invisible, and would go with the queue."""
    gateway.send("trigger-analytics", a_request().to_json())
    gateway.sqs.receive_message(QueueUrl=gateway.queue("trigger-analytics"), VisibilityTimeout=300)
    assert 0 == gateway.visible("trigger-analytics")
    assert [("analytics", "waiting requests", 1)] == left(drain("analytics", "--timeout", "0s", "-o", "json"))


def test_a_message_that_waits_for_its_delay_counts(gateway: Gateway) -> None:
    """Nobody sees it yet, and it would go with the queue."""
    gateway.sqs.send_message(
        QueueUrl=gateway.queue("trigger-analytics"), MessageBody=a_request().to_json(), DelaySeconds=300
    )
    assert 0 == gateway.visible("trigger-analytics")
    assert [("analytics", "waiting requests", 1)] == left(drain("analytics", "--timeout", "0s", "-o", "json"))


def test_open_batches_and_members_on_their_way_count(gateway: Gateway) -> None:
    """Of the environment that their run would start in; also a batch whose rule is deleted."""
    collects = a_rule().document() | {"collect": {"quiet_period": "10m"}, "state": "ENABLED"}
    rule = parse_rule(collects, environments=None)
    table = BatchesTable(gateway.dynamodb, BATCHES_TABLE, now=NOW.timestamp)
    for batch_id, rule_id in (("mine", rule.id), ("of-the-trial", f"{rule.id}~shadow")):
        table.open_batch(
            Batch(
                id=batch_id,
                rule_id=rule_id,
                rule_version=1,
                document=json.dumps(rule.document()),
                key=(),
                number=1,
                first_at=1.0,
                due_at=2.0,
            )
        )
    gateway.send("collect", "a member")

    assert left(drain("analytics", "--timeout", "0s", "-o", "json")) == [("analytics", "open batches", 1)]
    assert left(drain("legacy", "--timeout", "0s", "-o", "json")) == []

    RulesStore(gateway.dynamodb, "rules").put(rule, by="them", now=NOW)
    result = drain("analytics", "--timeout", "0s", "-o", "json")
    assert left(result) == [
        ("analytics", "enabled rules", 1),
        ("analytics", "open batches", 1),
        ("(ingress)", "members to collect", 1),
    ]
    assert result.exit_code == 1
    assert ("(ingress)", "members to collect", 1) in left(drain("--all", "--timeout", "0s", "-o", "json"))
    assert left(drain("legacy", "--timeout", "0s", "-o", "json")) == []


def test_a_batch_that_cannot_be_read_hides_nothing(gateway: Gateway) -> None:
    item = {"partition": {"S": "batch#x"}, "sort": {"S": "batch"}, "content": {"S": "no batch"}}
    gateway.dynamodb.put_item(
        TableName=BATCHES_TABLE, Item=item | {"due_shard": {"S": "0"}, "due_at": {"N": "1"}}
    )
    gateway.send("trigger-analytics", a_request("waiting").to_json())
    assert left(drain("analytics", "--timeout", "0s", "-o", "json")) == [
        ("analytics", "waiting requests", 1),
        ("analytics", "open batches", None),
    ]


def test_a_rule_that_is_disabled_sends_nothing_more(gateway: Gateway) -> None:
    """It does not stand in the way of removing the environment."""
    rules = RulesStore(gateway.dynamodb, "rules")
    rules.put(a_rule(), by="them", now=NOW)
    assert [("analytics", "enabled rules", 1)] == left(drain("analytics", "--timeout", "0s", "-o", "json"))
    assert 0 == shell("rules", "disable", RULE, "--by", "me").exit_code
    assert [] == left(drain("analytics", "--timeout", "0s", "-o", "json"))


def test_states_are_counted_on_every_page(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the index may be empty, and the next one not."""
    a_state_waits(gateway)
    ask = BaseClient._make_api_call

    def call(self, operation, params):
        first = operation == "Query" and params.get("Select") == "COUNT" and "ExclusiveStartKey" not in params
        if first:
            return {"Count": 0, "LastEvaluatedKey": {"event": {"S": "-"}}}
        return ask(self, operation, {k: v for k, v in params.items() if k != "ExclusiveStartKey"})

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    assert [("analytics", "waiting states", 1)] == left(drain("analytics", "--timeout", "0s", "-o", "json"))


@pytest.mark.parametrize("what", ["row", "message"])
def test_a_dead_letter_counts_by_its_row_or_by_its_message(gateway: Gateway, what: str) -> None:
    """What never became a request has no row; a message that somebody deleted leaves its row."""
    if what == "row":
        gateway.die()
        gateway.bodies("trigger-dlq-analytics")
    else:
        gateway.send("trigger-dlq-analytics", "{}")
    assert [("analytics", "dead letters", 1)] == left(drain("analytics", "--timeout", "0s", "-o", "json"))


def test_it_waits_until_the_gateway_has_worked_off_what_waits(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a queue that fills again meanwhile is not taken for empty: seven looks in a row have to find nothing."""
    gateway.send("trigger-analytics", a_request().to_json())
    looks = []

    def work_off() -> None:
        looks.append("worked off")
        gateway.deliver_all()
        on_look(gateway, monkeypatch, 6, fill)

    def fill() -> None:
        looks.append("filled")
        gateway.send("trigger-analytics", a_request("late").to_json())
        on_look(gateway, monkeypatch, 2, finish)

    def finish() -> None:
        looks.append("worked off again")
        gateway.deliver_all()
        on_look(gateway, monkeypatch, 6, lambda: looks.append("still looking"))

    on_look(gateway, monkeypatch, 3, work_off)
    result = drain("analytics")
    assert (0, ["worked off", "filled", "worked off again", "still looking"]) == (result.exit_code, looks)
    assert 2 == result.stderr.count("waiting for 1 waiting requests (analytics)")


def test_it_gives_up_after_its_timeout(gateway: Gateway) -> None:
    """With what is left; a state that waits is never cut off."""
    a_state_waits(gateway)
    result = drain("analytics", "--timeout", "0s")
    assert (1, True) == (result.exit_code, "not drained: 1 waiting states (analytics)" in result.stderr)


def test_held_requests_and_dead_letters_may_stay(gateway: Gateway) -> None:
    """Nothing deletes them: the ledger and the dead-letter queue outlive the environment."""
    gateway.die()
    assert 1 == drain("analytics").exit_code
    assert 0 == drain("analytics", "--allow-stopped").exit_code
    gateway.send("trigger-analytics", a_request().to_json())
    assert 1 == drain("analytics", "--allow-stopped", "--timeout", "0s").exit_code


def test_before_the_stack_is_deleted_ingress_is_drained_too(gateway: Gateway) -> None:
    """Every environment, events to retry, and what was put aside."""
    gateway.send("ingress-retry", "{}")
    gateway.publish()
    gateway.send("trigger-legacy", a_request(environment="legacy").to_json())
    assert [
        ("legacy", "waiting requests", 1),
        ("(ingress)", "events to retry", 1),
        ("(ingress)", "dead letters", 1),
    ] == left(drain("--all", "--timeout", "0s", "-o", "json"))


def test_before_tasks_are_switched_off_only_states_count(gateway: Gateway) -> None:
    """Events keep arriving meanwhile."""
    gateway.send("trigger-analytics", a_request().to_json())
    assert 0 == drain("--all", "--tasks").exit_code
    a_state_waits(gateway, "legacy")
    assert [("legacy", "waiting states", 1)] == left(
        drain("--all", "--tasks", "--timeout", "0s", "-o", "json")
    )


@pytest.mark.parametrize("words", [[], ["analytics", "--all"]])
def test_it_has_to_be_said_which(gateway: Gateway, words: list[str]) -> None:  # noqa: ARG001
    """By name or all of them, not both and not neither."""
    assert 2 == drain(*words).exit_code


def test_an_unknown_environment_is_refused(gateway: Gateway) -> None:  # noqa: ARG001
    """With those there are."""
    result = drain("analytic")
    assert (1, True) == (result.exit_code, "analytics" in result.stderr)


@pytest.mark.guarantee(44)
@pytest.mark.parametrize("targets", [None, "analytics", ["analytics"], [{"environment": ["analytics"]}]])
def test_a_rule_that_is_broken_in_the_table_stops_no_look(gateway: Gateway, targets: object) -> None:
    """It starts no run; the others are counted."""
    store = RulesStore(gateway.dynamodb, "rules")
    store.put(a_rule(), by="alice", now=NOW)
    for rule_id in ("a.broken", "z.broken"):
        item = {
            "partition": {"S": "rules"},
            "sort": {"S": rule_id},
            "state": {"S": "ENABLED"},
            "document": {"S": json.dumps({"targets": targets})},
        }
        gateway.dynamodb.put_item(TableName="rules", Item=item)
    result = drain("analytics", "--timeout", "0s", "-o", "json")
    assert (1, [("analytics", "enabled rules", 1)]) == (result.exit_code, left(result))


def refuse(
    monkeypatch: pytest.MonkeyPatch, concerns: Callable[[str, dict[str, Any]], bool], **empty: Any
) -> None:
    """Let AWS refuse the calls that `concerns` returns True for; with `empty`, answer them with this instead."""
    ask = BaseClient._make_api_call

    def call(self, operation, params):
        if not concerns(operation, params):
            return ask(self, operation, params)
        if empty:
            return empty
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


@pytest.mark.parametrize("empty", [{}, {"ResponseMetadata": {}}], ids=["refused", "not JSON"])
def test_a_queue_that_cannot_be_read_hides_no_other(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, empty: dict[str, Any]
) -> None:
    """It is not taken for empty, and --allow-stopped does not excuse it."""
    gateway.send("trigger-legacy", a_request(environment="legacy").to_json())
    unread = (gateway.queue("trigger-analytics"), gateway.queue("trigger-dlq-legacy"))
    refuse(monkeypatch, lambda _, params: params.get("QueueUrl") in unread, **empty)
    result = drain("--all", "--timeout", "0s", "--allow-stopped", "-o", "json")
    assert 1 == result.exit_code
    assert [
        ("analytics", "waiting requests", None),
        ("legacy", "waiting requests", 1),
        ("legacy", "dead letters", None),
    ] == left(result)
    assert "unread waiting requests (analytics), 1 waiting requests (legacy)" in result.stderr
    table = drain("--all", "--timeout", "0s").stdout
    assert 2 == table.count("could not be read: ")


def test_a_ledger_that_cannot_be_read_hides_no_queue(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held requests, dead letters and waiting states are in it."""
    gateway.send("trigger-analytics", a_request().to_json())
    refuse(
        monkeypatch, lambda operation, params: operation == "Query" and params["TableName"] == LEDGER_TABLE
    )
    result = drain("analytics", "--timeout", "0s", "-o", "json")
    assert [
        ("analytics", "waiting requests", 1),
        ("analytics", "held requests", None),
        ("analytics", "dead letters", None),
        ("analytics", "waiting states", None),
    ] == left(result)
    tasks = drain("analytics", "--tasks", "--timeout", "0s", "-o", "json")
    assert (1, [("analytics", "waiting states", None)]) == (tasks.exit_code, left(tasks))


@pytest.mark.usefixtures("gateway")
def test_a_pause_that_cannot_be_read_hides_no_other_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`environments list` shows it as not known, and says why."""
    assert 0 == shell("environments", "pause", "legacy", "--by", "me").exit_code
    refuse(
        monkeypatch, lambda operation, params: operation == "GetItem" and "analytics" in str(params["Key"])
    )
    result = shell("environments", "list", "-o", "json")
    assert 1 == result.exit_code
    assert {"analytics": None, "legacy": True} == {
        one["name"]: one["paused"] for one in json.loads(result.stdout)
    }
    assert "analytics: not known whether it is paused: GetItem was denied" in result.stderr
    assert "PAUSED" in shell("environments", "list").stdout
