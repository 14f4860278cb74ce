"""Events in queues: those Lambda gave up on, and those the users' own queues collect."""

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

# A batch that is given back whole is no failed invocation: it would slow the queue's polling.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def take_in(record: SQSRecord) -> None:
    """Turn one message's events into trigger requests; where that fails, the message comes again by itself."""
    function, queue = queued_events(), record.event_source_arn
    try:
        queued = from_queue(record.body, queue, function.trusted)
        report_ingress(function.ingress.ingest(queued.events, payload=queued.payload))
    except Exception as error:  # a mistake of ours as well: a version that mends it finds the message
        attempt = int(record.attributes.approximate_receive_count)
        seconds = backoff_seconds(attempt, function.jitter())
        report_given_back(error, attempt, seconds)
        try:
            function.queues.give_back(queue, record.receipt_handle, seconds)
        except Unavailable as refused:
            logger.warning("it comes back when its visibility timeout ends: %s", refused)
        raise


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer SQS with the messages that are to come again."""
    return process_partial_response(event=event, record_handler=take_in, processor=processor, context=context)
