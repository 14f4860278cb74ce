"""The trail: the fields of the log lines that say what the gateway decided about an event (docs/trail.md).

A line with `trail` belongs to it; the number is the version of this schema. The fields are flat, as Logs Insights needs it:
texts of bounded length, and numbers. A field without a value is left out. Of an event the trail has its envelope and its
`resource`, nothing else.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, assert_never

from mwaa_gateway.trigger_request import OWN_SOURCE, TriggerRequest, event_hash

if TYPE_CHECKING:  # each function imports its own flow only
    from mwaa_gateway.feeds.batch import Batch
    from mwaa_gateway.routing.live_rules import Matches
    from mwaa_gateway.routing.members import Key, MemberMessage
    from mwaa_gateway.settings.ingress import LogUnmatched
    from mwaa_gateway.step_functions.watches import Watch

VERSION: Final = 1

# In characters. The longest resource is a bucket's name and a key of 1,024 bytes; a run_id has 125 characters.
LIMITS: Final = {"resource": 1_200, "partitions": 1_200, "message": 600, "missing": 600}
LIMIT: Final = 256

SAMPLED: Final = 100  # with LogUnmatched=sampled, one in so many events that no rule matches has a line

TrailOutcome = Literal[
    # ingress, step_functions_task and batch_releaser
    "Requested",
    "Member",
    "Unmatched",
    "Shadow",
    "Dead",
    "Refused",
    # dispatchers
    "Triggered",
    "AlreadyTriggered",
    "Retryable",
    "OutcomeUnknown",
    "Held",
    "Rejected",
    # batch_collector and batch_releaser
    "Collected",
    "Duplicate",
    "GivenBack",
    "Late",
    "Released",
    "Cancelled",
    "Overdue",
    "NotReleased",
    # run watchers
    "Ended",
    "Abandoned",
    "Stopped",
    "RunMarkedFailed",
    "RunNotMarkedFailed",
    "StepFailed",
    "GivenUp",
]


class Fields(TypedDict, total=False):
    """Every field of the trail but `trail` itself and those of the logger; docs/trail.md explains them."""

    outcome: TrailOutcome
    reason: str | None
    event_id: str | None
    identity: str
    source: str | None
    detail_type: str | None
    event_time: str | None
    resource: str
    rule_id: str | None
    rule_version: int | None
    target_id: str
    environment: str
    dag_id: str
    run_id: str
    attempt: int
    redeliver_after: float | None
    batch_id: str
    batch_key: str
    member_id: str
    members: int
    complete: bool
    missing: str
    missing_count: int | None
    state: str
    rules_tried: int
    partitions: str
    rules_generation: str
    sampled: int


def bounded(text: str, limit: int) -> str:
    """Return the text, cut to `limit` characters if it is longer, and without halves of surrogate pairs."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isascii() else text.encode(errors="replace").decode()


def bounded_message(text: str) -> str:
    """Return the message of a line, cut to its limit."""
    return bounded(text, LIMITS["message"])


def line(*parts: Fields) -> dict[str, str | int | float]:
    """Return the fields of one line of the trail; of a field that several parts have, the last value counts."""
    fields: dict[str, str | int | float] = {"trail": VERSION}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, bool):
                fields[name] = int(value)
            elif isinstance(value, int | float):
                fields[name] = value
            elif value is not None and (text := str(value)):
                fields[name] = bounded(text, LIMITS.get(name, LIMIT))
    return fields


def event_fields(envelope: Mapping[str, Any], identity: str) -> Fields:
    """Return what names an event: `identity` is the text of its identity, which the trail and the ledger have as a hash."""
    return {**_envelope_fields(envelope), "identity": event_hash(identity)}


