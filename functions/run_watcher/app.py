"""One environment's watch queue: each batch starts one round of the run watcher."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.queue_message import deliver_batch
from mwaa_gateway.wiring.run_watcher import run_watcher


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Run one round; answer SQS with the message whose next delivery is the next round."""
    return deliver_batch(event, run_watcher().deliver)
