"""The messages of the dead-letter queues, classified by their shape.

trigger DLQ    the message of a request that is dead in the ledger
               a message that is no request, published by the dispatcher
               a request, moved by SQS after a thousand receives
ingress DLQ    an event that the gateway's functions published with a reason
               Lambda's on-failure record, moved by SQS after a thousand receives
               an event that EventBridge or SNS could not deliver, with their error as attributes
               a member of a batch, moved by SQS after a thousand receives
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from gateway_cli.dlq.dead_letter import DeadLetter
from gateway_cli.dlq.received_messages import ReceivedMessage
from gateway_cli.dlq.remedies import (
    EVENTBRIDGE_GAVE_UP,
    LAMBDA_GAVE_UP,
    MEMBER_NOT_COLLECTED,
    RECEIVED_TOO_OFTEN,
    SNS_GAVE_UP,
    UNKNOWN,
)
from gateway_cli.documents.json_documents import json_object
from gateway_cli.ledger_rows import LedgerKey
from mwaa_gateway.dead_events import LATE_MEMBER, DeadEventReason
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.trigger_request import TriggerRequest, UnreadableRequest


def key_of_dead_request(message: ReceivedMessage) -> LedgerKey | None:
    """Return the ledger key of the dead request that a trigger DLQ's message is about; None for any other message."""
    request = (json_object(message.body) or {}).get("request")
    try:
        return TriggerRequest.from_json(json.dumps(request)).ledger_key
    except UnreadableRequest:
        return None


def dead_letter_of_trigger_queue(message: ReceivedMessage, environment: str) -> DeadLetter:
    """Read a trigger DLQ's message that is not about a dead request; a redrive sends the body of `origin`."""
    document = json_object(message.body) or {}
    died = partial(
        DeadLetter, id=message.id, died_in="trigger queue", died_at=message.sent_at, environment=environment
    )
    if "reason_text" in document and isinstance(document.get("body"), str):
        return died(
            reason=_text(document, "reason"),
            text=_text(document, "reason_text"),
            origin=replace(message, body=document["body"]),
        )
    try:
        request = TriggerRequest.from_json(message.body)
    except UnreadableRequest as error:
        return died(reason=UNKNOWN, text=str(error), origin=message)
    return died(
        reason=RECEIVED_TOO_OFTEN,
        text="SQS moved it here; it may be open in the ledger",
        rule_id=request.rule_id,
        rule_version=request.rule_version,
        dag_id=request.target.dag_id,
        event=request.identity,
        redrives=request.redrive,
        origin=message,
    )


def dead_letter_of_ingress(message: ReceivedMessage) -> DeadLetter:
    """Read a message of the ingress DLQ, from any sender."""
    document = json_object(message.body) or {}
    died_in, reason, text, event = _ingress_reason(document, message.attributes)
    version = document.get("rule_version") if died_in == "ingress" else None
    return DeadLetter(
        id=message.id,
        died_in=died_in,
        died_at=message.sent_at,
        reason=reason,
        text=text,
        rule_id=(_text(document, "rule_id") or None) if died_in in {"ingress", "collect queue"} else None,
        rule_version=version if isinstance(version, int) else None,
        event=event or None,
        origin=message,
    )


def _ingress_reason(document: Mapping[str, Any], attributes: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Return where the event died, the reason, its text, and the event's id."""
    if "reason_text" in document:
        text = _text(document, "reason_text")
        return "ingress", _current_reason(_text(document, "reason"), text), text, _text(document, "event_id")
    if "requestPayload" in document:
        context, response = _object(document, "requestContext"), _object(document, "responsePayload")
        failure = ": ".join(filter(None, (_text(response, "errorType"), _text(response, "errorMessage"))))
        text = "; ".join(filter(None, (_text(context, "condition"), failure)))
        return "Lambda", LAMBDA_GAVE_UP, text, _text(_object(document, "requestPayload"), "id")
    if "detail-type" in document:
        text = ": ".join(filter(None, (attributes.get("ERROR_CODE"), attributes.get("ERROR_MESSAGE"))))
        return "EventBridge", EVENTBRIDGE_GAVE_UP, text, _text(document, "id")
    if "TopicArn" in document:
        text = ": ".join(filter(None, (attributes.get("ErrorCode"), attributes.get("ErrorMessage"))))
        return "SNS", SNS_GAVE_UP, text, _text(document, "MessageId")
    if isinstance(document.get("member"), dict) and "rule" in document:
        if document.get("reason") == LATE_MEMBER:
            return "collect queue", LATE_MEMBER, "its batch was released before; it is in no batch", ""
        return "collect queue", MEMBER_NOT_COLLECTED, "SQS moved it here; it is in no batch", ""
    return "ingress", UNKNOWN, "", ""


def _current_reason(reason: str, text: str) -> str:
    """Return the current name of a reason: in v0.1.0 ingress used Airflow's refusal for every problem with a conf."""
    if reason != Reason.CONF_REFUSED:
        return reason
    return DeadEventReason.CONF_TOO_LARGE if "bytes; at most" in text else DeadEventReason.CONF_NOT_MADE


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""
