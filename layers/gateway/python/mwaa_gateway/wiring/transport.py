"""Builds the transports to an environment's Airflow: CLI tokens or InvokeRestApi, and web logins."""

from dataclasses import replace
from typing import TYPE_CHECKING

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.mwaa.rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa.runs import CliRuns, RestRuns
from mwaa_gateway.settings import AirflowSettings, RunWatcherSettings
from mwaa_gateway.transports import REST

if TYPE_CHECKING:
    from mwaa_gateway.aws.mwaa.cli import CliTransport
    from mwaa_gateway.aws.mwaa.web_server import WebServer
    from mwaa_gateway.aws.mwaa.web_session import WebSession


def airflow_of(settings: AirflowSettings) -> "CliTransport | RestTransport":
    """Build the transport to the function's environment."""
    if settings.transport == REST:
        return RestTransport(
            boto3.client("mwaa", config=REST_CLIENT_CONFIG),
            settings.mwaa_environment_name,
            Pace(settings.slots_per_environment),
        )
    # requests adds some 90 ms to a cold start, and only a direct connection to the web server needs it.
    from mwaa_gateway.aws.mwaa.cli import CliTransport  # noqa: PLC0415

    mwaa = boto3.client("mwaa", config=CLIENT_CONFIG)
    return CliTransport(mwaa, settings.mwaa_environment_name, _web_server(settings))


def runs_of(settings: RunWatcherSettings) -> CliRuns | RestRuns:
    """Build the run watcher's view of the environment's runs."""
    transport, session = airflow_of(settings), _web_session(settings)
    if isinstance(transport, RestTransport):
        return RestRuns(transport, session)
    return CliRuns(transport, session)


def _web_session(settings: RunWatcherSettings) -> "WebSession | None":
    """Build the web login for calls that neither transport can make; None if it is not enabled."""
    if not settings.web_login_role:
        return None
    from mwaa_gateway.aws.mwaa.web_session import ANSWER_SECONDS, WebSession  # noqa: PLC0415  as above

    # One try for a token: a later round tries again.
    mwaa = boto3.client("mwaa", config=REST_CLIENT_CONFIG)
    web_server = replace(_web_server(settings), read_timeout_seconds=ANSWER_SECONDS)
    return WebSession(mwaa, settings.mwaa_environment_name, web_server, settings.web_login_role)


def _web_server(settings: AirflowSettings) -> "WebServer":
    from mwaa_gateway.aws.mwaa.web_server import WebServer  # noqa: PLC0415  as above

    return WebServer(
        host=settings.web_server_host,
        ca_bundle=settings.web_server_ca_bundle,
        connect_timeout_seconds=settings.cli_connect_timeout_seconds,
        read_timeout_seconds=settings.cli_read_timeout_seconds,
    )
