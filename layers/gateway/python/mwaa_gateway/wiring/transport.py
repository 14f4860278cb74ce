"""Builds the transports to an environment's Airflow: CLI tokens, InvokeRestApi and web logins."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.mwaa.rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa.runs import CliRuns, RestRuns
from mwaa_gateway.observability.transport import report_fallback
from mwaa_gateway.settings.airflow import AirflowSettings, DispatcherSettings, RunWatcherSettings
from mwaa_gateway.transports import CLI, REST, WEB, parts

if TYPE_CHECKING:
    from mwaa_gateway.airflow.port import Airflow, AirflowRuns
    from mwaa_gateway.aws.mwaa.cli import CliTransport
    from mwaa_gateway.aws.mwaa.fallback import Choice, Way
    from mwaa_gateway.aws.mwaa.web import WebTransport
    from mwaa_gateway.aws.mwaa.web_server import WebServer
    from mwaa_gateway.aws.mwaa.web_session import WebSession

LARGEST_BATCH = 10  # as template.yaml has it

# The modules of `cli` and `web` are imported where they are used: a function loads those of its own transport.


def airflow_of(settings: AirflowSettings, on_load: Callable[[], None] = lambda: None) -> "Airflow":
    """Build the transport to the function's environment, with its fallback if it has one.

    `on_load` is called for each answer over a web login that shows the web server under load.
    """
    name, *fallback = parts(settings.transport)
    if name != WEB:
        return _direct(settings, name)
    web = _web(settings, on_load, keep_connections=True)  # `close` is called at the end of each batch
    if not fallback:
        return web
    from mwaa_gateway.aws.mwaa.fallback import FallbackTransport  # noqa: PLC0415

    return FallbackTransport(_choice(settings, web.session, web, _direct(settings, *fallback), *fallback))


def transport_of(settings: AirflowSettings) -> "CliTransport | RestTransport | WebTransport":
    """Build the transport to the function's environment, without a fallback."""
    name, *_ = parts(settings.transport)
    return _web(settings) if name == WEB else _direct(settings, name)


def runs_of(settings: RunWatcherSettings) -> "AirflowRuns":
    """Build the run watcher's view of the environment's runs."""
    name, *fallback = parts(settings.transport)
    if name != WEB:
        return _direct_runs(settings, name)
    web = _web(settings)
    runs = RestRuns(web, web.session)
    if not fallback:
        return runs
    from mwaa_gateway.aws.mwaa.fallback import FallbackRuns  # noqa: PLC0415

    return FallbackRuns(_choice(settings, web.session, runs, _direct_runs(settings, *fallback), *fallback))


def attempts_at_once(settings: DispatcherSettings) -> int:
    """Return how many attempts a dispatcher makes side by side: with CLI tokens one, as a command takes up a slot."""
    name, *fallback = parts(settings.transport)
    if CLI in (name, *fallback):
        return 1
    if name == REST:
        return LARGEST_BATCH  # their pace is the limit
    return max(1, settings.web_concurrency // settings.slots_per_environment)


def _direct(settings: AirflowSettings, name: str) -> "CliTransport | RestTransport":
    if name == REST:
        return RestTransport(
            boto3.client("mwaa", config=REST_CLIENT_CONFIG),
            settings.mwaa_environment_name,
            Pace(settings.rest_share, settings.slots_per_environment),
        )
    from mwaa_gateway.aws.mwaa.cli import CliTransport  # noqa: PLC0415

    mwaa = boto3.client("mwaa", config=CLIENT_CONFIG)
    return CliTransport(mwaa, settings.mwaa_environment_name, _web_server(settings))


def _direct_runs(settings: RunWatcherSettings, name: str) -> CliRuns | RestRuns:
    """Build the view over `cli` or `rest`, with a web login for the calls that neither can make, if it is enabled."""
    transport = _direct(settings, name)
    session = None
    if settings.web_login_role:
        from mwaa_gateway.aws.mwaa.web_session import ANSWER_SECONDS  # noqa: PLC0415

        session = _session(settings, "WebLoginRole", ANSWER_SECONDS)
    if isinstance(transport, RestTransport):
        return RestRuns(transport, session)
    return CliRuns(transport, session)


def _web(
    settings: AirflowSettings, on_load: Callable[[], None] = lambda: None, *, keep_connections: bool = False
) -> "WebTransport":
    from mwaa_gateway.aws.mwaa.web import START_SECONDS, WebTransport  # noqa: PLC0415

    session = _session(settings, "RestApiRole", START_SECONDS, on_load, keep_connections=keep_connections)
    return WebTransport(session)


def _choice(
    settings: AirflowSettings, session: "WebSession", web: "Way", fallback: "Way", name: str
) -> "Choice[Way]":
    from mwaa_gateway.aws.mwaa.fallback import Choice  # noqa: PLC0415

    return Choice(
        session, web, fallback, report=lambda text: report_fallback(text, settings.environment, name)
    )


def _session(
    settings: AirflowSettings,
    parameter: str,
    read_timeout_seconds: float,
    on_load: Callable[[], None] = lambda: None,
    *,
    keep_connections: bool = False,
) -> "WebSession":
    """Build a web login as the Airflow role that `parameter` names."""
    from mwaa_gateway.aws.mwaa.web_session import WebSession  # noqa: PLC0415

    # One try for a token: a later attempt or round tries again.
    mwaa = boto3.client("mwaa", config=REST_CLIENT_CONFIG)
    web_server = replace(
        _web_server(settings), read_timeout_seconds=read_timeout_seconds, keep_connections=keep_connections
    )
    return WebSession(mwaa, settings.mwaa_environment_name, web_server, parameter, on_load=on_load)


def _web_server(settings: AirflowSettings) -> "WebServer":
    from mwaa_gateway.aws.mwaa.web_server import WebServer  # noqa: PLC0415

    return WebServer(
        host=settings.web_server_host,
        ca_bundle=settings.web_server_ca_bundle,
        connect_timeout_seconds=settings.cli_connect_timeout_seconds,
        read_timeout_seconds=settings.cli_read_timeout_seconds,
    )
