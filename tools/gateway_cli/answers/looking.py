"""Reads the state of a gateway; a source that does not answer leaves its figures unknown and stops no other."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from gateway_cli.answers.evidence import QueueNow
from gateway_cli.answers.insights import Insights
from gateway_cli.answers.mwaa_status import MwaaStatus, mwaa_status
from gateway_cli.answers.now import EnvironmentNow, Now, Trouble, newest
from gateway_cli.answers.queues import NAMESPACE, metric
from gateway_cli.answers.stopped import Stopped, read_open_batches, read_stopped
from gateway_cli.answers.switches import Switches, read_switches
from gateway_cli.answers.trail import TrailLine
from gateway_cli.answers.words import cut
from gateway_cli.aws_errors import found_or_why
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerRow
from mwaa_gateway.outcomes import Reason

_AT_ONCE: Final = 8
_MINUTES: Final = 10
_MOST_TROUBLES: Final = 5
_EVENTS: Final = ("matched", "unmatched")
_COUNTED: Final = ("starts", "busy", "watched")
_TROUBLE_SECONDS: Final = 3_600.0
_TROUBLES: Final = ("Dead", "Rejected", "Late", "Overdue", "Cancelled")

Found = TypeVar("Found")
_WAITING: Final = "ApproximateNumberOfMessages"
_HIDDEN: Final = "ApproximateNumberOfMessagesNotVisible"


@dataclass
class Look:
    """One look at a gateway. `unread` collects what could not be read."""

    connection: Connection
    environments: Sequence[str]
    now: float = field(default_factory=time.time)
    unread: list[str] = field(default_factory=list)

    def all(self, *, troubles: tuple[Trouble, ...] | None = None) -> Now:
        """Ask every source at once; `troubles` are those of an earlier look, to save the search of the log."""
        self._connect()
        connection = self.connection
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            queues = {name: pool.submit(self._queue, name) for name in self.environments}
            others = {
                name: pool.submit(self._depth, name) for name in ("Collect", "IngressRetry", "IngressDlq")
            }
            series = pool.submit(self._series)
            switches = pool.submit(
                self._read,
                "circuit breakers and pauses",
                lambda: read_switches(connection, self.environments),
            )
            stopped = pool.submit(
                self._read, "dead and held requests", lambda: read_stopped(connection, all_of_them=True)
            )
            batches = pool.submit(
                self._read, "open batches", lambda: read_open_batches(connection, all_of_them=True)
            )
            found = pool.submit(self._troubles) if troubles is None else None
            stops = switches.result()
            if stops is not None and stops.circuits:
                _ = connection.mwaa  # built here: see `_connect`
            asked = {name: pool.submit(self._mwaa_status, name) for name in (stops.circuits if stops else ())}
        opened, rows, figures = batches.result(), stopped.result(), series.result() or {}
        return Now(
            at=self.now,
            environments=tuple(
                self._environment(
                    name,
                    queues[name].result(),
                    figures,
                    rows,
                    stops,
                    asked[name].result() if name in asked else None,
                )
                for name in self.environments
            ),
            open_batches=None if opened is None else opened.count,
            overdue_batches=None if opened is None or opened.more else len(opened.overdue),
            members=others["Collect"].result(),
            retries=others["IngressRetry"].result(),
            dead_events=others["IngressDlq"].result(),
            matched=_whole(figures.get("matched")),
            unmatched=_whole(figures.get("unmatched")),
            troubles=troubles if found is None else self._newest(found.result(), rows),
            unread=tuple(dict.fromkeys(self.unread)),
        )

    def _connect(self) -> None:
        """Build what the threads share; boto3 sessions are not safe to use from several threads."""
        connection = self.connection
        _ = (connection.stack_outputs, connection.dynamodb, connection.sqs)
        self._cloudwatch = connection.client("cloudwatch")
        self._insights = Insights.of(connection)

    def _read(self, what: str, ask: Callable[[], Found]) -> Found | None:
        found, why = found_or_why(ask)
        if why:
            self.unread.append(f"{what}: not known: {why}")
        return found

    # --- environments

    def _environment(  # noqa: PLR0917  what each source found
        self,
        name: str,
        depths: tuple[int, int] | None,
        figures: dict[str, float],
        stopped: Stopped | None,
        stops: Switches | None,
        mwaa: MwaaStatus | None,
    ) -> EnvironmentNow:
        starts = figures.get(_id("starts", name, self.environments))
        slots = self.connection.stack_parameters.get("SlotsPerEnvironment", "")

        def counted(rows: Iterable[LedgerRow]) -> int | None:
            return None if stopped is None else sum(row.environment == name for row in rows)

        return EnvironmentNow(
            name=name,
            queue=QueueNow(
                waiting=None if depths is None else depths[0],
                in_flight=None if depths is None else depths[1],
                oldest_seconds=figures.get(_id("oldest", name, self.environments)),
                starts_per_minute=None if starts is None else starts / _MINUTES,
            ),
            busy=_whole(figures.get(_id("busy", name, self.environments))),
            slots=int(slots) if slots.isdecimal() else None,
            held=counted(stopped.held if stopped else ()),
            dead=counted(stopped.dead if stopped else ()),
            watched=_whole(figures.get(_id("watched", name, self.environments))),
            circuit=stops.circuits.get(name) if stops else None,
            mwaa=mwaa,
            paused=stops.pauses.get(name, "") if stops else "",
            is_read=stops is not None,
        )

    def _queue(self, name: str) -> tuple[int, int] | None:
        url = self.connection.stack_output("TriggerQueueUrlTemplate").replace("{environment}", name)
        return self._read(f"the queue of {name}", lambda: self._attributes(url))

    def _depth(self, name: str) -> int | None:
        depths = self._read(
            f"the queue {name}",
            lambda: self._attributes(
                self.connection.stack_output(f"{name}{'Queue' * (name != 'IngressDlq')}Url")
            ),
        )
        return None if depths is None else sum(depths)

    def _attributes(self, url: str) -> tuple[int, int]:
        answer = self.connection.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[_WAITING, _HIDDEN])
        return int(answer["Attributes"][_WAITING]), int(answer["Attributes"][_HIDDEN])

    def _mwaa_status(self, name: str) -> MwaaStatus | None:
        return self._read(f"MWAA's status of {name}", lambda: mwaa_status(self.connection, name))

    # --- CloudWatch

    def _series(self) -> dict[str, float] | None:
        """Return the newest figures that CloudWatch has; a series without a recent point is missing."""
        answer = self._read(
            "the figures of CloudWatch",
            lambda: self._cloudwatch.get_metric_data(
                MetricDataQueries=[*self._queries()],
                StartTime=datetime.fromtimestamp(self.now - _MINUTES * 60, UTC),
                EndTime=datetime.fromtimestamp(self.now, UTC),
                ScanBy="TimestampDescending",
            )["MetricDataResults"],
        )
        if answer is None:
            return None
        figures: dict[str, float] = {}
        for one in answer:
            if not one["Values"]:
                continue
            kind, _, of = one["Id"].partition("_")
            name = kind if kind in _EVENTS else f"{kind}_{of}"
            figure = sum(one["Values"]) if kind in (*_EVENTS, "starts") else one["Values"][0]
            figures[name] = figures.get(name, 0.0) + figure
        if figures:
            # The gateway counts only what happens, so no point is none; without any point at all nothing is known.
            counted = [_id(kind, name, self.environments) for kind in _COUNTED for name in self.environments]
            figures = dict.fromkeys((*_EVENTS, *counted), 0.0) | figures
        return figures

    def _queries(self) -> Iterator[Any]:
        stack, names = self.connection.stack, self.environments
        template = self.connection.stack_output("TriggerQueueUrlTemplate").rsplit("/", 1)[-1]
        for name in names:
            queue = template.replace("{environment}", name)
            dispatcher, watcher = f"{stack}-dispatcher-{name}", f"{stack}-run-watcher-{name}"
            yield metric(
                _id("oldest", name, names),
                "AWS/SQS",
                "ApproximateAgeOfOldestMessage",
                "Maximum",
                QueueName=queue,
            )
            yield metric(
                _id("busy", name, names),
                "AWS/Lambda",
                "ConcurrentExecutions",
                "Maximum",
                FunctionName=dispatcher,
            )
            yield metric(
                _id("starts", name, names),
                NAMESPACE,
                "Triggered",
                "Sum",
                environment=name,
                service=dispatcher,
            )
            yield metric(
                _id("watched", name, names),
                NAMESPACE,
                "RunsWatched",
                "Maximum",
                environment=name,
                service=watcher,
            )
        for function in ("s3-events", "sns-events", "eventbridge-events", "queued-events"):
            service = f"{stack}-{function}"
            suffix = function.replace("-", "_")
            yield metric(f"matched_{suffix}", NAMESPACE, "EventsMatched", "Sum", service=service)
            yield metric(f"unmatched_{suffix}", NAMESPACE, "EventsUnmatched", "Sum", service=service)

    # --- troubles

    def _troubles(self) -> list[TrailLine] | None:
        listed = ", ".join(f'"{outcome}"' for outcome in _TROUBLES)
        condition = f"ispresent(trail) and outcome in [{listed}]"
        since = self.now - _TROUBLE_SECONDS
        return self._read("the newest troubles", lambda: self._insights.find(condition, since, self.now, 50))

    def _newest(
        self, lines: Iterable[TrailLine] | None, stopped: Stopped | None
    ) -> tuple[Trouble, ...] | None:
        """Return the newest troubles of the log and of the ledger; None if neither answered."""
        if lines is None and stopped is None:
            return None
        found = [
            Trouble(
                row.stopped_at,
                f"{row.rule_id} → {row.environment}:{row.dag_id} is dead ({row.reason})",
                row.run_id,
            )
            for row in (stopped.dead if stopped else ())
            if row.reason != Reason.CANCELLED
        ]
        found += [
            Trouble(line.at, _said(line), subject) for line in lines or () if (subject := _subject(line))
        ]
        return newest(found, _MOST_TROUBLES)


def _subject(line: TrailLine) -> str:
    if line.outcome in ("Overdue", "Cancelled") and line.batch_id:
        return line.batch_id
    return line.run_id or line.event_id or line.batch_id


def _said(line: TrailLine) -> str:
    about = line.rule_id or line.resource or line.event_id
    if line.outcome in ("Dead", "Rejected"):
        return f"{about} is dead ({line.reason})"
    return f"{about} {line.outcome.lower()}: {cut(line.message)[:60]}"


def _id(kind: str, name: str, names: Sequence[str]) -> str:
    """Return the id of a series: GetMetricData allows letters, digits and underscores."""
    return f"{kind}_{names.index(name)}"


def _whole(figure: float | None) -> int | None:
    return None if figure is None else int(figure)
