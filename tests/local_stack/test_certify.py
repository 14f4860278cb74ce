"""`environments certify` on a gateway that runs: every question passes, and each broken set-up shows as its own verdict."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from gateway_cli.certify.canary import CANARY_DAG_ID
from gateway_cli.certify.questions import IDS
from gateway_cli.main import cli
from gateway_cli.rules.store import RulesStore
from local_stack.mwaa import ControlClient
from local_stack.state import StackState
from looking import SECRET, messages_in, number_of_runs
from polling import until

QUICK = ("--wait", "0s", "--conf-kilobytes", "64")
FULL = ("--wait", "200s")


@dataclass(frozen=True, slots=True)
class Certified:
    """What came of it: the exit code, the report, what was on the screen, and question -> (verdict, text)."""

    exit_code: int
    report: dict[str, Any]
    screen: str

    @property
    def verdicts(self) -> dict[str, str]:
        return {each["id"]: each["verdict"] for each in self.report["questions"]}

    def text(self, question: str) -> str:
        [found] = [each for each in self.report["questions"] if each["id"] == question]
        return str(found["text"])


Certify = Callable[..., Certified]


@pytest.fixture
def certify(gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certify:
    """Run the command on the local stack, or `by` a user, as on a real account: the stack by its name."""
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    monkeypatch.chdir(tmp_path)

    def certify(*words: str, by: dict[str, str] | None = None) -> Certified:
        where = ["--local"] if by is None else ["--stack-name", gateway.stack_name]
        file = tmp_path / "report.json"
        file.unlink(missing_ok=True)
        result = CliRunner(mix_stderr=False).invoke(
            cli, ["environments", "certify", *words, "--report", str(file), *where], env=by
        )
        assert file.exists(), result.output + result.stderr
        return Certified(result.exit_code, json.loads(file.read_text()), result.stdout)

    return certify


@pytest.fixture(scope="module")
def state_machine(gateway: StackState, state_machine_role: str) -> str:
    """The canary state machine that the command prints, with a role that may call the gateway; its ARN."""
    printed = CliRunner(mix_stderr=False).invoke(
        cli,
        ["environments", "certify", "analytics", "--print-state-machine", "--stack-name", gateway.stack_name],
        env=gateway.settings,
    )
    machine = gateway.aws.client("stepfunctions").create_state_machine(
        name="certify-canary", roleArn=state_machine_role, definition=printed.stdout
    )
    arn: str = machine["stateMachineArn"]
    return arn


@contextmanager
def a_user_with(gateway: StackState, policy: str, name: str) -> Iterator[dict[str, str]]:
    """The settings of a user who has one policy and nothing else."""
    iam = gateway.aws.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="certify", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    yield {
        **gateway.settings,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def policy_for(gateway: StackState, *words: str) -> str:
    """What `--print-policy` prints for these options."""
    printed = CliRunner(mix_stderr=False).invoke(
        cli,
        ["environments", "certify", *words, "--print-policy", "--stack-name", gateway.stack_name],
        env=gateway.settings,
    )
    assert printed.exit_code == 0, printed.stderr
    return printed.stdout


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        ("analytics", QUICK),
        pytest.param("analytics", FULL, marks=pytest.mark.full),
        pytest.param("legacy", FULL, marks=pytest.mark.full),
    ],
    ids=["small", "Airflow 3", "Airflow 2"],
)
def test_a_gateway_that_works(gateway, certify, state_machine, environment, size):
    """Everything passes for a user with the printed policy alone; nothing stays but what it lists; no secret is shown."""
    options = (environment, "--disruptive", "--state-machine", state_machine)
    with a_user_with(gateway, policy_for(gateway, *options), f"certifier-{environment}-{len(size)}") as user:
        certified = certify(*options, *size, by=user)

    expected = dict.fromkeys(IDS, "pass") | {"queue": "skipped"}
    expected |= {"wait": "skipped"} if size is QUICK else {}
    assert certified.verdicts == expected, certified.screen
    assert certified.exit_code == 0
    rules = RulesStore(gateway.aws.client("dynamodb"), gateway.rules_table)
    assert not [rule.id for rule in rules.list() if rule.id.startswith("certify.")]
    targets = [
        target["Id"]
        for rule in gateway.aws.client("events").list_rules(EventBusName=gateway.event_bus_name)["Rules"]
        for target in gateway.aws.client("events").list_targets_by_rule(
            Rule=rule["Name"], EventBusName=gateway.event_bus_name
        )["Targets"]
    ]
    assert not [each for each in targets if each.startswith("certify")]
    assert (
        len(
            gateway.aws.client("sns").list_subscriptions_by_topic(TopicArn=gateway.topic_arn)["Subscriptions"]
        )
        == 1
    )
    objects = gateway.aws.client("s3").list_objects_v2(Bucket=gateway.bucket, Prefix="certify/")
    assert objects.get("KeyCount", 0) == 0
    assert messages_in(gateway, gateway.environments[environment].trigger_dlq_url) == 0

    report = json.dumps(certified.report)
    for name in (gateway.account_id, "arn:aws", "localhost", "127.0.0.1", gateway.bucket):
        assert name not in report
    assert not SECRET.search(report)
    assert "DagRunAlreadyExists" in report  # the words stay, for fixtures


def test_somebody_who_may_do_nothing(gateway, certify):
    """What you may not ask is unknown: it says nothing about the environment."""
    allowed = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": "*"}],
        }
    )
    with a_user_with(gateway, allowed, "certifier-of-nothing") as user:
        certified = certify("analytics", "--patience", "5s", by=user)

    asked = {id_: verdict for id_, verdict in certified.verdicts.items() if verdict != "skipped"}
    assert set(asked.values()) == {"unknown"}, certified.screen
    assert certified.exit_code == 3
    for question in ("canary", "token", "start", "login", "eventbridge", "sns"):
        assert "you may not" in certified.text(question), certified.screen


def test_an_environment_that_is_updated(gateway, certify):
    """One cross; nothing is sent into it."""
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.set_status("UPDATING", environment="analytics")
    try:
        certified = certify("analytics", "--only", "environment", "--only", "start", "--only", "eventbridge")
    finally:
        control.set_status("AVAILABLE")
    assert certified.verdicts == {"environment": "fail", "start": "unknown", "eventbridge": "unknown"}
    assert certified.text("start") == "not asked, as environment failed"
    assert certified.exit_code == 1


def test_a_canary_that_is_paused(gateway, certify):
    """It is the cross, with its remedy; what needs its runs is not asked."""
    set_paused(gateway, "legacy", paused=True)
    try:
        certified = certify("legacy", "--only", "canary", "--only", "missing-dag", "--only", "eventbridge")
    finally:
        set_paused(gateway, "legacy", paused=False)
    assert certified.verdicts == {"canary": "fail", "missing-dag": "pass", "eventbridge": "unknown"}
    assert "Unpause it in Airflow" in certified.screen


def test_a_dispatcher_that_may_not_start_anything(gateway, certify):
    """The operator's questions pass; the event's shows the reason that the ledger has. Later the request still runs."""
    iam, functions = gateway.aws.client("iam"), gateway.aws.client("lambda")
    function = functions.get_function_configuration(FunctionName=gateway.environments["legacy"].dispatcher)
    role = function["Role"].rpartition("/")[2]
    deny = {"Effect": "Deny", "Action": "airflow:*", "Resource": "*"}
    iam.put_role_policy(
        RoleName=role,
        PolicyName="broken",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]}),
    )
    # A sandbox that has a CLI token may use it for the rest of its minute, so start new ones.
    settings = function["Environment"]["Variables"] | {"CLI_CONNECT_TIMEOUT_SECONDS": "4"}
    functions.update_function_configuration(
        FunctionName=function["FunctionName"], Environment={"Variables": settings}
    )
    before = number_of_runs(gateway, "legacy", "certify.legacy-events")
    try:
        certified = certify("legacy", "--only", "missing-dag", "--only", "eventbridge", "--patience", "6s")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="broken")
    assert certified.verdicts == {"missing-dag": "pass", "eventbridge": "fail"}
    assert "access_denied" in certified.text("eventbridge")
    assert any("open" in each for each in certified.report["left_behind"])
    until(
        "its run, once the permission is back",
        lambda: number_of_runs(gateway, "legacy", "certify.legacy-events") > before,
        seconds=60,
    )


def set_paused(gateway: StackState, environment: str, *, paused: bool) -> None:
    """As a person does in Airflow's user interface."""
    url = f"{gateway.environments[environment].airflow_url}/api/v1/dags/{CANARY_DAG_ID}"
    with requests.Session() as session:
        session.trust_env = False
        session.patch(url, json={"is_paused": paused}, timeout=30).raise_for_status()
