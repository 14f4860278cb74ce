"""CLI tokens and the web server: what is sent, how long a token is kept, and what a lost answer means."""

import base64
import json
import logging
import re
import shlex
import socket
import threading
from dataclasses import dataclass, replace

import pytest
from botocore.stub import Stubber

from fakes.web_server import Answer, WebServerScript
from integration.scripted_mwaa import way_to
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.import_errors import READ_EVERY_SECONDS
from mwaa_gateway.aws.mwaa.cli import TOKEN_SECONDS, CliTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer, is_web_server_host
from mwaa_gateway.outcomes import AlreadyTriggered, OutcomeUnknown, Reason, Rejected, Retryable, Triggered
from mwaa_gateway.trigger_request import ResolvedTarget

TARGET = ResolvedTarget("analytics", "ingest_orders", "evt__a__1", {"key": "it's"})
TOKEN = "canary-cli-token"


def output(stdout: str = "", stderr: str = "") -> bytes:
    return json.dumps(
        {
            name: base64.b64encode(text.encode()).decode()
            for name, text in (("stdout", stdout), ("stderr", stderr))
        }
    ).encode()


CREATED = output('[{"dag_id": "ingest_orders", "dag_run_id": "evt__a__1"}]')


@dataclass
class Environment:
    """One environment: the scripted web server, the control plane's stub, and the adapter under test."""

    server: WebServerScript
    mwaa: Stubber
    transport: CliTransport
    time: float = 0.0

    def issue_token(self, text: str = TOKEN, host: str | None = None) -> None:
        self.mwaa.add_response(
            "create_cli_token",
            {"CliToken": text, "WebServerHostname": host or self.server.host},
            {"Name": "analytics"},
        )

    def reached_by(self, web_server: WebServer) -> CliTransport:
        """Another transport to the same environment."""
        return CliTransport(self.mwaa.client, "analytics", web_server, monotonic=lambda: self.time)


@pytest.fixture
def environment(server: WebServerScript, control_plane: Stubber) -> Environment:
    server.answers, server.received = [Answer(body=CREATED)], []
    environment = Environment(server, control_plane, None)  # type: ignore[arg-type]
    environment.transport = environment.reached_by(way_to(server))
    return environment


def test_a_command_is_posted_as_mwaa_documents_it(environment: Environment) -> None:
    """Path, bearer token, plain text, one shell line."""
    environment.issue_token()
    assert Triggered() == environment.transport.trigger(TARGET)
    (received,) = environment.server.received
    assert received.path == "/aws_mwaa/cli"
    assert received.headers["Authorization"] == f"Bearer {TOKEN}"
    assert received.headers["Content-Type"] == "text/plain"
    assert shlex.split(received.body.decode())[-2:] == ['--conf={"key":"it\\u0027s"}', "ingest_orders"]


@pytest.mark.parametrize(
    ("refusal", "commands"),
    [
        ("airflow.exceptions.DagRunAlreadyExists: A DAG Run already exists", 1),
        ("airflow dags trigger command error: unrecognized arguments: --logical-date=2026", 2),
        ("airflow dags trigger command error: argument --conf: not JSON", 1),
    ],
    ids=["other error", "no such option", "other usage"],
)
def test_only_an_airflow_that_does_not_know_the_date_is_asked_again_without_it(
    environment: Environment, refusal: str, commands: int
) -> None:
    """Any other refusal is one command, and the next run that somebody waits for still gets its date."""
    environment.issue_token()
    environment.server.answers = [Answer(body=output(stderr=refusal)), Answer(body=CREATED)]
    watched = replace(TARGET, watched=True)
    environment.transport.trigger(watched)
    assert commands == len(environment.server.received)
    environment.server.answers = [Answer(body=CREATED)]
    assert Triggered() == environment.transport.trigger(watched)
    assert (commands == 1) == (b"--logical-date=" in environment.server.received[-1].body)


NO_OPTION = "airflow dags trigger command error: unrecognized arguments: --{}=2026-11-22T00:00:00+00:00"


