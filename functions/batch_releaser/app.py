"""Batches that may be released: each message is the id of one."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.queue_message import deliver_batch
from mwaa_gateway.wiring.feeds import batch_releaser


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Release the batches whose time has come; answer SQS with the messages that it must redeliver."""
    return deliver_batch(event, batch_releaser().deliver)
