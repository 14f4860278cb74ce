"""The doctor against a network, a web server and an MWAA that are broken on purpose: what it sees, by name."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import boto3
import pytest
from botocore.stub import Stubber

from fakes.web_server import Answer, WebServerScript, scripted_web_server
from integration.functions import Context, CurrentStdout, lines, load
from integration.scripted_mwaa import way_to
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.doctor_queries import DoctorQueries
from mwaa_gateway.aws.mwaa.rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.aws.network import SubnetNetwork
from mwaa_gateway.doctor.doctor import Doctor, Endpoint
from mwaa_gateway.observability import logger
from mwaa_gateway.wiring.doctor import doctor

TOKEN = "canary-cli-token"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAGS = [
    {"dag_id": "orders", "is_paused": "False", "is_active": "True"},
    {"dag_id": "refunds", "is_paused": "True", "is_active": "True"},
    {"dag_id": "gone", "is_paused": "True", "is_active": "False"},
]


def printed(stdout: str) -> bytes:
    texts = {"stdout": stdout, "stderr": ""}
    return json.dumps({k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}).encode()


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never answers: no TLS handshake ends there."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"https://localhost:{listening.getsockname()[1]}"


def a_doctor(
    mwaa: Stubber, web_server: WebServer, *, endpoints: tuple[Endpoint, ...] = (), connect_seconds: float = 2
) -> Doctor:
    transport = CliTransport(mwaa.client, "analytics", web_server)
    return Doctor(
        endpoints=endpoints,
        network=SubnetNetwork(connect_seconds=connect_seconds),
        airflow=DoctorQueries(transport, now=NOW.timestamp),
        ca_bundle=web_server.ca_bundle,
        monotonic=lambda: 0.0,
        now=NOW.timestamp,
    )


def issue_token(mwaa: Stubber, host: str) -> None:
    mwaa.add_response(
        "create_cli_token", {"CliToken": TOKEN, "WebServerHostname": host}, {"Name": "analytics"}
    )


def test_a_healthy_environment(server: WebServerScript, control_plane: Stubber) -> None:
    """Each step, the DAGs by what would become of their runs, and the clocks; one command, and it is `dags list`."""
    date = format_datetime(NOW + timedelta(seconds=7), usegmt=True)
    server.answers, server.received = [Answer(body=printed(json.dumps(DAGS)), headers={"Date": date})], []
    issue_token(control_plane, server.host)

    found = a_doctor(control_plane, way_to(server)).examine("analytics")

    assert [found[step]["outcome"] for step in ("token", "web_server", "airflow")] == ["ok", "reached", "ok"]
    assert found["dags"] == {
        "taken_at": NOW.timestamp(),
        "runnable": ["orders"],
        "paused": ["refunds"],
        "stale": ["gone"],
        "count": 3,
    }
    assert found["server_time_offset_seconds"] == 7
    assert [each.body.split()[:2] for each in server.received] == [[b"dags", b"list"]]
    assert TOKEN not in json.dumps(found)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(403, b'{"message": "Forbidden"}'), "token_refused"),
        (Answer(503, b"Service Unavailable"), "web_server_busy"),
        (Answer(404), "environment_unreachable"),
        (Answer(200, b"<html>a proxy</html>"), "unclear_answer"),
        (Answer(silent=True), "unclear_answer"),
        (Answer(400, printed("no such command")), "not_listed"),
    ],
    ids=["403", "503", "no CLI", "a proxy's page", "closed", "another answer"],
)
def test_a_web_server_that_gives_no_list(
    server: WebServerScript, control_plane: Stubber, answer: Answer, outcome: str
) -> None:
    """It is reached all the same, and there are no DAGs to speak of."""
    server.answers = [answer]
    for _ in range(2):  # a refused token is renewed once
        issue_token(control_plane, server.host)
    found = a_doctor(control_plane, way_to(server)).examine("analytics")
    assert found["web_server"]["outcome"] == "reached"
    assert (found["airflow"]["outcome"], "dags" in found) == (outcome, False)
    assert TOKEN not in json.dumps(found)


def test_a_web_server_that_is_slow(server: WebServerScript, control_plane: Stubber) -> None:
    """It takes the command and does not answer in time: said as that, not as unreachable."""
    hold = threading.Event()
    server.answers = [Answer(body=printed("[]"), wait=hold)]
    issue_token(control_plane, server.host)
    slow = WebServer("localhost", server.ca_bundle, connect_timeout_seconds=60, read_timeout_seconds=0.2)
    found = a_doctor(control_plane, slow).examine("analytics")
    hold.set()
    assert (found["airflow"]["outcome"], "Timeout" in found["airflow"]["text"]) == ("unclear_answer", True)


@pytest.mark.parametrize("broken", ["dns", "refused", "certificate", "expired", "tls", "timeout"])
def test_a_web_server_that_is_not_reached(
    broken: str,
    server: WebServerScript,
    control_plane: Stubber,
    silent: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """By the step at which the connection ends; nothing is sent there, and no DAG is asked for."""
    plain = socket.create_server(("127.0.0.1", 0))
    host, ca_bundle = {
        "dns": ("no-such-host.invalid", server.ca_bundle),
        "refused": (f"localhost:{closed_port()}", server.ca_bundle),
        "certificate": (server.host, ""),
        "expired": (server.host, ""),
        "tls": (f"localhost:{plain.getsockname()[1]}", server.ca_bundle),
        "timeout": (silent.removeprefix("https://"), server.ca_bundle),
    }[broken]
    expired = scripted_web_server(tmp_path_factory.mktemp("expired"), expired=True)
    server.received = []
    with plain, expired as old:
        if broken == "expired":
            host, ca_bundle = old.host, old.ca_bundle
        if broken == "tls":
            threading.Thread(target=_hang_up_after_words, args=(plain,), daemon=True).start()
        issue_token(control_plane, host)
        way = WebServer(host.partition(":")[0], ca_bundle, connect_timeout_seconds=2, read_timeout_seconds=2)
        found = a_doctor(control_plane, way, connect_seconds=0.2 if broken == "timeout" else 2).examine(
            "analytics"
        )
        assert old.received == []
    assert found["token"]["outcome"] == "ok"
    assert found["web_server"]["outcome"] == ("certificate" if broken == "expired" else broken)
    assert ("expired" in found["web_server"]["text"]) == (broken == "expired")
    assert "airflow" not in found
    assert server.received == []


def _hang_up_after_words(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.close()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AccessDeniedException", "access_denied"),
        ("ResourceNotFoundException", "token_unavailable"),
        ("InternalServerException", "token_unavailable"),
    ],
)
def test_no_token(server: WebServerScript, control_plane: Stubber, code: str, outcome: str) -> None:
    """Then nobody is asked anything."""
    server.received = []
    control_plane.add_client_error("create_cli_token", code)
    found = a_doctor(control_plane, way_to(server)).examine("analytics")
    assert found["token"]["outcome"] == outcome
    assert "web_server" not in found
    assert server.received == []


def test_a_token_for_a_foreign_host_goes_nowhere(server: WebServerScript, control_plane: Stubber) -> None:
    """Not even a connection."""
    issue_token(control_plane, "mwaa.example.com")
    found = a_doctor(control_plane, way_to(server)).examine("analytics")
    assert found["token"]["outcome"] == "environment_unreachable"
    assert "web_server" not in found


def test_each_endpoint_by_name(server: WebServerScript, control_plane: Stubber, silent: str) -> None:
    """Side by side; without MWAA's own nothing further is tried."""
    endpoints = (
        Endpoint("airflow.env", f"http://127.0.0.1:{closed_port()}"),
        Endpoint("dynamodb", f"http://{server.host}"),
        Endpoint("sqs", silent),
        Endpoint("kms", "https://no-such-host.invalid"),
    )
    found = a_doctor(control_plane, way_to(server), endpoints=endpoints, connect_seconds=0.3).examine(
        "analytics"
    )
    assert [(each["service"], each["outcome"]) for each in found["endpoints"]] == [
        ("airflow.env", "refused"),
        ("dynamodb", "reached"),
        ("sqs", "timeout"),
        ("kms", "dns"),
    ]
    assert "token" not in found


