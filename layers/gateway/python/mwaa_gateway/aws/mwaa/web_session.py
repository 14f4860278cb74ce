"""Airflow's own REST API by a web login: calls of any path length, where InvokeRestApi takes 64 characters.

    CreateWebLoginToken (signed, IAM) ──▶ token for 60 s and the web server's host name
    POST /aws_mwaa/login            form token=…  ──▶ cookie `session`, sent along to /api/v1    Airflow 2
    POST /pluginsv2/aws_mwaa/login  form token=…  ──▶ cookie `_token`, as Bearer to /api/v2      Airflow 3

A session lives twelve hours and is what a person has who is logged in with that role. Token and cookie are secrets: in this
process only, in no repr, log or exception text, and sent to the web server's own host and nowhere else.
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.airflow.run_states import NotAvailable, RunsUnknown
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.aws.mwaa.web_server import HttpAnswer, WebServer, WebServerWay
from mwaa_gateway.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

__all__ = ["ANSWER_SECONDS", "WebSession"]

ANSWER_SECONDS: Final = 10.0  # for one answer of Airflow's: as long as InvokeRestApi itself waits for it
LARGEST_ANSWER_BYTES: Final = 2 * 1024 * 1024  # ten times the return value that Step Functions would take
_NO_SUCH_PATH = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)  # of the other major's login
_NO_SESSION = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class _Login:
    """A session on a web server: where, of which major version, and the cookie that opens it."""

    host: str
    airflow_2: bool
    cookie: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What to send along with each call."""
        if self.airflow_2:
            return {"Cookie": f"session={self.cookie}"}
        return {"Authorization": f"Bearer {self.cookie}"}


class WebSession:
    """One environment's Airflow, by a session that is opened at the first call and once more when it is refused.

    Which major version it is, the login finds out. `role` is what `WebLoginRole` says, for the texts alone: IAM decides.
    """

    def __init__(self, client: "MWAAClient", environment: str, web_server: WebServer, role: str) -> None:
        self._client = client
        self._environment = environment
        self._way = WebServerWay(web_server, client.meta.region_name)
        self._role = role
        self._airflow_2 = False
        self._login: _Login | None = None

    def ask(self, call: RestCall) -> RestAnswer | NotAvailable | RunsUnknown:
        """Make a call; Airflow's answer, or why there is none: perhaps it was carried out all the same. Never raises."""
        answer = self._call(call)
        if isinstance(answer, RestAnswer) and _wants_login(answer):
            self._login = (
                None  # expired, or Airflow is of the other major by now: what was asked is surely not done
            )
            answer = self._call(call)
        if isinstance(answer, RestAnswer) and answer.status == HTTPStatus.FORBIDDEN:
            return NotAvailable(
                f"the Airflow role of WebLoginRole, {self._role}, does not allow it: {answer.said()}"
            )
        return answer

    def _call(self, call: RestCall) -> RestAnswer | NotAvailable | RunsUnknown:
        login = self._login or self._log_in()
        if isinstance(login, RunsUnknown):
            return login
        self._login = login
        body = None if call.body is None else json.dumps(call.body).encode()
        answer = self._way.send(
            call.method,
            login.host,
            f"/api/{'v1' if login.airflow_2 else 'v2'}{call.path}",
            {
                **login.headers,
                "Accept": "application/json",
                **({"Content-Type": "application/json"} if body else {}),
            },
            body=body,
            query=call.query,
            largest=LARGEST_ANSWER_BYTES,
        )
        if not isinstance(answer, HttpAnswer):
            return RunsUnknown(answer.text)
        if len(answer.body) >= LARGEST_ANSWER_BYTES:
            return NotAvailable(
                f"Airflow's answer has {LARGEST_ANSWER_BYTES} bytes or more: pass its place in S3"
            )
        return RestAnswer(answer.status, _document(answer.body))

    def _log_in(self) -> _Login | RunsUnknown:
        """Open a session, on the major version that it was before, or else on the other."""
        login = self._log_in_as(airflow_2=self._airflow_2)
        if login is None:
            self._airflow_2 = not self._airflow_2
            login = self._log_in_as(airflow_2=self._airflow_2)
        return login or RunsUnknown("the web server has neither Airflow 2's nor Airflow 3's web login")

    def _log_in_as(self, *, airflow_2: bool) -> _Login | RunsUnknown | None:
        """Exchange a token for a session; None where this major's login is not served."""
        try:
            # Each try with a token of its own: nothing says that one may be used twice.
            with unavailable_unless_answered(f"no web login token for environment {self._environment!r}"):
                token = self._client.create_web_login_token(Name=self._environment)
        except Unavailable as error:
            return RunsUnknown(_no_token(error, self._role))
        host = token["WebServerHostname"]
        answer = self._way.send(
            "POST",
            host,
            "/aws_mwaa/login" if airflow_2 else "/pluginsv2/aws_mwaa/login",
            {"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"token": token["WebToken"]}).encode(),
        )
        if not isinstance(answer, HttpAnswer):
            return RunsUnknown(f"no web login: {answer.text}")
        # A session that comes with a redirect to the user interface is one as well.
        cookie = answer.cookies.get("session" if airflow_2 else "_token", "")
        if cookie and answer.status < HTTPStatus.BAD_REQUEST:
            return _Login(host, airflow_2, cookie)
        if answer.status in _NO_SUCH_PATH:
            return None
        return RunsUnknown(f"the web login was answered with HTTP {answer.status} and no session")


def _wants_login(answer: RestAnswer) -> bool:
    """Tell whether the call came to nothing for want of a session: refused, sent on to a login, or to no API at all."""
    status = answer.status or 0
    refused = status in _NO_SESSION or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    return refused or (status < HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(answer.document, dict))


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:1000].decode(errors="replace")


def _no_token(error: Unavailable, role: str) -> str:
    cause = error.__cause__
    if isinstance(cause, ClientError) and cause.response["Error"].get("Code") == "AccessDeniedException":
        return f"{error}. The run watcher's role needs airflow:CreateWebLoginToken on the Airflow role {role} here"
    return str(error)
