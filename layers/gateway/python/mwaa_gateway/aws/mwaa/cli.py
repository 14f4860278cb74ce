"""Amazon MWAA over CLI tokens: the POST that starts a DAG run.

    CreateCliToken (signed, IAM) ──▶ a token for 60 s and the web server's host name
    POST https://<host>/aws_mwaa/cli, Authorization: Bearer <token>, body: one Airflow command

The token is a bearer secret: it stays in this process for less than a minute, and no repr, log or exception text shows it.
"""

import time
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from mwaa_gateway.airflow.cli import (
    IMPORT_ERRORS_COMMAND,
    CommandAnswer,
    list_command,
    look_up_command,
    read_import_errors,
    read_list,
    read_look_up,
    read_trigger,
    trigger_command,
)
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.dialect import COLUMNS_OPTION, LOGICAL_DATE_OPTION, Dialect
from mwaa_gateway.airflow.ids import InvalidId
from mwaa_gateway.airflow.import_errors import BrokenFiles, ImportErrors
from mwaa_gateway.airflow.refusals import no_partition_keys, rejected_id
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.aws.mwaa.web_server import HttpAnswer, WebServer, WebServerWay, no_token
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.transports import CLI
from mwaa_gateway.trigger_request import ResolvedTarget
from mwaa_gateway.values import value

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

_NEEDS = "The dispatcher's role needs airflow:CreateCliToken on this environment: find out who removed it"
_Answered = CommandAnswer | Retryable | OutcomeUnknown
TOKEN_SECONDS = 45  # of the 60 s that a CLI token lives: the rest allows for clocks and the network
# For the import errors, which only explain: a dispatcher has 90 s, and may have waited twice for the answer to a command.
IMPORT_ERRORS_SECONDS = 20.0


@value
class _Token:
    text: str = field(repr=False)
    host: str
    good_until: float


class CliTransport:
    """Implements `airflow.port.Airflow` with commands to the web server.

    It sends one command at a time, each on a new connection.
    """

    name = CLI

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
        self._dialect = Dialect()
        self._token: _Token | None = None
        self._import_errors = ImportErrors(self._list_import_errors, monotonic=monotonic)
        self.server_date = ""  # the Date header of the last response

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run with `dags trigger`; a watched run without a date with one by which its state is found."""
        if target.partition_key is not None:
            return no_partition_keys(f"environment {target.environment!r} uses CLI tokens")

        def start(newer: bool) -> _Answered:  # noqa: FBT001  the form that the dialect asks for
            if target.logical_date is not None:
                option = "--logical-date" if newer else "--exec-date"
                return self.ask(
                    trigger_command(target, datetime.fromisoformat(target.logical_date), option=option)
                )
            return self.ask(trigger_command(target, self._utc_now() if newer else None))

        try:
            dated = target.watched or target.logical_date is not None
            answer = self._dialect.send(LOGICAL_DATE_OPTION, start) if dated else start(False)  # noqa: FBT003
        except InvalidId as error:
            return rejected_id(error)
        except ValueError as error:
            return Rejected(Reason.CONF_REFUSED, str(error))
        outcome = read_trigger(answer, target) if isinstance(answer, CommandAnswer) else answer
        return (
            self._import_errors.explain(outcome, target.dag_id) if isinstance(outcome, Rejected) else outcome
        )

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Look up the run by its run_id."""
        try:
            command = look_up_command(target)
        except InvalidId as error:
            return rejected_id(error)
        answer = self.ask(command)
        return read_look_up(answer, target) if isinstance(answer, CommandAnswer) else answer

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        """List the DAGs with `dags list`."""
        listed = self.ask_for_list()
        return NotListed(listed.text) if isinstance(listed, Retryable | OutcomeUnknown) else listed

    def ask_for_list(self) -> tuple[ListedDag, ...] | NotListed | Retryable | OutcomeUnknown:
        """List the DAGs; on failure return the reason too."""
        answer = self._dialect.send(COLUMNS_OPTION, lambda columns: self.ask(list_command(columns=columns)))
        return read_list(answer) if isinstance(answer, CommandAnswer) else answer

    def close(self) -> None:
        """Do nothing: each command has its own connection."""

    def sign_in(self) -> str | Retryable:
        """Get a CLI token unless there is a fresh one; return the web server's host name, or why there is no token."""
        try:
            token = self._fresh_token()
        except Unavailable as error:
            return no_token(error, _NEEDS)
        return self._way.refuse(token.host) or token.host

    def ask(self, command: str, *, within_seconds: float | None = None) -> _Answered:
        """Send a command; return Airflow's answer, or why there is none.

        `within_seconds` shortens the web server's read timeout.
        """
        answer = self._post(command, within_seconds)
        if isinstance(answer, Retryable) and answer.reason is Reason.TOKEN_REFUSED:
            self._token = None
            answer = self._post(command, within_seconds)
        return CommandAnswer.decode(answer.status, answer.body) if isinstance(answer, HttpAnswer) else answer

    def _list_import_errors(self) -> BrokenFiles | NotListed | Retryable | OutcomeUnknown:
        answer = self.ask(IMPORT_ERRORS_COMMAND, within_seconds=IMPORT_ERRORS_SECONDS)
        return read_import_errors(answer) if isinstance(answer, CommandAnswer) else answer

    def _post(
        self, command: str, within_seconds: float | None = None
    ) -> HttpAnswer | Retryable | OutcomeUnknown:
        try:
            token = self._fresh_token()
        except Unavailable as error:
            return no_token(error, _NEEDS)
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
