"""What an on-call engineer does at night: list dead letters, fix the cause, redrive; on real parts."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway_cli.main import cli
from gateway_cli.rules.store import RulesStore
from local_stack.ledger import rows_about
from local_stack.state import StackState
from looking import messages_in, runs
from mwaa_gateway.rules import parse_rule
from polling import until

STRICT = "test.strict"


def dlq(gateway: StackState, *words: str) -> Any:
    """Run `mwaa-gateway dlq … -o json` as in a shell that speaks to this stack."""
    result = CliRunner(mix_stderr=False).invoke(
        cli, ["dlq", *words, "--stack-name", gateway.stack_name, "-o", "json"], env=gateway.settings
    )
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def put_event(gateway: StackState, source: str, detail: dict[str, Any]) -> str:
    answer = gateway.aws.client("events").put_events(
        Entries=[
            {
                "EventBusName": gateway.event_bus_name,
                "Source": source,
                "DetailType": "Order Placed",
                "Detail": json.dumps(detail),
            }
        ]
    )
    return answer["Entries"][0]["EventId"]


def state_of(gateway: StackState, event_id: str) -> str:
    return " ".join(row.state for row in rows_about(gateway.aws, gateway.ledger_table, event_id))


@pytest.mark.guarantee(26)
def test_died_mended_redriven_is_one_run(gateway):
    """Airflow refuses the conf, the DAG is loosened, and however often it is redriven meanwhile, there is one run."""
    dead_letter_queue = gateway.environments["analytics"].trigger_dlq_url
    event_id = put_event(gateway, "acme.strict", {"amount": "twelve"})
    [letter] = until("the dead request", lambda: dlq(gateway, "list", "--rule", STRICT), seconds=60)
    assert letter["event"] == f"eventbridge|{event_id}"
    assert (letter["died_in"], letter["reason"]) == ("dispatcher", "conf_refused")
    assert "ParamValidationError" in letter["reason_text"]
    shown = dlq(gateway, "show", letter["id"])
    assert (shown["conf"]["amount"], shown["rings"]) == ("twelve", True)

    # Not fixed yet: it dies again, with the same reason.
    assert dlq(gateway, "redrive", letter["id"]) == {"redriven": [letter["id"]], "left": []}
    [again] = until(
        "its second death",
        lambda: [each for each in dlq(gateway, "list", "--rule", STRICT) if each["redrives"] == 1],
        seconds=60,
    )
    assert (again["reason"], again["attempts"]) == ("conf_refused", 2)

    file = Path(gateway.environments["analytics"].dags_folder) / "strict.py"
    file.write_text(
        file.read_text().replace('TAKES, DEFAULT = "integer", 1', 'TAKES, DEFAULT = "string", "1"')
    )

    def redriven() -> bool:  # until Airflow has read the file again
        dlq(gateway, "redrive", "--rule", STRICT)
        until("an end of it", lambda: state_of(gateway, event_id) != "open", seconds=60)
        return state_of(gateway, event_id) == "triggered"

    until("the run", redriven, seconds=120, every=2)
    assert dlq(gateway, "list", "--rule", STRICT) == []
    assert [run.run_id for run in runs(gateway, "analytics", STRICT, "strict")] == [letter["id"]]
    dlq(
        gateway, "redrive", "--environment", "analytics"
    )  # nothing is left but, perhaps, a message that arrived late
    assert messages_in(gateway, dead_letter_queue) == 0


def test_an_event_whose_rule_was_broken_is_redriven_to_one_run(gateway):
    """Back through ingress: the corrected rule gets its run, and the other rule no second one."""
    table = gateway.aws.table(gateway.rules_table)
    partition = "acme.broken#Order Placed"
    table.put_item(
        Item={
            "partition": partition,
            "sort": "rule#test.mended",
            "id": "test.mended",
            "version": 1,
            "document": "{",
        }
    )
    table.update_item(
        Key={"partition": partition, "sort": "head"},
        UpdateExpression="ADD generation :one",
        ExpressionAttributeValues={":one": 1},
    )
    event_id = put_event(gateway, "acme.broken", {})
    [letter] = until("the event put aside", lambda: dlq(gateway, "list", "--rule", "test.mended"), seconds=60)
    assert (letter["died_in"], letter["reason"], letter["event"]) == ("ingress", "broken_rule", event_id)

    rule = {
        "id": "test.mended",
        "pattern": {"source": ["acme.broken"], "detail-type": ["Order Placed"]},
        "target": {"environment": "analytics", "dag_id": "waiting"},
    }
    store = RulesStore(gateway.aws.client("dynamodb"), gateway.rules_table)
    store.put(parse_rule(rule, environments=None), by="tests", now=datetime.now(UTC))

    def redriven() -> bool:  # until the function has read the rules again
        dlq(gateway, "redrive", "--rule", "test.mended")
        return state_of(gateway, event_id) == "triggered triggered"

    until("both runs", redriven, seconds=60, every=1)
    assert len(runs(gateway, "analytics", "test.mended")) == 1
    assert messages_in(gateway, gateway.ingress_dlq_url) == 0
    store.delete("test.mended", by="tests", now=datetime.now(UTC))  # other tests send such events, too


@pytest.mark.guarantee(45)
def test_an_event_that_eventbridge_could_not_deliver_is_redriven_to_one_run(gateway):
    """The function's permission is gone for a while: EventBridge writes to the ingress DLQ, by that queue's own policy."""
    lambda_, function = gateway.aws.client("lambda"), f"{gateway.stack_name}-eventbridge-events"
    bus_rule = f":rule/{gateway.event_bus_name}/"
    permissions = [
        one
        for one in json.loads(lambda_.get_policy(FunctionName=function)["Policy"])["Statement"]
        if bus_rule in json.dumps(one)
    ]
    for permission in permissions:
        lambda_.remove_permission(FunctionName=function, StatementId=permission["Sid"])
    try:
        event_id = put_event(gateway, "acme.undelivered", {})
        [letter] = until(
            "the dead letter",
            lambda: [each for each in dlq(gateway, "list") if each["died_in"] == "EventBridge"],
            seconds=60,
        )
    finally:
        for permission in permissions:
            lambda_.add_permission(
                FunctionName=function,
                StatementId=permission["Sid"],
                Action=permission["Action"],
                Principal=permission["Principal"]["Service"],
                SourceArn=permission["Condition"]["ArnLike"]["AWS:SourceArn"],
            )
    assert (letter["died_in"], letter["event"]) == ("EventBridge", event_id)
    assert "NO_PERMISSIONS" in letter["reason_text"]
    assert dlq(gateway, "redrive", letter["id"])["redriven"] == [letter["id"]]
    until("the run", lambda: state_of(gateway, event_id) == "triggered", seconds=60)
    assert len(runs(gateway, "analytics", "test.undelivered")) == 1
    assert messages_in(gateway, gateway.ingress_dlq_url) == 0


def test_the_stack_that_runs_here_is_meant_by_local(gateway, tmp_path, monkeypatch):
    """`--local` needs no name and no credentials: the state file knows the stack, and the stack its queues."""
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    monkeypatch.chdir(tmp_path)
    result = CliRunner(mix_stderr=False).invoke(cli, ["dlq", "list", "--local", "-o", "json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == dlq(gateway, "list")
