"""`mwaa-gateway rerun` as it is used: exactly one further run of each event, however often it is given."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from click.testing import Result

from fakes.requests import a_request
from gateway_cli.answers.insights import Insights
from gateway_cli.rules.store import RulesStore
from integration.operated import NO, Gateway
from integration.shell import shell
from integration.test_pause_items import NOW
from integration.test_why_command import FakeTrail
from mwaa_gateway.conf.input_transformer import ORIGIN_KEY
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.rules import parse_rule

RULE = "finance.orders"
EVENT_TWO = a_request("two", rule_id=RULE)


def run(*words: str) -> Result:
    return shell("rerun", *words)


def rerun(*words: str) -> list[str]:
    """What is rerun, by run_id."""
    return json.loads(run("--rule", RULE, *words, "-o", "json").stdout)["rerun"]


@pytest.fixture
def gateway(operated: Gateway) -> Gateway:
    """Three events of one rule on three days, which ran; and one that died."""
    for day in (1, 2, 3):
        request = event_of_day(day)
        assert Triggered() == operated.dispatch(request.to_json())
    dead = event_of_day(4)
    operated.airflow.answers = [NO]
    operated.dispatch(dead.to_json())
    operated.airflow.commands.clear()
    return operated


def event_of_day(day: int) -> Any:
    request = a_request(f"day {day}")
    event = {**request.event, "time": f"2026-11-0{day}T12:00:00Z", "detail": {"amount": day}}
    conf = {"amount": day, "mwaa_gateway": {"event_id": "e-1", "generation": 0}}
    return replace(request, event=event, target=replace(request.target, conf=conf))


def test_row_38_the_same_rerun_given_twice_is_one_further_run_of_each_event(gateway: Gateway) -> None:
    """Row 38: also when the second is given before the first was dispatched, and whatever is delivered twice."""
    first = rerun()
    assert [f"{event_of_day(day).target.run_id}__r1" for day in (1, 2, 3)] == first
    assert first == rerun()  # nothing of it is in the ledger yet
    outcomes = gateway.deliver_all()
    assert (6, 3) == (len(outcomes), outcomes.count(Triggered()))
    assert ["trigger"] * 3 == gateway.airflow.commands
    again = run("--rule", RULE, "-o", "json")
    assert ([], True) == (json.loads(again.stdout)["rerun"], "3 already have generation 1" in again.stderr)
    assert [] == gateway.deliver_all()
    assert 3 == len(rerun("--generation", "2"))
    assert [Triggered()] * 3 == gateway.deliver_all()
    assert 9 == len(gateway.airflow.runs)


def test_another_run_has_its_generation_in_its_conf(gateway: Gateway) -> None:
    """The same DAG and conf, as they were pinned, but for the generation."""
    rerun("--since", "2026-11-02", "--until", "2026-11-03")
    gateway.deliver_all()
    target = gateway.airflow.runs["ingest_orders", f"{event_of_day(2).target.run_id}__r1"]
    assert {"amount": 2, "mwaa_gateway": {"event_id": "e-1", "generation": 1}} == target.conf


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (("--since", "2026-11-02"), [2, 3]),
        (("--until", "2026-11-02T12:00:00Z"), [1]),
        (("--state", "dead"), [4]),
        (("--state", "any"), [1, 2, 3, 4]),
        (("--environment", "legacy"), []),
        (("--dag", "another"), []),
        (("--dag", "ingest_orders", "--environment", "analytics"), [1, 2, 3]),
    ],
)
def test_only_what_is_meant(gateway: Gateway, words: tuple[str, ...], days: list[int]) -> None:
    """By the event's own time; a dry run shows the same and does nothing."""
    shown = json.loads(run("--rule", RULE, *words, "--dry-run", "-o", "json").stdout)
    assert [f"day {day}" for day in days] == [row["event"] for row in shown]
    assert 0 == gateway.visible("trigger-analytics")
    assert len(days) == len(rerun(*words))


