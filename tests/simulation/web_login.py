"""The web login: a token for a session, and the session's calls to Airflow's own REST API on the web server.

Airflow answers with its own status codes. Whatever the server says in its own name quotes the session.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import requests
from greenlet import getcurrent

from simulation import airflow_rest
from simulation.airflow_rest import Said
from simulation.mwaa import CANARY, Response, WebServer
from simulation.world import Crash, World

__all__ = ["WebLogin"]

SESSION_SECONDS = 12 * 3600.0
NORMAL_SECONDS = (0.05, 0.4)
SLOW_SECONDS = (8.0, 40.0)


@dataclass
class WebLogin:
    """One environment's login, and Airflow's API behind it. A call that was started is carried out in any case.

    `refused` is how the login is refused, as an HTTP status: 404 for a form that is gone. With `opens_nothing` the login
    works, and Airflow's API accepts none of its sessions.
    """

    world: World
    server: WebServer
    seconds: tuple[float, float] = NORMAL_SECONDS
    sessions: dict[str, float] = field(default_factory=dict)
    logins: int = 0
    refused: int | None = None
    opens_nothing: bool = False
    most_at_once: int = 0
    at_once: int = 0

    def log_in(self, path: str, token: str, timeout: tuple[float, float]) -> Response:
        """Answer the login form of either major version."""
        world, server = self.world, self.server
        crash = world.next_crash("POST login")
        world.scheduler.wait(world.latency())
        if crash is not None:
            world.scheduler.kill()
        if world.down(f"web server {server.airflow.environment}"):
            server.refused_away += 1
            return server.unreachable(token, timeout)
        if self.refused is not None:
            return _page(self.refused, token)
        if path.startswith("pluginsv2") == server.airflow.is_2:
            return _page(405, token)
        good_until, server.tokens[token] = server.tokens.get(token, 0.0), 0.0  # it works once
        if good_until < world.scheduler.now:
            return _page(403, token)
        if world.chance(world.rates.web_server_error / 2, "login failed"):
            return _page(world.random.choice((500, 502, 503)), token)
        self.logins += 1
        session = f"{CANARY}session-{server.airflow.environment}-{self.logins}"
        self.sessions[session] = world.scheduler.now + SESSION_SECONDS
        return Response(200, b"", {"session" if server.airflow.is_2 else "_token": session})

    def call(self, version: str, request: dict[str, Any], session: str, timeout: Any) -> Response:
        """Answer a call of Airflow's API as the calling process sees it; the request is as InvokeRestApi gets it."""
        world, scheduler, server = self.world, self.world.scheduler, self.server
        crash = world.next_crash(f"{request['Method']} /api")
        getcurrent().asked = True
        scheduler.wait(world.latency())
        if crash is Crash.BEFORE or self._kills(request):
            scheduler.kill()
        if world.down(f"web server {server.airflow.environment}"):
            world.faults["web server down"] += 1
            server.refused_away += 1
            return server.unreachable(session, timeout)
        if (refused := self._refused(session)) is not None:
            return refused
        if version != ("v1" if server.airflow.is_2 else "v2"):
            return _page(404, session)
        said: list[Said] = []
        seconds = self._start(request, said)
        if crash is Crash.DURING:
            scheduler.kill()
        scheduler.wait(min(seconds, timeout[1]))
        if crash is Crash.AFTER:
            scheduler.kill()
        if seconds > timeout[1]:
            world.faults["read timeout"] += 1
            raise requests.exceptions.ReadTimeout(session)
        return self._answer(said[0], session)

    def _answer(self, said: Said, session: str) -> Response:
        """Hand on what Airflow said, or what becomes of it on the way."""
        world = self.world
        if world.chance(world.rates.response_lost, "response lost"):
            raise requests.exceptions.ConnectionError(f"connection reset by peer: {session}")
        if world.chance(world.rates.web_server_error / 2, "web server error, applied"):
            return _page(world.random.choice((500, 502, 504)), session)
        body = json.dumps(said.document).encode()
        if world.chance(world.rates.garbled / 2, "garbled answer"):
            return Response(200, world.random.choice((b"<html>200 OK</html>", b"{}", body[: len(body) // 2])))
        return Response(said.status, body)

    def _refused(self, session: str) -> Response | None:
        """The answer to a call that does not reach Airflow, if there is one."""
        world = self.world
        if (
            self.opens_nothing
            or self.sessions.get(session, 0.0) < world.scheduler.now
            or world.chance(world.rates.token_refused, "session refused")
        ):
            self.sessions.pop(session, None)
            self.server.refused_tokens += 1
            return _page(world.random.choice((302, 401, 403)), session)
        if world.chance(world.rates.web_server_error / 2, "web server error, not applied"):
            return _page(world.random.choice((429, 500, 502, 503)), session)
        return None

    def _kills(self, request: dict[str, Any]) -> bool:
        paths = (f"/dags/{dag_id}/dagRuns" for dag_id in self.server.killers)
        return request["Method"] == "POST" and request["Path"] in paths

    def _start(self, request: dict[str, Any], said: list[Said]) -> float:
        """Start the call; returns how long it takes. What Airflow said is in `said` at the end of that time."""
        world, server = self.world, self.server
        server.count_call(request)
        low, high = SLOW_SECONDS if world.chance(world.rates.slow_command, "slow command") else self.seconds
        seconds = low + world.random.random() * (high - low)
        checked_at = world.scheduler.now + 0.80 * seconds
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

        def end() -> None:
            self.at_once -= 1
            if world.chance(world.rates.garbled / 2, "command died"):
                said.append(Said(502, "<html>worker died</html>"))
            else:
                said.append(airflow_rest.answer(server.airflow, request, checked_at, world.scheduler.now))

        world.scheduler.after(seconds, end)
        return seconds


def _page(status: int, secret: str) -> Response:
    return Response(status, f"<html><h1>{status}</h1><pre>{secret}</pre></html>".encode())
