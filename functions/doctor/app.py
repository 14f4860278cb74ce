"""The doctor: checks an environment from inside the dispatchers' network, for `mwaa-gateway environments check`."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.observability.doctor import report_examination
from mwaa_gateway.wiring.doctor import doctor


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> Mapping[str, Any]:  # noqa: ARG001  Lambda passes both
    """Examine the environment that the event names; no other field of the event is read."""
    found = doctor().examine(event.get("environment"))
    report_examination(found)
    return found
