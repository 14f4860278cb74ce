"""Calls Airflow from the operator's machine through the gateway's own transports, and keeps each answer unchanged.

Errors of Airflow and MWAA are part of the `Exchange` and never raised.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from gateway_cli.certify.canary import MISSING_DAG_ID
from gateway_cli.certify.judging import Exchange
from mwaa_gateway.airflow.cli import (
    CommandAnswer,
    look_up_command,
    read_look_up,
    read_trigger,
    trigger_command,
)
from mwaa_gateway.airflow.dialect import LOGICAL_DATE_FIELD, Dialect
from mwaa_gateway.airflow.rest import RestAnswer, RestCall, trigger_call
from mwaa_gateway.airflow.rest import read_look_up as read_rest_look_up
from mwaa_gateway.airflow.rest import read_trigger as read_rest_trigger
from mwaa_gateway.aws.mwaa.api import ApiTransport
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

USAGE_ERROR: Final = f"dags trigger --no-such-option {MISSING_DAG_ID}"
FILLER: Final = "x"
_FILLED: Final = re.compile(f"{FILLER}{{200,}}")
LONGEST_TEXT: Final = 4_000  # characters of an answer that the report keeps


class CliProbe:
    """Probes over CLI tokens: each method runs one command, in one slot. `transport` builds a new transport."""

    def __init__(self, transport: Callable[[], CliTransport]) -> None:
        self._new = transport
        self._transport = transport()

    def another(self) -> "CliProbe":
        """Return a probe with its own token."""
        return CliProbe(self._new)

    def sign_in(self) -> str | Retryable:
        """Get a CLI token, and return the web server's host."""
        return self._transport.sign_in()

    def trigger(self, target: ResolvedTarget) -> Exchange:
        """Run `dags trigger`."""
        return self._run(trigger_command(target), lambda answer: read_trigger(answer, target))

    def look_up(self, target: ResolvedTarget) -> Exchange:
        """Run `tasks states-for-dag-run`."""
        return self._run(look_up_command(target), lambda answer: read_look_up(answer, target))

    def misuse(self, target: ResolvedTarget) -> Exchange:
        """Run a command with an option that Airflow does not have."""
        return self._run(USAGE_ERROR, lambda answer: read_trigger(answer, target))

    def _run(self, command: str, read: Callable[[CommandAnswer], Outcome]) -> Exchange:
        answer = self._transport.ask(command)
        if not isinstance(answer, CommandAnswer):
            return Exchange(command, answer)
        said: dict[str, Any] = (
            {"stdout": answer.stdout, "stderr": answer.stderr}
            if answer.body is None
            else {"body": answer.body}
        )
        return Exchange(command, read(answer), answer.status, said)


class RestProbe:
    """Probes over InvokeRestApi, for which MWAA calls the web server, also a private one; or over a web login."""

    def __init__(self, transport: ApiTransport) -> None:
        self._transport = transport
        self._dialect = Dialect()

    def another(self) -> "RestProbe":
        """Return this probe: simultaneous calls do not block each other."""
        return self

    def trigger(self, target: ResolvedTarget) -> Exchange:
        """Start a run; if this Airflow accepts only the other form of the call, send that."""
        sent: list[RestCall] = []

        def start(dated: bool) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:  # noqa: FBT001  as the dialect asks
            call = trigger_call(target, logical_date=dated)
            if isinstance(call, Rejected):
                return call
            sent.append(call)
            return self._transport.ask(call)

        answer = self._dialect.send(LOGICAL_DATE_FIELD, start)
        if isinstance(answer, Rejected):
            return Exchange("", answer)
        return _exchange(sent[-1], answer, lambda found: read_rest_trigger(found, target))

    def look_up(self, target: ResolvedTarget) -> Exchange:
        """Look a run up by each call that may find it, until one does."""
        exchange = Exchange("", OutcomeUnknown(Reason.UNCLEAR_ANSWER, "no call was made"))
        calls = self._transport.look_up_calls(target)
        for call in () if isinstance(calls, Rejected) else calls:
            exchange = _exchange(
                call, self._transport.ask(call), lambda found: read_rest_look_up(found, target)
            )
            if not (
                isinstance(exchange.outcome, Retryable) and exchange.outcome.reason is Reason.RUN_NOT_THERE
            ):
                break
        return exchange


def _exchange(
    call: RestCall,
    answer: RestAnswer | Retryable | OutcomeUnknown,
    read: Callable[[RestAnswer], Outcome],
) -> Exchange:
    sent = " ".join(filter(None, (call.method, call.path, json.dumps(call.body) if call.body else "")))
    if not isinstance(answer, RestAnswer):
        return Exchange(sent, answer)
    return Exchange(sent, read(answer), answer.status, {"document": answer.document})


def over_cli(client: Any, mwaa_name: str, web_server: WebServer) -> CliProbe:
    """Return a probe over CLI tokens; `client` is botocore's client of MWAA."""
    return CliProbe(lambda: CliTransport(client, mwaa_name, web_server))


def over_rest(client: Any, mwaa_name: str) -> RestProbe:
    """Return a probe over InvokeRestApi without our own limit of calls a second; `client` has `REST_CLIENT_CONFIG`."""
    return RestProbe(RestTransport(client, mwaa_name, Pace(10, sleep=lambda _: None)))


def over_web(client: Any, mwaa_name: str, web_server: WebServer) -> RestProbe:
    """Return a probe over a web login as the dispatcher's; `client` is botocore's client of MWAA."""
    return RestProbe(WebTransport(WebSession(client, mwaa_name, web_server, "RestApiRole")))


def at_once(asks: Sequence[Callable[[], Exchange]]) -> list[Exchange]:
    """Call all of them at the same moment, and return their answers in the same order."""
    with ThreadPoolExecutor(len(asks)) as threads:
        return [future.result() for future in [threads.submit(ask) for ask in asks]]


def filler_in(exchange: Exchange) -> int | None:
    """Return the length of the conf's filler in the answer; None if the answer has none."""
    runs = _FILLED.findall(json.dumps(exchange.said))
    return max(map(len, runs), default=None)


def shortened(value: Any) -> Any:
    """Return a JSON value with all its texts shortened."""
    match value:
        case str():
            return short(value)
        case Mapping():
            return {key: shortened(each) for key, each in value.items()}
        case list():
            return [shortened(each) for each in value]
        case _:
            return value


def short(text: str) -> str:
    """Return a text for the report: cut, with the filler replaced by its length."""
    text = _FILLED.sub(lambda found: f"<{len(found[0])} times {FILLER}>", text)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"
