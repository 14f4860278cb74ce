"""The web server and the API of the local MWAA, without Airflow: a command line that answers at once."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from local_stack.mwaa.api import MwaaApi
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faults import APPLIED, Fault, Faults, FaultSchedule
from local_stack.mwaa.http_server import Answer, NoAnswer, Request
from local_stack.mwaa.permissions import api_error
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.warm_cli import CommandAnswer, CommandInterrupted
from local_stack.mwaa.web_server import WebServer

ARN_PREFIX = "arn:aws:airflow:eu-west-1:000000000000:environment/"


@dataclass
class ScriptedCommandLine:
    """Answers every command alike, and remembers it; `interrupted` breaks every command off instead."""

    answer: CommandAnswer = field(default_factory=lambda: CommandAnswer(0, "ok", "a warning"))
    interrupted: bool = False
    ran: list[list[str]] = field(default_factory=list)

    def run(self, words: list[str]) -> CommandAnswer:
        """Answer as scripted."""
        self.ran.append(words)
        if self.interrupted:
            raise CommandInterrupted("gone")
        return self.answer


@dataclass
class OnlyAction:
    """Allows one action on one resource."""

    action: str
    resource: str

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str] | Answer:
        """Grant that one."""
        del request
        return frozenset(each for each in resources if (action, each) == (self.action, self.resource))

    def refusal(self, request: Request, *, action: str, resource: str) -> Answer | None:
        """Refuse everything else."""
        del request
        allowed = (action, resource) == (self.action, self.resource)
        return (
            None
            if allowed
            else api_error(403, "AccessDeniedException", f"not authorized to perform: {action}")
        )


@pytest.fixture
def command_line() -> ScriptedCommandLine:
    return ScriptedCommandLine()


@pytest.fixture
def environment(command_line: ScriptedCommandLine) -> Environment:
    return Environment(
        name="analytics",
        arn=ARN_PREFIX + "analytics",
        version=AirflowVersion.parse("3.3.1"),
        command_line=command_line,
        clock=lambda: 0.0,
        web_server_hostname="localhost:4443",
    )


def post(environment: Environment, body: str = "version", **headers: str) -> Answer:
    token = environment.tokens.issue(environment.name)
    request = Request("POST", "/aws_mwaa/cli", {"authorization": f"Bearer {token}", **headers}, body.encode())
    return WebServer(environment, sleep=lambda _: None).respond(request)


def read(answer: Answer) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in json.loads(answer.body).items()}


def test_a_command_is_answered_in_base64(environment: Environment, command_line: ScriptedCommandLine) -> None:
    """200, with both streams."""
    answer = post(environment, "dags trigger 'a b'")
    assert (answer.status, read(answer)) == (200, {"stdout": "ok", "stderr": "a warning"})
    assert command_line.ran == [["dags", "trigger", "a b"]]
    post(environment, "dags list")
    counted = environment.statistics()
    assert (counted["commands"], counted["run_starts"]) == (2, 1)


@pytest.mark.parametrize("status_on_error", [200, 400])
def test_a_failing_command_has_the_status_set_for_it(
    environment: Environment, command_line: ScriptedCommandLine, status_on_error: int
) -> None:
    """The content is the same either way."""
    environment.status_on_error = status_on_error
    command_line.answer = CommandAnswer(1, "", "airflow.exceptions.DagNotFound")
    answer = post(environment)
    assert (answer.status, read(answer)["stderr"]) == (status_on_error, "airflow.exceptions.DagNotFound")


def test_a_command_that_broke_off_is_an_error_without_content(
    environment: Environment, command_line: ScriptedCommandLine
) -> None:
    """What became of it is unknown, so nothing is claimed."""
    command_line.interrupted = True
    assert post(environment).status == 500


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer x", "Basic x"])
def test_without_a_good_token_nothing_runs(
    environment: Environment, command_line: ScriptedCommandLine, authorization: str
) -> None:
    """403, and counted."""
    assert post(environment, authorization=authorization).status == 403
    assert command_line.ran == []
    assert environment.statistics()["refused_token"] == 1


def test_an_unsupported_command_is_refused(
    environment: Environment, command_line: ScriptedCommandLine
) -> None:
    """500, as bug reports show for MWAA."""
    assert post(environment, "celery worker").status == 500
    assert command_line.ran == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.ERROR_503, 503), (Fault.EXPIRED_TOKEN, 403), (Fault.GARBLED, 200), (Fault.ERROR_500, 500)],
)
def test_a_fault_may_change_the_answer(
    environment: Environment, command_line: ScriptedCommandLine, fault: Fault, status: int
) -> None:
    """The status each has, and whether a command was behind it."""
    environment.schedule = FaultSchedule(Faults(**{fault.value: 1.0}))  # type: ignore[arg-type]
    assert post(environment).status == status
    assert bool(command_line.ran) is (fault in APPLIED)
    assert environment.statistics()["faults"] == {fault.value: 1}


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.LOST_RESPONSE])
def test_a_fault_may_cut_the_connection(
    environment: Environment, command_line: ScriptedCommandLine, fault: Fault
) -> None:
    """By a reset or an orderly end, and with or without the command having run, as the names say."""
    environment.schedule = FaultSchedule(Faults(**{fault.value: 1.0}))  # type: ignore[arg-type]
    with pytest.raises(NoAnswer) as cut:
        post(environment)
    assert cut.value.reset is (fault is not Fault.LOST_RESPONSE)
    assert bool(command_line.ran) is (fault in APPLIED)
    assert environment.statistics()["faults"] == {fault.value: 1}


def test_latency_is_spent_inside_the_slot(environment: Environment) -> None:
    """So that slow commands fill the slots, as they do in MWAA."""
    taken: list[tuple[float, int]] = []
    environment.schedule = FaultSchedule(Faults(latency_milliseconds=250))
    token = environment.tokens.issue("analytics")
    request = Request("POST", "/aws_mwaa/cli", {"authorization": f"Bearer {token}"}, b"version")
    WebServer(environment, sleep=lambda s: taken.append((s, environment.slots.taken))).respond(request)
    assert taken == [(0.25, 1)]


@pytest.mark.parametrize(("method", "target", "status"), [("GET", "/aws_mwaa/cli", 405), ("POST", "/", 404)])
def test_nothing_else_is_served(environment: Environment, method: str, target: str, status: int) -> None:
    """This is not Airflow's own web server."""
    assert WebServer(environment).respond(Request(method, target, {}, b"")).status == status


