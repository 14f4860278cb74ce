"""How the functions of one environment reach its Airflow: over CLI tokens or InvokeRestApi."""

from typing import TYPE_CHECKING

import boto3

from mwaa_gateway.aws.calls import CLIENT_CONFIG
from mwaa_gateway.aws.mwaa_rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa_rest_runs import RestRuns
from mwaa_gateway.settings import AirflowSettings

if TYPE_CHECKING:
    from mwaa_gateway.aws.mwaa import CliTransport
    from mwaa_gateway.aws.mwaa_cli_runs import CliRuns

__all__ = ["airflow_of", "runs_of"]


def airflow_of(settings: AirflowSettings) -> "CliTransport | RestTransport":
    """Build the transport of the function's environment."""
    if settings.transport == "rest":
        return RestTransport(
            boto3.client("mwaa", config=REST_CLIENT_CONFIG),
            settings.mwaa_environment_name,
            Pace(settings.slots_per_environment),
        )
    # requests costs some 90 ms of cold start, and only this transport talks to the web server itself.
    from mwaa_gateway.aws.mwaa import CliTransport, WebServer  # noqa: PLC0415

    web_server = WebServer(
        host=settings.web_server_host,
        ca_bundle=settings.web_server_ca_bundle,
        connect_timeout_seconds=settings.cli_connect_timeout_seconds,
        read_timeout_seconds=settings.cli_read_timeout_seconds,
    )
    mwaa = boto3.client("mwaa", config=CLIENT_CONFIG)
    return CliTransport(mwaa, settings.mwaa_environment_name, web_server)


def runs_of(settings: AirflowSettings) -> "CliRuns | RestRuns":
    """Build what asks the function's environment about its runs."""
    transport = airflow_of(settings)
    if isinstance(transport, RestTransport):
        return RestRuns(transport)
    from mwaa_gateway.aws.mwaa_cli_runs import CliRuns  # noqa: PLC0415  as below

    return CliRuns(transport)
