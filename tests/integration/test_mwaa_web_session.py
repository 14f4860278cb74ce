"""A web login and the calls it opens: what is sent where, what a session's end means, and that no secret is shown."""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import pytest
from botocore.stub import Stubber

from fakes.web_server import Answer, Received, WebServerScript
from integration.scripted_mwaa import way_to
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.airflow.run_states import (
    NotAvailable,
    ReturnValue,
    RunEnd,
    RunMarkedFailed,
    RunNotThere,
    RunState,
    RunsUnknown,
)
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport
from mwaa_gateway.aws.mwaa.runs import CliRuns, RestRuns
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import LARGEST_ANSWER_BYTES, SESSION_SECONDS, WebSession
from mwaa_gateway.outcomes import OutcomeUnknown, Reason, Retryable
from polling import until

TOKEN, COOKIE = "canary-web-token", "canary.session-cookie"
RUN_ID = "evt__finance.orders-landing__00000000000000000000000000000001"
PATH = f"/dags/nightly_orders/dagRuns/{RUN_ID}"
LOOK = RestCall("GET", PATH)
OK = Answer(body=json.dumps({"state": "running"}).encode())
NO_SUCH_PATH = Answer(405, b'{"detail":"Method Not Allowed"}')


def logged_in(name: str = "_token", cookie: str = COOKIE, status: int = 200) -> Answer:
    """The answer to a login."""
    return Answer(
        status, headers={"Set-Cookie": f"{name}={cookie}; Path=/; Secure; HttpOnly", "Location": "/home"}
    )


def document(status: int = 200, **said: object) -> Answer:
    """An answer of Airflow's API."""
    return Answer(status, json.dumps(said).encode())


@dataclass
class Environment:
    """One environment: the scripted web server, the control plane's stub, and the adapter under test."""

    server: WebServerScript
    mwaa: Stubber
    session: WebSession

    def issue_token(self, text: str = TOKEN, host: str | None = None) -> None:
        self.mwaa.add_response(
            "create_web_login_token",
            {"WebToken": text, "WebServerHostname": host or self.server.host},
            {"Name": "analytics"},
        )

    def answers(self, *answers: Answer) -> None:
        """What is answered, and a token for each login among it."""
        self.server.answers = list(answers)
        for answer in answers:
            if "Set-Cookie" in answer.headers or answer is NO_SUCH_PATH:
                self.issue_token()

    def reached_by(
        self, web_server: WebServer, monotonic: Callable[[], float] = time.monotonic
    ) -> WebSession:
        """Another session with the same environment."""
        return WebSession(self.mwaa.client, "analytics", web_server, "WebLoginRole", monotonic=monotonic)

    def runs(self) -> CliRuns:
        """The watcher's queries over CLI tokens and this session."""
        return CliRuns(CliTransport(self.mwaa.client, "analytics", way_to(self.server)), self.session)

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(received.method, received.path) for received in self.server.received]

    @property
    def last(self) -> Received:
        return self.server.received[-1]


@pytest.fixture
def environment(server: WebServerScript, control_plane: Stubber) -> Environment:
    server.answers, server.received = [OK], []
    session = WebSession(control_plane.client, "analytics", way_to(server), "WebLoginRole")
    return Environment(server, control_plane, session)


def test_on_airflow_3_the_cookie_of_the_login_is_a_bearer_token(environment: Environment) -> None:
    """As AWS's user guide logs in; the path may be as long as our run_ids make it."""
    environment.answers(logged_in(), OK)
    assert environment.session.ask(LOOK) == RestAnswer(200, {"state": "running"})
    login, call = environment.server.received
    assert (login.method, login.path) == ("POST", "/pluginsv2/aws_mwaa/login")
    assert login.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(login.body.decode()) == {"token": [TOKEN]}
    assert (call.method, call.path) == ("GET", f"/api/v2{PATH}")
    assert (call.headers["Authorization"], "Cookie" in call.headers) == (f"Bearer {COOKIE}", False)


def test_on_airflow_2_the_cookie_goes_along(environment: Environment) -> None:
    """Which major it is, the login says; each try has a token of its own, and the next session needs no second."""
    environment.answers(NO_SUCH_PATH, logged_in("session"), OK, document(401), logged_in("session"), OK)
    assert environment.session.ask(LOOK) == RestAnswer(200, {"state": "running"})
    assert environment.sent == [
        ("POST", "/pluginsv2/aws_mwaa/login"),
        ("POST", "/aws_mwaa/login"),
        ("GET", f"/api/v1{PATH}"),
    ]
    assert environment.last.headers["Cookie"] == f"session={COOKIE}"
    assert "Authorization" not in environment.last.headers
    environment.session.ask(LOOK)
    assert environment.sent[3:] == [
        ("GET", f"/api/v1{PATH}"),
        ("POST", "/aws_mwaa/login"),
        ("GET", f"/api/v1{PATH}"),
    ]