class TestOneEvent:
    """By whatever name an operator knows it."""

    @pytest.fixture
    def events(self, operated: Gateway) -> Gateway:
        """An upload for two rules, another upload to the same key, and a state's request."""
        upload = {
            "id": "e-1",
            "source": "aws.s3",
            "time": "2026-11-22T12:00:00Z",
            "detail": {"bucket": {"name": "acme"}, "object": {"key": "in/a.csv"}},
        }
        state = {**upload, "id": "e-3", "source": "aws.states", "detail": {"requestId": "orders-2026-11-22"}}
        for request in (
            replace(a_request("one", rule_id="finance.orders"), event=upload),
            replace(a_request("one", rule_id="crm.audit"), event=upload),
            replace(a_request("two", rule_id="finance.orders"), event={**upload, "id": "e-2"}),
            replace(a_request("three", rule_id="step-functions"), event=state),
        ):
            assert Triggered() == operated.dispatch(request.to_json())
        return operated

    @pytest.mark.parametrize(
        ("name", "count"),
        [
            ("e-1", 2),
            ("e-2", 1),
            ("s3://acme/in/a.csv", 3),
            ("s3://acme/in/b.csv", 0),
            ("orders-2026-11-22", 1),
            (a_request("two", rule_id="finance.orders").target.run_id, 1),
            (a_request("two", rule_id="finance.orders").target.run_id + "__r1", 1),
            (a_request("two", rule_id="finance.orders").identity, 1),
        ],
    )
    def test_every_name(self, events: Gateway, name: str, count: int) -> None:
        """Its id, a run_id of any generation, an upload's URI, a state's request_id: one further run of each request."""
        output = run("--event", name, "-o", "json")
        assert (0, count) == (output.exit_code, len(json.loads(output.stdout)["rerun"]))
        assert count == events.visible("trigger-analytics")
        assert (count == 0) == ("nothing matches: the ledger has 0 requests" in output.stderr)

    @pytest.mark.parametrize(("name", "count"), [("e-1", 2), (EVENT_TWO.target.run_id, 1)])
    def test_what_the_log_knows_costs_no_scan(
        self, events: Gateway, monkeypatch: pytest.MonkeyPatch, name: str, count: int
    ) -> None:
        """The log has the partition of the event's rows: one query of these, for every rule that it ran for."""
        log = FakeTrail()
        for request in (a_request("one", rule_id="finance.orders"), EVENT_TWO):
            event_id = "e-1" if request is not EVENT_TWO else "e-2"
            log.requested(replace(request, event={"id": event_id, "source": "aws.s3"}), ago=600)
        monkeypatch.setattr(Insights, "of", lambda _: log)
        asked: list[str] = []
        ask = BaseClient._make_api_call

        def counted(self: Any, operation: str, params: Any) -> Any:
            asked.append(operation)
            return ask(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", counted)
        assert count == len(json.loads(run("--event", name, "-o", "json").stdout)["rerun"])
        assert count == events.visible("trigger-analytics")
        assert ("Scan" in asked, asked.count("Query")) == (False, 1)

    def test_of_one_rule(self, events: Gateway) -> None:
        """Both options together: what both mean."""
        output = run("--event", "e-1", "--rule", "crm.audit", "-o", "json")
        assert 1 == len(json.loads(output.stdout)["rerun"]) == events.visible("trigger-analytics")

    @pytest.mark.parametrize("words", [(), ("--event", "e-1", "--with-current-rule")])
    def test_which_has_to_be_said(self, events: Gateway, words: tuple[str, ...]) -> None:
        """And a rule as it is now is one rule's."""
        assert 2 == run(*words).exit_code
        assert 0 == events.visible("trigger-analytics")


def test_with_the_rule_as_it_is_now(gateway: Gateway) -> None:
    """It corrects a wrong dag_id or conf, which a redrive cannot do; the command names a target that is gone."""
    document: dict[str, Any] = {
        "id": RULE,
        "pattern": {"source": ["aws.s3"]},
        "target": {
            "environment": "legacy",
            "dag_id": "repaired",
            "input_transformer": {
                "input_paths": {"amount": "$.detail.amount"},
                "input_template": {"repaired": "<amount>"},
            },
        },
    }
    store = RulesStore(gateway.dynamodb, "rules")
    store.put(parse_rule(document, environments=None), by="me", now=NOW)
    (run_id,) = rerun("--state", "dead", "--with-current-rule")
    assert [Triggered()] == gateway.deliver_all("legacy")
    target = gateway.airflow.runs["repaired", run_id]
    assert (4, 1) == (target.conf["repaired"], target.conf["mwaa_gateway"]["generation"])
    document["target"]["id"] = "another"
    store.put(parse_rule(document, environments=None), by="me", now=NOW)
    result = run("--rule", RULE, "--with-current-rule", "-o", "json")
    left = json.loads(result.stdout)["left"]
    assert (1, 3, True) == (result.exit_code, len(left), "no target 'default'" in left[0]["why"])


BATCH: dict[str, Any] = {
    "rule_id": RULE,
    "id": "3b0c",
    "number": 1,
    "key": {"date": "2026-11-04"},
    "reason": "complete",
    "complete": True,
    "late": False,
    "missing": [],
    "count": 2,
    "bytes": 2,
    "first_at": "2026-11-04T12:00:00.000Z",
    "last_at": "2026-11-04T12:00:00.000Z",
    "manifest": "s3://claims/feeds/m.jsonl.gz",
    "members": [{"uri": "s3://landing/1"}, {"uri": "s3://landing/2"}],
}


@pytest.mark.parametrize("key", ["<date>", "<region>"])
def test_a_batch_with_the_rule_as_it_is_now(operated: Gateway, key: str) -> None:
    """The same batch with its manifest and a date of its own; a rule of another key makes no such batch."""
    request = a_request("batch")
    event = {"id": "e-2", "source": "mwaa-gateway", "detail-type": "Batch Released", "detail": BATCH}
    event["time"] = BATCH["last_at"]
    request = replace(request, event=event)
    operated.airflow.answers = [NO]
    operated.dispatch(request.to_json())
    document: dict[str, Any] = {
        "id": RULE,
        "pattern": {"source": ["aws.s3"]},
        "captures": {"detail.object.key": "{date}/{region}/{file}"},
        "collect": {"key": [key], "quiet_period": "10m", "max_wait": "1d"},
        "target": {
            "environment": "analytics",
            "dag_id": "load_batch",
            "logical_date": key,
            "input_transformer": {
                "input_template": {"files": "<batch.members>"},
                "member_template": "<uri>",
            },
        },
    }
    RulesStore(operated.dynamodb, "rules").put(parse_rule(document, environments=None), by="me", now=NOW)
    result = json.loads(run("--rule", RULE, "--state", "dead", "--with-current-rule", "-o", "json").stdout)
    if key == "<region>":
        assert "the current rule makes other batches of its events, or none" in result["left"][0]["why"]
        return
    assert [Triggered()] == operated.deliver_all()
    target = operated.airflow.runs["load_batch", result["rerun"][0]]
    assert target.conf["files"] == ["s3://landing/1", "s3://landing/2"]
    assert target.conf["mwaa_gateway"]["batch"] == BATCH
    assert target.logical_date == "2026-11-04T00:00:00.001000+00:00"


LARGE: dict[str, Any] = {
    "id": RULE,
    "pattern": {"source": ["aws.s3"]},
    "target": {"environment": "analytics", "dag_id": "ingest_orders", "large_conf": "claim_check"},
}


@pytest.fixture
def large_event(operated: Gateway) -> str:
    """An event of 40 KB that died, as its rule knew no claim check; now it does. The run_id of its next generation."""
    operated.outputs["ClaimCheckBucketName"] = "large-confs"
    request = a_request("large")
    request = replace(
        request, event={**request.event, "time": "2026-11-04T12:00:00Z", "detail": {"x": "x" * 40_000}}
    )
    operated.airflow.answers = [NO]
    operated.dispatch(request.to_json())
    store = RulesStore(operated.dynamodb, "rules")
    store.put(parse_rule(LARGE, environments=None), by="me", now=NOW)
    return f"{request.target.run_id}__r1"


def test_with_a_rule_that_puts_large_confs_into_the_bucket(operated: Gateway, large_event: str) -> None:
    """As ingress does: the conf is in the gateway's bucket, and the run has its URI."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="large-confs")
    assert [large_event] == rerun("--state", "dead", "--with-current-rule")
    assert [Triggered()] == operated.deliver_all()
    conf = operated.airflow.runs["ingest_orders", large_event].conf
    assert [ORIGIN_KEY] == list(conf)
    assert 1 == conf[ORIGIN_KEY]["generation"]
    bucket, _, key = conf[ORIGIN_KEY]["conf_uri"].removeprefix("s3://").partition("/")
    assert {"x": "x" * 40_000} == json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])["detail"]


def test_what_the_bucket_does_not_take_is_left_and_not_sent(operated: Gateway, large_event: str) -> None:
    """A run whose conf is nowhere would fail; here there is no such bucket."""
    result = run("--rule", RULE, "--state", "dead", "--with-current-rule", "-o", "json")
    [left] = json.loads(result.stdout)["left"]
    assert (1, large_event.removesuffix("__r1")) == (result.exit_code, left["id"])
    assert "the bucket for large confs did not take one" in left["why"]
    assert 0 == operated.visible("trigger-analytics")


@pytest.mark.parametrize("more", [(), ("--with-current-rule",)])
def test_an_unknown_rule_is_refused(gateway: Gateway, more: tuple[str, ...]) -> None:  # noqa: ARG001
    """A typing error is not an empty list."""
    result = run("--rule", "no.such", *more)
    assert (1, True) == (result.exit_code, "there is no " in result.stderr)


def test_an_unknown_environment_is_refused(gateway: Gateway) -> None:  # noqa: ARG001
    """With the one that was probably meant."""
    result = run("--rule", RULE, "--environment", "analytic")
    assert (1, True) == (result.exit_code, "did you mean 'analytics'?" in result.stderr)


def test_nothing_matches(gateway: Gateway) -> None:  # noqa: ARG001
    """Said, with how many requests the rule has: the options are why."""
    result = run("--rule", RULE, "--dag", "another")
    assert 0 == result.exit_code
    assert "nothing matches: the ledger has 4 requests of rule finance.orders" in result.stderr


def test_it_has_help_with_examples() -> None:
    """And names itself."""
    text = run("--help").stdout
    assert "mwaa-gateway rerun --rule" in text
