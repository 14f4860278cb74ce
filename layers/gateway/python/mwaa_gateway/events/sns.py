"""SNS notifications as Lambda and SQS receive them, and the S3 and EventBridge events inside them."""

from collections.abc import Mapping
from typing import Any

from mwaa_gateway.errors import MalformedEvent, kind_of
from mwaa_gateway.events.event import Event, each_record
from mwaa_gateway.events.eventbridge import from_eventbridge, is_eventbridge_event
from mwaa_gateway.events.s3 import from_s3_notification, is_s3_notification
from mwaa_gateway.json_values import json_or_text, object_of, refuse_beyond_limits, text_of
from mwaa_gateway.trigger_request import identity_of


def is_sns_notification(payload: Mapping[str, Any]) -> bool:
    """Return whether the payload has the shape that SNS sends to Lambda."""
    records = payload.get("Records")
    return isinstance(records, list) and any(
        isinstance(record, Mapping) and record.get("EventSource") == "aws:sns" for record in records
    )


def is_sns_envelope(payload: Mapping[str, Any]) -> bool:
    """Return whether the payload has the shape that SNS sends to SQS without raw message delivery."""
    return {"Type", "TopicArn", "MessageId"} <= payload.keys()


def from_sns_notification(
    payload: Mapping[str, Any], unwrap_topics: frozenset[str]
) -> list[Event | MalformedEvent]:
    """Turn SNS's payload for Lambda into events.

    On one of the `unwrap_topics`, a message that is an S3 notification or an EventBridge event becomes that inner event.
    On any other topic it stays a notification: otherwise a publisher could pose as S3, and claim the identity of a real
    upload before the upload arrives.
    """
    outer = each_record(payload, "an SNS notification", _event_of_record)
    return [event for one in outer for event in _inner_events(one, unwrap_topics)]


def from_sns_envelope(
    payload: Mapping[str, Any], unwrap_topics: frozenset[str]
) -> list[Event | MalformedEvent]:
    """Turn SNS's message in SQS into events, with the same identities as `from_sns_notification`."""
    if payload["Type"] != "Notification":
        return [
            MalformedEvent(
                f"Type of the SNS message is {payload['Type']!r}; expected 'Notification'. If it is "
                "'SubscriptionConfirmation', open its SubscribeURL to confirm the subscription"
            )
        ]
    try:
        return _inner_events(_notification(payload, "the SNS message"), unwrap_topics)
    except MalformedEvent as malformed:
        return [malformed]


def _event_of_record(record: Mapping[str, Any]) -> Event:
    source = record.get("EventSource")
    if source != "aws:sns":
        raise MalformedEvent(
            f"EventSource is {source!r}; expected 'aws:sns': is another source wired to this function?"
        )
    return _notification(object_of(record, "Sns", "the record"), "Sns")


def _notification(sns: Mapping[str, Any], where: str) -> Event:
    topic, message_id = text_of(sns, "TopicArn", where), text_of(sns, "MessageId", where)
    match topic.split(":"):
        case ["arn", _, "sns", region, account, _]:
            pass
        case _:
            raise MalformedEvent(
                f"TopicArn of {where} is {topic[:200]!r}; expected arn:<partition>:sns:<region>:<account>:<name>"
            )
    if not message_id:
        raise MalformedEvent(
            f"MessageId of {where} is empty; without it the gateway cannot tell a duplicate from a new event"
        )
    attributes = sns.get("MessageAttributes") or {}
    if not isinstance(attributes, Mapping):
        raise MalformedEvent(f"MessageAttributes of {where} is {kind_of(attributes)}; expected a JSON object")
    detail: dict[str, Any] = {"topic-arn": topic, "message-id": message_id}
    if sns.get("Subject") is not None:
        detail["subject"] = text_of(sns, "Subject", where)
    detail["message"] = json_or_text(text_of(sns, "Message", where))
    detail["message-attributes"] = {
        name: attribute.get("Value") if isinstance(attribute, Mapping) else attribute
        for name, attribute in attributes.items()
    }
    envelope = {
        "version": "0",
        "id": message_id,
        "detail-type": "Notification",
        "source": "aws.sns",
        "account": account,
        "time": text_of(sns, "Timestamp", where),
        "region": region,
        "resources": [topic],
        "detail": detail,
    }
    refuse_beyond_limits(envelope)
    return Event(envelope, identity_of("sns", topic, message_id))


def _inner_events(
    outer: Event | MalformedEvent, unwrap_topics: frozenset[str]
) -> list[Event | MalformedEvent]:
    """Return the events inside the message if its topic is allowed, otherwise the notification itself."""
    if isinstance(outer, MalformedEvent):
        return [outer]
    message = outer.envelope["detail"]["message"]
    if outer.envelope["detail"]["topic-arn"] not in unwrap_topics or not isinstance(message, Mapping):
        return [outer]
    if is_s3_notification(message):
        return from_s3_notification(message, account=str(outer.envelope["account"]))
    if is_eventbridge_event(message):
        return from_eventbridge(message)
    return [outer]