def test_a_date_of_the_rule_is_sent_with_the_option_of_the_version(environment: Environment) -> None:
    """Also a watched run's; an upgraded environment is noticed, and no run starts without its date."""
    environment.issue_token()
    dated = replace(TARGET, logical_date="2026-11-22T00:00:00+00:00", watched=True)
    environment.server.answers = [
        Answer(body=output(stderr=NO_OPTION.format("logical-date"))),
        Answer(body=CREATED),
        Answer(body=output(stderr=NO_OPTION.format("exec-date"))),
        Answer(body=CREATED),
    ]
    assert [Triggered(), Triggered()] == [environment.transport.trigger(dated) for _ in range(2)]
    sent = [received.body.decode() for received in environment.server.received]
    assert ["--logical-date=", "--exec-date=", "--exec-date=", "--logical-date="] == [
        re.findall(r"--(?:logical|exec)-date=", command)[0] for command in sent
    ]
    assert all("-date=2026-11-22T00:00:00+00:00 " in command for command in sent)


def test_a_partition_key_is_refused_before_anything_is_sent(environment: Environment) -> None:
    """`dags trigger` has no such option on any version."""
    outcome = environment.transport.trigger(replace(TARGET, partition_key="2026-11-22"))
    assert isinstance(outcome, Rejected)
    assert "environment 'analytics' uses CLI tokens" in outcome.text
    assert environment.server.received == []


def test_a_date_that_is_none_is_never_sent(environment: Environment) -> None:
    """A message that somebody wrote by hand cannot put words into the command."""
    outcome = environment.transport.trigger(replace(TARGET, logical_date="2026-11-22 --conf={}"))
    assert isinstance(outcome, Rejected)
    assert environment.server.received == []


MISSING = output(stderr="airflow.exceptions.DagNotFound: Dag id ingest_orders not found in DagModel")
IMPORT_ERRORS = output(
    json.dumps(
        [
            {
                "filepath": "/usr/local/airflow/dags/orders.py",
                "error": "Traceback…\nModuleNotFoundError: No module named 'orders'\n",
            }
        ]
    )
)


def test_a_missing_dag_is_explained_by_one_further_command(environment: Environment) -> None:
    """In the same slot, after the answer; the next requests quote what it found."""
    environment.issue_token()
    environment.server.answers = [Answer(400, MISSING), Answer(400, IMPORT_ERRORS), Answer(400, MISSING)]
    for _ in range(3):
        outcome = environment.transport.trigger(TARGET)
        assert isinstance(outcome, Rejected)
        assert Reason.DAG_MISSING == outcome.reason
        assert "dags/orders.py: ModuleNotFoundError: No module named 'orders'" in outcome.text
    commands = [received.body.decode() for received in environment.server.received]
    assert ["dags trigger", "dags list-import-errors -o json", "dags trigger", "dags trigger"] == [
        command if "errors" in command else command[:12] for command in commands
    ]


