"""What happens in the sweep: for each function, work for a victim, whose calls fail, and for others."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fakes.requests import a_request
from fakes.states import EXECUTION, payload
from mwaa_gateway.aws.dynamodb.pauses import OBJECTS_SORT, PAUSE_PARTITION
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest
from sweep.deployed import ENDED_QUEUE, OWN_QUEUE, STARTS_AT, Deployed, today
from sweep.faults import Fault, Kind
from sweep.wire import Trouble

__all__ = ["RULES", "SCENES", "TOKEN", "VICTIM"]

VICTIM = "victim"
OTHERS = ("one", "two")
FEEDS = (VICTIM, "one")  # a batch is many calls: one other is enough
TOKEN = "canary-task-token"
_AT = datetime.fromtimestamp(today() + STARTS_AT, UTC).isoformat()  # when the events of every scene happen
_LONG = "x" * 990  # forty times this is too large for a conf

_WAYS = {
    "s3": ({"object": {"key": [{"prefix": "{}/"}]}}, "$.detail.object.key"),
    "sns": ({"message": {"who": ["{}"]}}, "$.detail.message.long"),
    "bus": ({"who": ["{}"]}, "$.detail.long"),
    "states": ({"input": {"who": ["{}"]}}, "$.detail.input.long"),
}


def _rule(way: str, who: str, environment: str) -> dict[str, Any]:
    """A rule for the events of one way and one of those: a run with a large conf."""
    detail, path = _WAYS[way]
    conf = {"input_paths": {"long": path}, "input_template": {"long": "<long>" * 40}}
    target: dict[str, Any] = {"id": "default", "environment": environment, "dag_id": "load"}
    target |= {"large_conf": "claim_check", "input_transformer": conf}
    pattern = {"detail": json.loads(json.dumps(detail).replace("{}", who))}
    return {"id": f"{who}.{way}", "pattern": pattern, "targets": [target]}


_RUN = [
    _rule(way, who, "legacy" if who == VICTIM else "analytics") for way in _WAYS for who in (VICTIM, *OTHERS)
]
_WHEN = {
    "feed": {"quiet_period": "1m", "max_items": 100},
    "pair": {"complete_when": {"count": 2}, "max_wait": "3h"},  # no timer repeats a look before that
    "once": {"complete_when": {"count": 1}, "max_wait": "3h", "late": "dead_letter"},
    "owed": {"complete_when": {"count": 2}, "due": {"after": "5m"}, "max_wait": "20m"},
    "absent": {
        "complete_when": {"count": 2},
        "due": {"at": "06:00", "date": "<day>"},
        "expected": "daily",
        "max_wait": "10m",
    },
}
_COLLECT = [
    {
        "id": f"{who}.{way}",
        "pattern": {"source": [f"acme.{way}"], "detail": {"who": [who]}},
        "collect": {"key": ["<$.detail.day>"], **when},
        "target": {"environment": "legacy" if who == VICTIM else "analytics", "dag_id": "load"},
    }
    for way, when in _WHEN.items()
    for who in FEEDS
]
RULES = [
    *_RUN,
    *_COLLECT,
    *[rule | {"id": f"{rule['id']}-trial", "state": "SHADOW"} for rule in _RUN if "states" not in rule["id"]],
]


def _upload(who: str) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": _AT,
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:X"},
        "requestParameters": {"sourceIPAddress": "10.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "acme-landing", "arn": "arn:aws:s3:::acme-landing"},
            "object": {"key": f"{who}/{_LONG}", "size": 1, "eTag": "d4", "sequencer": "0055AED6DCD90281E5"},
        },
    }


def _notification(who: str) -> dict[str, Any]:
    return {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:topic:1",
        "Sns": {
            "Type": "Notification",
            "MessageId": f"{who}-95df01b4-ee98-5cb9-9903-4c221d41eb5e",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:topic",
            "Subject": None,
            "Message": json.dumps({"who": who, "long": _LONG}),
            "Timestamp": _AT,
            "MessageAttributes": {},
        },
    }


def _event(who: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": f"{who}-6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "Invoice Period Closed",
        "source": "acme.billing",
        "account": "123456789012",
        "time": _AT,
        "region": "eu-west-1",
        "resources": [],
        "detail": {"who": who, "long": _LONG},
    }


def _s3(gateway: Deployed) -> None:
    """One notification with a record that is no event."""
    records = [_upload(VICTIM), _upload(OTHERS[0]), {"eventSource": "aws:s3"}, _upload(OTHERS[1])]
    gateway.invoke_later("s3_events", {"Records": records})


def _sns(gateway: Deployed) -> None:
    broken = copy.deepcopy(_notification(OTHERS[0]))
    del broken["Sns"]["MessageId"]
    records = [_notification(VICTIM), _notification(OTHERS[0]), broken, _notification(OTHERS[1])]
    gateway.invoke_later("sns_events", {"Records": records})


def _bus(gateway: Deployed) -> None:
    """EventBridge delivers each event by itself."""
    for event in (_event(VICTIM), *map(_event, OTHERS), {"id": "no event"}):
        gateway.invoke_later("eventbridge_events", event)


def _queued(gateway: Deployed) -> None:
    bodies = [json.dumps({"Records": [_upload(who)]}) for who in (VICTIM, *OTHERS)]
    for body in (*bodies, "no event"):
        gateway.sqs.send_message(QueueUrl=gateway.urls[OWN_QUEUE], MessageBody=body)


def _given_back(gateway: Deployed) -> None:
    """The same, and the victim's message has to be given back once."""
    broken = Fault(Kind.ERROR, "ServiceUnavailable", 503)
    hiccup = Trouble("queued_events", "SendMessageBatch", broken, frozenset({VICTIM}), times=3)
    gateway.wire.troubles.append(hiccup)
    _queued(gateway)