def resource_of(envelope: Mapping[str, Any]) -> str:
    """Return what the event is about: `s3://BUCKET/KEY`, `sns:TOPIC/MESSAGE_ID`, or the first of its `resources`, or ""."""
    source = envelope.get("source")
    detail: Any = envelope.get("detail")
    try:
        if source == "aws.s3":
            return f"s3://{detail['bucket']['name']}/{detail['object']['key']}"
        if source == "aws.sns":
            return f"sns:{detail['topic-arn'].rpartition(':')[2]}/{envelope['id']}"
    except (KeyError, TypeError, AttributeError):
        pass  # not about an object: CloudTrail's "AWS API Call via CloudTrail", for example
    resources = envelope.get("resources")
    first = resources[0] if isinstance(resources, list) and resources else ""
    return first if isinstance(first, str) else ""


def _envelope_fields(envelope: Mapping[str, Any]) -> Fields:
    return {
        "event_id": envelope.get("id"),
        "source": envelope.get("source"),
        "detail_type": envelope.get("detail-type"),
        "event_time": envelope.get("time"),
        "resource": resource_of(envelope),
    }


def request_fields(request: TriggerRequest) -> Fields:
    """Return the event, rule, target and run of a trigger request, and the batch of one that a batch makes."""
    return {
        **event_fields(request.event, request.identity),
        **_released_batch_fields(request.event),
        "rule_id": request.rule_id,
        "rule_version": request.rule_version,
        "target_id": request.target_id,
        "environment": request.target.environment,
        "dag_id": request.target.dag_id,
        "run_id": request.target.run_id,
    }


def _released_batch_fields(envelope: Mapping[str, Any]) -> Fields:
    if envelope.get("source") != OWN_SOURCE:
        return {}
    batch = envelope["detail"]
    return {"batch_id": batch["id"], "batch_key": key_text(tuple(batch["key"].items()))}


def unmatched_fields(matches: "Matches") -> Fields:
    """Return how many rules an event was compared with, and its partitions: `NAME | NAME | NAME`, `4 | 0 | 7`."""
    return {
        "rules_tried": matches.tried,
        "partitions": " | ".join(matches.generations),
        "rules_generation": " | ".join(map(str, matches.generations.values())),
    }


def sampled_fields(log_unmatched: "LogUnmatched", identity: str) -> Fields | None:
    """Return what the line of an unmatched event says of the sample, None if the event gets no line.

    The event's identity decides: every delivery of it, on each route, has a line, or none has.
    """
    match log_unmatched:
        case "all":
            return {}
        case "none":
            return None
        case "sampled":
            return None if int(event_hash(identity)[:8], 16) % SAMPLED else {"sampled": SAMPLED}
        case _:
            assert_never(log_unmatched)


def key_text(key: "Key") -> str:
    """Return a batch's key as the operator's command shows it."""
    return ", ".join(f"{name}={value}" for name, value in key)


def feed_fields(message: "MemberMessage") -> Fields:
    """Return the rule and the batch key of a member, and its id: the batches table's sort key of its pointer."""
    return {
        "rule_id": message.rule_id,
        "rule_version": message.rule_version,
        "batch_key": key_text(message.key),
        "member_id": message.member.id,
    }


def member_fields(message: "MemberMessage") -> Fields:
    """Return what a collected member's message says of its event: an S3 object's place, or the envelope."""
    item = message.member.item
    if "uri" not in item:
        return {**_envelope_fields(item), **feed_fields(message)}
    place: Fields = {"source": "aws.s3", "resource": item["uri"], "event_time": item.get("time")}
    return {**place, **feed_fields(message)}


def batch_fields(batch: "Batch") -> Fields:
    """Return the rule, key and id of a batch."""
    return {
        "rule_id": batch.rule_id,
        "rule_version": batch.rule_version,
        "batch_id": batch.id,
        "batch_key": key_text(batch.key),
    }


def watch_fields(watch: "Watch") -> Fields:
    """Return the run that a state waits for, and the state's execution as the resource."""
    identity, request = watch.ledger_key
    rule_id, _, target = request.partition("#")
    return {
        "identity": identity,
        "resource": watch.execution_arn,
        "rule_id": rule_id,
        "target_id": target.rpartition("#")[0],
        "environment": watch.environment,
        "dag_id": watch.dag_id,
        "run_id": watch.run_id,
    }