def test_a_missing_dag_stays_missing_whatever_becomes_of_the_further_command(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web server is busy, refuses tokens, is silent, or takes longer than what only explains may take."""
    waiting = threading.Event()
    monkeypatch.setattr("mwaa_gateway.aws.mwaa.cli.IMPORT_ERRORS_SECONDS", 0.1)
    try:
        for answers, said in (
            ([Answer(503)], "web_server_busy"),
            ([Answer(403), Answer(403)], "token_refused"),
            ([Answer(silent=True)], "unclear_answer"),
            ([Answer(body=IMPORT_ERRORS, wait=waiting)], "ReadTimeout"),
        ):
            environment.time += READ_EVERY_SECONDS
            for _ in range(2):
                environment.issue_token()
            environment.server.answers = [Answer(400, MISSING), *answers]
            outcome = environment.transport.trigger(TARGET)
            assert isinstance(outcome, Rejected)
            assert Reason.DAG_MISSING == outcome.reason
            assert "Import errors could not be read: " in outcome.text
            assert said in outcome.text
    finally:
        waiting.set()


def test_a_look_up_asks_by_run_id(environment: Environment) -> None:
    """One command, on every Airflow version."""
    environment.issue_token()
    environment.server.answers = [Answer(body=output('[{"dag_id": "ingest_orders"}]'))]
    assert isinstance(environment.transport.look_up(TARGET), AlreadyTriggered)
    assert b"tasks states-for-dag-run -o json ingest_orders evt__a__1" == environment.server.received[0].body


def test_each_command_has_a_connection_of_its_own(environment: Environment) -> None:
    """Even if the web server would keep it open: closed while idle, it would make the next command's fate unknown."""
    environment.issue_token()
    environment.server.answers = [Answer(body=CREATED, keeps_open=True)]
    for _ in range(3):
        assert environment.transport.trigger(TARGET) == Triggered()
    assert len({received.client_port for received in environment.server.received}) == 3


def test_a_token_is_used_within_its_life_and_renewed_before_it_ends(environment: Environment) -> None:
    """One CreateCliToken a minute, not one a run."""
    environment.issue_token("first")
    environment.transport.trigger(TARGET)
    environment.time = TOKEN_SECONDS - 1
    environment.transport.trigger(TARGET)
    environment.issue_token("second")
    environment.time = TOKEN_SECONDS
    environment.transport.trigger(TARGET)
    sent = [received.headers["Authorization"] for received in environment.server.received]
    assert ["Bearer first", "Bearer first", "Bearer second"] == sent


@pytest.mark.guarantee(15)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_replaced_once(environment: Environment, status: int) -> None:
    """Expired early, or the web server was replaced: a new token, and the run starts."""
    environment.issue_token("old")
    environment.issue_token("new")
    environment.server.answers = [Answer(status), Answer(body=CREATED)]
    assert Triggered() == environment.transport.trigger(TARGET)
    assert "Bearer new" == environment.server.received[1].headers["Authorization"]


def test_a_token_refused_twice_is_tried_again_later(environment: Environment) -> None:
    """Not a third time now: the role may be the cause. And not with the refused one next time."""
    for text in ("one", "two", "three"):
        environment.issue_token(text)
    environment.server.answers = [Answer(403), Answer(403), Answer(body=CREATED)]
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == Reason.TOKEN_REFUSED
    assert 2 == len(environment.server.received)


@pytest.mark.guarantee(14)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ThrottlingException", Reason.TOKEN_UNAVAILABLE),
        ("AccessDeniedException", Reason.ACCESS_DENIED),
        ("ResourceNotFoundException", Reason.TOKEN_UNAVAILABLE),
    ],
)
def test_no_token_no_command(environment: Environment, code: str, reason: Reason) -> None:
    """Whatever the reason for having no token, nothing was sent, and the outcome says why."""
    environment.mwaa.add_client_error("create_cli_token", code, "not now")
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == reason
    assert code in outcome.text
    assert [] == environment.server.received


@pytest.mark.guarantee(14)
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDeniedException", "needs airflow:CreateCliToken"),
        ("ResourceNotFoundException", "check MwaaEnvironmentName"),
    ],
)
def test_a_token_that_will_never_come_by_itself(environment: Environment, code: str, remedy: str) -> None:
    """The text of the dead letter that ends it says what to do."""
    environment.mwaa.add_client_error("create_cli_token", code, "not now")
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert remedy in outcome.text


def test_a_token_is_sent_to_no_other_host(environment: Environment) -> None:
    """The name that came with the token is checked before the token goes there."""
    environment.issue_token(host="evil.example.com")
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == Reason.ENVIRONMENT_UNREACHABLE
    assert "evil.example.com" in outcome.text


def test_a_redirect_is_not_followed(environment: Environment) -> None:
    """The token would go along."""
    environment.issue_token()
    environment.server.answers = [
        Answer(302, headers={"Location": f"https://{environment.server.host}/login"})
    ]
    assert isinstance(environment.transport.trigger(TARGET), Retryable)
    assert 1 == len(environment.server.received)


