"""Amazon MWAA over CLI tokens: the POST that starts a DAG run.

    CreateCliToken (signed, IAM) ──▶ a token for 60 s and the web server's host name
    POST https://<host>/aws_mwaa/cli, Authorization: Bearer <token>, body: one Airflow command

The token is a bearer secret: it stays in this process for less than a minute, and no repr, log or exception text shows it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from mwaa_gateway.airflow.cli import (
    IMPORT_ERRORS_COMMAND,
    ColumnsRefused,
    list_command,
    look_up_command,
    read_import_errors,
    read_list,
    read_look_up,
    read_trigger,
    refuses_logical_date,
    trigger_command,
)
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.ids import InvalidId, rejected_id
from mwaa_gateway.airflow.import_errors import BrokenFiles, ImportErrors
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.aws.mwaa.web_server import HttpAnswer, WebServer, WebServerWay
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

__all__ = ["CliTransport"]

Read = TypeVar("Read")
TOKEN_SECONDS = 45  # of the 60 s that a CLI token lives: the rest allows for clocks and the network
# For the import errors, which only explain: a dispatcher has 90 s, and may have waited twice for the answer to a command.
IMPORT_ERRORS_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    host: str
    good_until: float


class CliTransport:
    """Implements `dispatch.dispatcher.Airflow` and `dispatch.dag_catalog.DagLister` with commands to the web server.

    It sends one command at a time, each on a new connection.
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
        self._way = WebServerWay(web_server, client.meta.region_name)
        self._monotonic = monotonic
        self._utc_now = utc_now
        self._knows_logical_date = True  # until this Airflow 2 refuses the option
        self._token: _Token | None = None
        self._columns = True
        self._import_errors = ImportErrors(self._list_import_errors, monotonic=monotonic)
        self.server_date = ""  # the Date header of the last response

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run with `dags trigger`; a watched run with the logical date by which its state is found."""
        dated = target.watched and self._knows_logical_date
        try:
            command = trigger_command(target, self._utc_now() if dated else None)
        except InvalidId as error:
            return rejected_id(error)
        except ValueError as error:
            return Rejected(Reason.CONF_REFUSED, str(error))
        outcome = self._run(command, lambda status, body: read_trigger(status, body, target))
        if dated and refuses_logical_date(outcome):
            self._knows_logical_date = False
            return self.trigger(target)
        return self._import_errors.explain(outcome, target.dag_id)

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Look up the run by its run_id."""
        try:
            command = look_up_command(target)
        except InvalidId as error:
            return rejected_id(error)
        return self._run(command, lambda status, body: read_look_up(status, body, target))

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        """List the DAGs with `dags list`."""
        listed = self.ask_for_list()
        return NotListed(listed.text) if isinstance(listed, Retryable | OutcomeUnknown) else listed

    def ask_for_list(self) -> tuple[ListedDag, ...] | NotListed | Retryable | OutcomeUnknown:
        """List the DAGs; on failure return the reason too.

        An Airflow that is too old for the command's columns is asked again without them, once.
        """
        listed = self._run(list_command(columns=self._columns), read_list)
        if isinstance(listed, ColumnsRefused) and self._columns:
            self._columns = False
            listed = self._run(list_command(columns=False), read_list)
        return listed

    def sign_in(self) -> str | Retryable:
        """Get a CLI token unless there is a fresh one; return the web server's host name, or why there is no token."""
        try:
            token = self._fresh_token()
        except Unavailable as error:
            return _no_token(error)
        return self._way.refuse(token.host) or token.host

    def ask(
        self, command: str, *, within_seconds: float | None = None
    ) -> HttpAnswer | Retryable | OutcomeUnknown:
        """Send a command that changes nothing; return its answer, or why there is none.

        `within_seconds` shortens the web server's read timeout.
        """
        answer = self._post(command, within_seconds)
        if isinstance(answer, Retryable) and answer.reason is Reason.TOKEN_REFUSED:
            self._token = None
            answer = self._post(command, within_seconds)
        return answer

    def _list_import_errors(self) -> BrokenFiles | NotListed | Retryable | OutcomeUnknown:
        answer = self.ask(IMPORT_ERRORS_COMMAND, within_seconds=IMPORT_ERRORS_SECONDS)
        return read_import_errors(answer.status, answer.body) if isinstance(answer, HttpAnswer) else answer

    def _run(self, command: str, read: Callable[[int, bytes], Read]) -> Read | Retryable | OutcomeUnknown:
        answer = self.ask(command)
        return read(answer.status, answer.body) if isinstance(answer, HttpAnswer) else answer

    def _post(
        self, command: str, within_seconds: float | None = None
    ) -> HttpAnswer | Retryable | OutcomeUnknown:
        try:
            token = self._fresh_token()
        except Unavailable as error:
            return _no_token(error)
        if (refusal := self._way.refuse(token.host)) is not None:
            self._token = None
            return refusal
        answer = self._way.send(
            "POST",
            token.host,
            "/aws_mwaa/cli",
            {"Authorization": f"Bearer {token.text}", "Content-Type": "text/plain"},
            body=command.encode("ascii"),
            within_seconds=within_seconds,
        )
        if isinstance(answer, HttpAnswer):
            self.server_date = answer.date
        if isinstance(answer, HttpAnswer) and answer.status in (
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
        ):
            return Retryable(
                Reason.TOKEN_REFUSED, f"the web server refused the CLI token (HTTP {answer.status})"
            )
        return answer

    def _fresh_token(self) -> _Token:
        now = self._monotonic()
        if self._token is None or now >= self._token.good_until:
            with unavailable_unless_answered(f"no CLI token for environment {self._environment!r}"):
                answer = self._client.create_cli_token(Name=self._environment)
            self._token = _Token(answer["CliToken"], answer["WebServerHostname"], now + TOKEN_SECONDS)
        return self._token


def _no_token(error: Unavailable) -> Retryable:
    """Return why there is no CLI token, and the remedy if only a person can help."""
    cause = error.__cause__
    match cause.response["Error"].get("Code") if isinstance(cause, ClientError) else "":
        case "AccessDeniedException":
            needs = "The dispatcher's role needs airflow:CreateCliToken on this environment: find out who removed it"
            return Retryable(Reason.ACCESS_DENIED, f"{error}. {needs}")
        case "ResourceNotFoundException":
            see = "MWAA has no environment of this name in this account and region: check MwaaEnvironmentName"
            return Retryable(Reason.TOKEN_UNAVAILABLE, f"{error}. {see}")
        case _:
            return Retryable(Reason.TOKEN_UNAVAILABLE, str(error))
