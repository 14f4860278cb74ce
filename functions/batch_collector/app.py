"""Members of batches: what rules with `collect` make of events."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.queue_message import deliver_batch
from mwaa_gateway.wiring.feeds import batch_collector


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Store the members in their batches; answer SQS with the messages that it must redeliver."""
    return deliver_batch(event, batch_collector().deliver)