def _dispatch(environment: str) -> Callable[[Deployed], None]:
    """Requests to be run, one for a DAG that is not there, and a message that is no request."""

    def begin(gateway: Deployed) -> None:
        bodies = ["no request", _request("gone", environment, "no_such_dag")]
        bodies += [_request(who, environment, "load") for who in (VICTIM, *OTHERS)]
        for number, body in enumerate(bodies):
            gateway.sqs.send_message(
                QueueUrl=gateway.urls[f"trigger-{environment}"],
                MessageBody=body,
                MessageGroupId=f"rule-{number}",
            )
        gateway.clock.now += 120  # what is received for the first time has waited in a backlog

    return begin


def _claimed(environment: str) -> Callable[[Deployed], None]:
    """Requests of uploads, when a command may have claimed their objects."""

    def begin(gateway: Deployed) -> None:
        marker = {"partition": {"S": PAUSE_PARTITION}, "sort": {"S": OBJECTS_SORT}}
        gateway.dynamodb.put_item(TableName="rules", Item=marker)
        for who in (VICTIM, *OTHERS):
            request = TriggerRequest.from_json(_request(who, environment, "load"))
            detail = {"bucket": {"name": "acme"}, "object": {"key": who, "etag": "d4"}}
            event = {"source": "aws.s3", "detail-type": "Object Created", "time": _AT, "detail": detail}
            claimed = replace(request, identity=f"s3|{who}", event=event)
            gateway.sqs.send_message(
                QueueUrl=gateway.urls[f"trigger-{environment}"],
                MessageBody=claimed.to_json(),
                MessageGroupId=who,
            )

    return begin


def _request(who: str, environment: str, dag_id: str) -> str:
    request = a_request(who, environment=environment, dag_id=dag_id)
    target = ResolvedTarget(environment, dag_id, request.target.run_id, {"who": who})
    return replace(request, target=target, rule_id=f"{who}.rule").to_json()


def _tasks(environment: str) -> Callable[[Deployed], None]:
    """States that wait: for a run that succeeds, one that fails, and one that takes long."""

    def begin(gateway: Deployed) -> None:
        ends = {VICTIM: {}, OTHERS[0]: {"ends": "failed"}, OTHERS[1]: {"after": 1_000}}
        for who, conf in ends.items():
            gateway.calls.append(
                payload(
                    state=who,
                    execution=f"{EXECUTION}-{who}",
                    token=f"{TOKEN}-{who}",
                    dag={"environment": environment, "dag_id": "load"},
                    input={"who": who, **conf},
                    wait={"return_value_of": "last"} if who == VICTIM else {},
                )
            )

    return begin


