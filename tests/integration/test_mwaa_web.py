"""The transport `web`, and its fallback: what is sent, what each answer means, and when the transport changes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from fakes.web_server import Answer, WebServerScript
from integration.scripted_mwaa import way_to
from mwaa_gateway.airflow.dag_list import ListedDag
from mwaa_gateway.airflow.run_states import RunsUnknown
from mwaa_gateway.aws.mwaa.fallback import LOGIN_AGAIN_SECONDS, Choice, FallbackRuns, FallbackTransport
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport
from mwaa_gateway.aws.mwaa.runs import RestRuns
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import ResolvedTarget

RUN_ID = "evt__finance.orders-landing__00000000000000000000000000000001"
TARGET = ResolvedTarget("analytics", "ingest_orders", RUN_ID, {"key": "it's €"})
RUN = {"dag_id": "ingest_orders", "dag_run_id": RUN_ID}
RUNS, ONE_RUN = "/api/v2/dags/ingest_orders/dagRuns", f"/api/v2/dags/ingest_orders/dagRuns/{RUN_ID}"
LOGIN = ("POST", "/pluginsv2/aws_mwaa/login")
RECORDED = Path(__file__).parent.parent / "fixtures" / "airflow_rest"


def answer(status: int = 200, **document: object) -> Answer:
    """An answer of Airflow's API."""
    return Answer(status, json.dumps(document).encode())


def recorded(version: str, case: str) -> Answer:
    """An answer that a real Airflow gave."""
    document = json.loads((RECORDED / version / f"{case}.json").read_text())
    return Answer(document["status"], json.dumps(document["response"]).encode())


OPENED = Answer(headers={"Set-Cookie": "_token=canary.session; Path=/; Secure"})
GONE = Answer(404)  # no login of this major version
CREATED = answer(**RUN)
NOT_THERE = answer(
    404, detail=f"The DagRun with dag_id: `ingest_orders` and run_id: `{RUN_ID}` was not found"
)
NO_DATE_WANTED = answer(
    422, detail=[{"type": "missing", "loc": ["body", "logical_date"], "msg": "Field required"}]
)


@dataclass
class Environment:
    """One environment: the scripted web server, the control plane's stub, a clock, and the transports under test."""

    server: WebServerScript
    mwaa: Stubber
    transport: WebTransport
    now: list[float] = field(default_factory=lambda: [1_000.0])
    reported: list[str] = field(default_factory=list)

    def answers(self, *answers: Answer) -> None:
        """What the web server answers, and a token for each login among it."""
        self.server.answers = list(answers)
        for each in answers:
            if each is OPENED or each is GONE:
                self.issue_token()

    def issue_token(self) -> None:
        token = {"WebToken": "canary-token", "WebServerHostname": self.server.host}
        self.mwaa.add_response("create_web_login_token", token, {"Name": "analytics"})

    def deny_token(self) -> None:
        self.mwaa.add_client_error("create_web_login_token", "AccessDeniedException", "not authorized")

    def invoke_rest_api(self, response: Any, status: int = 200) -> None:
        """What the fallback answers next."""
        self.mwaa.add_response("invoke_rest_api", {"RestApiStatusCode": status, "RestApiResponse": response})

    def choice(self, web: Any, fallback: Any) -> Choice[Any]:
        session = self.transport.session
        return Choice(session, web, fallback, self.reported.append, monotonic=lambda: self.now[0])

    @property
    def rest(self) -> RestTransport:
        return RestTransport(self.mwaa.client, "analytics", Pace(10, sleep=lambda _: None))

    def with_fallback(self) -> FallbackTransport:
        return FallbackTransport(self.choice(self.transport, self.rest))

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(received.method, received.path) for received in self.server.received]


@pytest.fixture
def environment(server: WebServerScript, control_plane: Stubber) -> Environment:
    server.answers, server.received = [CREATED], []
    session = WebSession(control_plane.client, "analytics", way_to(server), "RestApiRole")
    return Environment(server, control_plane, WebTransport(session))


# --- one transport ------------------------------------------------------------------------------------------


