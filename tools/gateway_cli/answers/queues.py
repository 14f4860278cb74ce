"""An environment's trigger queue: its depth from SQS, its oldest message and the pace of starts from CloudWatch."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from gateway_cli.answers.evidence import QueueNow
from gateway_cli.connection import Connection

NAMESPACE: Final = "MwaaTriggerGateway"
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
_MINUTES: Final = 10  # over which the pace is averaged
_LAST: Final = 600.0  # seconds: an older data point says nothing about now

Read = Callable[[str, Callable[[], Any]], Any]


def queue_now(connection: Connection, environment: str, now: float, read: Read) -> QueueNow:
    """Return an environment's queue, with two queries; a figure that cannot be read is None."""
    url = connection.stack_output("TriggerQueueUrlTemplate").replace("{environment}", environment)
    counts = read(
        f"the queue of {environment}",
        lambda: connection.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[*_COUNTS])["Attributes"],
    )
    pace = read(f"the pace of {environment}", lambda: _pace(connection, url, environment, now))
    oldest, starts = pace or (None, None)
    return QueueNow(
        waiting=None if counts is None else int(counts[_COUNTS[0]]),
        in_flight=None if counts is None else int(counts[_COUNTS[1]]),
        oldest_seconds=oldest,
        starts_per_minute=starts,
    )


def _pace(
    connection: Connection, url: str, environment: str, now: float
) -> tuple[float | None, float | None]:
    service = f"{connection.stack}-dispatcher-{environment}"  # Powertools' own dimension
    answer = connection.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            metric(
                "oldest",
                "AWS/SQS",
                "ApproximateAgeOfOldestMessage",
                "Maximum",
                QueueName=url.rsplit("/", 1)[-1],
            ),
            metric("starts", NAMESPACE, "Triggered", "Sum", environment=environment, service=service),
        ],
        StartTime=datetime.fromtimestamp(now - _LAST, UTC),
        EndTime=datetime.fromtimestamp(now, UTC),
        ScanBy="TimestampDescending",
    )
    found = {one["Id"]: one["Values"] for one in answer["MetricDataResults"]}
    oldest, starts = found.get("oldest"), found.get("starts")
    return (oldest[0] if oldest else None), (sum(starts) / _MINUTES if starts else None)


def metric(name: str, namespace: str, metric_name: str, stat: str, **dimensions: str) -> Any:
    """Return one series, by the minute, for GetMetricData."""
    listed = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {"Namespace": namespace, "MetricName": metric_name, "Dimensions": listed},
            "Period": 60,
            "Stat": stat,
        },
    }
