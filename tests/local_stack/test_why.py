"""`mwaa-gateway why` on a gateway that runs: staged mishaps, each explained in one call, put right by the command it names.

The counts of runs are Airflow's database's, before and after.
"""

import json
import shlex
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway_cli.answers import absent, gathering
from gateway_cli.main import cli
from local_stack.mwaa import ControlClient, Faults
from local_stack.state import StackState
from looking import number_of_runs, transport
from polling import until

BUCKET = "mwaa-gateway-landing"
SILENT = "mwaa-gateway-why-silent"  # it sends no events
DAG = """
from datetime import datetime, timezone
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG(
    "{dag_id}",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation={paused},
):
    EmptyOperator(task_id="nothing")
"""
RULES = """
rules:
  - id: why.case
    s3: s3://mwaa-gateway-landing/why-case/*.csv
    target: {environment: analytics, dag_id: waiting}
  - id: why.disabled
    state: DISABLED
    s3: s3://mwaa-gateway-landing/why-disabled/*.csv
    target: {environment: analytics, dag_id: waiting}
  - id: why.strict
    pattern: {source: [acme.why-strict]}
    target:
      environment: analytics
      dag_id: always_strict
      input_transformer: {input_paths: {amount: $.detail.amount}, input_template: {amount: <amount>}}
  - id: why.once
    pattern: {source: [acme.why-once]}
    dedupe_key: <$.detail.order>
    target: {environment: analytics, dag_id: waiting}
  - id: why.batch
    s3: s3://mwaa-gateway-landing/why-batch/*
    captures: {detail.object.key: "why-batch/{day}/{region}.csv"}
    collect:
      key: [<day>]
      max_wait: 1h
      complete_when: {values: {of: <region>, all_of: [eu, us, apac]}}
    target: {environment: analytics, dag_id: waiting}
  - id: why.paused
    pattern: {source: [acme.why-paused]}
    target: {environment: legacy, dag_id: waiting}
  - id: why.silent
    s3: s3://mwaa-gateway-why-silent/*.csv
    target: {environment: analytics, dag_id: waiting}
  - id: why.missing
    pattern: {source: [acme.why-missing]}
    target: {environment: analytics, dag_id: why_missing}
  - id: why.unpaused
    pattern: {source: [acme.why-unpaused]}
    target: {environment: analytics, dag_id: why_unpaused}
  - id: why.stale
    pattern: {source: [acme.why-stale]}
    target: {environment: analytics, dag_id: why_stale}
  - id: why.broken
    pattern: {source: [acme.why-broken]}
    target: {environment: analytics, dag_id: why_broken}
  - id: why.away
    pattern: {source: [acme.why-away]}
    target: {environment: legacy, dag_id: waiting}
  - id: why.large
    pattern: {source: [acme.why-large]}
    target: {environment: analytics, dag_id: waiting}
  - id: why.both
    pattern: {source: [acme.why-ended]}
    target: {environment: analytics, dag_id: quick}
  - id: why-walled.orders
    pattern: {source: [acme.why-walled]}
    target: {environment: analytics, dag_id: waiting}
"""


