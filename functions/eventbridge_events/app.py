"""Events from the gateway's own bus, and S3 events from the account's default bus."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ingress import report_ingress
from mwaa_gateway.wiring.ingress import ingress


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  Lambda passes both
    """Turn the event into trigger requests; after an exception Lambda delivers the event again."""
    report_ingress(ingress().ingest(from_eventbridge(event), payload=event))