def test_a_session_is_used_for_many_calls_and_cookies_set_later_are_nobodys(environment: Environment) -> None:
    """One login; a load balancer's cookie does not come back."""
    environment.answers(logged_in(), Answer(body=OK.body, headers={"Set-Cookie": "AWSALB=x; Path=/"}), OK)
    for _ in range(3):
        environment.session.ask(LOOK)
    assert [method for method, _ in environment.sent] == ["POST", "GET", "GET", "GET"]
    assert "Cookie" not in environment.last.headers
    assert len({received.client_port for received in environment.server.received}) == 4


def test_a_body_is_sent_as_json_and_a_query_in_the_address(environment: Environment) -> None:
    """A session cookie is no form: Airflow asks for no token against forged ones then."""
    environment.answers(logged_in(), OK)
    environment.session.ask(RestCall("PATCH", PATH, query={"a": "b c"}, body={"state": "failed"}))
    assert environment.sent[1] == ("PATCH", f"/api/v2{PATH}?a=b+c")
    assert environment.last.headers["Content-Type"] == "application/json"
    assert json.loads(environment.last.body) == {"state": "failed"}


@pytest.mark.guarantee(15)
@pytest.mark.parametrize(
    "refused",
    [
        document(401),
        document(403),
        Answer(302, headers={"Location": "/login"}),
        Answer(200, b"<html>"),
        Answer(404),
    ],
    ids=["401", "403", "sent to a login", "a page", "no such API"],
)
def test_a_session_that_is_over_is_opened_once_more(environment: Environment, refused: Answer) -> None:
    """After twelve hours, or when Airflow was upgraded to the next major version."""
    environment.answers(logged_in(), OK, refused, logged_in(cookie="new"), OK)
    environment.session.ask(LOOK)
    assert environment.session.ask(LOOK) == RestAnswer(200, {"state": "running"})
    assert environment.last.headers["Authorization"] == "Bearer new"


def jwt(**claims: object) -> str:
    """A cookie as Airflow 3 issues it, signed by somebody."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzUxMiJ9.{payload}.c2lnbmF0dXJl"


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    ("cookie", "lives"),
    [
        (jwt(iat=1_000, exp=4_600), 3_540),
        (jwt(iat=1_000, exp=1_000 + 86_400), SESSION_SECONDS),
        (jwt(iat=1_000, exp=1_030), SESSION_SECONDS),
        (jwt(exp=4_600), SESSION_SECONDS),
        (jwt(iat="x", exp=[]), SESSION_SECONDS),
        ("e30.W10.x", SESSION_SECONDS),
        ("not-a-jwt", SESSION_SECONDS),
    ],
    ids=[
        "an hour",
        "longer than MWAA says",
        "less than the margin",
        "no iat",
        "no numbers",
        "a list",
        "none",
    ],
)
def test_a_session_is_renewed_before_it_ends(environment: Environment, cookie: str, lives: float) -> None:
    """As Airflow 3's token says, which decides nothing else; the clocks of the two need not agree."""
    clock = [50_000.0]
    environment.answers(logged_in(cookie=cookie), OK, OK, logged_in(), OK)
    session = environment.reached_by(way_to(environment.server), lambda: clock[0])
    for after in (0, lives - 1, 2):
        clock[0] += after
        assert isinstance(session.ask(LOOK), RestAnswer)
    assert [method for method, _ in environment.sent] == ["POST", "GET", "GET", "POST", "GET"]


class CountingLock:
    """A lock that counts who wants it."""

    def __init__(self) -> None:
        self.wanted = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.wanted += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.guarantee(51)
@pytest.mark.parametrize("login", [logged_in(), Answer(403)], ids=["opened", "refused"])
def test_threads_that_need_a_session_at_once_log_in_once(environment: Environment, login: Answer) -> None:
    """The others wait for the first one's login and share its result, also where it is refused."""
    waiting = threading.Event()
    for _ in range(4):
        environment.issue_token()
    environment.server.answers = [replace(login, wait=waiting), OK if login.status == 200 else login]
    lock = environment.session._lock = CountingLock()  # type: ignore[assignment]
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(environment.session.ask, LOOK) for _ in range(4)]
        until("four threads need the session", lambda: lock.wanted == 4 or None, seconds=10)
        waiting.set()
        answers = {type(each.result()) for each in asked}
    assert answers == {RestAnswer if login.status == 200 else Retryable}
    assert [path for _, path in environment.sent].count("/pluginsv2/aws_mwaa/login") == 1


