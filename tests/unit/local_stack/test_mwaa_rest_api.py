"""InvokeRestApi of the local MWAA, in front of a scripted Airflow: errors, throttling, faults, the caller's role."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from local_stack.mwaa.api import MwaaApi
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faults import APPLIED, Fault, Faults, FaultSchedule
from local_stack.mwaa.http_server import Answer, HttpServer, NoAnswer, Request
from local_stack.mwaa.permissions import api_error
from local_stack.mwaa.rest_api import LONGEST_PATH, RestApi
from local_stack.mwaa.throttle import Throttle
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.warm_cli import WarmCli

ARN_PREFIX = "arn:aws:airflow:eu-west-1:000000000000:"
RUN = {"dag_run_id": "evt__a__1", "dag_id": "a"}


@dataclass
class ScriptedAirflow:
    """Answers every request alike, and remembers it."""

    answer: Answer = field(default_factory=lambda: Answer.json(200, RUN))
    asked: list[Request] = field(default_factory=list)

    def respond(self, request: Request) -> Answer:
        """Answer as scripted."""
        self.asked.append(request)
        return self.answer


@dataclass
class Roles:
    """Grants the caller roles of Airflow's in one environment."""

    roles: Sequence[str] = ("User",)
    actions: list[str] = field(default_factory=list)

    def refusal(self, request: Request, *, action: str, resource: str) -> Answer | None:
        """Refuse everything else."""
        raise AssertionError((request, action, resource))

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str] | Answer:
        """Grant the roles; refuse who has not signed."""
        self.actions.append(action)
        if "authorization" not in request.headers:
            return api_error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        return frozenset(f"{ARN_PREFIX}role/analytics/{role}" for role in self.roles) & frozenset(resources)


@dataclass
class Mwaa:
    """The API under test and what stands around it."""

    airflow: ScriptedAirflow
    environment: Environment
    permission: Roles

    def call(self, path: str = "/dags/a/dagRuns", name: str = "analytics", **more: Any) -> Answer:
        document = {"Method": "POST", "Path": path, "Body": {"conf": {}}, **more}
        return self.post(document, name)

    def post(self, document: Any, name: str = "analytics", *, signed: bool = True) -> Answer:
        api = MwaaApi(
            {"analytics": self.environment},
            permission=self.permission,
            arn_prefix=f"{ARN_PREFIX}environment/",
        )
        headers = {"authorization": "AWS4-HMAC-SHA256 …"} if signed else {}
        return api.respond(Request("POST", f"/restapi/{name}", headers, json.dumps(document).encode()))


@pytest.fixture
def mwaa() -> Iterator[Mwaa]:
    airflow = ScriptedAirflow()
    server = HttpServer(airflow.respond)
    server.start()
    environment = Environment(
        name="analytics",
        arn=f"{ARN_PREFIX}environment/analytics",
        version=AirflowVersion.parse("3.3.1"),
        command_line=WarmCli(),
        clock=lambda: 0.0,
        airflow_url=f"http://127.0.0.1:{server.port}",
    )
    yield Mwaa(airflow, environment, Roles())
    server.stop()


def read(answer: Answer) -> tuple[int, str, Any]:
    return answer.status, answer.headers.get("x-amzn-errortype", ""), json.loads(answer.body)


@pytest.mark.parametrize(("version", "prefix"), [("2.11.2", "/api/v1"), ("3.3.1", "/api/v2")])
def test_a_call_is_handed_on_to_airflows_own_api(mwaa: Mwaa, version: str, prefix: str) -> None:
    """Without a version in the path; with its body and its query."""
    mwaa.environment.version = AirflowVersion.parse(version)
    answer = mwaa.call(QueryParameters={"limit": 10, "run_id_pattern": "a b"})
    assert read(answer) == (200, "", {"RestApiStatusCode": 200, "RestApiResponse": RUN})
    (asked,) = mwaa.airflow.asked
    assert (asked.method, asked.target) == ("POST", f"{prefix}/dags/a/dagRuns?limit=10&run_id_pattern=a+b")
    assert json.loads(asked.body) == {"conf": {}}
    for status in (409, 422):  # asked for again; not understood
        mwaa.airflow.answer = Answer.json(status, {})
        mwaa.call()
    counted = mwaa.environment.statistics()
    assert (counted["rest_calls"], counted["run_starts"]) == (3, 2)


