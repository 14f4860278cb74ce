"""S3 notifications that a bucket sends directly to Lambda."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.events import from_s3_notification
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ingress import report_ingress
from mwaa_gateway.wiring.ingress import ingress


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Turn the notification's records into trigger requests; after an exception Lambda delivers them again."""
    account = context.invoked_function_arn.split(":")[4]
    report_ingress(ingress().ingest(from_s3_notification(event, account=account), payload=event))
