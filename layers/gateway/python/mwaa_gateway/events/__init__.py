"""Normalises what every source sends to EventBridge's envelope, and derives the identity that duplicates share.

| arrives as             | becomes                              | identity                                   |
|------------------------|--------------------------------------|--------------------------------------------|
| S3 notification record | `aws.s3`, EventBridge's own S3 shape | bucket, key, detail-type and sequencer     |
| S3 through EventBridge | unchanged                            | the same: the two routes dedupe each other |
| SNS notification       | `aws.sns`, `Notification`            | topic and message id                       |
| EventBridge event      | unchanged                            | its id                                     |
| any of them in a queue | the same event as without the queue  | the same as without the queue              |

The gateway unwraps an S3 or EventBridge event from an SNS message for allowed topics only, and trusts only the queues
that the deployer lists. An identity is readable text; its parts are escaped, so that no key can pose as another event.

May import the root only.
"""

from mwaa_gateway.events.event import Event
from mwaa_gateway.events.eventbridge import from_eventbridge
from mwaa_gateway.events.queued import QueuedEvents, TrustedQueues, from_queue
from mwaa_gateway.events.s3 import from_s3_notification
from mwaa_gateway.events.sns import from_sns_notification

__all__ = [
    "Event",
    "QueuedEvents",
    "TrustedQueues",
    "from_eventbridge",
    "from_queue",
    "from_s3_notification",
    "from_sns_notification",
]
