"""`mwaa-gateway reconcile` on a gateway that runs: files from before their rule, and notifications that come late."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway_cli.main import cli
from gateway_cli.reconcile import commands
from local_stack.state import StackState
from looking import messages_in, number_of_runs, settle
from polling import until

BUCKET = "mwaa-gateway-landing"
RULES = """
- id: reconcile.plain
  s3: s3://mwaa-gateway-landing/{folder}/*.csv
  target: {{environment: analytics, dag_id: waiting}}
- id: reconcile.batch
  s3: s3://mwaa-gateway-landing/{folder}/*.csv
  collect: {{complete_when: {{count: 2}}, max_wait: 1h}}
  target: {{environment: analytics, dag_id: waiting}}
"""


def run(*words: str, exit_code: int = 0) -> str:
    result = CliRunner(mix_stderr=False).invoke(cli, [*words, "--local"])
    assert result.exit_code == exit_code, result.output + result.stderr
    return result.stdout


def states(*words: str, exit_code: int = 0) -> dict[tuple[str, str], int]:
    """The number of objects by rule and state."""
    found = json.loads(run("reconcile", *words, "--older-than", "0s", "-o", "json", exit_code=exit_code))
    return {(one["rule"], one["state"]): one["count"] for one in found["counts"]}


def why(uri: str) -> str:
    """The state in which the log has an upload."""
    result = CliRunner(mix_stderr=False).invoke(cli, ["why", uri, "-o", "json", "--local"])
    return str(json.loads(result.stdout)["state"])


def quiet(gateway: StackState) -> None:
    """Wait until nothing is on its way, in the order of the way."""
    stacks = gateway.aws.client("cloudformation").describe_stacks(StackName="mwaa-gateway")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks[0]["Outputs"]}
    for queue in ("IngressRetryQueueUrl", "CollectQueueUrl"):
        until(f"an empty {queue}", lambda queue=queue: not messages_in(gateway, outputs[queue]), seconds=60)
    settle(gateway)


def notification(key: str, found: dict[str, Any]) -> dict[str, Any]:
    """What S3 sends of an upload to a bucket with versioning; `found` is what it says of the object."""
    state = {"eTag": found["ETag"].strip('"'), "versionId": found["VersionId"], "sequencer": uuid.uuid4().hex}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-central-1",
                "eventTime": found["LastModified"].isoformat(),
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
                    "object": {"key": key, "size": 1, **state},
                },
            }
        ]
    }


@pytest.mark.guarantee(54)
def test_files_from_before_the_rule_start_once_whatever_arrives_later(
    gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run for each file and a batch of both; then their notifications arrive. The counts are Airflow's database's."""
    folder = f"reconcile-{uuid.uuid4().hex}"
    uri = f"s3://{BUCKET}/{folder}/"
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    (tmp_path / "rules.yaml").write_text(RULES.format(folder=folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(
        commands, "SETTLE_SECONDS", 7.0
    )  # the pauses are read every five; no attempt is under way
    s3, late = gateway.aws.client("s3"), []
    for name in ("1", "2"):
        key = f"{folder}/{name}.csv"
        s3.put_object(Bucket=BUCKET, Key=key, Body=name.encode())
        late.append(notification(key, s3.head_object(Bucket=BUCKET, Key=key)))
    for one in ("1", "2"):
        until(
            "the own event meets no rule",
            lambda one=one: why(f"{uri}{one}.csv") == "no_rule_matches",
            seconds=45,
        )
    run("rules", "apply", "rules.yaml", "--by", "tests")
    assert {("reconcile.plain", "never"): 2, ("reconcile.batch", "never"): 2} == states(
        uri, exit_code=commands.MISSING
    )

    applied = states(uri, "--apply", "--why", "backfill")

    assert {("reconcile.plain", "started"): 2, ("reconcile.batch", "started"): 2} == applied
    until(
        "the run of the batch",
        lambda: number_of_runs(gateway, "analytics", "reconcile.batch") == 1,
        seconds=60,
    )
    settle(gateway)
    before = [number_of_runs(gateway, "analytics", f"reconcile.{kind}") for kind in ("plain", "batch")]
    assert before == [2, 1]
    (tmp_path / "late.json").write_text(json.dumps(late))
    run("events", "send", "late.json")
    quiet(gateway)
    after = [number_of_runs(gateway, "analytics", f"reconcile.{kind}") for kind in ("plain", "batch")]
    assert after == [2, 1]
    assert {("reconcile.plain", "ran"): 2, ("reconcile.batch", "collected"): 2} == states(uri)
    assert "backfill" in run("operations", uri)
    for name in ("3", "4"):  # by both routes; whichever event comes first, it names the version
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/{name}.csv", Body=name.encode())
    until(
        "the run of the second batch",
        lambda: number_of_runs(gateway, "analytics", "reconcile.batch") == 2,
        seconds=60,
    )
    quiet(gateway)
    assert {("reconcile.plain", "ran"): 4, ("reconcile.batch", "collected"): 4} == states(uri)
    for kind in ("plain", "batch"):
        run("rules", "delete", f"reconcile.{kind}", "--yes")
