"""Web logins: `CreateWebLoginToken`'s token exchanged for a session, and Airflow's REST API with such a session.

Documented by AWS: a token lives 60 seconds and a session twelve hours; Airflow 2 takes the token at `/aws_mwaa/login`, in a
form, and sets the cookie `session`, which goes along to `/api/v1`; Airflow 3 at `/pluginsv2/aws_mwaa/login` sets `_token`,
which is the bearer token of `/api/v2`. Confirmed nowhere, so our guess: that a token opens one session only, and 403 for one
that opens none. What the other major's path answers, and a session that is none, is what real Airflows answered.
"""

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import requests

from local_stack.mwaa.airflow_api import Call
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faulty import answered_or_not
from local_stack.mwaa.http_server import Answer, Request

_LOGIN_2: Final = "/aws_mwaa/login"
_LOGIN_3: Final = "/pluginsv2/aws_mwaa/login"
_BEARER: Final = "Bearer "


class WebLoginApi:
    """Answers the requests of a browser, or of a program, to one environment's web server."""

    def __init__(self, environment: Environment, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._environment = environment
        self._sleep = sleep

    def respond(self, request: Request) -> Answer | None:
        """Answer a login or a call of Airflow's API; None for anything else. Raises NoAnswer."""
        path = urlsplit(request.target).path
        if path in (_LOGIN_2, _LOGIN_3):
            return self._log_in(request, path)
        if path.startswith("/api/"):
            return self._call(request, path)
        return None

    def _log_in(self, request: Request, path: str) -> Answer:
        environment = self._environment
        is_2 = environment.version.is_airflow_2
        if path != (_LOGIN_2 if is_2 else _LOGIN_3) or request.method != "POST":
            return _no_such_path(is_airflow_2=is_2)
        token = parse_qs(request.body.decode(errors="replace")).get("token", [""])
        session = environment.web_sessions.log_in(token[0])
        if session is None:
            environment.count.add("bad web login token")
            return Answer.json(HTTPStatus.FORBIDDEN, {"message": "Forbidden"})
        environment.count.add("web login")
        cookie = f"{'session' if is_2 else '_token'}={session}; Path=/; Secure; HttpOnly; SameSite=Lax"
        return Answer.text(HTTPStatus.OK, "", headers={"Set-Cookie": cookie})

    def _call(self, request: Request, path: str) -> Answer:
        environment = self._environment
        is_2 = environment.version.is_airflow_2
        root = "/api/v1" if is_2 else "/api/v2"
        if not path.startswith(f"{root}/"):
            return _no_such_path(is_airflow_2=is_2)
        environment.count.add("web call")
        role = environment.web_sessions.role(_session_of(request, is_airflow_2=is_2))
        if role is None:
            environment.count.add("bad session")
            return _refused(is_airflow_2=is_2)
        try:
            body = json.loads(request.body) if request.body else None
        except ValueError:
            return Answer.json(HTTPStatus.BAD_REQUEST, {"detail": "The body is no JSON"})
        call = Call(request.method, path.removeprefix(root), parse_qsl(urlsplit(request.target).query), body)
        if not call.allowed_to([role]):
            return Answer.json(HTTPStatus.FORBIDDEN, {"detail": "Forbidden"})
        with environment.web_calls.slot():
            return answered_or_not(
                environment,
                lambda: self._hand_on(call),
                busy=Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable"),
                refused=_refused(is_airflow_2=is_2),
                broken=Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error"),
            )

    def _hand_on(self, call: Call) -> Answer:
        try:
            answer = call.hand_on(self._environment, sleep=self._sleep)
        except requests.RequestException as error:
            return Answer.text(HTTPStatus.BAD_GATEWAY, type(error).__name__)
        kind = answer.headers.get("Content-Type", "text/plain")
        return Answer(answer.status_code, answer.content, content_type=kind)


def _session_of(request: Request, *, is_airflow_2: bool) -> str:
    if not is_airflow_2:
        return request.headers.get("authorization", "").removeprefix(_BEARER)
    cookies = SimpleCookie(request.headers.get("cookie", ""))
    return cookies["session"].value if "session" in cookies else ""


def _no_such_path(*, is_airflow_2: bool) -> Answer:
    """Airflow 3 has its user interface at every path, for GET."""
    if is_airflow_2:
        return Answer.text(HTTPStatus.NOT_FOUND, "There is no such page")
    return Answer.json(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Method Not Allowed"})


def _refused(*, is_airflow_2: bool) -> Answer:
    if is_airflow_2:
        return Answer.json(HTTPStatus.UNAUTHORIZED, {"detail": None, "status": 401, "title": "Unauthorized"})
    return Answer.json(HTTPStatus.FORBIDDEN, {"detail": "Invalid JWT token"})
