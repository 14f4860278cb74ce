"""Web logins of the local MWAA, in front of a scripted Airflow: the token, the session of each major, the role's rights."""

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from local_stack.mwaa.api import MwaaApi
from local_stack.mwaa.environment import WRITES_AT_ONCE, Environment
from local_stack.mwaa.faults import Faults, FaultSchedule
from local_stack.mwaa.http_server import Answer, HttpServer, NoAnswer, Request
from local_stack.mwaa.tokens import SESSION_SECONDS, TOKEN_SECONDS
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.warm_cli import WarmCli
from local_stack.mwaa.web_server import WebServer

PREFIX = "arn:aws:airflow:eu-west-1:000000000000:"
LOGIN = {"2.11.2": "/aws_mwaa/login", "3.3.1": "/pluginsv2/aws_mwaa/login"}
BOTH = pytest.mark.parametrize("version", LOGIN)


@dataclass
class Meeting:
    """An Airflow that answers a change only when so many others are there."""

    size: int
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size)

    def respond(self, _call: Request) -> Answer:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.barrier.wait(10)
        with self.lock:
            self.at_once -= 1
        return Answer.json(200, {})


@dataclass
class Mwaa:
    """One environment, its web server, and the API in front of it; the caller is granted `roles`."""

    environment: Environment
    asked: list[Request] = field(default_factory=list)
    roles: Sequence[str] = ("User",)
    time: float = 0.0

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str]:
        """Implements `Permission`."""
        assert (request.target, action) == ("/webtoken/analytics", "airflow:CreateWebLoginToken")
        return frozenset(f"{PREFIX}role/analytics/{role}" for role in self.roles) & frozenset(resources)

    def token(self) -> Answer:
        """Ask for a web login token."""
        api = MwaaApi({"analytics": self.environment}, permission=self, arn_prefix=f"{PREFIX}environment/")
        return api.respond(Request("POST", "/webtoken/analytics", {}, b""))

    def log_in(self, path: str | None = None, token: str | None = None) -> Answer:
        """Exchange a token, a new one unless it is given, at the major's own path unless another is."""
        token = json.loads(self.token().body)["WebToken"] if token is None else token
        return self.web("POST", path or LOGIN[self.environment.version.text], body=f"token={token}".encode())

    def session(self) -> dict[str, str]:
        """Log in; what is to be sent along then."""
        name, _, rest = self.log_in().headers["Set-Cookie"].partition("=")
        secret = rest.partition(";")[0]
        return {
            "session": {"cookie": f"a=b; session={secret}"},
            "_token": {"authorization": f"Bearer {secret}"},
        }[name]

    def web(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Ask the web server."""
        return WebServer(self.environment).respond(Request(method, target, headers or {}, body))

    @property
    def root(self) -> str:
        return "/api/v1" if self.environment.version.is_airflow_2 else "/api/v2"


@pytest.fixture
def version() -> str:
    """Airflow's, unless a test says another."""
    return "3.3.1"


@pytest.fixture
def mwaa(version: str) -> Iterator[Mwaa]:
    asked: list[Request] = []

    def airflow(call: Request) -> Answer:
        asked.append(call)
        return Answer.json(200, {"state": "running"})

    server = HttpServer(airflow)
    server.start()
    environment = Environment(
        name="analytics",
        arn=f"{PREFIX}environment/analytics",
        version=AirflowVersion.parse(version),
        command_line=WarmCli(),
        clock=lambda: mwaa.time,
        web_server_hostname="localhost:4443",
        airflow_url=f"http://127.0.0.1:{server.port}",
    )
    mwaa = Mwaa(environment, asked)
    yield mwaa
    server.stop()


@BOTH
@pytest.mark.usefixtures("version")
def test_a_session_opens_airflows_own_api(mwaa: Mwaa) -> None:
    """With any path, its query and its body, and without the caller's secrets."""
    long = f"{mwaa.root}/dags/{'d' * 100}/dagRuns/evt__a%3Ab?stringify=false"
    answer = mwaa.web("PATCH", long, mwaa.session(), b'{"state": "failed"}')
    assert (answer.status, json.loads(answer.body)) == (200, {"state": "running"})
    [asked] = mwaa.asked
    assert (asked.method, asked.target, json.loads(asked.body)) == ("PATCH", long, {"state": "failed"})
    assert {"authorization", "cookie"}.isdisjoint(asked.headers)
    counted = mwaa.environment.statistics()
    assert (counted["web_calls"], counted["most_web_calls_at_once"], counted["run_starts"]) == (1, 1, 0)


def test_airflow_gets_changes_side_by_side_but_only_so_many(mwaa: Mwaa) -> None:
    """One after the other would hide what many at once do to a web server."""
    meeting = Meeting(WRITES_AT_ONCE)
    server = HttpServer(meeting.respond)
    server.start()
    mwaa.environment.airflow_url = f"http://127.0.0.1:{server.port}"
    session = mwaa.session()

    def change(_: int) -> int:
        return mwaa.web("PATCH", f"{mwaa.root}/dags/d/dagRuns/r", session, b"{}").status

    with ThreadPoolExecutor(3 * WRITES_AT_ONCE) as clients:
        answers = [*clients.map(change, range(3 * WRITES_AT_ONCE))]
    server.stop()
    assert {200} == set(answers)
    assert meeting.most_at_once == WRITES_AT_ONCE


@BOTH
@pytest.mark.parametrize("headers", [{}, {"cookie": "session=x"}, {"authorization": "Bearer x"}])
def test_without_a_session_airflow_is_not_asked(mwaa: Mwaa, version: str, headers: dict[str, str]) -> None:
    """401 or 403, as the real ones."""
    answer = mwaa.web("GET", f"{mwaa.root}/dags", headers)
    assert answer.status == (401 if version.startswith("2") else 403)
    assert mwaa.asked == []


@BOTH
def test_the_other_majors_paths_are_not_served(mwaa: Mwaa, version: str) -> None:
    """By which a client finds out which it is."""
    [other] = set(LOGIN.values()) - {LOGIN[version]}
    missing = 404 if version.startswith("2") else 405
    assert mwaa.log_in(other).status == missing
    assert mwaa.web("GET", "/api/v3/dags", mwaa.session()).status == missing


def test_a_token_lives_a_minute_and_opens_one_session_of_twelve_hours(mwaa: Mwaa) -> None:
    """Not a moment longer."""
    late, once = (json.loads(mwaa.token().body)["WebToken"] for _ in range(2))
    assert [mwaa.log_in(token=once).status for _ in range(2)] == [200, 403]
    mwaa.time += TOKEN_SECONDS
    assert mwaa.log_in(token=late).status == 403
    session = mwaa.session()
    mwaa.time += SESSION_SECONDS - 1
    assert mwaa.web("GET", f"{mwaa.root}/dags", session).status == 200
    mwaa.time += 1
    assert mwaa.web("GET", f"{mwaa.root}/dags", session).status == 403


@pytest.mark.parametrize(
    ("roles", "reads", "changes"),
    [(("User",), 200, 200), (("Viewer",), 200, 403), (("Public",), 403, 403), (("Viewer", "Op"), 200, 200)],
)
def test_a_session_may_do_what_the_mightiest_granted_role_may(
    mwaa: Mwaa, roles: Sequence[str], reads: int, changes: int
) -> None:
    """As far as a gateway needs it."""
    mwaa.roles = roles
    session = mwaa.session()
    assert mwaa.web("GET", f"{mwaa.root}/dags", session).status == reads
    assert mwaa.web("PATCH", f"{mwaa.root}/dags/a", session, b"{}").status == changes


def test_who_is_granted_no_role_gets_no_token(mwaa: Mwaa) -> None:
    """In MWAA's words."""
    mwaa.roles = ()
    refused = mwaa.token()
    assert (refused.status, refused.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert b"No Airflow role granted in IAM" in refused.body


def test_faults_concern_these_calls_too(mwaa: Mwaa) -> None:
    """Busy, refused, or cut off after the deed."""
    session = mwaa.session()
    for faults, status in ((Faults(error_503=1), 503), (Faults(expired_token=1), 403)):
        mwaa.environment.schedule = FaultSchedule(faults)
        assert mwaa.web("GET", f"{mwaa.root}/dags", session).status == status
    assert mwaa.asked == []
    mwaa.environment.schedule = FaultSchedule(Faults(lost_response=1))
    with pytest.raises(NoAnswer):
        mwaa.web("GET", f"{mwaa.root}/dags", session)
    assert len(mwaa.asked) == 1
    mwaa.environment.schedule = FaultSchedule(Faults(error_500=1))
    assert mwaa.web("GET", f"{mwaa.root}/dags", session).status == 500
    assert len(mwaa.asked) == 2


def test_statistics_hold_no_secret(mwaa: Mwaa) -> None:
    """They are readable by anyone on the machine."""
    session = mwaa.session()
    mwaa.web("GET", f"{mwaa.root}/dags", session)
    shown = json.dumps(mwaa.environment.statistics())
    assert '"web_logins": 1' in shown
    assert session["authorization"].removeprefix("Bearer ") not in shown
