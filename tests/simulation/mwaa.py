"""MWAA: CLI tokens that live a minute, and a web server that takes four commands at once."""

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import requests
from botocore.exceptions import ClientError
from greenlet import getcurrent
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from simulation.airflow import Airflow, Answer
from simulation.world import Crash, World

__all__ = ["CANARY", "Mwaa", "WebServer"]

CANARY = "canary-"  # how every CLI token begins

TOKEN_SECONDS = 60.0
REGION = "eu-west-1"
SLOTS = 4

NORMAL_SECONDS = (1.0, 3.0)
SLOW_SECONDS = (25.0, 70.0)


NO_COOKIES = requests.cookies.RequestsCookieJar()


class Response:
    """What `requests` returns for a streamed request, as far as it is read."""

    def __init__(self, status: int, body: bytes, cookies: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.body = body
        self.cookies = requests.cookies.cookiejar_from_dict(cookies) if cookies else NO_COOKIES
        self.headers: dict[str, str] = {}
        self.raw = SimpleNamespace(read=lambda _size, decode_content: body)  # noqa: ARG005

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class WebServer:
    """One environment's web server, and Airflow behind it.

    Whatever it answers in its own name, and whatever `requests` raises, quotes the Authorization header.
    A command that was started is carried out whatever becomes of its caller, and occupies its slot until then.
    `seconds` is how long a command takes; `killers` are DAGs whose mere command kills the caller.
    """

    world: World
    airflow: Airflow
    seconds: tuple[float, float] = NORMAL_SECONDS
    slots: int = SLOTS
    tokens: dict[str, float] = field(default_factory=dict)
    running: int = 0
    most_running: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    list_seconds: float = 0.0  # a `dags list` takes longer than another command
    lists: int = 0  # for the catalog: not of any one run
    import_error_reads: int = 0
    asked_seconds: float = 0.0  # that callers spent on commands
    refused_busy: int = 0
    refused_away: int = 0
    refused_tokens: int = 0
    killers: frozenset[str] = frozenset()

    @property
    def host(self) -> str:
        return f"{self.airflow.environment}.c1.{REGION}.airflow.amazonaws.com"

    def new_token(self) -> str:
        token = f"{CANARY}{self.airflow.environment}-{len(self.tokens)}"
        self.tokens[token] = self.world.scheduler.now + TOKEN_SECONDS
        return token

    def post(self, command: str, token: str, timeout: tuple[float, float]) -> Response:
        """Answer `POST /aws_mwaa/cli` as the calling process sees it."""
        began = self.world.scheduler.now
        try:
            return self._post(command, token, timeout)
        finally:
            self.asked_seconds += self.world.scheduler.now - began

    def _post(self, command: str, token: str, timeout: tuple[float, float]) -> Response:
        world, scheduler = self.world, self.world.scheduler
        crash = world.next_crash("POST /aws_mwaa/cli")
        getcurrent().asked = True
        scheduler.wait(world.latency())
        if crash is Crash.BEFORE or self._kills(command):
            scheduler.kill()
        if world.down(f"web server {self.airflow.environment}"):
            world.faults["web server down"] += 1
            self.refused_away += 1
            return self.unreachable(token, timeout)
        if (refused := self._refused(token)) is not None:
            return refused
        answered: list[Response] = []
        seconds = self._start(command, answered)
        if crash is Crash.DURING:
            scheduler.kill()
        # A command that outlasts its caller's patience goes on without it.
        scheduler.wait(min(seconds, timeout[1]))
        if crash is Crash.AFTER:
            scheduler.kill()
        if seconds > timeout[1]:
            world.faults["read timeout"] += 1
            raise requests.exceptions.ReadTimeout(_quoted(token))
        if world.chance(world.rates.response_lost, "response lost"):
            raise requests.exceptions.ConnectionError(f"connection reset by peer: {_quoted(token)}")
        if world.chance(world.rates.web_server_error / 2, "web server error, applied"):
            return _page(world.random.choice((502, 504)), token)
        return answered[0]

    def _refused(self, token: str) -> Response | None:
        """What is answered before a command is started, if anything."""
        world = self.world
        if self.tokens.get(token, 0.0) < world.scheduler.now or world.chance(
            world.rates.token_refused, "token refused"
        ):
            self.tokens.pop(token, None)
            self.refused_tokens += 1
            return _page(403, token)
        if self.running >= self.slots:
            self.refused_busy += 1
            return _page(503, token)
        if world.chance(world.rates.web_server_error / 2, "web server error, not applied"):
            world.scheduler.wait(world.random.random())
            return _page(world.random.choice((502, 504)), token)
        return None

    def count_call(self, request: dict[str, Any]) -> None:
        """Count a call of Airflow's REST API by its purpose."""
        if request["Path"] == "/dags":
            self.lists += 1
        elif request["Path"] == "/importErrors":
            self.import_error_reads += 1
        else:
            creates = request["Method"] == "POST" and "dag_run_id" in request["Body"]
            self.commands["trigger" if creates else "look up"] += 1

    def _kills(self, command: str) -> bool:
        return command.startswith("dags trigger") and command.rpartition(" ")[2] in self.killers

    def _start(self, command: str, answered: list[Response]) -> float:
        """Start the command; returns how long it will take. Its answer is in `answered` at the end of that time."""
        world = self.world
        if command.startswith("dags list "):
            self.lists += 1
        elif command.startswith("dags list-import-errors"):
            self.import_error_reads += 1
        else:
            self.commands["trigger" if command.startswith("dags trigger") else "look up"] += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        slow = world.chance(world.rates.slow_command, "slow command")
        low, high = SLOW_SECONDS if slow else self.seconds
        seconds = low + world.random.random() * (high - low)
        if command.startswith("dags list "):
            seconds += self.list_seconds
        now = world.scheduler.now
        checked_at = now + 0.80 * seconds

        def end() -> None:
            self.running -= 1
            if world.chance(world.rates.garbled / 2, "command died"):
                # Out of memory, say: it printed its first log lines and did nothing.
                answered.append(self._said(200, "[2026-11-22T21:22:26.966+0000] INFO - Loaded\n", ""))
            else:
                answered.append(self._answer(self.airflow.execute(command, checked_at, world.scheduler.now)))

        world.scheduler.after(seconds, end)
        return seconds

    def _answer(self, answer: Answer) -> Response:
        if self.world.chance(self.world.rates.garbled / 2, "garbled answer"):
            return Response(200, self._garbled(answer))
        # Which status a failed command comes with is not documented: it may be either.
        status = 400 if answer.stderr.startswith("Traceback") and self.world.random.random() < 0.5 else 200
        return self._said(status, answer.stdout, answer.stderr)

    @staticmethod
    def _said(status: int, stdout: str, stderr: str) -> Response:
        encoded = (base64.b64encode(stdout.encode()), base64.b64encode(stderr.encode()))
        return Response(status, b'{"stdout":"%b","stderr":"%b"}' % encoded)

    def _garbled(self, answer: Answer) -> bytes:
        match self.world.random.randrange(4):
            case 0:
                body = self._said(200, answer.stdout, answer.stderr).body
                return body[: self.world.random.randrange(len(body))]
            case 1:
                return b"<html>200 OK</html>"
            case 2:
                return json.dumps({"stdout": "***", "stderr": "***"}).encode()
            case _:
                # The log lines of a command that ended before its last line.
                cut = "".join(answer.stdout.splitlines(keepends=True)[:-1])
                return self._said(200, cut, "").body

    def unreachable(self, token: str, timeout: tuple[float, float]) -> Response:
        """Raise or answer what a caller sees of a web server that is away."""
        match self.world.random.randrange(6):
            case 0:
                self.world.scheduler.wait(timeout[0])
                raise requests.exceptions.ConnectTimeout(_quoted(token))
            case 1:
                raise requests.exceptions.ConnectionError(f"connection reset by peer: {_quoted(token)}")
            case 2:
                unknown: Any = NameResolutionError(self.host, None, OSError("Name or service not known"))
                raise requests.exceptions.ConnectionError(MaxRetryError(None, _quoted(token), unknown))
            case 3:
                refused: Any = NewConnectionError(None, "Connection refused")
                refused.__cause__ = ConnectionRefusedError()
                raise requests.exceptions.ConnectionError(MaxRetryError(None, _quoted(token), refused))
            case 4:
                raise requests.exceptions.SSLError(f"[SSL: CERTIFICATE_VERIFY_FAILED] {_quoted(token)}")
            case _:
                return _page(503, token)


def _quoted(token: str) -> str:
    return f"Authorization: Bearer {token}"


def _page(status: int, token: str) -> Response:
    return Response(status, f"<html><h1>{status}</h1><pre>{_quoted(token)}</pre></html>".encode())


class Session:
    """`requests.Session` whose requests end at the simulated web servers.

    `logins` are their web logins, by host too: see `web_login`.
    """

    def __init__(self, servers: dict[str, WebServer], logins: dict[str, Any]) -> None:
        self._servers = servers
        self._logins = logins

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Any,
        data: bytes | None,
        headers: dict[str, str],
        timeout: Any,
        **_: Any,
    ) -> Response:
        host, _, path = url.removeprefix("https://").partition("/")
        if path.startswith("api/"):
            request = {
                "Method": method,
                "Path": path[len("api/v1") :],
                "Body": json.loads(data) if data else None,
                "QueryParameters": dict(params or {}),
            }
            cookie = headers.get("Cookie", "").removeprefix("session=")
            session = cookie or headers["Authorization"].removeprefix("Bearer ")
            return self._logins[host].call(path[len("api/") :][:2], request, session, timeout)
        assert method == "POST"
        assert data is not None
        if path.endswith("aws_mwaa/login"):
            token = data.decode("ascii").removeprefix("token=")
            return self._logins[host].log_in(path, token, timeout)
        assert path == "aws_mwaa/cli"
        token = headers["Authorization"].removeprefix("Bearer ")
        return self._servers[host].post(data.decode("ascii"), token, timeout)