@pytest.mark.guarantee(17)
@pytest.mark.parametrize(
    "answer",
    [
        Answer(silent=True),
        Answer(body=CREATED[:10], cut=True),
        Answer(502),
        Answer(504),
        Answer(body=CREATED[:-20]),
    ],
    ids=["no answer", "cut answer", "502", "504", "garbled"],
)
def test_an_answer_lost_on_the_way_is_unknown(environment: Environment, answer: Answer) -> None:
    """The command went out: perhaps done, never "not done"."""
    environment.issue_token()
    environment.server.answers = [answer]
    assert isinstance(environment.transport.trigger(TARGET), OutcomeUnknown)


@pytest.mark.guarantee(17)
def test_a_slow_command_is_unknown(environment: Environment) -> None:
    """A read timeout says nothing about the command, which may still be running."""
    environment.issue_token()
    transport = environment.reached_by(WebServer("localhost", environment.server.ca_bundle, 60, 0.1))
    waiting = threading.Event()
    environment.server.answers = [Answer(body=CREATED, wait=waiting)]
    try:
        assert isinstance(transport.trigger(TARGET), OutcomeUnknown)
    finally:
        waiting.set()


@pytest.mark.guarantee(16)
def test_a_refused_connection_surely_started_nothing(environment: Environment) -> None:
    """Nobody listens there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        environment.issue_token(host=f"localhost:{unused.getsockname()[1]}")
        outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == Reason.ENVIRONMENT_UNREACHABLE
    assert "refused" in outcome.text


@pytest.mark.guarantee(16)
def test_a_server_without_tls_surely_started_nothing(environment: Environment) -> None:
    """It answers the handshake with something else."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]

        def answer() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        environment.issue_token(host=f"localhost:{port}")
        outcome = environment.transport.trigger(TARGET)
        answering.join()
    assert isinstance(outcome, Retryable)
    assert outcome.reason == Reason.ENVIRONMENT_UNREACHABLE
    assert "TLS" in outcome.text


@pytest.mark.guarantee(16)
def test_an_unknown_name_surely_started_nothing(environment: Environment) -> None:
    """DNS fails before anything is sent."""
    environment.issue_token(host="nowhere.invalid")
    outcome = environment.reached_by(WebServer("nowhere.invalid", "", 2, 2)).trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == Reason.ENVIRONMENT_UNREACHABLE
    assert "DNS" in outcome.text


@pytest.mark.guarantee(16)
def test_an_untrusted_certificate_gets_no_token(environment: Environment, server: WebServerScript) -> None:
    """TLS is always checked; the public CAs do not know the test's authority."""
    stranger = environment.reached_by(WebServer("localhost", "", 2, 2))
    environment.issue_token()
    outcome = stranger.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert "certificate" in outcome.text
    assert [] == server.received


@pytest.mark.usefixtures("proxy_and_netrc")
def test_environment_variables_change_no_request(environment: Environment) -> None:
    """A proxy would see the token, and a netrc entry would replace it."""
    environment.issue_token()
    assert Triggered() == environment.transport.trigger(TARGET)
    assert f"Bearer {TOKEN}" == environment.server.received[0].headers["Authorization"]


def test_what_cannot_be_a_command_is_rejected_unsent(environment: Environment) -> None:
    """A dag_id with a space would be two words."""
    hostile = ResolvedTarget("analytics", "a b", "evt__a__1", {})
    assert isinstance(environment.transport.trigger(hostile), Rejected)
    assert isinstance(environment.transport.look_up(hostile), Rejected)
    assert [] == environment.server.received


