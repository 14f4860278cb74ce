"""Finds the lines of the trail with CloudWatch Logs Insights: one query, on one indexed field."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import ClientError

from gateway_cli.answers.subject import Subject
from gateway_cli.answers.trail import TrailLine, read_line, seconds
from gateway_cli.connection import Connection
from gateway_cli.output import Refused

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

MOST_LINES: Final = 500
_MOST_GROUPS: Final = 50  # StartQuery's limit
_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 2.0
_PATIENCE_SECONDS: Final = 90.0
_OF_THE_STACK: Final = (
    "s3-events",
    "sns-events",
    "eventbridge-events",
    "queued-events",
    "batch-collector",
    "batch-releaser",
    "batch-timers",
)
_OF_TASKS: Final = ("step-functions-task", "ended-executions")


class TrailSource(Protocol):
    """Where the lines of the trail are found."""

    def find(self, condition: str, since: float, until: float, most: int = MOST_LINES) -> list[TrailLine]:
        """Return the newest lines that meet a condition of Logs Insights, oldest first; times are in seconds.

        Raises:
            Refused: the log cannot be searched.
        """


def about(subject: Subject) -> str:
    """Return the condition that finds everything about a subject."""
    return equals(subject.field, subject.value)


def equals(name: str, value: str) -> str:
    """Return a condition on one field; Logs Insights compares upper and lower case exactly."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name} = "{quoted}"'


def log_groups(stack: str, parameters: Mapping[str, str], environments: Sequence[str]) -> list[str]:
    """Return the log groups of the functions that write the trail."""
    tasks = parameters.get("StepFunctionsTasks") == "true"
    names = [*_OF_THE_STACK, *(_OF_TASKS if tasks else ()), *(f"dispatcher-{name}" for name in environments)]
    names += [f"run-watcher-{name}" for name in environments] if tasks else []
    return [f"/aws/lambda/{stack}-{name}" for name in names]


@dataclass(frozen=True, slots=True)
class Insights:
    """Implements `TrailSource`."""

    client: "CloudWatchLogsClient"
    groups: Sequence[str]
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, connection: Connection) -> "Insights":
        """Return the logs of a gateway's functions."""
        names = sorted(connection.environments or ())
        return cls(
            connection.client("logs"), log_groups(connection.stack, connection.stack_parameters, names)
        )

    def find(self, condition: str, since: float, until: float, most: int = MOST_LINES) -> list[TrailLine]:
        """Search every log group at once."""
        query = f"fields @timestamp, @message | filter {condition} | sort @timestamp desc | limit {most}"
        rows = self.rows(query, since, until)
        lines = [read_line(row.get("@message", ""), seconds(row.get("@timestamp"))) for row in rows]
        return sorted((line for line in lines if line is not None), key=lambda line: line.at)

    def rows(self, query: str, since: float, until: float) -> list[dict[str, str]]:
        """Run a query and return its rows, each by field; beyond 50 log groups, which are 21 environments, two queries.

        Raises:
            Refused: it failed, or took too long.
        """
        started = [
            self.client.start_query(
                logGroupNames=[*self.groups[first : first + _MOST_GROUPS]],
                startTime=int(since),
                endTime=int(until) + 1,
                queryString=query,
            )["queryId"]
            for first in range(0, len(self.groups), _MOST_GROUPS)
        ]
        end = self.monotonic() + _PATIENCE_SECONDS
        return [row for query_id in started for row in self._results(query_id, end)]

    def _results(self, query_id: str, end: float) -> list[dict[str, str]]:
        wait = _FIRST_WAIT
        while True:
            answer: Any = self.client.get_query_results(queryId=query_id)
            match answer["status"]:
                case "Complete":
                    return [{field["field"]: field["value"] for field in row} for row in answer["results"]]
                case "Scheduled" | "Running" | "Unknown" if self.monotonic() < end:
                    self.sleep(wait)
                    wait = min(wait * 1.5, _LONGEST_WAIT)
                case status:
                    self._stop(query_id)
                    raise Refused(
                        f"the search of the log ended as {status}: ask for a shorter time with --since"
                    )

    def _stop(self, query_id: str) -> None:
        """Stop a query that takes too long: it would count against the account's 100 at once."""
        try:
            self.client.stop_query(queryId=query_id)
        except ClientError:
            return  # it has ended, or the policy lacks logs:StopQuery: it stops by itself