class Operator:
    """Somebody with the command in the folder of the local stack."""

    def __init__(self, gateway: StackState) -> None:
        self.gateway = gateway

    def run(self, *words: str, exit_code: int = 0) -> str:
        result = CliRunner(mix_stderr=False).invoke(cli, [*words, "--local"])
        assert result.exit_code == exit_code, result.output + result.stderr
        return result.stdout

    def follow(self, command: str) -> None:
        """Run a command as `why` prints it, the AWS CLI's in a shell."""
        program, *words = shlex.split(command)
        if program != "mwaa-gateway":
            if shutil.which("aws") is None:
                pytest.skip("the AWS CLI is not installed")
            subprocess.run(["/bin/sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
            return
        result = CliRunner(mix_stderr=False).invoke(cli, words)
        assert result.exit_code == 0, result.output + result.stderr

    def why(self, subject: str) -> dict[str, Any]:
        result = CliRunner(mix_stderr=False).invoke(cli, ["why", subject, "-o", "json", "--local"])
        assert result.stdout, result.stderr
        document: dict[str, Any] = json.loads(result.stdout)
        assert result.exit_code == document["exit_code"]
        return document

    def sees(self, subject: str, state: str, *says: str) -> dict[str, Any]:
        """Ask until the event has arrived and is in this state."""
        seen: dict[str, Any] = {}

        def asked() -> bool:
            seen.update(self.why(subject))
            return seen["state"] == state

        try:
            until(f"{state} of {subject}", asked, seconds=45)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(seen, indent=1)}") from error
        for words in says:
            assert words in seen["sentence"], seen["sentence"]
        return seen

    def upload(self, key: str, bucket: str = BUCKET) -> str:
        self.gateway.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
        return f"s3://{bucket}/{key}"

    def put_event(self, source: str, **detail: Any) -> str:
        entry = {
            "EventBusName": self.gateway.event_bus_name,
            "Source": source,
            "DetailType": "Order Placed",
            "Detail": json.dumps(detail),
        }
        answer = self.gateway.aws.client("events").put_events(Entries=[entry])
        event_id: str = answer["Entries"][0]["EventId"]
        return event_id

    def runs(self, rule_id: str, environment: str = "analytics") -> int:
        return number_of_runs(self.gateway, environment, rule_id)

    def succeeded(self, rule_id: str) -> int:
        """How many of its runs have ended well, as Airflow's database has them."""
        file = Path(self.gateway.environments["analytics"].airflow_home) / "airflow.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as database:
            [(number,)] = database.execute(
                "SELECT count(*) FROM dag_run WHERE run_id GLOB ? AND state = 'success'",
                [f"evt__{rule_id}__*"],
            )
        return int(number)

    def ends_well(self, rule_id: str) -> None:
        """Wait until its only run has ended well."""
        until(f"the end of {rule_id}", lambda: self.succeeded(rule_id) == 1, seconds=90)
        assert self.runs(rule_id) == 1

    def deploy_dag(self, dag_id: str, *, paused: bool = False, broken: bool = False) -> None:
        text = ("raise ValueError('broken')" if broken else "") + DAG.format(dag_id=dag_id, paused=paused)
        self.dag_file(dag_id).write_text(text)

    def dag_file(self, dag_id: str) -> Path:
        return Path(self.gateway.environments["analytics"].dags_folder) / f"{dag_id}.py"

    def lists(self, dag_id: str, state: str) -> None:
        """Wait until the check of the environment says so of a DAG: paused, stale, or missing."""

        def said() -> bool:
            words = ["environments", "check", "analytics", "-o", "json", "--local"]
            found = json.loads(CliRunner(mix_stderr=False).invoke(cli, words).stdout)
            rules = [one["text"] for one in found["environments"]["analytics"] if one["check"] == "rules"]
            return any(f"DAGs {state}: " in text and dag_id in text for text in rules)

        until(f"DAG {dag_id} is {state}", said, seconds=90, every=2.0)

    def runs_come(self, rule_id: str, number: int, environment: str = "analytics") -> None:
        until(f"runs of {rule_id}", lambda: self.runs(rule_id, environment) >= number, seconds=45)
        assert self.runs(rule_id, environment) == number


@pytest.fixture
def operator(gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """An operator, with the rules of this page applied."""
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    (tmp_path / "rules.yaml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gathering, "_AGAIN_SECONDS", 0.1)  # the local log does not lag, and `sees` asks again
    operator = Operator(gateway)
    operator.run("rules", "apply", "rules.yaml", "--by", "tests")
    return operator


def test_four_mishaps_are_each_explained_and_put_right(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrong case of a key, a disabled rule, a dead conf, and an upload that never arrived."""
    day = uuid.uuid4().hex
    wrong_case = operator.upload(f"Why-Case/{day}.csv")
    missed = operator.upload(f"why-disabled/{day}.csv")
    dead = operator.put_event("acme.why-strict", amount="many")
    operator.gateway.aws.client("s3").create_bucket(
        Bucket=SILENT, CreateBucketConfiguration={"LocationConstraint": operator.gateway.region}
    )

    seen = operator.sees(wrong_case, "no_rule_matches", "why.case", "only upper and lower case differ")
    before = operator.runs("why.case")
    operator.follow(seen["command"])
    operator.runs_come("why.case", before + 1)

    seen = operator.sees(missed, "rule_disabled", "why.disabled")
    assert operator.runs("why.disabled") == 0
    operator.follow(seen["command"])
    operator.follow(seen["then"])
    operator.runs_come("why.disabled", 1)

    seen = operator.sees(dead, "dead", "conf_refused", "DAG always_strict in analytics")
    assert operator.runs("why.strict") == 0
    assert seen["command"] == f"mwaa-gateway dlq redrive {seen['run_id']} --local"

    operator.sees(f"s3://{SILENT}/never.csv", "never_received", "S3 has no such object")
    monkeypatch.setattr(absent, "_ARRIVING_SECONDS", 0.0)
    never = operator.upload("never.csv", SILENT)
    seen = operator.sees(never, "never_received", f"Bucket {SILENT} sends no events")
    assert operator.runs("why.silent") == 0
    operator.follow(seen["command"])
    operator.runs_come("why.silent", 1)

    status = json.loads(operator.run("status", "-o", "json"))
    assert {one["name"] for one in status["environments"]} == {"analytics", "legacy"}
    assert any(trouble["subject"].startswith("evt__why.strict__") for trouble in status["troubles"])
    listed = json.loads(operator.run("runs", "list", "--rule", "why.strict", "-o", "json"))
    assert [(run["state"], run["reason"]) for run in listed] == [("dead", "conf_refused")]


@pytest.mark.full
def test_five_more_mishaps_are_each_explained_and_put_right(operator: Operator) -> None:
    """Outside its namespace, held by a paused environment, a duplicate, an incomplete batch."""
    day = uuid.uuid4().hex
    operator.run("environments", "pause", "legacy", "--reason", "moving")
    allowed = "- {namespace: why-walled, sources: [acme.other], environments: [analytics], dag_ids: ['*']}\n"
    Path("allowed.yaml").write_text(allowed)
    operator.run("namespaces", "apply", "allowed.yaml", "--yes")
    walled = operator.put_event("acme.why-walled")
    held = operator.put_event("acme.why-paused")
    once, again = (operator.put_event("acme.why-once", order=day) for _ in range(2))
    member = operator.upload(f"why-batch/{day}/eu.csv")

    seen = operator.sees(held, "held", "before DAG waiting in legacy", "moving")
    assert operator.runs("why.paused", "legacy") == 0
    operator.follow(seen["command"])
    operator.runs_come("why.paused", 1, "legacy")

    seen = operator.sees(walled, "outside_namespace", "why-walled.orders", "namespace 'why-walled' allows")
    operator.follow(seen["command"])
    operator.run("namespaces", "delete", "why-walled", "--yes")
    operator.follow(seen["then"])
    operator.runs_come("why-walled.orders", 1)

    states = {operator.why(once)["state"], operator.why(again)["state"]}
    until(
        "both events",
        lambda: "duplicate" in {operator.why(one)["state"] for one in (once, again)},
        seconds=45,
    )
    assert operator.runs("why.once") == 1, states
    duplicate = next(one for one in (once, again) if operator.why(one)["state"] == "duplicate")
    operator.follow(operator.why(duplicate)["command"])
    operator.runs_come("why.once", 2)

    seen = operator.sees(member, "collecting", "It has 1 member. It lacks us, apac.")
    assert operator.runs("why.batch") == 0
    operator.follow(seen["command"])
    operator.runs_come("why.batch", 1)
    operator.sees(member, "accepted_not_runnable", "DAG waiting in analytics", "the DAG was paused")


@contextmanager
def catalog_seconds(gateway: StackState, seconds: int) -> Iterator[None]:
    """Give the stack's parameter DagCatalogSeconds another value: a list of DAGs is valid for so long."""
    functions, name = gateway.aws.client("lambda"), gateway.environments["analytics"].dispatcher
    before = functions.get_function_configuration(FunctionName=name)["Environment"]
    changed = {"Variables": {**before["Variables"], "DAG_CATALOG_SECONDS": str(seconds)}}
    functions.update_function_configuration(FunctionName=name, Environment=changed)
    yield
    functions.update_function_configuration(FunctionName=name, Environment=before)


@pytest.mark.full
def test_dags_that_run_nothing_are_each_explained_and_put_right(operator: Operator) -> None:
    """Missing, paused, stale and broken: what `why` advises is done to the DAG, and the run ends well."""
    operator.deploy_dag("why_unpaused", paused=True)
    operator.deploy_dag("why_stale")
    operator.deploy_dag("why_broken")
    missing = operator.put_event("acme.why-missing")
    seen = operator.sees(missing, "circuit_open", "has not known DAG why_missing")
    assert seen["command"] == "mwaa-gateway environments check analytics --local"
    assert operator.runs("why.missing") == 0
    operator.lists("why_missing", "missing")
    operator.deploy_dag("why_missing")
    operator.ends_well("why.missing")

    operator.lists("why_unpaused", "paused")
    operator.dag_file("why_stale").unlink()
    operator.deploy_dag("why_broken", broken=True)
    operator.lists("why_stale", "stale")
    operator.lists("why_broken", "stale")
    with catalog_seconds(operator.gateway, 2):
        events = {name: operator.put_event(f"acme.why-{name}") for name in ("unpaused", "stale", "broken")}
        answers = {name: operator.sees(event, "accepted_not_runnable") for name, event in events.items()}
    assert "the DAG was paused" in answers["unpaused"]["sentence"]
    assert "the DAG's file was gone or broken" in answers["stale"]["sentence"]
    assert "the DAG's file was gone or broken" in answers["broken"]["sentence"]
    assert {operator.succeeded(f"why.{name}") for name in events} == {0}

    operator.follow(answers["unpaused"]["command"])
    operator.deploy_dag("why_stale")
    operator.deploy_dag("why_broken")
    for name in events:
        operator.ends_well(f"why.{name}")


@pytest.mark.full
def test_an_environment_that_is_away_and_a_large_conf_are_explained_and_put_right(operator: Operator) -> None:
    """Its requests start by themselves once it is back; a dead event is redriven once its rule is corrected."""
    control = ControlClient(operator.gateway.mwaa_endpoint_url)
    control.set_faults(Faults(reset_before=1.0), environment="legacy")
    away = operator.put_event("acme.why-away")
    large = operator.put_event("acme.why-large", text="x" * 40_000)
    seen = operator.sees(away, "circuit_open", "legacy has been unavailable since")
    assert seen["command"] == "mwaa-gateway environments check legacy --local"
    assert operator.runs("why.away", "legacy") == 0
    control.clear_faults(environment="legacy")
    operator.runs_come("why.away", 1, "legacy")

    seen = operator.sees(large, "dead", "conf_too_large", "at most 32768 are allowed")
    assert operator.runs("why.large") == 0
    corrected = "dag_id: waiting, large_conf: claim_check}\n  - id: why.both"
    rules = Path("rules.yaml").read_text()
    Path("rules.yaml").write_text(rules.replace("dag_id: waiting}\n  - id: why.both", corrected))
    operator.run("rules", "apply", "rules.yaml", "--by", "tests")
    operator.follow(seen["command"])
    operator.runs_come("why.large", 1)


@pytest.mark.full
def test_how_a_run_ended_is_asked_of_airflow(operator: Operator) -> None:
    """Over InvokeRestApi; over CLI tokens the answer says that it was not asked."""
    over_cli = operator.put_event("acme.why-ended")
    operator.sees(over_cli, "accepted", "uses CLI tokens")
    with transport(operator.gateway, "rest"):
        event = operator.put_event("acme.why-ended")
        operator.sees(event, "ended_success", "It ran and succeeded")
