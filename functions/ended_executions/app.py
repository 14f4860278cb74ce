"""Executions that have ended: each notice goes to the watchers of the environments where the execution waits for a run."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.queue_message import deliver_batch
from mwaa_gateway.wiring.ended_executions import ended_executions


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Forward the notices; answer SQS with the messages that it must redeliver."""
    return deliver_batch(event, ended_executions().deliver)
