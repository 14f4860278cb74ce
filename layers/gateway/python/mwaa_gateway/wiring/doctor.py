"""Builds the doctor: one function per stack, in the dispatchers' network, with fixed read-only calls."""

import os
import time
from collections.abc import Mapping
from typing import Any

import boto3

from mwaa_gateway.aws.mwaa.doctor_queries import DoctorQueries
from mwaa_gateway.aws.network import SubnetNetwork
from mwaa_gateway.doctor.doctor import FORMAT, NEEDED_ENDPOINTS, Doctor, Endpoint, NeededEndpoint
from mwaa_gateway.settings import InvalidSetting
from mwaa_gateway.settings.airflow import DoctorSettings
from mwaa_gateway.values import value
from mwaa_gateway.wiring import once
from mwaa_gateway.wiring.transport import transport_of


@value
class DoctorFunction:
    """The doctor of every environment in the stack; each examination builds a new transport."""

    settings: DoctorSettings
    endpoints: tuple[Endpoint, ...]

    def examine(self, environment: object) -> Mapping[str, Any]:
        """Examine an environment of this stack; for any other name, return the list of environments."""
        if not isinstance(environment, str) or environment not in self.settings.environments:
            return {"format": FORMAT, "environments": sorted(self.settings.environments)}
        try:
            transport = transport_of(self.settings.of(environment))
        except InvalidSetting as error:
            return {"format": FORMAT, "environment": environment, "problem": str(error)}
        return Doctor(
            endpoints=self.endpoints,
            network=SubnetNetwork(),
            airflow=DoctorQueries(transport),
            ca_bundle=self.settings.web_server_ca_bundle,
            monotonic=time.monotonic,
            now=time.time,
        ).examine(environment)


@once
def doctor() -> DoctorFunction:
    """Build the doctor, once per sandbox."""
    settings = DoctorSettings.from_environ(os.environ)
    return DoctorFunction(
        settings=settings,
        endpoints=tuple(
            Endpoint(needed.service, _url(needed))
            for needed in NEEDED_ENDPOINTS
            if settings.step_functions_tasks or not needed.tasks_only
        ),
    )


def _url(needed: NeededEndpoint) -> str:
    """Return the endpoint of this function's SDK: the region's host, or AWS_ENDPOINT_URL."""
    client = boto3.client(needed.client)
    url: str = client.meta.endpoint_url
    if needed.host_prefix and client.meta.config.inject_host_prefix:
        return url.replace("://", f"://{needed.host_prefix}", 1)
    return url