def _asked(gateway: Deployed) -> None:
    """States that leave the DAG to the rules."""
    for who in (VICTIM, *OTHERS):
        task = payload(
            state=who,
            execution=f"{EXECUTION}-{who}",
            token=f"{TOKEN}-{who}",
            input={"who": who, "long": _LONG},
        )
        del task["dag"]
        gateway.calls.append(task)


def _ended(gateway: Deployed) -> None:
    """Executions end while their states wait for long runs; one that waits for none, and a message that is no notice."""
    for who in (VICTIM, *OTHERS):
        gateway.calls.append(
            payload(
                state=who,
                execution=f"{EXECUTION}-{who}",
                token=f"{TOKEN}-{who}",
                dag={"environment": "legacy" if who == VICTIM else "analytics", "dag_id": "load"},
                input={"who": who, "after": 100_000},
            )
        )
    gateway.step()
    for who in (VICTIM, *OTHERS, "nobody"):
        notice = {
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "detail": {"executionArn": f"{EXECUTION}-{who}", "status": "ABORTED"},
        }
        gateway.sqs.send_message(QueueUrl=gateway.urls[ENDED_QUEUE], MessageBody=json.dumps(notice))
    gateway.sqs.send_message(QueueUrl=gateway.urls[ENDED_QUEUE], MessageBody="no notice")


def _feed(gateway: Deployed) -> None:
    """Members of new batches, a message that is none, and members of batches that were released, delivered again."""
    gateway.ticks = True
    _feed_members(gateway, "monday")
    for _ in range(3):
        gateway.step()
    _feed_members(gateway, "monday")
    _feed_members(gateway, "tuesday")


def _feed_given_back(gateway: Deployed) -> None:
    """The same, and the victim's member has to be given back once."""
    broken = Fault(Kind.ERROR, "ServiceUnavailable", 503)
    hiccup = Trouble("batch_collector", "GetItem", broken, frozenset({VICTIM}), times=3)
    _feed(gateway)
    gateway.wire.troubles.append(hiccup)


def _pairs(gateway: Deployed) -> None:
    """Two members complete each batch, long before it is due."""
    gateway.ticks = True
    for number in ("1", "2"):
        _feed_members(gateway, "monday", f"-{number}", source="acme.pair")


def _late(gateway: Deployed) -> None:
    """Members of new batches, and one more member of each of some that are complete and released."""
    gateway.ticks = True
    _feed_members(gateway, "monday", source="acme.once")
    for _ in range(2):
        gateway.step()
    _feed_members(gateway, "monday", "-2", source="acme.once")
    _feed_members(gateway, "monday")


def _overdue(gateway: Deployed) -> None:
    """Batches that are quiet, that are due before they are complete, and of a day on which nothing comes."""
    gateway.ticks = True
    _feed_members(gateway, "monday")
    _feed_members(gateway, "monday", source="acme.owed")


def _feed_members(gateway: Deployed, day: str, number: str = "", source: str = "acme.feed") -> None:
    for who in FEEDS:
        event = _event(who) | {
            "id": f"{who}-{day}{number}",
            "source": source,
            "detail": {"who": who, "day": day},
        }
        gateway.invoke_later("eventbridge_events", event)


# By the function whose calls fail in it, and by the call where that needs a scene of its own.
SCENES: dict[str, Callable[[Deployed], None]] = {
    "s3_events": _s3,
    "sns_events": _sns,
    "eventbridge_events": _bus,
    "queued_events": _queued,
    "queued_events ChangeMessageVisibility": _given_back,
    "dispatcher analytics": _dispatch("analytics"),
    "dispatcher analytics GetItem": _claimed("analytics"),
    "dispatcher legacy": _dispatch("legacy"),
    "dispatcher legacy GetItem": _claimed("legacy"),
    "run_watcher analytics": _tasks("analytics"),
    "run_watcher legacy": _tasks("legacy"),
    "step_functions_task": _asked,
    "ended_executions": _ended,
    "batch_collector": _feed,
    "batch_collector ChangeMessageVisibility": _feed_given_back,
    "batch_collector SendMessageBatch": _late,
    "batch_releaser": _feed,
    "batch_releaser BatchGetItem": _pairs,
    "batch_releaser Query": _pairs,
    "batch_releaser PutEvents": _overdue,
    "batch_releaser UpdateItem": _overdue,
    "batch_timers": _overdue,
}
