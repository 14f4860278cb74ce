"""Deliveries by AWS services as AWS makes them, where MiniStack 1.5.33 forgives.

1. SNS, EventBridge and S3 invoke a function only if its policy allows that service for that source. MiniStack does not ask.
2. SNS and EventBridge send `aws:SourceArn` with a delivery and no `aws:SourceAccount`: AWS's documents do not promise it. A
   policy that demands it refuses the delivery. EventBridge needs a queue's policy, too; MiniStack asks for SNS and S3 only.
3. SNS and EventBridge invoke functions asynchronously: two retries, then the on-failure destination. MiniStack tries once.
4. A refused delivery goes to the dead-letter queue of the subscription or of the rule's target, if that queue's policy
   allows it. MiniStack knows neither queue.
5. Lambda writes to an on-failure destination as the function's role. MiniStack does not ask whether the role may.
6. Both of S3's events of an object in a bucket with versioning name the version. MiniStack names it in a notification only,
   not in the event on the bus.

What a dead-letter queue or destination refuses is lost, and counted in AWS's own metrics.
"""

import contextvars
import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.arn import parse_arn  # type: ignore[import-untyped]
from ministack.core.iam_evaluator import (  # type: ignore[import-untyped]
    EvalContext,
    _gather_role_policies,
    evaluate,
    evaluate_resource_policy,
)
from ministack.core.responses import get_account_id, get_region  # type: ignore[import-untyped]
from ministack.services import cloudwatch, eventbridge, lambda_svc, s3, sns, sqs  # type: ignore[import-untyped]

_S3, _SNS, _EVENTS = "s3.amazonaws.com", "sns.amazonaws.com", "events.amazonaws.com"
# The rule, its target and the payload that EventBridge is delivering in this context.
_rule: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("rule")
_target: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("target")
# The version of the object whose events S3 is sending in this context.
_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("version", default=None)


def extend() -> None:
    """Patch the modules, before MiniStack serves anything."""
    sqs.queue_policy_allows = _queue_allows
    sns._deliver_to_lambda = _sns_to_lambda  # noqa: SLF001  there is no other way in
    sns._deliver_to_sqs = _sns_to_sqs(sns._deliver_to_sqs)  # noqa: SLF001
    eventbridge._invoke_target = _eventbridge_to_target(eventbridge._invoke_target)  # noqa: SLF001
    eventbridge._dispatch_to_lambda = _eventbridge_to_lambda  # noqa: SLF001
    eventbridge._dispatch_to_sqs = _eventbridge_to_sqs(eventbridge._dispatch_to_sqs)  # noqa: SLF001
    eventbridge._dispatch_event = _with_version(eventbridge._dispatch_event)  # noqa: SLF001
    s3._deliver_event_to_lambda = _s3_to_lambda(s3._deliver_event_to_lambda)  # noqa: SLF001
    s3._fire_s3_event = _remembering_version(s3._fire_s3_event)  # noqa: SLF001
    lambda_svc._route_async_failure = _on_failure(lambda_svc._route_async_failure)  # noqa: SLF001


def _allows(policy: Any, *, service: str, action: str, resource: str, source: Mapping[str, str]) -> bool:
    context = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context=dict(source),
    )
    return bool(policy) and evaluate_resource_policy(policy, context, service=service).decision == "Allow"


def _queue_allows(queue_arn: str, service: str, source_arn: str, source_account: str) -> bool:
    queue = sqs.queue_policy_for_arn(queue_arn)
    source = {"aws:sourcearn": source_arn}
    if service == _S3:
        source["aws:sourceaccount"] = source_account
    return queue is not None and _allows(
        queue[0], service=service, action="sqs:SendMessage", resource=queue_arn, source=source
    )


def _function_allows(function_arn: str, service: str, source: Mapping[str, str]) -> bool:
    policy = lambda_svc.function_policy_for_arn(function_arn)
    return policy is not None and _allows(
        policy[0],
        service=service,
        action="lambda:InvokeFunction",
        resource=function_arn,
        source=source,
    )


def _invoke(function_arn: str, event: Any) -> None:
    function, config, _ = lambda_svc._get_func_record_for_ref(function_arn)  # noqa: SLF001
    lambda_svc.invoke_async_with_retry(
        lambda_svc._execution_record_for_config(function, config),  # noqa: SLF001
        event,
    )


def _put(queue_arn: str, body: str, attributes: Mapping[str, str]) -> None:
    sqs._act_send_message(  # noqa: SLF001
        {
            "QueueUrl": (url := sqs._queue_url(parse_arn(queue_arn).resource)),  # noqa: SLF001
            "MessageBody": body,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        },
        url,
    )


def _count(namespace: str, metric: str, dimensions: Mapping[str, str]) -> None:
    cloudwatch.record_metric(namespace, metric, 1, "Count", dict(dimensions))


# ------------------------------------------------------------------------------------------------------------- SNS


def _sns_to_lambda(
    endpoint: str, envelope: str, topic_arn: str, subscription: str, *_rest: Any, **_options: Any
) -> None:
    if not _function_allows(endpoint, _SNS, {"aws:sourcearn": topic_arn}):
        _sns_dead_letter(
            endpoint, envelope, topic_arn, f"not authorized to perform lambda:InvokeFunction on {endpoint}"
        )
        return
    record = {
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "EventSource": "aws:sns",
        "Sns": json.loads(envelope),
    }
    _invoke(endpoint, {"Records": [record]})