def api(environment: Environment, action: str, name: str = "analytics") -> MwaaApi:
    permission = OnlyAction(action, ARN_PREFIX + name)
    return MwaaApi({environment.name: environment}, permission=permission, arn_prefix=ARN_PREFIX)


def test_a_token_is_created_for_who_may(environment: Environment) -> None:
    """It is good at the host name that comes with it; who may do something else is refused."""
    request = Request("POST", "/clitoken/analytics", {}, b"")
    created = json.loads(api(environment, "airflow:CreateCliToken").respond(request).body)
    assert created["WebServerHostname"] == "localhost:4443"
    assert environment.tokens.accepts("analytics", created["CliToken"])
    refused = api(environment, "airflow:GetEnvironment").respond(request)
    assert (refused.status, refused.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert environment.statistics()["tokens_issued"] == 1


def test_an_unknown_environment_is_named_only_to_callers_with_permission(environment: Environment) -> None:
    """404 after, not before, the permission."""
    request = Request("POST", "/clitoken/nope", {}, b"")
    assert api(environment, "airflow:CreateCliToken", "nope").respond(request).status == 404
    assert api(environment, "airflow:CreateCliToken").respond(request).status == 403


def test_faults_are_switched_by_http(environment: Environment) -> None:
    """PUT replaces, DELETE ends, GET shows; a document that makes no sense is a 400 with the reason."""
    control = api(environment, "")
    put = control.respond(Request("PUT", "/control/faults", {}, b'{"garbled": 0.5, "seed": 3}'))
    assert json.loads(put.body)["analytics"]["garbled"] == 0.5
    shown = control.respond(Request("GET", "/control/faults?environment=analytics", {}, b""))
    assert json.loads(shown.body)["analytics"]["seed"] == 3
    assert control.respond(Request("PUT", "/control/faults", {}, b'{"garbled": 2}')).status == 400
    assert control.respond(Request("PUT", "/control/faults", {}, b"[]")).status == 400
    assert control.respond(Request("PUT", "/control/faults?environment=nope", {}, b"{}")).status == 400
    ended = control.respond(Request("DELETE", "/control/faults", {}, b""))
    assert json.loads(ended.body)["analytics"] == Faults().document()


def test_statistics_hold_no_token(environment: Environment) -> None:
    """They are readable by anyone on the machine."""
    control = api(environment, "airflow:CreateCliToken")
    created = json.loads(control.respond(Request("POST", "/clitoken/analytics", {}, b"")).body)
    post(environment)
    output = control.respond(Request("GET", "/control/statistics", {}, b"")).body.decode()
    assert json.loads(output)["analytics"]["commands"] == 1
    assert created["CliToken"] not in output
    control.respond(Request("DELETE", "/control/statistics", {}, b""))
    assert environment.statistics()["commands"] == 0
