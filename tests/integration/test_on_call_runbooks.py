"""The runbooks of docs/on-call.md, carried out: what runs, and what does not run twice."""

import json
import re
import sys
from pathlib import Path

import pytest

from fakes.airflow import ALL_LOST, FakeAirflow
from fakes.ledger_table import LEDGER_TABLE, create_ledger_table
from fakes.requests import a_request
from integration.operated import Gateway
from integration.shell import shell
from mwaa_gateway.outcomes import AlreadyTriggered, Held, OutcomeUnknown, Triggered

PAGE = (Path(__file__).parents[2] / "docs" / "on-call.md").read_text(encoding="utf-8")
[PUT_BACK] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COPY = f"{LEDGER_TABLE}-copy"


def rows(gateway: Gateway, table: str = LEDGER_TABLE) -> list[dict[str, object]]:
    return gateway.dynamodb.scan(TableName=table)["Items"]


def lose_the_ledger(gateway: Gateway) -> None:
    for row in rows(gateway):
        gateway.dynamodb.delete_item(
            TableName=LEDGER_TABLE, Key={name: row[name] for name in ("event", "request")}
        )


def test_rows_that_were_deleted_are_put_back(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the table has stay as they are; an event that comes again starts nothing."""
    requests = [a_request(f"event {number}") for number in range(3)]
    assert {Triggered} == {type(operated.dispatch(request.to_json())) for request in requests}
    create_ledger_table(operated.dynamodb, COPY)
    for row in rows(operated):
        operated.dynamodb.put_item(TableName=COPY, Item={**row, "reason_text": {"S": "from the copy"}})
    lose_the_ledger(operated)
    assert isinstance(operated.dispatch(requests[0].to_json()), AlreadyTriggered)
    [newer] = rows(operated)

    monkeypatch.setattr(sys, "argv", ["put_back.py", COPY, LEDGER_TABLE])
    exec(PUT_BACK, {})  # noqa: S102  the page's own script

    assert 3 == len(rows(operated))
    assert newer in rows(operated)
    operated.airflow = FakeAirflow()  # not even Airflow could refuse these
    assert {AlreadyTriggered} == {type(operated.dispatch(request.to_json())) for request in requests}


def test_an_event_without_its_row_has_the_run_that_airflow_knows(operated: Gateway) -> None:
    """A restore to an earlier time: the run_id is the same, and Airflow refuses it."""
    request = a_request("an event")
    assert Triggered() == operated.dispatch(request.to_json())
    lose_the_ledger(operated)
    assert isinstance(operated.dispatch(request.to_json()), AlreadyTriggered)
    assert 1 == len(operated.airflow.runs)


def test_an_environment_that_was_built_anew(operated: Gateway) -> None:
    """What the ledger knows as started starts nothing; what it does not know starts again, unless it is cancelled."""
    started, unknown, done = (a_request(name) for name in ("started", "unknown", "done"))
    assert Triggered() == operated.dispatch(started.to_json())
    for request in (unknown, done):
        operated.airflow.lost_after, operated.airflow.findings = 1, list(ALL_LOST)
        assert isinstance(operated.dispatch(request.to_json()), OutcomeUnknown)
    assert 3 == len(operated.airflow.runs)
    assert 0 == shell("environments", "pause", "analytics", "--by", "me").exit_code
    operated.time += 3600
    for request in (unknown, done):
        assert isinstance(operated.dispatch(request.to_json()), Held)
    assert [1, 1] == [row["attempts"] for row in json.loads(shell("held", "list", "-o", "json").stdout)]
    operated.airflow = FakeAirflow()
    assert 0 == shell("held", "cancel", done.target.run_id, "--yes", "--by", "me").exit_code
    assert 0 == shell("environments", "resume", "analytics").exit_code
    operated.deliver_all()
    assert isinstance(operated.dispatch(started.to_json()), AlreadyTriggered)
    assert [unknown.target.run_id] == [run_id for _, run_id in operated.airflow.runs]
