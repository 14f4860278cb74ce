"""`environments check` on a gateway that runs: all is well, and each break shows as its own line and no other."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway_cli.main import cli
from local_stack.gateway_stack import STACK_NAME
from local_stack.mwaa import ControlClient, Faults
from local_stack.state import StackState

DOCTOR = f"{STACK_NAME}-doctor"
Check = Callable[..., dict[str, dict[str, tuple[str, str, str]]]]


@pytest.fixture
def check(gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the command: environment -> check -> (status, text, remedy); "rules" left out, as other tests' DAGs break them."""
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    monkeypatch.chdir(tmp_path)

    def check(*names: str) -> dict[str, dict[str, tuple[str, str, str]]]:
        words = ["environments", "check", *names, "-o", "json", "--local"]
        result = CliRunner(mix_stderr=False).invoke(cli, words)
        assert result.exit_code in (0, 1), result.output + result.stderr
        return {
            name: {each["check"]: (each["status"], each["text"], each["remedy"]) for each in found}
            for name, found in json.loads(result.stdout)["environments"].items()
        }

    return check


def failed(found: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    """The lines with a cross, but for the rules': check -> text. Each has a remedy."""
    crosses = {name: line for name, line in found.items() if line[0] == "failed" and name != "rules"}
    assert all(remedy for _, _, remedy in crosses.values())
    return {name: text for name, (_, text, _) in crosses.items()}


def test_a_gateway_that_works(gateway, check):
    """Both environments, by the roles that are deployed; the list of DAGs is the one that Airflow has."""
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.clear_statistics()

    found = check()

    assert set(found) == {"analytics", "legacy"}
    for name, lines in found.items():
        assert failed(lines) == {}, name
        assert {status for status, _, _ in lines.values()} <= {"ok", "failed"}
        assert {"environment", "status", "version", "permissions", "network", "airflow"} <= set(lines)
        assert "0 DAGs" not in lines["airflow"][1]
        transport = gateway.environments[name].transport
        counted = control.statistics()[name]
        assert (counted["commands"] > 0) == (transport == "cli")
        assert (counted["rest_calls"] > 0) == (transport == "rest")
        assert counted["most_commands_at_once"] <= 1
    assert "Airflow 2.11.2" in found["legacy"]["version"][1]


def test_an_environment_that_is_updated(gateway, check):
    """The check shows the status that MWAA reports; the rest is checked as it is."""
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.set_status("UPDATING", environment="analytics")
    try:
        assert failed(check("analytics")["analytics"]) == {"status": "UPDATING"}
    finally:
        control.set_status("AVAILABLE")


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        (Faults(expired_token=1), "the web server rejects a new token (HTTP 403)"),
        (Faults(error_503=1), "the web server is busy with other commands (HTTP 503)"),
        (Faults(reset_before=1), "no usable answer"),
    ],
    ids=["403", "503", "reset"],
)
def test_a_web_server_that_refuses(gateway, check, faults, text):
    """`check` reaches it and names its refusal."""
    control = ControlClient(gateway.mwaa_endpoint_url)
    environment = next(name for name, each in gateway.environments.items() if each.transport == "cli")
    control.set_faults(faults, environment=environment)
    try:
        found = failed(check(environment)[environment])
    finally:
        control.clear_faults()
    assert list(found) == ["airflow"]
    assert found["airflow"].startswith(text)


@contextmanager
def doctor_variables(gateway: StackState, **changes: str) -> Iterator[None]:
    """Deploy the doctor with other settings for a while."""
    client = gateway.aws.client("lambda")
    before = client.get_function_configuration(FunctionName=DOCTOR)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=DOCTOR, Environment={"Variables": before | changes})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=DOCTOR, Environment={"Variables": before})


@pytest.mark.parametrize(
    ("changes", "check_name", "text"),
    [
        ({"AWS_ENDPOINT_URL_SQS": "https://127.0.0.1:9"}, "endpoint sqs", "the connection is refused"),
        (
            {"AWS_ENDPOINT_URL_KMS": "https://no.such.invalid"},
            "endpoint kms",
            "DNS does not resolve its name",
        ),
        ({"WEB_SERVER_CA_BUNDLE": ""}, "web server", "its certificate is not trusted"),
        ({"WEB_SERVER_HOST": "elsewhere"}, "token", "MWAA named the web server"),
    ],
    ids=["no endpoint", "no name", "certificate", "foreign host"],
)
def test_a_network_that_is_broken(gateway, check, changes, check_name, text):
    """Seen from inside the function, and by its own line alone."""
    with doctor_variables(gateway, **changes):
        found = failed(check("analytics")["analytics"])
    assert list(found) == [check_name]
    assert found[check_name].startswith(text)


def test_permissions_that_are_gone(gateway, check):
    """The dispatcher's are asked of IAM, for each resource; the doctor's show when it asks MWAA."""
    iam, functions = gateway.aws.client("iam"), gateway.aws.client("lambda")
    role_of = {
        name: functions.get_function_configuration(FunctionName=name)["Role"].rpartition("/")[2]
        for name in (gateway.environments["analytics"].dispatcher, DOCTOR)
    }
    dispatcher, doctor = role_of.values()
    names = {role: iam.list_role_policies(RoleName=role)["PolicyNames"] for role in role_of.values()}
    policies = {
        (role, name): iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for role in role_of.values()
        for name in names[role]
    }
    for role, name in policies:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        found = failed(check("analytics")["analytics"])
    finally:
        for (role, name), document in policies.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    assert set(found) == {"permissions", "token"}
    assert doctor != dispatcher
    assert "may not create a CLI token" in found["token"]


def test_nothing_secret_is_in_the_doctors_log_or_answer(gateway):
    """Invoked as by a stranger, with whatever he sends: environment names only, and no token anywhere."""
    client, logs = gateway.aws.client("lambda"), gateway.aws.client("logs")
    answers = []
    for event in ({"environment": "analytics"}, {"environment": "x", "command": "dags trigger tiny"}, {}):
        answer = client.invoke(FunctionName=DOCTOR, Payload=json.dumps(event).encode())
        assert "FunctionError" not in answer
        answers.append(answer["Payload"].read().decode())
    assert json.loads(answers[1]) == {"format": 1, "environments": ["analytics", "legacy"]}
    assert json.loads(answers[2]) == json.loads(answers[1])
    group = f"/aws/lambda/{DOCTOR}"
    written = [each["message"] for each in logs.filter_log_events(logGroupName=group)["events"]]
    assert any("environment examined" in line for line in written)
    for text in (*answers, *written):
        assert "Bearer" not in text
        assert not re.search(r"[A-Za-z0-9_-]{64}", text)  # a token of the local MWAA
        assert "dags trigger" not in text