@pytest.mark.parametrize(
    ("answer", "code", "shown"),
    [
        (Answer.json(404, {"detail": "no"}), "RestApiClientException", {"detail": "no"}),
        (Answer.json(409, {"detail": "taken"}), "RestApiClientException", {"detail": "taken"}),
        (Answer.text(500, "<html>"), "RestApiServerException", "<html>"),
        (Answer.json(503, {}), "RestApiServerException", {}),
    ],
)
def test_airflows_errors_are_exceptions_with_status_400(
    mwaa: Mwaa, answer: Answer, code: str, shown: Any
) -> None:
    """Airflow's own status and words stand in the exception's fields."""
    mwaa.airflow.answer = answer
    expected = {"RestApiStatusCode": answer.status, "RestApiResponse": shown}
    assert read(mwaa.call()) == (400, code, expected)


def test_an_airflow_that_is_away_is_an_error_of_the_server(mwaa: Mwaa) -> None:
    """Nobody listens there."""
    mwaa.environment.airflow_url = "http://127.0.0.1:1"
    assert read(mwaa.call())[:2] == (400, "RestApiServerException")


@pytest.mark.parametrize(
    "document",
    [
        {"Method": "POST", "Path": "/" + "x" * LONGEST_PATH},
        {"Method": "POST", "Path": ""},
        {"Method": "POST", "Path": "dags"},
        {"Method": "POST"},
        {"Method": "HEAD", "Path": "/dags"},
        [],
    ],
)
def test_what_aws_does_not_accept_never_reaches_airflow(mwaa: Mwaa, document: Any) -> None:
    """A path may have 64 characters."""
    assert read(mwaa.post(document))[:2] == (400, "ValidationException")
    assert mwaa.airflow.asked == []


def test_a_path_of_64_characters_is_accepted(mwaa: Mwaa) -> None:
    """The longest."""
    assert mwaa.call("/" + "x" * (LONGEST_PATH - 1)).status == 200


def test_the_eleventh_call_of_a_second_is_throttled(mwaa: Mwaa) -> None:
    """Ten, then one more for each tenth of a second; refused calls reach nobody and are counted."""
    now = [0.0]
    mwaa.environment.throttle = Throttle(clock=lambda: now[0])
    assert {mwaa.call().status for _ in range(10)} == {200}
    assert read(mwaa.call())[:2] == (429, "ThrottlingException")
    now[0] += 0.1
    assert [mwaa.call().status for _ in range(2)] == [200, 429]
    statistics = mwaa.environment.statistics()
    assert (statistics["refused_throttled"], len(mwaa.airflow.asked)) == (2, 11)
    assert statistics["most_rest_calls_in_a_second"] == 13
    assert statistics["seconds_of_rest_calls"] == 0.1
    mwaa.environment.forget()
    assert mwaa.environment.statistics()["most_rest_calls_in_a_second"] == 0
    assert mwaa.environment.statistics()["seconds_of_rest_calls"] == 0


@pytest.mark.parametrize(
    ("roles", "trigger", "look_up"),
    [
        (["Admin"], 200, 200),
        (["Op"], 200, 200),
        (["User"], 200, 200),
        (["Viewer"], 400, 200),
        (["Public"], 400, 400),
        (["Public", "User"], 200, 200),
    ],
)
def test_what_is_allowed_depends_on_airflows_role(
    mwaa: Mwaa, roles: list[str], trigger: int, look_up: int
) -> None:
    """A Viewer starts nothing; the mightiest of the roles that IAM grants counts."""
    mwaa.permission.roles = roles
    assert mwaa.call().status == trigger
    assert mwaa.call("/dags/~/dagRuns/list").status == look_up
    assert mwaa.permission.actions == ["airflow:InvokeRestApi"] * 2


