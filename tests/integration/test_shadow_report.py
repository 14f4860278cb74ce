"""`mwaa-gateway rules shadow-report`: what a rule on trial would do, beside what was really done."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import Result

from fakes.ledger_table import LEDGER_TABLE
from fakes.requests import a_request
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.ingress.shadow import ShadowRecord
from mwaa_gateway.outcomes import Reason, Rejected, Triggered

Gateway = Callable[..., Result]
OUTCOMES = {"triggered": Triggered(), "dead": Rejected(Reason.DAG_MISSING, "no such DAG"), "open": None}


def ran(dynamodb: Any, identity: str, outcome: str = "triggered", **changes: Any) -> str:
    """Let another rule's request for this event end so; returns the event's hash."""
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    request = a_request(identity, **changes)
    attempt = ledger.begin_attempt(request, 1_000.0)
    assert isinstance(attempt, Attempt)
    if OUTCOMES[outcome] is not None:
        assert ledger.finish(attempt, OUTCOMES[outcome], 1_001.0)
    return request.ledger_key[0]


def shadow(event_hash: str, number: int, **changes: Any) -> ShadowRecord:
    record = ShadowRecord(
        rule_id="trial.orders",
        rule_version=1,
        target_id="default",
        event_hash=event_hash,
        event_id=f"e-{number}",
        event_time=f"2026-11-22T10:0{number}:00Z",
        source="aws.s3",
        detail_type="Object Created",
        recorded_at=1_000.0 + number,
        environment="analytics",
        dag_id="ingest_orders",
        run_id=f"evt__trial.orders__{number}",
        conf={"key": "orders/1.csv", "mwaa_gateway": {"rule_id": "trial.orders"}},
    )
    return replace(record, **changes)


@pytest.fixture
def trial(gateway: Gateway, dynamodb: Any) -> Gateway:
    """One shadow of each kind."""
    nothing = {"environment": "", "dag_id": "", "run_id": "", "conf": None}
    ShadowRecords(dynamodb, LEDGER_TABLE).record(
        [
            shadow(ran(dynamodb, "one"), 1),
            shadow(ran(dynamodb, "two"), 2, conf={"key": "orders/2.csv"}),
            shadow(ran(dynamodb, "three", "dead"), 3),
            shadow(ran(dynamodb, "four", dag_id="another"), 4),
            shadow("f" * 64, 5),
            shadow("e" * 64, 6, reason="captures_refused", reason_text="has another form", **nothing),
            shadow(ran(dynamodb, "seven", "open"), 7),
            shadow(ran(dynamodb, "eight", environment="reporting"), 8),
        ]
    )
    return gateway


def test_each_shadow_is_held_against_what_really_happened(trial: Gateway) -> None:
    """In the order of the events; the confs are compared without what says where they came from."""
    shown = json.loads(trial("rules", "shadow-report", "trial.orders", "-o", "json").stdout)
    assert [
        (one["event_id"], one["verdict"], one.get("real", {}).get("state")) for one in shown["events"]
    ] == [
        ("e-1", "same", "triggered"),
        ("e-2", "other_conf", "triggered"),
        ("e-3", "not_run", "dead"),
        ("e-4", "alone", None),
        ("e-5", "alone", None),
        ("e-6", "refused", None),
        ("e-7", "not_run", "open"),
        ("e-8", "alone", None),
    ]
    assert shown["counts"] == {"same": 1, "other_conf": 1, "not_run": 2, "alone": 3, "refused": 1}
    assert shown["events"][1]["conf_changes"] == [
        {"field": "key", "before": "orders/1.csv", "after": "orders/2.csv"}
    ]


def test_for_people(trial: Gateway) -> None:
    """How many of each kind, then those that differ, the newest first, as many as asked for."""
    shown = trial("rules", "shadow-report", "trial.orders", "--limit", "4")
    head, *lines = shown.stdout.splitlines()
    assert head == (
        "trial.orders  8 runs in SHADOW, of events from 2026-11-22T10:01:00Z to 2026-11-22T10:08:00Z"
    )
    assert [line.split()[:2] for line in lines[:5]] == [
        ["same", "1"],
        ["other_conf", "1"],
        ["not_run", "2"],
        ["alone", "3"],
        ["refused", "1"],
    ]
    assert [line.split()[0] for line in lines[-4:]] == ["e-8", "e-7", "e-6", "e-5"]
    assert "has another form" in lines[-2]
    assert shown.stderr == "3 more: use a higher --limit, or -o json for all\n"


def test_of_several_runs_the_one_that_is_most_like_it(gateway: Gateway, dynamodb: Any) -> None:
    """Two rules may start one DAG for one event."""
    event = ran(dynamodb, "one")
    other = replace(
        a_request("one"), rule_id="finance.other", target=replace(a_request("one").target, conf={"key": "x"})
    )
    ledger = LedgerTable(dynamodb, LEDGER_TABLE)
    attempt = ledger.begin_attempt(other, 1_000.0)
    assert isinstance(attempt, Attempt)
    assert ledger.finish(attempt, Triggered(), 1_001.0)
    ShadowRecords(dynamodb, LEDGER_TABLE).record([shadow(event, 1)])
    shown = json.loads(gateway("rules", "shadow-report", "trial.orders", "-o", "json").stdout)
    assert [(one["verdict"], one["real"]["rule_id"]) for one in shown["events"]] == [
        ("same", "finance.orders")
    ]


def test_nothing_recorded(gateway: Gateway) -> None:
    """With where to look."""
    shown = gateway("rules", "shadow-report", "trial.orders")
    assert (shown.stdout, "check that its state is SHADOW" in shown.stderr) == ("", True)