def test_a_run_is_started_and_looked_up_by_its_run_id(environment: Environment) -> None:
    """One POST, and a plain GET of the run; the version's form of the date is known after the first answer."""
    environment.answers(OPENED, NO_DATE_WANTED, CREATED, CREATED, CREATED)
    assert environment.transport.trigger(TARGET) == Triggered()
    assert environment.transport.trigger(TARGET) == Triggered()
    assert isinstance(environment.transport.look_up(TARGET), AlreadyTriggered)
    assert environment.sent == [LOGIN, ("POST", RUNS), ("POST", RUNS), ("POST", RUNS), ("GET", ONE_RUN)]
    body = {"dag_run_id": RUN_ID, "conf": TARGET.conf, "logical_date": None}
    assert json.loads(environment.server.received[-2].body) == body


@pytest.mark.guarantee(51)
def test_a_dag_id_may_have_any_length(environment: Environment) -> None:
    """InvokeRestApi's 64 characters of path are not Airflow's."""
    target = replace(TARGET, dag_id="d" * 250)
    run = {"dag_id": target.dag_id, "dag_run_id": RUN_ID}
    environment.answers(OPENED, answer(**run))
    assert environment.transport.trigger(target) == Triggered()
    assert isinstance(environment.transport.look_up(target), AlreadyTriggered)


@pytest.mark.guarantee(17, 51)
@pytest.mark.parametrize(
    "lost", [Answer(silent=True), Answer(body=b'{"dag', cut=True), Answer(200, b"<html>"), Answer(502, b"x")]
)
def test_a_start_without_a_usable_answer_is_perhaps_done(environment: Environment, lost: Answer) -> None:
    """It is not sent again; the lookup says whether the run is there, at the second try if need be."""
    environment.answers(OPENED, lost, lost, OPENED if lost.body == b"<html>" else CREATED, CREATED)
    assert isinstance(environment.transport.trigger(TARGET), OutcomeUnknown)
    assert isinstance(environment.transport.look_up(TARGET), AlreadyTriggered)
    assert environment.sent.count(("POST", RUNS)) == 1


@pytest.mark.parametrize("dated", [False, True])
def test_a_run_that_is_not_there_is_surely_not_there(environment: Environment, dated: bool) -> None:  # noqa: FBT001
    """By Airflow's own words; a run with a date is then looked up by the date, which another run may have."""
    others = answer(dag_runs=[{"dag_id": "ingest_orders", "dag_run_id": "manual__1"}])
    environment.answers(OPENED, NOT_THERE, others)
    target = replace(TARGET, logical_date="2026-11-22T00:00:00+00:00") if dated else TARGET
    outcome = environment.transport.look_up(target)
    assert isinstance(outcome, Retryable)
    assert outcome.reason is (Reason.LOGICAL_DATE_TAKEN if dated else Reason.RUN_NOT_THERE)


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (answer(401, detail="Unauthorized"), Reason.TOKEN_REFUSED),
        (Answer(302, headers={"Location": "/login"}), Reason.TOKEN_REFUSED),
        (answer(403, detail="Forbidden"), Reason.AIRFLOW_REFUSED),
    ],
    ids=["401", "302", "403"],
)
def test_a_new_session_that_is_refused_too_ends_the_attempt(
    environment: Environment, refused: Answer, reason: Reason
) -> None:
    """One new login, then the reason; surely not done."""
    environment.answers(OPENED, refused, OPENED, refused)
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason is reason
    assert environment.sent == [LOGIN, ("POST", RUNS)] * 2


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Answer(429, b"Too Many Requests"), Reason.WEB_SERVER_BUSY),
        (answer(500, detail="x"), Reason.UNCLEAR_ANSWER),
        (Answer(503, b"Service Unavailable"), Reason.UNCLEAR_ANSWER),
        (recorded("3.3.1", "conf_no_object"), Reason.CONF_REFUSED),
        (answer(404, detail="Dag with dag_id: 'ingest_orders' not found"), Reason.DAG_MISSING),
        (answer(404, detail="Not Found"), Reason.ENVIRONMENT_UNREACHABLE),
    ],
)
def test_airflows_own_status_codes_are_read_as_over_rest(
    environment: Environment, said: Answer, expected: Reason
) -> None:
    """The session stays: the answer is Airflow's, and not about the session."""
    environment.answers(OPENED, said)
    outcome = environment.transport.trigger(TARGET)
    assert not isinstance(outcome, Triggered | AlreadyTriggered)
    assert outcome.reason is expected
    assert environment.sent.count(LOGIN) == 1


