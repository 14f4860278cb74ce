"""Airflow's REST API through a web login: calls of any path length, while InvokeRestApi accepts 64 characters.

    CreateWebLoginToken (signed, IAM) ──▶ a token for 60 s and the web server's host name
    POST /aws_mwaa/login            form token=…  ──▶ cookie `session`, sent along to /api/v1    Airflow 2
    POST /pluginsv2/aws_mwaa/login  form token=…  ──▶ cookie `_token`, as Bearer to /api/v2      Airflow 3

A session lives twelve hours, with the rights of a person who is logged in with that role. Token and cookie are secrets: they
stay in this process, no repr, log or exception text shows them, and only the web server's own host gets them.
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from mwaa_gateway.airflow.dialect import WEB_LOGIN, Dialect
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.airflow.run_states import NotAvailable, RunsUnknown
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.aws.mwaa.web_server import HttpAnswer, WebServer, WebServerWay
from mwaa_gateway.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

ANSWER_SECONDS: Final = 10.0  # timeout of one call to Airflow: as long as InvokeRestApi itself waits
LARGEST_ANSWER_BYTES: Final = 2 * 1024 * 1024  # ten times the largest return value passed to Step Functions
_NO_SESSION = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class _Login:
    """A session on a web server: the host, the major version, and the session cookie."""

    host: str
    airflow_3: bool
    cookie: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each call."""
        if self.airflow_3:
            return {"Authorization": f"Bearer {self.cookie}"}
        return {"Cookie": f"session={self.cookie}"}


class WebSession:
    """One environment's Airflow through a session, opened at the first call and reopened once when it is refused.

    The login finds out the major version. `role` is the parameter `WebLoginRole`, used in texts only: IAM decides.
    """

    def __init__(self, client: "MWAAClient", environment: str, web_server: WebServer, role: str) -> None:
        self._client = client
        self._environment = environment
        self._way = WebServerWay(web_server, client.meta.region_name)
        self._role = role
        self._dialect = Dialect()
        self._login: _Login | None = None

    def ask(self, call: RestCall) -> RestAnswer | NotAvailable | RunsUnknown:
        """Make a call; return Airflow's answer, or why there is none: it may have been carried out. Never raises."""
        answer = self._call(call)
        if isinstance(answer, RestAnswer) and _wants_login(answer):
            # Expired, or Airflow's major version changed: the call was certainly not carried out
            self._login = None
            answer = self._call(call)
        if isinstance(answer, RestAnswer) and answer.status == HTTPStatus.FORBIDDEN:
            return NotAvailable(
                f"the Airflow role of WebLoginRole, {self._role}, does not allow this call: {answer.summary()}"
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
            f"/api/{'v2' if login.airflow_3 else 'v1'}{call.path}",
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
                f"Airflow's answer has {LARGEST_ANSWER_BYTES} bytes or more: write the value to S3 and return its URI"
            )
        return RestAnswer(answer.status, _document(answer.body))

    def _log_in(self) -> _Login | RunsUnknown:
        """Open a session with the login of the last known major version, else of the other."""
        login = self._dialect.send(WEB_LOGIN, self._log_in_as)
        if isinstance(login, RestAnswer):
            return RunsUnknown("the web server has neither Airflow 2's nor Airflow 3's web login")
        return login

    def _log_in_as(self, airflow_3: bool) -> _Login | RunsUnknown | RestAnswer:  # noqa: FBT001  as the dialect asks
        """Exchange a token for a session; return the web server's answer if it does not have this version's login."""
        try:
            # A new token for each try: it is not documented that a token works twice.
            with unavailable_unless_answered(f"no web login token for environment {self._environment!r}"):
                token = self._client.create_web_login_token(Name=self._environment)
        except Unavailable as error:
            return RunsUnknown(_no_token(error, self._role))
        host = token["WebServerHostname"]
        answer = self._way.send(
            "POST",
            host,
            "/pluginsv2/aws_mwaa/login" if airflow_3 else "/aws_mwaa/login",
            {"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"token": token["WebToken"]}).encode(),
        )
        if not isinstance(answer, HttpAnswer):
            return RunsUnknown(f"no web login: {answer.text}")
        # A session cookie on a redirect to the user interface counts too.
        cookie = answer.cookies.get("_token" if airflow_3 else "session", "")
        if cookie and answer.status < HTTPStatus.BAD_REQUEST:
            return _Login(host, airflow_3, cookie)
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return RestAnswer(answer.status, None)
        return RunsUnknown(f"the web login answered HTTP {answer.status} without a session")


def _wants_login(answer: RestAnswer) -> bool:
    """Return whether the call failed for lack of a session: refused, redirected to a login, or answered by no API."""
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
