"""The gateway's figures of the last three hours, minute by minute, in one call of GetMetricData."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gateway_cli.answers.queues import NAMESPACE, metric
from gateway_cli.connection import Connection

MINUTES: Final = 180
RECENT_SECONDS: Final = 600.0  # an older data point says nothing about now
PRICE: Final = 0.01 / 1_000  # dollars for each metric of a GetMetricData call
_MOST: Final = 500  # metrics in one call
_SOURCES: Final = ("s3-events", "sns-events", "eventbridge-events", "queued-events")


@dataclass(frozen=True, slots=True)
class Series:
    """One figure by the minute, the newest last; None is a minute without a data point. `start` is the first minute."""

    start: float
    values: tuple[float | None, ...]

    def latest(self, now: float) -> tuple[float, float] | None:
        """Return the newest data point and its age in seconds; None if there is no recent one."""
        for number in range(len(self.values) - 1, -1, -1):
            value, age = self.values[number], now - self.start - 60 * number
            if age > RECENT_SECONDS:
                return None
            if value is not None:
                return value, max(0.0, age)
        return None

    def recently(self, now: float) -> float | None:
        """Return the sum of the last ten minutes; None if there is no data point."""
        first = max(0, int((now - RECENT_SECONDS - self.start) // 60))
        values = [value for value in self.values[first:] if value is not None]
        return sum(values) if values else None


@dataclass(frozen=True, slots=True)
class Figures:
    """Every series by its name, such as `waiting analytics`; `asked` counts the metrics in the call."""

    series: Mapping[str, Series]
    asked: int

    def of(self, name: str) -> Series:
        """Return a series; one that CloudWatch does not have is empty."""
        return self.series.get(name) or Series(0.0, ())

    def counted(self, found: float | None, now: float) -> float | None:
        """Return what was found of a counter; without a data point 0, or None if CloudWatch has none of anything.

        The gateway and Lambda count only what happens, so a counter without a data point has counted nothing.
        """
        if found is None and any(one.latest(now) is not None for one in self.series.values()):
            return 0.0
        return found

    def total(self, *names: str) -> Series:
        """Return the sum of several series; a minute is unknown if none of them has it."""
        found = [one for name in names if (one := self.series.get(name)) is not None]
        if not found:
            return Series(0.0, ())
        columns = zip(*(one.values for one in found), strict=True)
        sums = (
            sum(value for value in column if value is not None)
            if any(v is not None for v in column)
            else None
            for column in columns
        )
        return Series(found[0].start, tuple(sums))


def read_figures(connection: Connection, environments: Sequence[str], now: float) -> Figures:
    """Ask CloudWatch for every figure at once; raises botocore's errors."""
    names = {
        f"m{number}": (name, query) for number, (name, query) in enumerate(_queries(connection, environments))
    }
    names = dict([*names.items()][:_MOST])
    end = int(now // 60) * 60  # the present minute is not over: its sum would look like a slump
    start = end - MINUTES * 60
    answer: Any = connection.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{**query, "Id": number} for number, (_, query) in names.items()],
        StartTime=datetime.fromtimestamp(start, UTC),
        EndTime=datetime.fromtimestamp(end, UTC),
        ScanBy="TimestampAscending",
    )
    series: dict[str, Series] = {}
    for result in answer["MetricDataResults"]:
        values: list[float | None] = [None] * MINUTES
        for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
            minute = int((moment.timestamp() - start) // 60)
            if 0 <= minute < MINUTES:
                values[minute] = value
        if result["Id"] in names:
            series[names[result["Id"]][0]] = Series(float(start), tuple(values))
    return Figures(series, len(names))


def matched(figures: Figures) -> Series:
    """Return the events that a rule matched, of every source."""
    return figures.total(*(f"matched {source}" for source in _SOURCES))


def unmatched(figures: Figures) -> Series:
    """Return the events that no rule matched, of every source."""
    return figures.total(*(f"unmatched {source}" for source in _SOURCES))


def events_in(figures: Figures) -> Series:
    """Return all events, of every source."""
    return figures.total(*(f"{kind} {source}" for kind in ("matched", "unmatched") for source in _SOURCES))


def _queries(connection: Connection, environments: Sequence[str]) -> Iterator[tuple[str, Any]]:
    stack = connection.stack
    for source in _SOURCES:
        service = f"{stack}-{source}"
        yield f"matched {source}", metric("", NAMESPACE, "EventsMatched", "Sum", service=service)
        yield f"unmatched {source}", metric("", NAMESPACE, "EventsUnmatched", "Sum", service=service)
    queues = {"retries": "IngressRetryQueueUrl", "dead events": "IngressDlqUrl", "members": "CollectQueueUrl"}
    for name, output in queues.items():
        yield name, _visible(connection.stack_output(output))
    for name in environments:
        queue = connection.stack_output("TriggerQueueUrlTemplate").replace("{environment}", name)
        service = f"{stack}-dispatcher-{name}"
        ours = {"environment": name, "service": service}
        accepted = "EventToAcceptedSeconds"
        yield f"waiting {name}", _visible(queue)
        yield f"tried {name}", _of_queue(queue, "ApproximateNumberOfMessagesNotVisible")
        yield f"oldest {name}", _of_queue(queue, "ApproximateAgeOfOldestMessage")
        yield f"started {name}", metric("", NAMESPACE, "Triggered", "Sum", **ours)
        yield (
            f"busy {name}",
            metric("", "AWS/Lambda", "ConcurrentExecutions", "Maximum", FunctionName=service),
        )
        yield f"p50 {name}", metric("", NAMESPACE, accepted, "p50", **ours)
        yield f"p99 {name}", metric("", NAMESPACE, accepted, "p99", **ours)
        if connection.stack_parameters.get("StepFunctionsTasks") == "true":
            watcher = {"environment": name, "service": f"{stack}-run-watcher-{name}"}
            yield f"watched {name}", metric("", NAMESPACE, "RunsWatched", "Maximum", **watcher)


def _visible(queue_url: str) -> Any:
    return _of_queue(queue_url, "ApproximateNumberOfMessagesVisible")


def _of_queue(queue_url: str, name: str) -> Any:
    return metric("", "AWS/SQS", name, "Maximum", QueueName=queue_url.rsplit("/", 1)[-1])
