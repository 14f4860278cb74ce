"""Events of the gateway's own bus, and S3's events on the account's default bus."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway import wiring
from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.observability import logger, report_ingress


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  Lambda passes both
    """Turn the event into trigger requests; an exception has Lambda deliver it again."""
    report_ingress(wiring.ingress().ingest(from_eventbridge(event), payload=event))
