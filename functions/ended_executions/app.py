"""Executions that have ended: each notice goes to the watchers of the environments where the execution waits for a run."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ended_executions import report_forwarded
from mwaa_gateway.step_functions.ended_executions import forward_ends
from mwaa_gateway.wiring.ended_executions import ended_executions


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Send the notices on; answer SQS with the messages that come again."""
    function = ended_executions()
    forwarded = forward_ends(
        event["Records"],
        environments=function.settings.environments,
        watches=function.watches,
        queues=function.queues,
    )
    report_forwarded(forwarded)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in forwarded.failed]}