@pytest.mark.guarantee(32)
def test_the_token_is_never_told(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log at any level, an outcome, or a repr."""
    caplog.set_level(logging.DEBUG)
    for answer, tokens in (
        (Answer(403), 2),
        (Answer(body=b"<html>"), 1),
        (Answer(silent=True), 1),
        (Answer(body=CREATED), 1),
    ):
        environment.server.answers = [answer]
        environment.time += TOKEN_SECONDS
        for _ in range(tokens):
            environment.issue_token()
        outcome = environment.transport.trigger(TARGET)
        assert TOKEN not in repr(outcome)
    environment.mwaa.assert_no_pending_responses()
    assert "_Token(" in repr(vars(environment.transport))
    assert TOKEN not in repr(vars(environment.transport))
    # botocore's own wire log is off in the functions: their loggers are never at DEBUG.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("botocore")]
    assert not any(TOKEN in message for message in ours)


@pytest.mark.parametrize(
    "host",
    [
        "0a1b2c3d-4e5f.c2.eu-west-1.airflow.amazonaws.com",
        "0a1b2c3d-4e5f-vpce.c10.eu-west-1.airflow.amazonaws.com",
        "0a1b2c3d.c2.airflow.eu-west-1.on.aws",
        "0a1b2c3d.c2.eu-west-1.airflow.amazonaws.com.cn",
    ],
)
def test_mwaas_own_hosts_are_accepted(host: str) -> None:
    """Public and private web servers, old and new names, and China's."""
    assert is_web_server_host(host, "eu-west-1")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "0a.c2.us-east-1.airflow.amazonaws.com",
        "0a.c2.eu-west-1.airflow.amazonaws.com.example.com",
        "example.com/0a.c2.eu-west-1.airflow.amazonaws.com",
        "a@0a.c2.eu-west-1.airflow.amazonaws.com",
        "0a.c2.eu-west-1.airflow.amazonaws.com:8443",
        "0a.c2.eu-west-1.airflow.amazonaws.com\n",
        "localhost",
    ],
)
def test_other_hosts_are_not(host: str) -> None:
    """Another region, a longer name, credentials, a port: not what MWAA hands out."""
    assert not is_web_server_host(host, "eu-west-1")


@pytest.mark.parametrize(
    ("host", "exactly", "accepted"),
    [
        ("localhost:8443", "localhost", True),
        ("localhost", "localhost", True),
        ("localhost:8443", "localhost:8443", True),
        ("localhost:8444", "localhost:8443", False),
        ("localhost.example.com", "localhost", False),
        ("localhost:8443/x", "localhost", False),
        ("0a.c2.eu-west-1.airflow.amazonaws.com", "airflow.example.com", False),
    ],
)
def test_a_named_host_is_the_only_one(host: str, exactly: str, *, accepted: bool) -> None:
    """WEB_SERVER_HOST replaces the list; without a port it leaves the port open."""
    assert accepted == is_web_server_host(host, "eu-west-1", exactly)


LISTED = output('[{"dag_id": "a", "is_paused": "True", "is_stale": "False"}]')
PLAINLY_LISTED = output('[{"dag_id": "a", "filepath": "a.py", "owner": "x", "paused": "True"}]')
NO_COLUMNS = output(
    stderr="airflow command error: unrecognized arguments: --columns=dag_id, see help above.\n"
)
A_PAUSED = (ListedDag("a", paused=True, stale=False),)


def test_the_dags_are_listed_by_one_command(environment: Environment) -> None:
    """With the columns of paused and stale DAGs."""
    environment.issue_token()
    environment.server.answers = [Answer(body=LISTED)]
    assert A_PAUSED == environment.transport.list_dags()
    assert [b"dags list -o json --columns=dag_id,is_paused,is_active,is_stale"] == [
        received.body for received in environment.server.received
    ]


def test_an_airflow_too_old_for_columns_is_asked_without_them(environment: Environment) -> None:
    """From then on at once."""
    environment.issue_token()
    environment.server.answers = [Answer(400, NO_COLUMNS), Answer(body=PLAINLY_LISTED)]
    assert A_PAUSED == environment.transport.list_dags()
    assert A_PAUSED == environment.transport.list_dags()
    plain = b"dags list -o json"
    assert [plain, plain] == [received.body for received in environment.server.received][1:]


@pytest.mark.parametrize(
    "answer", [Answer(503), Answer(body=b"<html>"), Answer(silent=True), Answer(400, NO_COLUMNS)]
)
def test_a_list_that_is_none_says_why(environment: Environment, answer: Answer) -> None:
    """Nothing is raised."""
    environment.issue_token()
    environment.server.answers = [answer]
    listed = environment.transport.list_dags()
    assert isinstance(listed, NotListed)
    assert listed.text
