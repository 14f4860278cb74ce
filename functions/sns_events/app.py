"""Notifications from the SNS topics this function subscribes to."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.events import from_sns_notification
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ingress import report_ingress
from mwaa_gateway.wiring.ingress import ingress, unwrap_topics


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  Lambda passes both
    """Turn the notification into trigger requests; after an exception Lambda delivers it again."""
    report_ingress(ingress().ingest(from_sns_notification(event, unwrap_topics()), payload=event))
