"""EventBridge events: validated, otherwise unchanged."""

from collections.abc import Mapping
from typing import Any

from mwaa_gateway.errors import MalformedEvent, kind_of
from mwaa_gateway.events.event import Event
from mwaa_gateway.events.s3 import s3_identity
from mwaa_gateway.json_values import object_in, object_of, refuse_beyond_limits, text_of
from mwaa_gateway.trigger_request import identity_of


def is_eventbridge_event(payload: Mapping[str, Any]) -> bool:
    """Return whether the payload has the shape of an EventBridge event; the sender is not checked."""
    return {"source", "detail-type", "detail"} <= payload.keys()


def from_eventbridge(payload: Mapping[str, Any]) -> list[Event | MalformedEvent]:
    """Validate an EventBridge event and derive its identity; return a list of one. The envelope stays unchanged.

    The key of an S3 event is not decoded: EventBridge does not encode it. A replay from an archive keeps its id, and so
    its identity; its `replay-name` stays in the envelope.
    """
    try:
        return [_eventbridge_event(payload)]
    except MalformedEvent as malformed:
        return [malformed]


def _eventbridge_event(payload: Mapping[str, Any]) -> Event:
    object_in(payload, "the event")
    for name in ("id", "source", "detail-type"):
        if not text_of(payload, name, "the event"):
            raise MalformedEvent(f"{name} is empty; an EventBridge event needs it")
    for name in ("account", "region", "time"):
        text_of(payload, name, "the event")
    resources = payload.get("resources", [])
    if not isinstance(resources, list) or not all(isinstance(item, str) for item in resources):
        raise MalformedEvent(f"resources is {kind_of(resources)}; expected a list of ARNs")
    detail = object_of(payload, "detail", "the event")
    refuse_beyond_limits(payload)
    if payload["source"] != "aws.s3" or "object" not in detail:
        # CloudTrail's "AWS API Call via CloudTrail" has the source aws.s3 but no object: the event id identifies it.
        return Event(payload, identity_of("eventbridge", payload["id"]))
    return Event(payload, s3_identity(detail, payload["detail-type"], fallback=payload["id"]))