@pytest.mark.guarantee(51)
def test_threads_whose_session_is_refused_renew_it_once(environment: Environment) -> None:
    """The second finds the session that the first has opened."""
    environment.answers(logged_in(), OK)
    session = environment.session
    session.ask(LOOK)
    old = session._login
    environment.answers(logged_in(cookie="new"), OK)
    assert session._session(instead_of=old) == session._session(instead_of=old)
    assert [method for method, _ in environment.sent] == ["POST", "GET", "POST"]


@pytest.mark.guarantee(51)
def test_a_page_in_answer_to_a_post_is_no_end_of_the_session(environment: Environment) -> None:
    """A garbled success may hide what was done: it is looked up, not done once more."""
    page = Answer(200, b"<html>")
    environment.answers(logged_in(), page)
    assert environment.session.ask(RestCall("POST", "/dags/a/dagRuns", body={})) == RestAnswer(200, "<html>")
    assert [method for method, _ in environment.sent] == ["POST", "POST"]


def test_an_upgraded_airflow_is_found_by_its_login(environment: Environment) -> None:
    """2 today and 3 tomorrow, in one sandbox."""
    environment.answers(
        NO_SUCH_PATH, logged_in("session"), OK, Answer(200, b"<html>"), NO_SUCH_PATH, logged_in(), OK
    )
    environment.session.ask(LOOK)
    assert environment.session.ask(LOOK) == RestAnswer(200, {"state": "running"})
    assert environment.sent[-1] == ("GET", f"/api/v2{PATH}")


def test_what_the_role_may_not_do_is_said_with_its_parameter(environment: Environment) -> None:
    """Not for want of a session: a new one is refused as well, and no third is asked for."""
    environment.answers(
        logged_in(), document(403, detail="Forbidden"), logged_in(), document(403, detail="Forbidden")
    )
    answer = environment.runs().return_value("nightly_orders", RUN_ID, "count")
    assert answer == NotAvailable(
        "the Airflow role of WebLoginRole does not allow this call: Airflow said HTTP 403: Forbidden"
    )
    assert len(environment.sent) == 4


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (
            "AccessDeniedException",
            Reason.ACCESS_DENIED,
            "needs airflow:CreateWebLoginToken on the Airflow role that the stack's parameter WebLoginRole names",
        ),
        ("ResourceNotFoundException", Reason.TOKEN_UNAVAILABLE, "check MwaaEnvironmentName"),
        ("ThrottlingException", Reason.TOKEN_UNAVAILABLE, "ThrottlingException"),
        ("InternalServerException", Reason.TOKEN_UNAVAILABLE, "InternalServerException"),
    ],
)
def test_no_token_no_call(environment: Environment, code: str, reason: Reason, remedy: str) -> None:
    """The outcome says why, and nothing was sent."""
    environment.mwaa.add_client_error("create_web_login_token", code, "not now")
    answer = environment.session.ask(LOOK)
    assert isinstance(answer, Retryable)
    assert answer.reason is reason
    assert remedy in answer.text
    assert environment.sent == []


@pytest.mark.parametrize(
    ("login", "reason", "said"),
    [
        (Answer(403), Reason.TOKEN_REFUSED, "HTTP 403 without a session"),
        (Answer(200), Reason.TOKEN_REFUSED, "HTTP 200 without a session"),
        (
            Answer(302, headers={"Location": "/login"}),
            Reason.TOKEN_REFUSED,
            "HTTP 302 without a session",
        ),
        (
            Answer(200, headers={"Set-Cookie": "session=x"}),
            Reason.TOKEN_REFUSED,
            "HTTP 200 without a session",
        ),
        (
            Answer(500, headers={"Set-Cookie": "_token=x"}),
            Reason.ENVIRONMENT_UNREACHABLE,
            "HTTP 500 without a session",
        ),
        (Answer(429), Reason.WEB_SERVER_BUSY, "HTTP 429 without a session"),
        (Answer(503), Reason.WEB_SERVER_BUSY, "HTTP 503 without a session"),
        (Answer(silent=True), Reason.ENVIRONMENT_UNREACHABLE, "no web login"),
    ],
)
def test_a_refused_login_is_reported_and_retried_the_next_time(
    environment: Environment, login: Answer, reason: Reason, said: str
) -> None:
    """Nothing is called without a session."""
    environment.issue_token()
    environment.server.answers = [login]
    answer = environment.session.ask(LOOK)
    assert isinstance(answer, Retryable)
    assert answer.reason is reason
    assert said in answer.text
    assert [path for _, path in environment.sent] == ["/pluginsv2/aws_mwaa/login"]
    environment.answers(logged_in(), OK)
    assert isinstance(environment.session.ask(LOOK), RestAnswer)


