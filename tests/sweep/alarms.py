"""Who would be woken: the alarms of template.yaml, compared with what the functions and their queues have shown."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from sweep.deployed import ENVIRONMENTS, Deployed
from template.expansion import Template, expand_template, read_source

__all__ = ["function_resource", "ringing", "template"]

Metric = tuple[str, str, frozenset[tuple[str, str]]]

_FUNCTIONS = {
    "s3_events": "S3EventsFunction",
    "sns_events": "SnsEventsFunction",
    "eventbridge_events": "EventBridgeEventsFunction",
    "queued_events": "QueuedEventsFunction",
    "step_functions_task": "StepFunctionsTaskFunction",
    "ended_executions": "EndedExecutionsFunction",
    "batch_collector": "BatchCollectorFunction",
    "batch_releaser": "BatchReleaserFunction",
    "batch_timers": "BatchTimersFunction",
}
_QUEUES = {
    "ingress-dlq": "IngressDlq",
    "mwaa-gateway-ingress-retry": "IngressRetryQueue",
    "ended-executions": "EndedExecutionsQueue",
    "collect": "CollectQueue",
    "look": "LookQueue",
} | {
    queue: f"{resource}{name}"
    for name in ENVIRONMENTS
    for queue, resource in (
        (f"trigger-{name}", "TriggerQueue"),
        (f"trigger-dlq-{name}", "TriggerDlq"),
        (f"watch-{name}.fifo", "WatchQueue"),
    )
}


@cache
def template(transports: str = "analytics=cli,legacy=rest") -> Template:
    """What is deployed: two environments, one over each transport, and states that wait."""
    parameters = {
        "Environments": ",".join(ENVIRONMENTS),
        "Transports": transports,
        "EventQueueArns": "arn:aws:sqs:eu-central-1:123456789012:uploads",
        "TaskDags": "*",
        "WebLoginRole": "Viewer",
    }
    return expand_template(read_source(), parameters)


def function_resource(function: str) -> str:
    """The logical id of a function."""
    name, _, environment = function.partition(" ")
    return _FUNCTIONS.get(name) or f"{'dispatcher' if name == 'dispatcher' else 'watcher'}{environment}"


def ringing(gateway: Deployed) -> set[str]:
    """The alarms that ring if nothing changes."""
    shown = _shown(gateway)
    found = set()
    for name, alarm in template().of_type("AWS::CloudWatch::Alarm").items():
        dimensions = frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"])
        values = shown.get((alarm["Namespace"], alarm["MetricName"], dimensions))
        if (
            values
            and _statistic(alarm.get("Statistic") or alarm["ExtendedStatistic"], values) > alarm["Threshold"]
        ):
            found.add(name)
    return found


def _statistic(name: str, values: list[float]) -> float:
    match name:
        case "Sum":
            return sum(values)
        case "Maximum" | "p99":  # of fewer than a hundred values
            return max(values)
        case "Minimum":
            return min(values)
        case "Average":
            return sum(values) / len(values)
    raise AssertionError(f"teach the sweep the statistic {name}")


def _shown(gateway: Deployed) -> Mapping[Metric, list[float]]:
    shown: defaultdict[Metric, list[float]] = defaultdict(list)
    for function, text in gateway.printed:
        for line in text.splitlines():
            document = json.loads(line)
            for metric, value in _metrics(document, function_resource(function)):
                shown[metric].append(value)
    for function, count in gateway.errors.items():
        named = frozenset({("FunctionName", f"<{function_resource(function)}>")})
        shown["AWS/Lambda", "Errors", named].append(count)
    for queue, resource in _QUEUES.items():
        named = frozenset({("QueueName", f"<{resource}.QueueName>")})
        count = len(gateway.messages(queue))
        shown["AWS/SQS", "ApproximateNumberOfMessagesVisible", named].append(count)
        # What is not done by now stays until the trouble ends: it grows as old as any threshold.
        shown["AWS/SQS", "ApproximateAgeOfOldestMessage", named].append(float("inf") if count else 0.0)
    return shown


def _metrics(document: dict[str, Any], function: str) -> Iterator[tuple[Metric, float]]:
    """What a line in CloudWatch's embedded metric format says, under the function's own name."""
    for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
        for names in directive["Dimensions"]:
            dimensions = {name: document[name] for name in names} | {"service": f"<{function}>"}
            for metric in directive["Metrics"]:
                values = document[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield (directive["Namespace"], metric["Name"], frozenset(dimensions.items())), value