def test_airflow_is_asked_where_another_service_is_not_reached(
    server: WebServerScript, control_plane: Stubber
) -> None:
    """Each fault shows by itself: only MWAA's own endpoint is needed for the rest."""
    server.answers = [Answer(body=printed(json.dumps(DAGS)))]
    issue_token(control_plane, server.host)
    endpoints = (
        Endpoint("airflow.env", f"http://{server.host}"),
        Endpoint("sqs", f"http://127.0.0.1:{closed_port()}"),
    )
    found = a_doctor(control_plane, way_to(server), endpoints=endpoints).examine("analytics")
    assert [each["outcome"] for each in found["endpoints"]] == ["reached", "refused"]
    assert (found["token"]["outcome"], found["airflow"]["outcome"]) == ("ok", "ok")


def test_a_certificate_for_another_host_is_not_taken(server: WebServerScript) -> None:
    """It is held against the name that was asked for."""
    port = server.host.rpartition(":")[2]
    network = SubnetNetwork()
    assert network.reach(f"https://localhost:{port}", server.ca_bundle).outcome == "reached"
    assert network.reach(f"https://127.0.0.1:{port}", server.ca_bundle).outcome == "certificate"


def test_a_resolver_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows no time-out of its own."""
    hold, answered = threading.Event(), []

    def resolve(*_: object, **__: object) -> None:
        hold.wait(10)
        answered.append(True)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    network = SubnetNetwork(longest_seconds=0.2)
    [seen] = network.reach_all(["https://sqs.example.com"])
    assert answered == []
    hold.set()
    assert (seen.outcome, seen.text) == ("timeout", "no answer from the resolver")


@pytest.mark.guarantee(32, 51)
@pytest.mark.parametrize(
    ("login", "steps"),
    [
        (200, {"token": "ok", "web_server": "reached", "airflow": "ok"}),
        (403, {"token": "token_refused"}),
    ],
)
def test_over_a_web_login(
    server: WebServerScript, control_plane: Stubber, login: int, steps: dict[str, str]
) -> None:
    """Log in, connect, list; no token and no session in what is found."""
    cookie = {"Set-Cookie": "_token=canary-session; Path=/; Secure"}
    listed = Answer(body=json.dumps({"dags": [{"dag_id": "orders"}], "total_entries": 1}).encode())
    server.answers, server.received = [Answer(login, headers=cookie), listed], []
    control_plane.add_response(
        "create_web_login_token", {"WebToken": TOKEN, "WebServerHostname": server.host}
    )
    session = WebSession(control_plane.client, "analytics", way_to(server), "RestApiRole")
    found = Doctor(
        endpoints=(),
        network=SubnetNetwork(),
        airflow=DoctorQueries(WebTransport(session), now=NOW.timestamp),
        ca_bundle=server.ca_bundle,
        monotonic=lambda: 0.0,
        now=NOW.timestamp,
    ).examine("analytics")
    assert found["transport"] == "web"
    assert {
        step: found[step]["outcome"] for step in ("token", "web_server", "airflow") if step in found
    } == steps
    assert "canary" not in json.dumps(found)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("AccessDeniedException", "access_denied"), ("ThrottlingException", "web_server_busy")],
)
def test_over_rest(code: str, outcome: str) -> None:
    """No token and no web server of its own: MWAA's refusal is the answer."""
    client = boto3.client(
        "mwaa",
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=REST_CLIENT_CONFIG,
    )
    pace = Pace(3, sleep=lambda _: None)
    with Stubber(client) as mwaa:
        for _ in range(2):  # a page that is refused is asked for once more
            mwaa.add_client_error("invoke_rest_api", code, http_status_code=403 if "Access" in code else 429)
        airflow = DoctorQueries(RestTransport(client, "analytics", pace), now=NOW.timestamp)
        found = Doctor(
            endpoints=(),
            network=SubnetNetwork(),
            airflow=airflow,
            ca_bundle="",
            monotonic=lambda: 0.0,
            now=NOW.timestamp,
        ).examine("analytics")
    assert ("token" in found, "web_server" in found) == (False, False)
    assert (found["transport"], found["airflow"]["outcome"]) == ("rest", outcome)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The function's own variables, in a network in which nothing answers."""
    nowhere = f"http://127.0.0.1:{closed_port()}"
    variables = {
        "ENVIRONMENTS": "analytics,legacy",
        "MWAA_ENVIRONMENT_NAME": "acme-{environment}",
        "STEP_FUNCTIONS_TASKS": "true",
        "TRANSPORTS": "legacy=rest",
        "AWS_DEFAULT_REGION": "eu-west-1",
        **{f"AWS_ENDPOINT_URL_{name}": nowhere for name in ("MWAA", "DYNAMODB", "SQS", "KMS")},
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", nowhere)
    monkeypatch.setattr(logger.handlers[0], "stream", CurrentStdout())
    doctor.cache_clear()
    yield
    doctor.cache_clear()


@pytest.mark.usefixtures("deployed")
def test_the_function_answers_about_its_own_environments_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else of the event is read; the log line has outcomes, and MWAA's host its prefix."""
    handler = load("doctor").handler
    for event in ({}, {"environment": "x"}, {"environment": ["analytics"]}, {"environment": "analytics "}):
        assert handler(event, Context()) == {"format": 1, "environments": ["analytics", "legacy"]}
    lines(capsys)

    found = handler({"environment": "legacy", "path": "/dags", "command": "dags trigger x"}, Context())

    assert {each["outcome"] for each in found["endpoints"]} <= {"refused", "dns"}
    assert [each["service"] for each in found["endpoints"]] == [
        "airflow.env",
        "dynamodb",
        "sqs",
        "kms",
        "states",
    ]
    [line] = lines(capsys)
    assert (line["message"], line["environment"]) == ("environment examined", "legacy")
    assert "trigger" not in json.dumps([line, found])

    found = handler({"environment": "analytics"}, Context())
    assert (set(found), "analytics" in found["problem"]) == ({"format", "environment", "problem"}, True)

    monkeypatch.setenv("STEP_FUNCTIONS_TASKS", "false")
    monkeypatch.delenv("AWS_ENDPOINT_URL_MWAA")
    doctor.cache_clear()
    assert next((each.service, each.url.partition("://")[2]) for each in doctor().endpoints) == (
        "airflow.env",
        "env.airflow.eu-west-1.amazonaws.com",
    )
    assert [each.service for each in doctor().endpoints] == ["airflow.env", "dynamodb", "sqs"]
