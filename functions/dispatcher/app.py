"""One environment's trigger queue: each message is a trigger request that becomes a DAG run."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.aws.sqs.trigger_messages import read_message
from mwaa_gateway.observability import logger
from mwaa_gateway.wiring.dispatcher import dispatcher

# A batch of one that SQS must redeliver is no failed invocation: an error would slow down polling and raise the alarm.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


class Redeliver(Exception):
    """Raised so that the batch processor does not delete the message."""


def deliver(record: SQSRecord) -> None:
    """Dispatch one message; raises Redeliver if SQS must keep it."""
    try:
        done = dispatcher().deliver(read_message(record.raw_event))
    except Exception:
        # The batch processor swallows the exception. After five such deliveries the request is dead, which raises the alarm.
        logger.exception(
            "bug in the gateway or its settings; SQS redelivers the message, after five such deliveries it is dead"
        )
        raise
    if not done:
        raise Redeliver


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer SQS with the messages that it must redeliver."""
    return process_partial_response(event=event, record_handler=deliver, processor=processor, context=context)
