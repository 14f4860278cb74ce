"""Events in SQS: those that Lambda stopped retrying, and those that users' own queues collect.

    queue                  the gateway trusts
    ingress retry queue    every message: only the gateway's own roles can write to it
    one of `event_queues`  S3 notifications, SNS messages and EventBridge events
    any other              nothing: a sender could pose as any bucket

The retry queue receives:

    message                                      the events are in
    Lambda's on-failure record                   its requestPayload, the function's input
    a redriven message of the ingress DLQ        its payload; if that came from another queue, that queue's trust applies
    a redriven message that EventBridge or SNS   the message itself
    could not deliver
"""

import json
import zlib
from base64 import b64decode
from collections.abc import Mapping
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
from mwaa_gateway.values import value


@value
class TrustedQueues:
    """The ARNs of the queues and topics whose messages the gateway trusts."""

    retry_queue: str
    event_queues: frozenset[str]
    unwrap_topics: frozenset[str]


@value
class QueuedEvents:
    """The content of one message: its `events`, and the `payload` for the dead-letter queue if one is malformed."""

    payload: Mapping[str, Any]
    events: list[Event | MalformedEvent]


def from_queue(body: str, queue: str, trusted: TrustedQueues) -> QueuedEvents:
    """Turn one message of the queue with the ARN `queue` into events; bad content never raises."""
    payload: Mapping[str, Any] = {"eventSourceARN": queue, "body": body}
    try:
        document = object_in(json_or_text(body), "the message")
        if queue == trusted.retry_queue:
            payload = document = _source_payload(document)
            if document.keys() == {"eventSourceARN", "body"}:
                return from_queue(str(document["body"]), str(document["eventSourceARN"]), trusted)
        elif queue not in trusted.event_queues:
            return QueuedEvents(payload, [_untrusted_queue(queue)])
        return QueuedEvents(payload, _events_in(document, _account(queue), trusted.unwrap_topics))
    except MalformedEvent as malformed:
        return QueuedEvents(payload, [MalformedEvent(f"a message of {queue}: {malformed}")])


def _untrusted_queue(queue: str) -> MalformedEvent:
    return MalformedEvent(
        f"{queue} is not in EventQueueArns, so the gateway does not trust its messages: a sender could pose as any "
        "bucket. To use the queue, add it to that parameter of the stack, deploy, then redrive this message"
    )


def _source_payload(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the source's payload from the wrapper that Lambda or the gateway added."""
    if "requestPayload" in document:
        return object_in(document["requestPayload"], "requestPayload of Lambda's on-failure record")
    if "reason_text" not in document:
        return document
    if "payload_zlib_base64" in document:
        try:
            unpacked = json.loads(zlib.decompress(b64decode(document["payload_zlib_base64"])))
        except (ValueError, TypeError, RecursionError, zlib.error) as error:
            raise MalformedEvent(
                f"payload_zlib_base64 cannot be unpacked ({error}); expected JSON, zlib-compressed, in base64"
            ) from None
        return object_in(unpacked, "payload_zlib_base64, unpacked,")
    return object_in(document.get("payload"), "payload of the dead event")


def _events_in(
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
        "it is no S3 notification, SNS message or EventBridge event; if a topic sends it, switch off raw message delivery "
        "in the subscription: it omits the topic and the message id"
    )


def _account(queue: str) -> str:
    """Return the account in the queue's ARN: that of the event's envelope."""
    return queue.split(":")[4] if queue.count(":") == 5 else ""  # noqa: PLR2004  arn:partition:sqs:region:account:name
