"""Airflow's REST API through a web login: Airflow's own status codes, and paths of any length.

    CreateWebLoginToken (signed, IAM) ──▶ a token for 60 s and the web server's host name
    POST /aws_mwaa/login            form token=…  ──▶ cookie `session`, sent along to /api/v1    Airflow 2
    POST /pluginsv2/aws_mwaa/login  form token=…  ──▶ cookie `_token`, as Bearer to /api/v2      Airflow 3

A session lives twelve hours, with the rights of a person who is logged in with that role. Token and cookie are secrets: they
stay in this process, no repr, log or exception text shows them, and only the web server's own host gets them.
"""

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from mwaa_gateway.airflow.dialect import WEB_LOGIN, Dialect
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.aws.mwaa.web_server import HttpAnswer, WebServer, WebServerWay, no_token
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.values import value

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

ANSWER_SECONDS: Final = 10.0  # timeout of one call to Airflow: as long as InvokeRestApi itself waits
LARGEST_ANSWER_BYTES: Final = 2 * 1024 * 1024  # ten times the largest return value passed to Step Functions
SESSION_SECONDS: Final = 11.5 * 3600  # of the twelve hours that MWAA documents
_MARGIN_SECONDS: Final = 60.0  # renew a session so long before Airflow 3 says that it ends
_NO_SESSION = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@value
class _Login:
    """A session on a web server: the host, the major version, the session cookie, and when to renew it."""

    host: str
    airflow_3: bool
    cookie: str = field(repr=False)
    good_until: float

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each call."""
        if self.airflow_3:
            return {"Authorization": f"Bearer {self.cookie}"}
        return {"Cookie": f"session={self.cookie}"}


class WebSession:
    """One environment's Airflow through a session, opened at the first call and reopened once when it is refused.

    The login finds out the major version. `parameter` is the template's parameter that names the Airflow role, for texts:
    IAM decides. Several threads may share a session: they log in once. `on_load` is called for each answer 429 or 503.
    """

    def __init__(
        self,
        client: "MWAAClient",
        environment: str,
        web_server: WebServer,
        parameter: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_load: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._on_load = on_load
        self._environment = environment
        self._way = WebServerWay(web_server, client.meta.region_name)
        self.parameter = parameter
        self._monotonic = monotonic
        self._dialect = Dialect()
        self._lock = threading.Lock()
        self._login: _Login | None = None
        self._failed_logins = 0
        self._last_failure: Retryable | None = None
        self._new_session_refused: Retryable | None = None
        self.server_date = ""  # the Date header of the last response

    def sign_in(self) -> str | Retryable:
        """Open a session unless there is one; return the web server's host, or why there is no session.

        `Retryable` for ACCESS_DENIED or TOKEN_REFUSED if the login itself is refused, or was of no use to the last call.
        """
        refused, self._new_session_refused = self._new_session_refused, None
        if refused is not None:
            return refused
        login = self._session()
        return login.host if isinstance(login, _Login) else login

    def ask(
        self, call: RestCall, *, within_seconds: float = ANSWER_SECONDS
    ) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:
        """Make a call; return Airflow's answer, or why there is none. Never raises.

        `Rejected` if the answer is too large. A call without an answer may have been carried out (`OutcomeUnknown`).
        """
        login = self._session()
        if isinstance(login, Retryable):
            return login
        answer = self._send(login, call, within_seconds)
        if isinstance(answer, RestAnswer) and _wants_login(call, answer):
            # Expired, or Airflow's major version changed: the call was certainly not carried out
            login = self._session(instead_of=login)
            if isinstance(login, Retryable):
                return login
            answer = self._send(login, call, within_seconds)
            if isinstance(answer, RestAnswer) and (
                answer.status == HTTPStatus.UNAUTHORIZED or _is_redirect(answer)
            ):
                text = f"the web server refused a new session (HTTP {answer.status})"
                self._new_session_refused = Retryable(Reason.TOKEN_REFUSED, text)
                return self._new_session_refused
        return answer

    def close(self) -> None:
        """Close the connections that are kept; the session stays."""
        self._way.close()

    def _send(
        self, login: _Login, call: RestCall, within_seconds: float
    ) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:
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
            within_seconds=within_seconds,
        )
        if not isinstance(answer, HttpAnswer):
            return answer
        if answer.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            self._on_load()
        self.server_date = answer.date
        if len(answer.body) >= LARGEST_ANSWER_BYTES:
            return Rejected(
                Reason.UNCLEAR_ANSWER,
                f"Airflow's answer has {LARGEST_ANSWER_BYTES} bytes or more: write the value to S3 and return its URI",
                run_may_exist=True,
            )
        # A server's error page may quote the request's headers, and what it says may be logged.
        return RestAnswer(answer.status, _document(answer.body.replace(login.cookie.encode(), b"***")))

    def _session(self, *, instead_of: _Login | None = None) -> _Login | Retryable:
        """Return the session; open one if there is none, if it ends, or if it is still the refused `instead_of`."""
        failed_before = self._failed_logins
        with self._lock:
            login = self._login
            if login is not None and login is not instead_of and self._monotonic() < login.good_until:
                return login
            if self._last_failure is not None and self._failed_logins != failed_before:
                return self._last_failure  # of another thread, for whose login this one has waited
            opened = self._log_in()
            if isinstance(opened, Retryable):
                self._login, self._last_failure = None, opened
                self._failed_logins += 1
            else:
                self._login = opened
            return opened

    def _log_in(self) -> _Login | Retryable:
        """Open a session with the login of the last known major version, else of the other."""
        login = self._dialect.send(WEB_LOGIN, self._log_in_as)
        if isinstance(login, RestAnswer):
            text = "the web server has neither Airflow 2's nor Airflow 3's web login"
            return Retryable(Reason.TOKEN_REFUSED, text)
        return login

    def _log_in_as(self, airflow_3: bool) -> _Login | Retryable | RestAnswer:  # noqa: FBT001  as the dialect asks
        """Exchange a token for a session; return the web server's answer if it does not have this version's login."""
        try:
            # A new token for each try: it is not documented that a token works twice.
            with unavailable_unless_answered(f"no web login token for environment {self._environment!r}"):
                token = self._client.create_web_login_token(Name=self._environment)
        except Unavailable as error:
            return no_token(
                error,
                "The function's role needs airflow:CreateWebLoginToken on the Airflow role that the stack's parameter "
                f"{self.parameter} names",
            )
        host = token["WebServerHostname"]
        opened_at = self._monotonic()
        answer = self._way.send(
            "POST",
            host,
            "/pluginsv2/aws_mwaa/login" if airflow_3 else "/aws_mwaa/login",
            {"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"token": token["WebToken"]}).encode(),
            within_seconds=ANSWER_SECONDS,
        )
        match answer:
            case HttpAnswer():
                pass
            case Retryable():
                return Retryable(answer.reason, f"no web login: {answer.text}")
            case OutcomeUnknown():  # no more than a session that nobody uses
                return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"no web login: {answer.text}")
        # A session cookie on a redirect to the user interface counts too.
        cookie = answer.cookies.get("_token" if airflow_3 else "session", "")
        if cookie and answer.status < HTTPStatus.BAD_REQUEST:
            return _Login(host, airflow_3, cookie, opened_at + _seconds_to_live(cookie))
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return RestAnswer(answer.status, None)
        text = f"the web login answered HTTP {answer.status} without a session"
        if answer.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            return Retryable(Reason.WEB_SERVER_BUSY, text)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Retryable(Reason.ENVIRONMENT_UNREACHABLE, text)
        return Retryable(Reason.TOKEN_REFUSED, text)


def _wants_login(call: RestCall, answer: RestAnswer) -> bool:
    """Return whether the call failed for lack of a session: refused, redirected to a login, or answered by no API.

    A page instead of JSON with a success to a POST may hide a started run: the caller looks it up.
    """
    if answer.status in _NO_SESSION or _is_redirect(answer):
        return True
    no_api = answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
    return not isinstance(answer.document, dict) and (
        no_api or (call.method == "GET" and answer.status == HTTPStatus.OK)
    )


def _is_redirect(answer: RestAnswer) -> bool:
    return HTTPStatus.MULTIPLE_CHOICES <= (answer.status or 0) < HTTPStatus.BAD_REQUEST


def _seconds_to_live(cookie: str) -> float:
    """Return how long to use a new session.

    Airflow 3's cookie is a JWT that says how long it lives. Nobody here checks its signature, so it only decides when to log
    in again: a session that Airflow refuses earlier is renewed then. Both times are the issuer's, so no clocks are compared.
    """
    try:
        claims = json.loads(base64.urlsafe_b64decode(cookie.split(".")[1] + "=="))
        lives = float(claims["exp"]) - float(claims["iat"]) - _MARGIN_SECONDS
    except (ValueError, LookupError, TypeError, RecursionError):
        return SESSION_SECONDS
    return min(lives, SESSION_SECONDS) if lives > 0 else SESSION_SECONDS


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:1000].decode(errors="replace")