class Mwaa:
    """The part of botocore's MWAA client that the adapters use."""

    meta = SimpleNamespace(region_name=REGION)

    def __init__(
        self, world: World, servers: dict[str, WebServer], rest: dict[str, Callable[[Any], dict[str, Any]]]
    ) -> None:
        self._world = world
        self._servers = servers
        self._rest = rest
        self.denied_logins: set[str] = set()  # environments whose CreateWebLoginToken it may not call
        self.denied: set[str] = set()  # environments whose CreateCliToken the dispatcher's role may not call
        self.status: Callable[[str], str] = lambda _name: "AVAILABLE"

    def create_cli_token(self, **request: Any) -> dict[str, str]:
        return self._create("CreateCliToken", "CliToken", request["Name"])

    def create_web_login_token(self, **request: Any) -> dict[str, str]:
        return self._create("CreateWebLoginToken", "WebToken", request["Name"])

    def _create(self, operation: str, member: str, environment: str) -> dict[str, str]:
        server = self._servers[environment]

        def create() -> dict[str, str]:
            if environment in (self.denied if member == "CliToken" else self.denied_logins):
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
            if self._world.down(f"mwaa {environment}"):
                raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "updating"}}, operation)
            return {member: server.new_token(), "WebServerHostname": server.host}

        return self._world.aws_call("mwaa", operation, create)

    def close(self) -> None:
        """Drop the connections; there are none."""

    def invoke_rest_api(self, **request: Any) -> dict[str, Any]:
        return self._rest[request["Name"]](request)

    def get_environment(self, **request: Any) -> dict[str, Any]:
        def get() -> dict[str, Any]:
            return {"Environment": {"Name": request["Name"], "Status": self.status(request["Name"])}}

        return self._world.aws_call("mwaa", "GetEnvironment", get)
