"""One environment's trigger queue: each message is a trigger request that becomes a DAG run."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.queue_message import deliver_batch
from mwaa_gateway.wiring.dispatcher import dispatcher


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Dispatch each message; answer SQS with the messages that it must redeliver."""
    return deliver_batch(event, dispatcher().deliver)