def test_a_login_may_end_in_a_redirect_which_is_not_followed(environment: Environment) -> None:
    """To the user interface, for people."""
    environment.answers(logged_in(status=302), OK)
    assert isinstance(environment.session.ask(LOOK), RestAnswer)
    assert len(environment.sent) == 2


def test_a_token_is_sent_to_no_other_host(environment: Environment) -> None:
    """The name that came with the token is checked before the token goes there."""
    environment.issue_token(host="evil.example.com")
    answer = environment.session.ask(LOOK)
    assert isinstance(answer, Retryable)
    assert "evil.example.com" in answer.text
    assert environment.sent == []


def test_an_untrusted_certificate_gets_no_token(environment: Environment) -> None:
    """TLS is always checked; the public CAs do not know the test's authority."""
    stranger = environment.reached_by(WebServer("localhost", "", 2, 2))
    environment.issue_token()
    answer = stranger.ask(LOOK)
    assert isinstance(answer, Retryable)
    assert "certificate" in answer.text
    assert environment.sent == []


@pytest.mark.usefixtures("proxy_and_netrc")
def test_environment_variables_change_no_request(environment: Environment) -> None:
    """A proxy would see the token, and a netrc entry would replace the session."""
    environment.answers(logged_in(), OK)
    assert isinstance(environment.session.ask(LOOK), RestAnswer)
    assert environment.last.headers["Authorization"] == f"Bearer {COOKIE}"


@pytest.mark.parametrize(
    "answer",
    [Answer(silent=True), Answer(body=OK.body[:5], cut=True), Answer(503, b"busy"), Answer(502, b"<html>")],
)
def test_an_answer_lost_on_the_way_is_asked_for_by_a_later_round(
    environment: Environment, answer: Answer
) -> None:
    """The session stays, and nothing is done twice at once."""
    environment.answers(logged_in(), answer)
    asked = environment.runs().return_value("nightly_orders", RUN_ID, "count")
    assert isinstance(asked, RunsUnknown)
    assert [method for method, _ in environment.sent] == ["POST", "GET"]


def test_a_slow_answer_is_not_waited_for_long(environment: Environment) -> None:
    """As InvokeRestApi gives up, too."""
    waiting = threading.Event()
    environment.answers(logged_in(), Answer(body=OK.body, wait=waiting))
    session = environment.reached_by(WebServer("localhost", environment.server.ca_bundle, 2, 0.2))
    try:
        assert isinstance(session.ask(LOOK), OutcomeUnknown)
    finally:
        waiting.set()


def test_an_answer_without_end_is_not_read_to_its_end(environment: Environment) -> None:
    """A task may return anything: read further, this one would break off."""
    environment.answers(logged_in(), Answer(body=b"x" * LARGEST_ANSWER_BYTES, cut=True))
    asked = environment.runs().return_value("nightly_orders", RUN_ID, "count")
    assert isinstance(asked, NotAvailable)
    assert "S3" in asked.text


