"""Who did what, when and why: recorded before each command acts, and listed by `mwaa-gateway operations`."""

import json
from pathlib import Path
from typing import Any

import pytest

from integration.operated import NO, Gateway
from integration.shell import shell
from integration.test_drain_command import refuse
from mwaa_gateway.outcomes import Held

EVENTS = Path(__file__).parents[2] / "events"
ME = "arn:aws:sts::123456789012:user/moto"


def operations(*words: str) -> list[dict[str, Any]]:
    return json.loads(shell("operations", *words, "-o", "json").stdout)


def test_each_command_of_an_operator_is_recorded(operated: Gateway) -> None:
    """With the caller's ARN, the reason and the ids; newest first, and by id."""
    dead, purged = operated.die("one"), operated.die("two")
    shell("dlq", "redrive", dead.target.run_id, "--why", "the DAG is deployed")
    shell("dlq", "purge", purged.target.run_id, "--yes")
    shell("environments", "pause", "analytics", "--reason", "moving")
    assert [Held] == [type(outcome) for outcome in operated.deliver_all()]
    shell("held", "cancel", "--all", "--yes", "--why", "no longer needed", "--by", "alice")
    shell("environments", "resume", "--all", "--reason", "moved")
    shell("rerun", "--rule", dead.rule_id, "--state", "dead", "--why", "once more")
    expected = [
        ("rerun", ME, "once more"),
        ("environments resume", ME, "moved"),
        ("environments resume", ME, "moved"),
        ("held cancel", "alice", "no longer needed"),
        ("environments pause", ME, "moving"),
        ("dlq purge", ME, ""),
        ("dlq redrive", ME, "the DAG is deployed"),
    ]
    assert expected == [(one["command"], one["by"], one["why"]) for one in operations()]
    of_one = operations(dead.target.run_id)
    assert ["rerun", "held cancel", "dlq redrive"] == [one["command"] for one in of_one]
    assert 1 == len(operations("--limit", "1"))
    assert "user/moto" in shell("operations").stdout


def test_a_request_that_somebody_acted_on_says_so(operated: Gateway) -> None:
    """In the lists, and where it is shown: the last command on it, with who and why."""
    request, untouched = operated.die("one"), operated.die("two")
    run_id = request.target.run_id
    shell("dlq", "redrive", run_id, "--why", "the DAG is deployed")
    operated.airflow.answers = [NO]
    operated.deliver_all()
    listed = {one["id"]: one["last_command"] for one in json.loads(shell("dlq", "list", "-o", "json").stdout)}
    assert listed[untouched.target.run_id] is None
    assert ("dlq redrive", ME, "the DAG is deployed") == (
        listed[run_id]["command"],
        listed[run_id]["by"],
        listed[run_id]["why"],
    )
    for words in (["dlq", "list"], ["dlq", "show", run_id]):
        shown = " ".join(shell(*words).stdout.split())
        assert "by user/moto: the DAG is deployed" in shown, words
    shell("environments", "pause", "analytics", "--reason", "moving")
    shell("dlq", "redrive", run_id, "--why", "once more")
    operated.deliver_all()
    assert "by user/moto: once more" in " ".join(shell("held", "list").stdout.split())


def test_an_event_that_somebody_sent_is_recorded(operated: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    sample = json.loads((EVENTS / "eventbridge_s3_put.json").read_text())
    file.write_text(json.dumps(sample | {"id": "e-7"}))
    shell("events", "send", str(file), "--dry-run")
    assert [] == operations()
    sent = shell("events", "send", str(file), "--why", "the bucket was silent")
    assert sent.exit_code == 0, sent.stderr
    assert [("events send", ME, "the bucket was silent", ["e-7"])] == [
        (one["command"], one["by"], one["why"], one["ids"]) for one in operations("e-7")
    ]
    assert 1 == operated.visible("ingress-retry")


@pytest.mark.usefixtures("operated")
def test_nothing_is_recorded_where_nothing_is_done(operated: Gateway) -> None:
    """A dry run, and a command that finds nothing."""
    operated.die("one")
    shell("dlq", "redrive", "--all", "--dry-run")
    shell("held", "release", "--all")
    assert [] == operations()
    assert "nothing is recorded about x" in shell("operations", "x").stderr


def test_what_cannot_be_recorded_is_not_done(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says which permission is missing; the dead letter is still there."""
    operated.die("one")
    refuse(monkeypatch, lambda operation, params: operation == "PutItem" and "operation" in str(params))
    result = shell("dlq", "redrive", "--all")
    assert (1, True) == (result.exit_code, "PutItem was denied" in result.stderr)
    assert [] == operated.deliver_all()


def test_more_ids_than_fit_into_one_item(operated: Gateway) -> None:
    """Each item has 500; a search by id finds the one that has it."""
    from gateway_cli.connection import Connection  # noqa: PLC0415
    from gateway_cli.operations import record  # noqa: PLC0415

    connection = Connection(None, None, None, None, None, local=False, environment_names=())
    ids = [f"evt__finance.orders__{number:032}" for number in range(1_001)]
    record(connection, "dlq redrive", ids, why="")
    assert [1, 500, 500] == sorted(len(one["ids"]) for one in operations())
    assert [1] == [len(one["ids"]) for one in operations(ids[-1])]
    assert operated
