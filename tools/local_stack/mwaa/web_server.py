"""The part of an environment's web server that MWAA adds to Airflow: `POST /aws_mwaa/cli`; web logins are `web_login.py`'s.

Documented by AWS: the path, the bearer token, the body, the base64 answer, the commands, 503 when four
commands run. Seen in public bug reports: 500 for a command that is not supported. Confirmed nowhere, so a
setting or our guess: the status of a command that fails (`status_on_error`, 400 or 200, in both cases with
stdout and stderr), 403 for a bad token, 500 for a command line that cannot be read.
"""

import base64
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from local_stack.mwaa.command_line import UnsupportedCommand, words_of
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faulty import answered_or_not
from local_stack.mwaa.http_server import Answer, Request
from local_stack.mwaa.slots import NoFreeSlot
from local_stack.mwaa.warm_cli import CommandInterrupted
from local_stack.mwaa.web_login import WebLoginApi

_PATH: Final = "/aws_mwaa/cli"
_BEARER: Final = "Bearer "


class WebServer:
    """Answers the requests to one environment's web server."""

    def __init__(self, environment: Environment, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._environment = environment
        self._sleep = sleep
        self._web_login = WebLoginApi(environment, sleep=sleep)

    def respond(self, request: Request) -> Answer:
        """Answer a request, or apply an active fault. Raises NoAnswer."""
        if (answer := self._web_login.respond(request)) is not None:
            return answer
        if request.target != _PATH:
            return Answer.text(HTTPStatus.NOT_FOUND, f"Only POST {_PATH} is served here")
        if request.method != "POST":
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, f"{_PATH} takes POST only")
        environment = self._environment
        token = request.headers.get("authorization", "")
        if not token.startswith(_BEARER) or not environment.tokens.accepts(
            environment.name, token[len(_BEARER) :]
        ):
            environment.count.add("bad token")
            return _forbidden()
        try:
            return answered_or_not(
                environment,
                lambda: self._run(request),
                busy=_unavailable(),
                refused=_forbidden(),
                broken=Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error"),
            )
        except NoFreeSlot:
            environment.count.add("no free slot")
            return _unavailable()

    def _run(self, request: Request) -> Answer:
        environment = self._environment
        with environment.slots.slot():
            try:
                words = words_of(request.body, airflow_major=environment.version.major)
            except UnsupportedCommand as error:
                environment.count.add("unsupported")
                return Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            self._sleep(environment.schedule.faults.latency_milliseconds / 1000)
            environment.count.add("command")
            if words[:2] == ["dags", "trigger"]:
                environment.count.add("run start")
            try:
                done = environment.command_line.run(words)
            except CommandInterrupted as error:
                return Answer.text(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        body = {name: base64.b64encode(text.encode()).decode() for name, text in done.texts().items()}
        status = environment.status_on_error if done.exit_code else HTTPStatus.OK
        return Answer(status, json.dumps(body).encode())


def _forbidden() -> Answer:
    return Answer.json(HTTPStatus.FORBIDDEN, {"message": "Forbidden"})


def _unavailable() -> Answer:
    return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
