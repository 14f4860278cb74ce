"""SQS messages: events that Lambda could not deliver, and events from the users' own queues."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.backoff import backoff_seconds
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events import from_queue
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ingress import report_given_back, report_ingress
from mwaa_gateway.wiring.ingress import queued_events

# A batch that fails as a whole is no failed invocation: an error would slow down polling and raise the alarm.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def ingest_message(record: SQSRecord) -> None:
    """Turn one message's events into trigger requests; if that fails, SQS redelivers the message after a back-off."""
    function, queue = queued_events(), record.event_source_arn
    try:
        queued = from_queue(record.body, queue, function.trusted)
        report_ingress(function.ingress.ingest(queued.events, payload=queued.payload))
    except Exception as error:  # bugs too: the message survives until a fixed version is deployed
        attempt = int(record.attributes.approximate_receive_count)
        seconds = backoff_seconds(attempt, function.jitter())
        report_given_back(error, attempt, seconds)
        try:
            function.queues.give_back(queue, record.receipt_handle, seconds)
        except Unavailable as refused:
            logger.warning("SQS redelivers the message only when its visibility timeout ends: %s", refused)
        raise


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer SQS with the messages that it must redeliver."""
    return process_partial_response(
        event=event, record_handler=ingest_message, processor=processor, context=context
    )