def test_dags_are_listed_page_by_page(environment: Environment) -> None:
    """As over InvokeRestApi."""
    rows = [{"dag_id": "a", "is_paused": True, "is_stale": False}, {"dag_id": "b", "is_stale": True}]
    environment.answers(OPENED, *(answer(dags=[row], total_entries=2) for row in rows))
    expected = ListedDag("a", paused=True, stale=False), ListedDag("b", paused=False, stale=True)
    assert environment.transport.list_dags() == expected
    assert [path.partition("offset=")[2][:1] for _, path in environment.sent[1:]] == ["0", "1"]


# --- with a fallback ----------------------------------------------------------------------------------------


def denied(environment: Environment) -> None:
    """IAM refuses the token."""
    environment.deny_token()


def refused_with(said: Answer) -> Callable[[Environment], None]:
    """The web server refuses the login."""

    def refuse(environment: Environment) -> None:
        environment.issue_token()
        environment.server.answers = [said]

    return refuse


def form_gone(environment: Environment) -> None:
    """Neither major's login is there."""
    environment.issue_token()
    environment.issue_token()
    environment.server.answers = [GONE]


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    "refuse",
    [denied, refused_with(Answer(403)), refused_with(Answer(200, b"<html>a new form")), form_gone],
    ids=["no permission", "refused", "form changed", "form gone"],
)
def test_a_refused_login_uses_the_fallback_and_is_reported(
    environment: Environment, refuse: Callable[[Environment], None]
) -> None:
    """The request is made over the fallback, and the login is tried once a minute."""
    refuse(environment)
    transport = environment.with_fallback()
    for _ in range(3):
        environment.invoke_rest_api(RUN)
        assert transport.trigger(TARGET) == Triggered()
    assert len(environment.reported) == 1
    assert not [path for _, path in environment.sent if "/api/" in path]
    environment.now[0] += LOGIN_AGAIN_SECONDS
    environment.answers(*([GONE] if refuse is form_gone else []), OPENED, CREATED)
    assert transport.trigger(TARGET) == Triggered()
    assert environment.sent[-1] == ("POST", RUNS)
    environment.mwaa.assert_no_pending_responses()


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Answer(429), Reason.WEB_SERVER_BUSY),
        (Answer(503), Reason.WEB_SERVER_BUSY),
        (Answer(502), Reason.ENVIRONMENT_UNREACHABLE),
        (Answer(silent=True), Reason.ENVIRONMENT_UNREACHABLE),
    ],
)
def test_an_environment_in_trouble_is_no_reason_for_the_fallback(
    environment: Environment, said: Answer, reason: Reason
) -> None:
    """The same web server is behind both; the circuit breaker waits for it."""
    environment.issue_token()
    environment.issue_token()
    environment.server.answers = [said]
    outcome = environment.with_fallback().trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason is reason
    assert environment.reported == []


@pytest.mark.guarantee(51)
def test_a_request_never_changes_its_transport(environment: Environment) -> None:
    """A session that ends in mid-request, and cannot be renewed: the next request takes the fallback, and looks up first."""
    environment.answers(OPENED, answer(401))
    environment.deny_token()
    transport = environment.with_fallback()
    outcome = transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason is Reason.ACCESS_DENIED
    assert environment.reported == []
    environment.deny_token()
    environment.invoke_rest_api({"task_instances": [RUN]})
    assert isinstance(transport.look_up(TARGET), AlreadyTriggered)
    assert len(environment.reported) == 1


