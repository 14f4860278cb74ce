"""One environment's trigger queue: each message is a trigger request that becomes a DAG run."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.aws.sqs.trigger_messages import TriggerMessage
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.dispatch import report_dispatch
from mwaa_gateway.wiring.dispatcher import DispatcherFunction, dispatcher

# A batch of one that is given back is no failed invocation: it would slow the queue's polling and raise the alarm.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


class GivenBack(Exception):
    """The message is to be delivered again; tells the batch processor not to delete it."""


def rejoined(function: DispatcherFunction, message: TriggerMessage) -> bool:
    """Send a message of a backlog to the end of its queue, if it is its turn; where that fails it is dispatched now."""
    try:
        return function.messages.rejoin(message)
    except Unavailable as error:
        logger.warning("a rule with a long backlog may overtake the others: %s", error)
        return False


def deliver(record: SQSRecord) -> None:
    """Dispatch one message, and give it back with its own delay when it must come again."""
    try:
        function = dispatcher()
        message = TriggerMessage.from_record(record.raw_event)
        if rejoined(function, message):
            return
        dispatched = function.dispatcher.dispatch(message.body, message.receive_count, message.first_sent_at)
    except Exception:
        # The batch processor keeps it to itself. A request that does this five times is dead, with the bell.
        logger.exception("a mistake in the gateway or its settings; the message comes again by itself")
        raise
    report_dispatch(dispatched, function.settings.environment)
    if dispatched.redeliver_after is not None:
        try:
            if function.messages.give_back(message, dispatched.redeliver_after):
                return
        except Unavailable as error:
            logger.warning("it comes back when its visibility timeout ends: %s", error)
        raise GivenBack


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer SQS with the messages that are to come again."""
    return process_partial_response(event=event, record_handler=deliver, processor=processor, context=context)
