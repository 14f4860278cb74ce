"""`mwaa-gateway why` on a gateway that runs: staged mishaps, each explained in one call, put right by the command it names.

The counts of runs are Airflow's database's, before and after.
"""

import json
import shlex
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway_cli.answers import gathering
from gateway_cli.main import cli
from local_stack.state import StackState
from looking import number_of_runs, transport
from polling import until

BUCKET = "mwaa-gateway-landing"
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
        """Run a command as `why` prints it."""
        program, *words = shlex.split(command)
        assert program == "mwaa-gateway"
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


def test_four_mishaps_are_each_explained_and_put_right(operator: Operator) -> None:
    """The wrong case of a key, a disabled rule, a dead conf, and an upload that never arrived."""
    day = uuid.uuid4().hex
    wrong_case = operator.upload(f"Why-Case/{day}.csv")
    missed = operator.upload(f"why-disabled/{day}.csv")
    dead = operator.put_event("acme.why-strict", amount="many")
    silent = f"silent-{day}"
    operator.gateway.aws.client("s3").create_bucket(
        Bucket=silent, CreateBucketConfiguration={"LocationConstraint": operator.gateway.region}
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

    seen = operator.sees(f"s3://{silent}/why-case/never.csv", "never_received", "S3 has no such object")
    never = operator.upload("why-case/never.csv", silent)
    assert operator.why(never)["state"] == "never_received"

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

    seen = operator.sees(member, "collecting", "It has 1 member. It lacks us, apac.")
    assert operator.runs("why.batch") == 0
    operator.follow(seen["command"])
    operator.runs_come("why.batch", 1)
    operator.sees(member, "accepted_not_runnable", "DAG waiting in analytics", "the DAG is paused")


@pytest.mark.full
def test_how_a_run_ended_is_asked_of_airflow(operator: Operator) -> None:
    """Over InvokeRestApi; over CLI tokens the answer says that it was not asked."""
    over_cli = operator.put_event("acme.why-ended")
    operator.sees(over_cli, "accepted", "uses CLI tokens")
    with transport(operator.gateway, "rest"):
        event = operator.put_event("acme.why-ended")
        operator.sees(event, "ended_success", "It ran and succeeded")