@pytest.mark.guarantee(51)
def test_a_session_that_opens_nothing_is_a_refused_login(environment: Environment) -> None:
    """Airflow's API may refuse what the login has just opened: the next requests use the fallback, for a minute."""
    environment.answers(OPENED, answer(401), OPENED, answer(401))
    transport = environment.with_fallback()
    assert isinstance(transport.trigger(TARGET), Retryable)
    for _ in range(2):
        environment.invoke_rest_api(RUN)
        assert transport.trigger(TARGET) == Triggered()
    assert environment.reported == ["the web server refused a new session (HTTP 401)"]
    environment.now[0] += LOGIN_AGAIN_SECONDS
    environment.answers(CREATED)
    assert transport.trigger(TARGET) == Triggered()
    assert environment.sent[-1] == ("POST", RUNS)


@pytest.mark.guarantee(51)
def test_a_request_in_doubt_is_looked_up_over_the_fallback(environment: Environment) -> None:
    """Started over the web login, whose answer was lost; then the login is denied. Both ask the same Airflow."""
    environment.answers(OPENED, Answer(silent=True), answer(401))
    transport = environment.with_fallback()
    assert isinstance(transport.trigger(TARGET), OutcomeUnknown)
    environment.deny_token()
    assert isinstance(transport.look_up(TARGET), Retryable)  # in mid-request
    environment.deny_token()
    environment.invoke_rest_api({"task_instances": [RUN]})
    assert isinstance(transport.look_up(TARGET), AlreadyTriggered)


def test_what_the_fallback_cannot_do_is_its_own_outcome(environment: Environment) -> None:
    """A rule for such an environment keeps within both transports' limits."""
    environment.deny_token()
    environment.deny_token()
    transport = environment.with_fallback()
    outcome = transport.trigger(replace(TARGET, dag_id="d" * 51))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.DAG_ID_TOO_LONG


def test_a_watcher_falls_back_too(environment: Environment) -> None:
    """Its questions are those of both transports."""
    runs = RestRuns(environment.transport, environment.transport.session)
    watcher = FallbackRuns(environment.choice(runs, RestRuns(environment.rest)))
    environment.deny_token()
    environment.invoke_rest_api({"dag_runs": [{**RUN, "state": "running"}]})
    assert list(watcher.states("ingest_orders", [RUN_ID], 0)) == [RUN_ID]
    environment.now[0] += LOGIN_AGAIN_SECONDS
    environment.answers(OPENED, answer(value=7), answer(**RUN), answer(state="success"), Answer(503))
    assert watcher.return_value("ingest_orders", RUN_ID, "count").value == 7  # type: ignore[union-attr]
    assert watcher.run_exists("ingest_orders", RUN_ID) is True
    assert watcher.fail_run("ingest_orders", RUN_ID).end == "success"  # type: ignore[union-attr]
    assert isinstance(watcher.failed_tasks("ingest_orders", RUN_ID), RunsUnknown)


@pytest.mark.parametrize(("status", "signals"), [(429, 1), (503, 1), (500, 0), (201, 0)])
def test_a_busy_web_server_is_a_load_signal(
    server: WebServerScript, control_plane: Stubber, status: int, signals: int
) -> None:
    """A 503 may have started the run, so its outcome does not show it; the dispatcher makes fewer requests at once."""
    found: list[None] = []
    session = WebSession(
        control_plane.client, "analytics", way_to(server), "RestApiRole", on_load=lambda: found.append(None)
    )
    environment = Environment(server, control_plane, WebTransport(session))
    environment.answers(OPENED, Answer(status, CREATED.body))
    environment.transport.trigger(TARGET)
    assert len(found) == signals


def test_connections_are_kept_until_they_are_closed(server: WebServerScript, control_plane: Stubber) -> None:
    """Within one batch requests share a connection; the next batch opens its own, as a sandbox freezes in between."""
    server.received = []
    way = replace(way_to(server), keep_connections=True)
    environment = Environment(
        server, control_plane, WebTransport(WebSession(control_plane.client, "analytics", way, "RestApiRole"))
    )
    environment.answers(OPENED, CREATED, CREATED, CREATED)
    server.answers = [replace(each, keeps_open=True) for each in server.answers]
    for _ in range(2):
        assert environment.transport.trigger(TARGET) == Triggered()
    environment.transport.close()
    assert environment.transport.trigger(TARGET) == Triggered()
    login, first, second, later = (received.client_port for received in server.received)
    assert login == first == second
    assert later != first
