"""Reads what an answer needs: one search of the log, then at most three more queries to AWS, chosen by what it found."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway_cli.answers.airflow import mwaa_name, runs_now
from gateway_cli.answers.evidence import BatchNow, Circuit, Evidence, QueueNow, RequestRow, RunNow
from gateway_cli.answers.insights import Insights, TrailSource, about
from gateway_cli.answers.mwaa_status import mwaa_status
from gateway_cli.answers.queues import queue_now
from gateway_cli.answers.requests import ATTEMPTS, taken_over
from gateway_cli.answers.subject import Subject
from gateway_cli.answers.tables import (
    circuit_keys,
    circuit_of,
    request_key,
    request_row,
    rows_by_key,
    rows_of_event,
)
from gateway_cli.answers.trail import TrailLine, iso
from gateway_cli.answers.uploads import look_at_upload
from gateway_cli.aws_errors import errors_as_refusals, found_or_why
from gateway_cli.connection import Connection
from gateway_cli.output import Refused
from mwaa_gateway.trigger_request import event_hash, identity_of

if TYPE_CHECKING:
    from mwaa_gateway.aws.dynamodb.batches import BatchesTable

MOST_READS: Final = 3
_AGAIN_SECONDS: Final = 2.0  # before the log is searched again for what it did not have
_RECENT_SECONDS: Final = 900.0  # the second search: only what Logs Insights may not have had yet

Found = TypeVar("Found")


@dataclass
class Reads:
    """The queries that are left, and what could not be read."""

    left: int = MOST_READS
    unread: list[str] = field(default_factory=list)

    def read(self, what: str, ask: Callable[[], Found]) -> Found | None:
        """Ask one query; None, with a note, if it fails or none is left."""
        if not self.left:
            self.unread.append(f"{what} was not read, to keep the answer at {MOST_READS} queries")
            return None
        self.left -= 1
        found, why = found_or_why(ask)
        if why:
            self.unread.append(f"{what} could not be read: {why}")
        return found


def gather(
    connection: Connection,
    subject: Subject,
    *,
    since: float,
    now: Callable[[], float] = time.time,
    trail: TrailSource | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Evidence:
    """Read everything about a subject; what cannot be read is in the evidence's `unread`, and stops nothing."""
    reads = Reads()
    asked_at = now()
    try:
        with errors_as_refusals():
            lines = _search(trail or Insights.of(connection), subject, since, asked_at, sleep)
    except Refused as error:
        searched, lines = False, []
        reads.unread.append(f"the log could not be searched: {error.message}")
    else:
        searched = True
    event, earlier = newest_event(lines, subject)
    gathering = _Gathering(connection, subject, event, reads, asked_at)
    gathering.everything()
    return Evidence(
        subject=subject,
        now=now(),
        searched_since=since,
        lines=tuple(event),
        earlier=tuple(earlier),
        log_searched=searched,
        log_unmatched=connection.stack_parameters.get("LogUnmatched") or "all",
        log_level=connection.stack_parameters.get("LogLevel") or "INFO",
        region=connection.client("sqs").meta.region_name,
        unread=tuple(reads.unread),
        **gathering.found,
    )


def newest_event(lines: Sequence[TrailLine], subject: Subject) -> tuple[list[TrailLine], list[str]]:
    """Return the lines of the newest event, and the ids of the others, the newest first.

    A run or a batch is one story, however many events its lines name.
    """
    if subject.field in ("run_id", "batch_id"):
        return [*lines], []
    stories: list[list[TrailLine]] = []
    unnamed = [line for line in lines if not line.event_id and not line.identity]
    for line in (line for line in lines if line not in unnamed):
        same = [story for story in stories if any(_is_same_event(line, other) for other in story)]
        stories = [story for story in stories if story not in same]
        stories.append([*(other for story in same for other in story), line])
    if not stories:
        return [*lines], []
    *others, newest = sorted(stories, key=lambda story: min(line.at for line in story))
    begun = min(line.at for line in newest)
    chosen = [line for line in lines if line in newest or (line in unnamed and line.at >= begun)]
    return chosen, [name for story in reversed(others) if (name := story[0].event_id or story[0].identity)]