@pytest.mark.guarantee(32)
def test_neither_token_nor_session_is_ever_told(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a log at any level, an answer, or a repr; nor where a cookie cannot even be sent."""
    caplog.set_level(logging.DEBUG)
    shown = []
    for answer in (OK, document(403), Answer(silent=True), Answer(500, b"<html>"), Answer(200, b"[")):
        session = environment.reached_by(way_to(environment.server))
        environment.answers(logged_in(cookie=f"{COOKIE}\t1"), answer, logged_in(), answer)
        environment.issue_token()
        shown.append(repr(session.ask(LOOK)))
        shown.append(repr(vars(session)))
    # botocore's own wire log is off in the functions: their loggers are never at DEBUG.
    shown += [record.getMessage() for record in caplog.records if not record.name.startswith("botocore")]
    assert len(shown) > 20
    assert [text for text in shown if TOKEN in text or COOKIE in text] == []


@pytest.mark.guarantee(32, 51)
def test_a_page_that_quotes_the_session_does_not_show_it(environment: Environment) -> None:
    """As some servers' error pages quote the request; what they say may be logged."""
    environment.answers(logged_in(), Answer(502, f"<p>Authorization: Bearer {COOKIE}".encode()))
    answer = environment.session.ask(LOOK)
    assert isinstance(answer, RestAnswer)
    assert answer.summary() == "Airflow said HTTP 502: Authorization: Bearer ***"


# --- the questions about one run ------------------------------------------------------------------------------


def test_a_return_value_arrives_from_an_airflow_that_writes_text_alone(environment: Environment) -> None:
    """Older than 2.10: it says so once."""
    refusal = document(400, detail="Extra query parameter(s) stringify not in spec")
    environment.answers(NO_SUCH_PATH, logged_in("session"), refusal, document(value="{'rows': 3}"))
    calls = environment.runs()
    for _ in range(2):
        assert calls.return_value("nightly_orders", RUN_ID, "count") == ReturnValue("{'rows': 3}")
    asked = [path.partition("return_value")[2] for method, path in environment.sent if method == "GET"]
    assert asked == ["?stringify=false", "", ""]


@pytest.mark.parametrize("state", ["running", "queued"])
def test_a_run_that_goes_on_is_marked_failed(environment: Environment, state: str) -> None:
    """Looked at, then marked."""
    environment.answers(logged_in(), document(state=state), document(state="failed"))
    assert environment.runs().fail_run("nightly_orders", RUN_ID) == RunMarkedFailed()
    assert environment.sent[1:] == [("GET", f"/api/v2{PATH}"), ("PATCH", f"/api/v2{PATH}")]


@pytest.mark.guarantee(42)
@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_is_over_is_never_changed(environment: Environment, state: str) -> None:
    """Airflow itself would mark any run failed."""
    environment.answers(logged_in(), document(state=state))
    assert environment.runs().fail_run("nightly_orders", RUN_ID) == RunState(RunEnd(state), started=True)
    assert [method for method, _ in environment.sent] == ["POST", "GET"]


def test_nothing_is_marked_where_airflow_does_not_say_how_the_run_is(environment: Environment) -> None:
    """Not there, or no answer."""
    environment.answers(
        logged_in(), document(404, detail="The DagRun with dag_id: `a` and run_id: `b` was not found")
    )
    calls = environment.runs()
    assert calls.fail_run("nightly_orders", RUN_ID) == RunNotThere()
    environment.answers(document(503, message="Service Unavailable"))
    assert isinstance(calls.fail_run("nightly_orders", RUN_ID), RunsUnknown)
    assert "PATCH" not in [method for method, _ in environment.sent]


def test_without_a_web_login_it_is_said_which_parameter_brings_it(environment: Environment) -> None:
    """In one sentence, for whoever reads the state's output or the log."""
    calls = CliRuns(CliTransport(environment.mwaa.client, "analytics", way_to(environment.server)))
    assert calls.return_value("a", RUN_ID, "count") == NotAvailable(
        "only a web login can read a task's return value: set the parameter WebLoginRole (Viewer is enough)"
    )
    assert calls.fail_run("a", RUN_ID) == NotAvailable(
        "only a web login can end a run: set the parameter WebLoginRole to User"
    )


def test_invoke_rest_api_has_what_fits_and_the_web_login_the_rest(environment: Environment) -> None:
    """Where an environment is reached over rest."""
    run = {"Name": "analytics", "Path": "/dags/load/dagRuns/evt__a"}
    for call, state in (
        ({"Method": "GET"}, "running"),
        ({"Method": "PATCH", "Body": {"state": "failed"}}, "failed"),
    ):
        answer = {"RestApiStatusCode": 200, "RestApiResponse": {"state": state}}
        environment.mwaa.add_response("invoke_rest_api", answer, {**run, **call})
    environment.answers(logged_in(), document(value=7))
    transport = RestTransport(environment.mwaa.client, "analytics", Pace(10, sleep=lambda _: None))
    calls = RestRuns(transport, environment.session)
    assert calls.fail_run("load", "evt__a") == RunMarkedFailed()
    assert calls.return_value("load", "evt__a", "count") == ReturnValue(7)
    environment.mwaa.assert_no_pending_responses()


@pytest.mark.parametrize(
    "ids", [("a/b", RUN_ID, "count"), ("a", "../b", "count"), ("a", RUN_ID, "../../variables/x")]
)
def test_what_cannot_be_a_path_is_not_sent(environment: Environment, ids: tuple[str, str, str]) -> None:
    """A name that leads elsewhere would be read with the session's rights."""
    calls = environment.runs()
    assert isinstance(calls.return_value(*ids), NotAvailable)
    if "variables" not in ids[2]:
        assert isinstance(calls.fail_run(*ids[:2]), NotAvailable)
    assert environment.sent == []
