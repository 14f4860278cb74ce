"""Notifications of the SNS topics this function is subscribed to."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway import wiring
from mwaa_gateway.events import from_sns_notification
from mwaa_gateway.observability import logger, report_ingress


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  Lambda passes both
    """Turn the notification into trigger requests; an exception has Lambda deliver it again."""
    ingress = wiring.ingress()
    parsed = from_sns_notification(event, ingress.settings.unwrap_topic_arns)
    report_ingress(ingress.ingest(parsed, payload=event))
