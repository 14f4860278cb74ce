"""SQS messages: events that Lambda could not deliver, and events from the users' own queues."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.queue_message import deliver_batch
from mwaa_gateway.wiring.queued_events import queued_events


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Turn each message's events into trigger requests; answer SQS with the messages that it must redeliver."""
    return deliver_batch(event, queued_events().deliver)