def _sns_to_sqs(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_or_keep(
        endpoint: str, envelope: str, *rest: Any, topic_arn: str = "", **options: Any
    ) -> None:
        if _queue_allows(endpoint, _SNS, topic_arn, ""):
            deliver(endpoint, envelope, *rest, topic_arn=topic_arn, **options)
        else:
            _sns_dead_letter(
                endpoint, envelope, topic_arn, f"not authorized to perform sqs:SendMessage on {endpoint}"
            )

    return deliver_or_keep


def _sns_dead_letter(endpoint: str, envelope: str, topic_arn: str, why: str) -> None:
    topic = {"TopicName": topic_arn.rpartition(":")[2]}
    _count("AWS/SNS", "NumberOfNotificationsFailed", topic)
    subscriptions = sns._topic_by_arn_any_scope(topic_arn)["subscriptions"]  # noqa: SLF001
    [subscription] = [one for one in subscriptions if one["endpoint"] == endpoint]
    redrive = json.loads(subscription["attributes"].get("RedrivePolicy") or "{}")
    if queue := redrive.get("deadLetterTargetArn"):
        if _queue_allows(queue, _SNS, topic_arn, ""):
            _count("AWS/SNS", "NumberOfNotificationsRedrivenToDlq", topic)
            _put(queue, envelope, {"ErrorCode": "AccessDeniedException", "ErrorMessage": why})
        else:
            _count("AWS/SNS", "NumberOfNotificationsFailedToRedriveToDlq", topic)


# ----------------------------------------------------------------------------------------------------- EventBridge


def _eventbridge_to_target(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_remembering(
        target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None
    ) -> None:
        rule_token, target_token = _rule.set(rule), _target.set(target)
        try:
            invoke(target, event, rule, view)
        finally:
            _rule.reset(rule_token)
            _target.reset(target_token)

    return invoke_remembering


def _eventbridge_to_lambda(arn: str, payload: str) -> None:
    if _function_allows(arn, _EVENTS, {"aws:sourcearn": _rule.get()["Arn"]}):
        _invoke(arn, json.loads(payload))
    else:
        _eventbridge_dead_letter(payload, f"not authorized to perform lambda:InvokeFunction on {arn}")


def _eventbridge_to_sqs(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_or_keep(spec: Any, payload: str, parameters: Any = None) -> None:
        if _queue_allows(str(spec), _EVENTS, _rule.get()["Arn"], ""):
            deliver(spec, payload, parameters)
        else:
            _eventbridge_dead_letter(payload, f"not authorized to perform sqs:SendMessage on {spec}")

    return deliver_or_keep


def _eventbridge_dead_letter(payload: str, why: str) -> None:
    rule, target = _rule.get(), _target.get()
    dimensions = {"RuleName": rule["Name"]}
    if (bus := rule.get("EventBusName", "default")) != "default":
        dimensions["EventBusName"] = bus
    _count("AWS/Events", "FailedInvocations", dimensions)
    if queue := (target.get("DeadLetterConfig") or {}).get("Arn"):
        if _queue_allows(queue, _EVENTS, rule["Arn"], ""):
            _count("AWS/Events", "InvocationsSentToDlq", dimensions)
            attributes = {
                "RULE_ARN": rule["Arn"],
                "TARGET_ARN": target["Arn"],
                "ERROR_CODE": "NO_PERMISSIONS",
                "ERROR_MESSAGE": why,
            }
            _put(queue, payload, attributes)
        else:
            _count("AWS/Events", "InvocationsFailedToBeSentToDlq", dimensions)


# ---------------------------------------------------------------------------------------------------- S3 and Lambda


def _s3_to_lambda(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_if_allowed(arn: str, event: Mapping[str, Any], region: str) -> None:
        bucket = event["Records"][0]["s3"]["bucket"]["name"]
        source = {"aws:sourcearn": f"arn:aws:s3:::{bucket}", "aws:sourceaccount": get_account_id()}
        if _function_allows(arn, _S3, source):
            deliver(arn, event, region)

    return deliver_if_allowed


def _remembering_version(fire: Callable[..., None]) -> Callable[..., None]:
    def fire_with_version(*where: Any, version_id: str | None = None, **options: Any) -> None:
        token = _version.set(version_id)
        try:
            fire(*where, version_id=version_id, **options)
        finally:
            _version.reset(token)

    return fire_with_version


def _with_version(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    def dispatch_naming_version(event: Mapping[str, Any], *rest: Any, **options: Any) -> Any:
        if version := _version.get():
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *rest, **options)

    return dispatch_naming_version


def _on_failure(route: Callable[..., None]) -> Callable[..., None]:
    def route_as_role(target_arn: str, function: str, event: Any, result: Any) -> None:
        role = lambda_svc._functions[function]["config"]["Role"]  # noqa: SLF001
        context = EvalContext(
            principal_arn=role,
            principal_type="AssumedRole",
            principal_account=get_account_id(),
            action="sqs:SendMessage",
            resource_arn=target_arn,
            region=get_region(),
            secure_transport=True,
        )
        allowed = evaluate(context, _gather_role_policies(role.rpartition("/")[2], get_account_id()))
        denied = evaluate_resource_policy(
            (sqs.queue_policy_for_arn(target_arn) or ("", ""))[0] or {}, context
        )
        if allowed.decision == "Allow" and denied.decision != "Deny":
            route(target_arn, function, event, result)
        else:
            _count("AWS/Lambda", "DestinationDeliveryFailures", {"FunctionName": function})

    return route_as_role
