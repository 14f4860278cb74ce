"""Events in SQS: what Lambda gave up on, and what the users' own queues collect from S3, SNS and EventBridge.

    queue                  what is believed of a message
    ingress retry queue    everything: only the gateway's own roles write there
    one of `event_queues`  an S3 notification, an SNS message, an EventBridge event
    any other              nothing: whoever may send to it could pose as any bucket

What comes into the retry queue:

    Lambda's on-failure record           its requestPayload, as the function was given it
    what was kept in the ingress DLQ,    its payload: a redrive is a move from that queue to this one; what came from
    and is redriven                      another queue is believed no more than it was there
    what EventBridge or SNS could not    the event or the notification itself
    deliver, and is redriven
"""

import json
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events.event import Event
from mwaa_gateway.events.eventbridge import from_eventbridge, is_eventbridge_event
from mwaa_gateway.events.s3 import from_s3_notification, is_s3_notification
from mwaa_gateway.events.sns import (
    from_sns_envelope,
    from_sns_notification,
    is_sns_envelope,
    is_sns_notification,
)
from mwaa_gateway.json_values import json_or_text, object_in

__all__ = ["QueuedEvents", "TrustedQueues", "from_queue"]


@dataclass(frozen=True, slots=True)
class TrustedQueues:
    """The ARNs of the queues whose messages are taken for what they say they are, and of topics likewise."""

    retry_queue: str
    event_queues: frozenset[str]
    unwrap_topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class QueuedEvents:
    """What one message holds: its `events`, and the `payload` that is kept where one of them is malformed."""

    payload: Mapping[str, Any]
    events: list[Event | MalformedEvent]


def from_queue(body: str, queue: str, trusted: TrustedQueues) -> QueuedEvents:
    """Turn one message of the queue with the ARN `queue` into events; never raises for what is in it."""
    payload: Mapping[str, Any] = {"eventSourceARN": queue, "body": body}
    try:
        document = object_in(json_or_text(body), "the message")
        if queue == trusted.retry_queue:
            payload = document = _sent_again(document)
            if document.keys() == {"eventSourceARN", "body"}:
                return from_queue(str(document["body"]), str(document["eventSourceARN"]), trusted)
        elif queue not in trusted.event_queues:
            return QueuedEvents(payload, [_not_trusted(queue)])
        return QueuedEvents(payload, _of_any_source(document, _account(queue), trusted.unwrap_topics))
    except MalformedEvent as malformed:
        return QueuedEvents(payload, [MalformedEvent(f"a message of {queue}: {malformed}")])


def _not_trusted(queue: str) -> MalformedEvent:
    return MalformedEvent(
        f"{queue} is not in EventQueueArns, so nothing in it is believed: whoever may send to it could pose as any "
        "bucket. If it is meant to bring events, deploy the stack with it in that list, then send this again"
    )


def _sent_again(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the source sent, out of what Lambda or the gateway wrapped around it."""
    if "requestPayload" in document:
        return object_in(document["requestPayload"], "requestPayload of Lambda's on-failure record")
    if "reason_text" not in document:
        return document
    if "payload_zlib_base64" in document:
        try:
            unpacked = json.loads(zlib.decompress(b64decode(document["payload_zlib_base64"])))
        except (ValueError, TypeError, RecursionError, zlib.error) as error:
            raise MalformedEvent(f"payload_zlib_base64 cannot be unpacked ({error})") from None
        return object_in(unpacked, "payload_zlib_base64, unpacked,")
    return object_in(document.get("payload"), "payload of the dead event")


def _of_any_source(
    payload: Mapping[str, Any], account: str, unwrap_topics: frozenset[str]
) -> list[Event | MalformedEvent]:
    if is_s3_notification(payload):
        return from_s3_notification(payload, account=account)
    if is_sns_notification(payload):
        return from_sns_notification(payload, unwrap_topics)
    if is_sns_envelope(payload):
        return from_sns_envelope(payload, unwrap_topics)
    if is_eventbridge_event(payload):
        return from_eventbridge(payload)
    raise MalformedEvent(
        "it is no S3 notification, SNS message or EventBridge event; if a topic sends it, switch raw message delivery off "
        "for the subscription: that leaves out the topic and the message id"
    )


def _account(queue: str) -> str:
    """Return the account in the queue's ARN, which received what the message tells of."""
    return queue.split(":")[4] if queue.count(":") == 5 else ""  # noqa: PLR2004  arn:partition:sqs:region:account:name