def _is_same_event(line: TrailLine, other: TrailLine) -> bool:
    """Return whether two lines are about one event: S3's notification and EventBridge's event differ in their ids only."""
    return (line.identity != "" and line.identity == other.identity) or (
        line.event_id != "" and line.event_id == other.event_id
    )


def _search(
    trail: TrailSource,
    subject: Subject,
    since: float,
    now: float,
    sleep: Callable[[float], None],
) -> list[TrailLine]:
    """Search the log, and once more for recent lines if it has none: Logs Insights lags some seconds."""
    lines = trail.find(about(subject), since, now)
    if lines:
        return lines
    sleep(_AGAIN_SECONDS)
    return trail.find(about(subject), max(since, now - _RECENT_SECONDS), now + _AGAIN_SECONDS)


@dataclass
class _Gathering:
    """The queries about one event, in the order of what they depend on; `found` are fields of `Evidence`."""

    connection: Connection
    subject: Subject
    lines: Sequence[TrailLine]
    reads: Reads
    now: float
    found: dict[str, Any] = field(default_factory=dict)

    def everything(self) -> None:
        """Read what these lines call for."""
        gone = taken_over(self.lines)
        requested = {
            line.run_id: line
            for line in self.lines
            if line.run_id and line.run_id not in gone and _names_a_row(line)
        }
        members = [line for line in self.lines if line.outcome == "Member"]
        rows: list[RequestRow] = []
        if requested:
            rows = self._requests(list(requested.values()))
        elif not self.lines and self.subject.field in ("event_id", "identity"):
            rows = self._of_identity()
        if self.subject.field == "batch_id":
            self._batch(self.subject.value)
        elif members:
            self._member(members[-1])
        rows += self._of_batch(rows)
        if rows:
            self.found["rows"] = tuple(rows)
        self._follow(rows, requested)
        if self.lines and all(line.outcome == "Unmatched" for line in self.lines):
            self._rules(self.lines[-1])
        if not self.lines and not rows and self.subject.is_upload:
            self.found["upload"] = look_at_upload(self.connection, self.subject.value, self.reads.read)

    # --- the ledger

    def _ledger(self) -> str:
        return self.connection.stack_output("LedgerTableName")

    def _requests(self, lines: Sequence[TrailLine]) -> list[RequestRow]:
        """Read the rows of requests and the circuit breakers before them, in one call."""
        keys = [request_key(line) for line in lines]
        places = dict.fromkeys((line.environment, line.dag_id) for line in lines)
        keys += circuit_keys(places)
        items = self.reads.read("the ledger", lambda: rows_by_key(self.connection, self._ledger(), keys))
        circuits = [circuit for item in items or () if (circuit := circuit_of(item)) is not None]
        self.found["circuits"] = tuple(circuits)
        return [row for item in items or () if (row := request_row(item)) is not None]

    def _of_identity(self) -> list[RequestRow]:
        """Read the rows of an event that the log does not have: an EventBridge event's hash follows from its id."""
        subject = self.subject
        identity = subject.value
        if subject.field == "event_id":
            identity = event_hash(identity_of("eventbridge", subject.value))
        items = self.reads.read(
            "the ledger", lambda: rows_of_event(self.connection, self._ledger(), identity)
        )
        return [row for item in items or () if (row := request_row(item)) is not None]

    # --- batches

    def _table(self) -> "BatchesTable":
        from mwaa_gateway.aws.dynamodb.batches import BatchesTable  # noqa: PLC0415  only for a batch, as below

        name = self.connection.stack_output("BatchesTableName")
        return BatchesTable(self.connection.dynamodb, name, now=lambda: self.now)

    def _member(self, line: TrailLine) -> None:
        """Read a member's pointer, then its batch. A member's id is the first half of its event's hash."""
        member = line.identity[:32]
        pointers = self.reads.read(
            "the member's batch", lambda: self._table().pointers(line.rule_id, [member])
        )
        if pointers and member in pointers:
            self._batch(pointers[member].batch_id)

    def _batch(self, batch_id: str) -> None:
        from gateway_cli.answers.batch_now import read_batch  # noqa: PLC0415

        batch = self.reads.read(
            f"batch {batch_id}",
            lambda: read_batch(self._table(), batch_id, self.now, may_count=self.reads.left > 0),
        )
        if batch is not None:
            found, counted = batch
            self.reads.left -= counted
            self.found["batch"] = found

    def _of_batch(self, rows: Sequence[RequestRow]) -> list[RequestRow]:
        """Read the rows of a released batch's requests."""
        batch: BatchNow | None = self.found.get("batch")
        if batch is None or not batch.request_keys:
            return []
        have = {row.run_id for row in rows}
        if have & set(batch.run_ids):
            return []
        keys = [*batch.request_keys]
        items = self.reads.read(
            "the ledger's rows of the batch", lambda: rows_by_key(self.connection, self._ledger(), keys)
        )
        return [row for item in items or () if (row := request_row(item)) is not None]

    # --- what a request waits for, or became

    def _follow(self, rows: Sequence[RequestRow], requested: dict[str, TrailLine]) -> None:
        have = {row.run_id for row in rows}
        waiting = {line.environment for name, line in requested.items() if name not in have}
        waiting |= {row.environment for row in rows if row.state == "open"}
        self._mwaa(waiting)
        for line in requested.values():
            attempted = any(one.run_id == line.run_id and one.outcome in ATTEMPTS for one in self.lines)
            if line.run_id not in have and not attempted and not self._is_behind_circuit(line):
                self._queue(line.environment)
                break
        self.found["mwaa_names"] = {
            row.environment: mwaa_name(self.connection, row.environment) for row in rows
        }
        accepted = [row for row in rows if row.state == "triggered"]
        if accepted:
            self._runs(accepted)

    def _mwaa(self, waiting: Collection[str]) -> None:
        """Ask MWAA about the first environment that is unavailable and that a request waits for."""
        circuits: Iterable[Circuit] = self.found.get("circuits", ())
        away = next(
            (one.environment for one in circuits if not one.dag_id and one.environment in waiting), None
        )
        if away is not None:
            found = self.reads.read(f"MWAA's status of {away}", lambda: mwaa_status(self.connection, away))
            self.found["mwaa"] = {away: found} if found else {}

    def _is_behind_circuit(self, line: TrailLine) -> bool:
        circuits: Iterable[Circuit] = self.found.get("circuits", ())
        return any(
            one.environment == line.environment and one.dag_id in ("", line.dag_id) for one in circuits
        )

    def _queue(self, environment: str) -> None:
        queue: QueueNow = queue_now(self.connection, environment, self.now, self.reads.read)
        self.found["queues"] = {environment: queue}

    def _runs(self, rows: Sequence[RequestRow]) -> None:
        """Ask Airflow about the runs of the first DAG; others have their own answers."""
        runs = {line.run_id: RunNow("success", end_date=iso(line.at)) for line in self.lines if _is_end(line)}
        first = rows[0]
        same = [row for row in rows if (row.environment, row.dag_id) == (first.environment, first.dag_id)]
        ask = [row.run_id for row in same if row.run_id not in runs]
        if ask:
            since = min(row.finished_at or self.now for row in same)
            found = self.reads.read(
                "Airflow's state of the run",
                lambda: runs_now(self.connection, first.environment, first.dag_id, ask, since),
            )
            runs |= found or {}
        for row in rows:
            if row not in same:
                runs[row.run_id] = RunNow(why_not=f"`mwaa-gateway why {row.run_id}` asks Airflow")
        self.found["runs"] = runs

    # --- rules

    def _rules(self, line: TrailLine) -> None:
        from gateway_cli.answers.rules_now import look_at_rules  # noqa: PLC0415  the pattern language

        self.found |= look_at_rules(self.connection, line, self.reads.read)


def _names_a_row(line: TrailLine) -> bool:
    return bool(line.identity and line.rule_id and line.target_id) and (
        line.outcome == "Requested" or line.outcome in ATTEMPTS
    )


def _is_end(line: TrailLine) -> bool:
    """Return whether the run watcher saw the run succeed. It calls Failed also what it could not tell: ask Airflow then."""
    return line.outcome == "Ended" and line.state == "Succeeded"
