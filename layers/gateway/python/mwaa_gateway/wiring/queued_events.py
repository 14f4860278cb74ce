"""Builds queued_events: an ingress that reads queues."""

import os
import random

from mwaa_gateway.aws.clients import late_client
from mwaa_gateway.aws.sqs.queues import EventQueues
from mwaa_gateway.events import TrustedQueues
from mwaa_gateway.ingress.delivery import EventDeliveries
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ingress import report_given_back, report_ingress
from mwaa_gateway.settings.ingress import QueuedEventsSettings
from mwaa_gateway.wiring import once
from mwaa_gateway.wiring.ingress import build_ingress


@once
def queued_events() -> EventDeliveries:
    """Build queued_events, once per sandbox."""
    settings = QueuedEventsSettings.from_environ(os.environ)
    sqs = late_client("sqs")
    return EventDeliveries(
        ingress=build_ingress(settings, sqs),
        trusted=TrustedQueues(
            settings.ingress_retry_queue_arn, settings.event_queue_arns, settings.unwrap_topic_arns
        ),
        queues=EventQueues(sqs),
        report=report_ingress,
        report_given_back=report_given_back,
        warn=logger.warning,
        jitter=random.random,
    )
