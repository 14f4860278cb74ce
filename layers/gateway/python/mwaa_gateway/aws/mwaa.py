"""Amazon MWAA over CLI tokens: the POST that starts a DAG run.

    CreateCliToken (signed, IAM) ──▶ token for 60 s and the web server's host name
    POST https://<host>/aws_mwaa/cli, Authorization: Bearer <token>, body: one Airflow command

The token is a bearer secret: it lives in this process for less than a minute and is in no repr, log or exception text.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import requests
from botocore.exceptions import ClientError
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from mwaa_gateway.airflow_cli import (
    ColumnsRefused,
    list_command,
    look_up_command,
    read_list,
    read_look_up,
    read_trigger,
    refuses_logical_date,
    trigger_command,
)
from mwaa_gateway.aws.calls import unavailable_unless_answered
from mwaa_gateway.catalog import ListedDag, NotListed
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

__all__ = ["CliAnswer", "CliTransport", "WebServer", "is_web_server_host"]

Read = TypeVar("Read")
TOKEN_SECONDS = 45  # of the 60 s that a CLI token lives: the rest is for the clock and the way
LARGEST_ANSWER_BYTES = 8 * 1024 * 1024


def is_web_server_host(host: str, region: str, exactly: str = "") -> bool:
    """Tell whether a token may be sent to this host: a name that only MWAA can hand out, or `exactly` the one named.

    CreateCliToken returns the host; checking it keeps a forged or misread answer from taking the token elsewhere.
    `exactly` may leave the port open. MWAA's forms: `<id>[-vpce].c<n>.<region>.airflow.amazonaws.com`,
    `<id>.c<n>.airflow.<region>.on.aws`, and China's.
    """
    if exactly:
        any_port = rf"{re.escape(exactly)}(?::\d{{1,5}})?"
        return host == exactly or (":" not in exactly and re.fullmatch(any_port, host) is not None)
    region = re.escape(region)
    domain = rf"{region}\.airflow\.amazonaws\.com(?:\.cn)?|airflow\.{region}\.on\.(?:aws|amazonwebservices\.com\.cn)"
    return re.fullmatch(rf"[a-z0-9-]+\.c\d+\.(?:{domain})", host) is not None


@dataclass(frozen=True, slots=True)
class WebServer:
    """How to reach an environment's web server: its host by name ("" = MWAA's own), CA bundle, and seconds to wait."""

    host: str
    ca_bundle: str
    connect_timeout_seconds: float
    read_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    host: str
    good_until: float


@dataclass(frozen=True, slots=True)
class CliAnswer:
    """What the web server answered to a command: the HTTP status, and the body as it came."""

    status: int
    body: bytes = field(repr=False)


class CliTransport:
    """Implements `mwaa_gateway.dispatch.Airflow` and `catalog.DagLister` with the CLI on one environment's web server.

    One command at a time and per connection: a connection kept open that the load balancer closes while idle would
    turn a command that was never sent into one that perhaps was.
    """

    def __init__(
        self,
        client: "MWAAClient",
        environment: str,
        web_server: WebServer,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._environment = environment
        self._web_server = web_server
        self._monotonic = monotonic
        self._utc_now = utc_now
        self._knows_logical_date = True  # until this Airflow, of major version 2, says that it does not
        self._token: _Token | None = None
        self._columns = True
        self._session = requests.Session()
        # No proxy, netrc or CA bundle from the environment variables: netrc would replace the Authorization header.
        self._session.trust_env = False
        self._session.verify = web_server.ca_bundle or True

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run with `dags trigger`; a run that is waited for, with the date by which its state is found."""
        dated = target.watched and self._knows_logical_date
        try:
            command = trigger_command(target, self._utc_now() if dated else None)
        except ValueError as error:
            return Rejected(Reason.CONF_REFUSED, str(error))
        outcome = self._run(command, lambda status, body: read_trigger(status, body, target))
        if dated and refuses_logical_date(outcome):
            self._knows_logical_date = False
            return self.trigger(target)
        return outcome

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Find the run by its run_id."""
        try:
            command = look_up_command(target)
        except ValueError as error:
            return Rejected(Reason.RUN_ID_REFUSED, str(error))
        return self._run(command, lambda status, body: read_look_up(status, body, target))

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        """List the DAGs with `dags list`; an Airflow that is too old for its columns is asked again without them, once."""
        listed = self._list()
        if isinstance(listed, ColumnsRefused) and self._columns:
            self._columns = False
            listed = self._list()
        return listed

    def _list(self) -> tuple[ListedDag, ...] | NotListed:
        listed = self._run(list_command(columns=self._columns), read_list)
        return NotListed(listed.text) if isinstance(listed, Retryable | OutcomeUnknown) else listed

    def ask(self, command: str) -> CliAnswer | Retryable | OutcomeUnknown:
        """Send a command that changes nothing; its answer, or why there is none."""
        answer = self._post(command)
        if isinstance(answer, Retryable) and answer.reason is Reason.TOKEN_REFUSED:
            self._token = None
            answer = self._post(command)
        return answer

    def _run(self, command: str, read: Callable[[int, bytes], Read]) -> Read | Retryable | OutcomeUnknown:
        answer = self.ask(command)
        return read(answer.status, answer.body) if isinstance(answer, CliAnswer) else answer

    def _post(self, command: str) -> CliAnswer | Retryable | OutcomeUnknown:
        try:
            token = self._fresh_token()
        except Unavailable as error:
            return _no_token(error)
        if not is_web_server_host(token.host, self._client.meta.region_name, self._web_server.host):
            self._token = None
            return Retryable(
                Reason.ENVIRONMENT_UNREACHABLE,
                f"MWAA named the web server {token.host[:100]!r}, which is no MWAA host of this region: no token was "
                "sent there. Set WEB_SERVER_HOST if that is where it really is",
            )
        try:
            with self._session.post(
                f"https://{token.host}/aws_mwaa/cli",
                data=command.encode("ascii"),
                headers={
                    "Authorization": f"Bearer {token.text}",
                    "Content-Type": "text/plain",
                    "Connection": "close",
                },
                timeout=(self._web_server.connect_timeout_seconds, self._web_server.read_timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = response.raw.read(LARGEST_ANSWER_BYTES, decode_content=True)
        except Exception as error:  # noqa: BLE001  urllib3's own errors come out of a streamed read as they are
            return _failed_post(error)
        finally:
            self._session.close()  # a server that does not repeat our "close" would have the connection kept for the next
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return Retryable(
                Reason.TOKEN_REFUSED, f"the web server refused the CLI token (HTTP {response.status_code})"
            )
        return CliAnswer(response.status_code, body)

    def _fresh_token(self) -> _Token:
        now = self._monotonic()
        if self._token is None or now >= self._token.good_until:
            with unavailable_unless_answered(f"no CLI token for environment {self._environment!r}"):
                answer = self._client.create_cli_token(Name=self._environment)
            self._token = _Token(answer["CliToken"], answer["WebServerHostname"], now + TOKEN_SECONDS)
        return self._token


def _no_token(error: Unavailable) -> Retryable:
    """Say what to do where no CLI token will ever come by itself."""
    cause = error.__cause__
    match cause.response["Error"].get("Code") if isinstance(cause, ClientError) else "":
        case "AccessDeniedException":
            needs = (
                "The dispatcher's role needs airflow:CreateCliToken on this environment: see who took it away"
            )
            return Retryable(Reason.ACCESS_DENIED, f"{error}. {needs}")
        case "ResourceNotFoundException":
            see = "MWAA has no environment of this name in this account and region: see MwaaEnvironmentName"
            return Retryable(Reason.TOKEN_UNAVAILABLE, f"{error}. {see}")
        case _:
            return Retryable(Reason.TOKEN_UNAVAILABLE, str(error))


# Of a handshake that failed: no request was on its way yet.
_NO_HANDSHAKE = ("WRONG_VERSION_NUMBER", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION")


def _failed_post(error: Exception) -> Retryable | OutcomeUnknown:
    """Sort a POST without an answer: surely never sent, or perhaps carried out."""
    text = f"{type(error).__name__} while talking to the web server"
    match error:
        case requests.exceptions.ConnectTimeout():
            never_sent = "no connection within the time, as where a security group or a route is missing"
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            never_sent = "its certificate is not trusted"
        case requests.exceptions.SSLError() if any(sign in str(error) for sign in _NO_HANDSHAKE):
            never_sent = "it speaks no TLS that we speak"
        case requests.exceptions.ConnectionError(args=(MaxRetryError(reason=NameResolutionError()), *_)):
            never_sent = "its host name is not in DNS"
        case requests.exceptions.ConnectionError(
            args=(MaxRetryError(reason=NewConnectionError() as failed), *_)
        ):
            refused = isinstance(failed.__cause__, ConnectionRefusedError)
            never_sent = "the connection was refused" if refused else "no connection could be opened"
        case _:
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, text)
    return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"{text}: {never_sent}")
