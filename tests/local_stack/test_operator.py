"""The operator's commands on a gateway that runs: pauses, rules, and the outcome of events."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
from botocore.config import Config
from click.testing import CliRunner

from commands import commands_with
from gateway_cli.main import cli
from local_stack.mwaa import ControlClient, Faults
from local_stack.state import StackState
from looking import messages_in, number_of_runs, runs
from polling import until

Operate = Callable[..., Any]


@pytest.fixture
def operate(gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operate:
    """`mwaa-gateway <words> --local`, in a folder where the stack was started; its answer in JSON, if it has one."""
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    monkeypatch.chdir(tmp_path)

    def operate(*words: str, exit_code: int | tuple[int, ...] = 0) -> Any:
        result = CliRunner(mix_stderr=False).invoke(cli, [*words, "--local"])
        expected = exit_code if isinstance(exit_code, tuple) else (exit_code,)
        assert result.exit_code in expected, result.output + result.stderr
        return json.loads(result.stdout) if "-o" in words else result.stdout

    return operate


@pytest.fixture
def slow_commands(gateway: StackState) -> Iterator[None]:
    """Each command takes two seconds: requests wait."""
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.set_faults(Faults(latency_milliseconds=2_000))
    yield
    control.clear_faults()


@pytest.mark.guarantee(10)
@pytest.mark.usefixtures("slow_commands")
def test_a_rule_that_is_disabled_holds_what_waits_and_enabled_each_runs_once(gateway, operate):
    """With the deployed roles: dispatchers see the pause, hold waiting requests, and run them once they are released."""
    sent = put_events(gateway, "acme.braked", 20)
    until("the first run", lambda: number_of_runs(gateway, "analytics", "test.braked"), seconds=30)

    operate("rules", "disable", "test.braked")

    until("an empty queue", lambda: not waiting(gateway, "analytics"), seconds=60)
    held = operate("held", "list", "--rule", "test.braked", "-o", "json")
    started = number_of_runs(gateway, "analytics", "test.braked")
    assert 0 < len(held) == len(sent) - started
    assert {each["reason"] for each in held} == {"rule_disabled"}

    ControlClient(gateway.mwaa_endpoint_url).clear_faults()
    operate("rules", "enable", "test.braked")
    operate("rules", "enable", "test.braked")  # again, while they are on their way

    until("every run", lambda: number_of_runs(gateway, "analytics", "test.braked") >= len(sent), seconds=60)
    until("an empty queue", lambda: not waiting(gateway, "analytics"), seconds=60)
    assert events_of(gateway, "analytics", "test.braked") == sorted(sent)
    assert operate("held", "list", "--rule", "test.braked", "-o", "json") == []


@pytest.mark.guarantee(10)
def test_an_environment_that_is_paused_holds_its_requests_until_it_is_resumed(gateway, operate):
    """Events are taken in as ever; nothing starts there meanwhile, and each runs once afterwards."""
    operate("environments", "pause", "legacy", "--reason", "moving")
    try:
        sent = put_events(gateway, "acme.paused", 5)
        held = until(
            "what is held",
            lambda: (
                len(found := operate("held", "list", "--rule", "test.paused", "-o", "json")) == len(sent)
                and found
            ),
            seconds=30,
        )
        assert {(each["environment"], each["reason"]) for each in held} == {("legacy", "environment_paused")}
        assert all(each["reason_text"].endswith(": moving") for each in held)
        assert number_of_runs(gateway, "legacy", "test.paused") == 0
    finally:
        operate("environments", "resume", "legacy")

    until("every run", lambda: number_of_runs(gateway, "legacy", "test.paused") >= len(sent), seconds=60)
    until("an empty queue", lambda: not waiting(gateway, "legacy"), seconds=60)
    assert events_of(gateway, "legacy", "test.paused") == sorted(sent)


def test_a_dispatcher_reads_the_pauses_and_no_rule(gateway):
    """Its role opens one partition of the rules table."""
    role = gateway.aws.client("lambda").get_function(FunctionName=gateway.environments["legacy"].dispatcher)
    keys = gateway.aws.client("sts").assume_role(
        RoleArn=role["Configuration"]["Role"], RoleSessionName="as-the-dispatcher"
    )["Credentials"]
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=gateway.aws_endpoint_url,
        region_name=gateway.region,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=Config(retries={"total_max_attempts": 1}),
    )

    def read(*partitions: str) -> Any:
        wanted = [{"partition": {"S": each}, "sort": {"S": "rule#test.braked"}} for each in partitions]
        return dynamodb.batch_get_item(RequestItems={gateway.rules_table: {"Keys": wanted}})

    assert read("brake")["ResponseMetadata"]["HTTPStatusCode"] == 200
    for partitions in (["acme.braked#*"], ["brake", "acme.braked#*"]):
        with pytest.raises(dynamodb.exceptions.ClientError, match="AccessDenied"):
            read(*partitions)


def test_a_rule_from_its_plan_to_its_rerun(gateway, operate, tmp_path):
    """Plan, test, apply; an event runs; the lists show it as they should, and a dry run starts nothing."""
    source = f"acme.{uuid.uuid4().hex}"
    (tmp_path / "rules.yaml").write_text(
        f"id: operated.orders\npattern: {{source: [{source}], detail-type: [Order Placed]}}\n"
        "target: {environment: analytics, dag_id: waiting}\n"
    )
    (tmp_path / "event.json").write_text(json.dumps(an_event(source)))

    [planned] = operate("rules", "plan", "rules.yaml", "-o", "json", exit_code=2)["changes"]
    assert (planned["rule_id"], planned["action"]) == ("operated.orders", "add")
    tested = operate("rules", "test", "rules.yaml", "--event", "event.json", "-o", "json")
    assert "operated.orders" in json.dumps(tested)
    operate("rules", "apply", "rules.yaml", "--by", "the operator")
    operate("rules", "plan", "rules.yaml")
    [event_id] = put_events(gateway, source, 1)
    [run] = until("the run", lambda: runs(gateway, "analytics", "operated.orders"), seconds=30)

    def rerun():
        return operate("rerun", "--rule", "operated.orders", "--dry-run", "-o", "json")

    [found] = until("the ledger's word", rerun, seconds=30)  # which comes after Airflow's
    assert (found["id"], found["event"]) == (run.run_id, f"eventbridge|{event_id}")
    for listed in ("held", "dlq"):
        assert operate(listed, "list", "--rule", "operated.orders", "-o", "json") == []
    assert not waiting(gateway, "analytics")
    assert number_of_runs(gateway, "analytics", "operated.orders") == 1


# Every command that takes --local, in an order in which each has something to do: its words, and its exit code.
COMMANDS = [
    ("namespaces apply allowed.yaml", 0),
    ("namespaces list", 0),
    ("namespaces show tried", 0),
    ("namespaces history tried", 0),
    (
        "rules new --from s3://acme/{region}/*.csv --dag tried_new --to rules/new.yaml --environment analytics",
        0,
    ),
    ("rules validate rules", 0),
    ("rules plan rules/tried.yaml", 2),
    ("rules test rules/tried.yaml --event event.json", 0),
    ("rules apply rules/tried.yaml", 0),
    ("rules list", 0),
    ("rules show tried.orders", 0),
    ("rules explain tried.orders --event event.json", 0),
    ("rules disable tried.orders", 0),
    ("rules enable tried.orders", 0),
    ("rules history tried.orders", 0),
    ("rules diff tried.orders v1 v2", 0),
    ("rules rollback tried.orders v1", 0),
    ("rules shadow-report tried.orders", 0),
    ("rules import --bus default --environment analytics", 0),
    ("batches list --rule tried.orders", 0),
    ("batches show nothing", 1),
    ("batches release --rule tried.orders", 0),
    ("batches cancel --rule tried.orders --yes", 0),
    ("held list --rule tried.orders", 0),
    ("held release --rule tried.orders", 0),
    ("held cancel --rule tried.orders --yes", 0),
    ("dlq list --rule tried.orders", 0),
    ("dlq show evt__nobody", 1),
    ("dlq redrive --rule tried.orders", 0),
    ("dlq purge --rule tried.orders --yes", 0),
    ("rerun --rule tried.orders --dry-run", 0),
    ("status", 0),
    ("why e-nobody", 1),
    ("runs list --rule tried.orders", 0),
    (f"runs show evt__tried.orders__{'0' * 32}", 0),
    ("events tail --no-follow", 0),
    ("reconcile s3://mwaa-gateway-landing/tried/ --rule tried.orders", 0),
    ("events send event.json --rule tried.orders --dry-run", 0),
    ("environments list", 0),
    ("environments pause legacy", 0),
    ("environments resume legacy", 0),
    ("operations", 0),
    (
        "environments check legacy",
        (0, 1, 3),
    ),  # what else runs in this stack decides; test_check.py judges the lines
    ("environments certify legacy --only environment --report certified.json", 0),
    ("environments drain legacy --timeout 0s", (0, 1)),
    ("claim-check policy analytics", 0),
    ("rules delete tried.orders --yes", 0),
    ("namespaces delete tried --yes", 0),
]


def test_every_command_speaks_to_the_local_stack(operate, tmp_path):
    """Each that takes --local is run with it, and finds its tables, queues, names and rights there."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "tried.yaml").write_text(
        "id: tried.orders\npattern: {source: [acme.tried]}\ntarget: {environment: analytics, dag_id: tried}\n"
    )
    (tmp_path / "event.json").write_text(json.dumps(an_event("acme.tried")))
    (tmp_path / "allowed.yaml").write_text(
        "- {namespace: tried, sources: [acme.tried], environments: [analytics], dag_ids: [tried]}\n"
    )

    for words, exit_code in COMMANDS:
        operate(*words.split(), exit_code=exit_code)

    untried = [
        name
        for name in commands_with("--local", cli, click.Context(cli))
        if not any(words.startswith(name) for words, _ in COMMANDS)
    ]
    assert untried == ["console"]  # it serves until Ctrl-C: test_console.py


def an_event(source: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": source,
        "detail-type": "Order Placed",
        "account": "000000000000",
        "time": "2026-11-22T10:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {},
    }


def put_events(gateway: StackState, source: str, number: int) -> list[str]:
    """So many events on the gateway's own bus; their ids."""
    entry = {
        "EventBusName": gateway.event_bus_name,
        "Source": source,
        "DetailType": "Order Placed",
        "Detail": "{}",
    }
    events = gateway.aws.client("events")
    ids: list[str] = []
    while len(ids) < number:  # ten at a time, as EventBridge takes them
        answer = events.put_events(Entries=[entry] * min(10, number - len(ids)))
        ids += [each["EventId"] for each in answer["Entries"]]
    return ids


def waiting(gateway: StackState, environment: str) -> int:
    """How many requests are on their way to an environment."""
    return messages_in(gateway, gateway.environments[environment].trigger_queue_url)


def events_of(gateway: StackState, environment: str, rule_id: str) -> list[str]:
    """The ids of the events that a rule's runs are of, each as often as it has one."""
    return sorted(run.conf["id"] for run in runs(gateway, environment, rule_id))