def test_without_a_role_nobody_gets_in(mwaa: Mwaa) -> None:
    """In AWS's words; and nobody unsigned, nor to an environment that is not there."""
    mwaa.permission.roles = []
    status, code, shown = read(mwaa.call())
    assert (status, code, shown["message"]) == (
        403,
        "AccessDeniedException",
        "No Airflow role granted in IAM",
    )
    assert read(mwaa.post({}, signed=False))[:2] == (403, "MissingAuthenticationTokenException")
    assert mwaa.airflow.asked == []


def test_another_environment_is_not_there() -> None:
    """404, once the caller may ask."""
    anyone = Roles(("User",))
    anyone.granted = lambda request, *, action, resources: frozenset(resources)  # type: ignore[method-assign]  # noqa: ARG005
    mwaa = Mwaa(ScriptedAirflow(), None, anyone)  # type: ignore[arg-type]
    assert read(mwaa.call(name="nope"))[:2] == (404, "ResourceNotFoundException")


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        (Fault.ERROR_503, "RestApiServerException", 503),
        (Fault.EXPIRED_TOKEN, "RestApiClientException", 401),
    ],
)
def test_a_fault_may_be_an_error_with_nothing_done(mwaa: Mwaa, fault: Fault, code: str, status: int) -> None:
    """As MWAA's exceptions."""
    mwaa.environment.schedule = FaultSchedule(Faults(**{fault.value: 1.0}))  # type: ignore[arg-type]
    http, error, shown = read(mwaa.call())
    assert (http, error, shown["RestApiStatusCode"]) == (400, code, status)
    assert mwaa.airflow.asked == []


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.LOST_RESPONSE])
def test_a_fault_may_cut_the_connection(mwaa: Mwaa, fault: Fault) -> None:
    """Applied or not, as the fault's name says."""
    mwaa.environment.schedule = FaultSchedule(Faults(**{fault.value: 1.0}))  # type: ignore[arg-type]
    with pytest.raises(NoAnswer):
        mwaa.call()
    assert bool(mwaa.airflow.asked) is (fault in APPLIED)


def test_a_fault_may_be_an_error_after_the_deed(mwaa: Mwaa) -> None:
    """Airflow's 500, as MWAA's exception; the run is there."""
    mwaa.environment.schedule = FaultSchedule(Faults(error_500=1))
    http, error, shown = read(mwaa.call())
    assert (http, error, shown["RestApiStatusCode"]) == (400, "RestApiServerException", 500)
    assert len(mwaa.airflow.asked) == 1


def test_a_garbled_answer_is_no_evidence(mwaa: Mwaa) -> None:
    """In whichever way: no JSON, or another run's name. The run is there."""
    mwaa.environment.schedule = FaultSchedule(Faults(garbled=1.0, seed=3))
    for _ in range(9):
        answer = mwaa.call()
        assert answer.status == 200
        assert b'"evt__a__1"' not in answer.body
    assert len(mwaa.airflow.asked) == 9


def test_latency_comes_before_airflow(mwaa: Mwaa) -> None:
    """So that a client's patience can be tried."""
    asked_then: list[int] = []
    mwaa.environment.schedule = FaultSchedule(Faults(latency_milliseconds=250))
    call = {"Method": "GET", "Path": "/dags"}
    request = Request("POST", "/restapi/analytics", {}, json.dumps(call).encode())
    slow = RestApi(mwaa.environment, sleep=lambda _: asked_then.append(len(mwaa.airflow.asked)))
    assert slow.respond(request, ["User"]).status == 200
    assert (asked_then, len(mwaa.airflow.asked)) == ([0], 1)
