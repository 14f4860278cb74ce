"""What was read about an event: lines of its trail, rows, rules, batch, queue, circuit breakers, Airflow's states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway_cli.answers.subject import Subject
from gateway_cli.answers.trail import TrailLine

if TYPE_CHECKING:
    from gateway_cli.answers.mwaa_status import MwaaStatus
    from gateway_cli.answers.nearest import RuleFit


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A trigger request's row in the ledger. Times are in seconds since the epoch; None: not yet, or not recorded."""

    run_id: str
    state: str
    rule_id: str
    environment: str
    dag_id: str
    reason: str = ""
    text: str = ""
    attempt: int = 0
    redrives: int = 0
    not_runnable: str = ""
    last_attempt_at: float | None = None
    finished_at: float | None = None
    stopped_at: float | None = None
    event_id: str = ""  # of the event that the request was made of
    resource: str = ""
    event_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNow:
    """A batch as it is now; `missing` is None if it was not counted, `members` None if that is not known either."""

    id: str
    rule_id: str
    key: str
    state: str
    members: int | None = None
    missing: tuple[str, ...] | None = None
    due_at: float | None = None
    releases_at: float | None = None
    releases_because: str = ""
    is_overdue: bool = False
    is_shadow: bool = False
    reason: str = ""
    by: str = ""
    is_complete: bool | None = None
    run_ids: tuple[str, ...] = ()
    request_keys: tuple[dict[str, Any], ...] = ()  # of the ledger, in the order of `run_ids`
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circuit:
    """An open circuit breaker; `dag_id` is "" for the environment's."""

    environment: str
    dag_id: str
    open_since: float
    probe_at: float
    failures: int


@dataclass(frozen=True, slots=True)
class QueueNow:
    """An environment's trigger queue, approximately; None: not known."""

    waiting: int | None = None
    in_flight: int | None = None
    oldest_seconds: float | None = None
    starts_per_minute: float | None = None

    @property
    def drained_in(self) -> float | None:
        """In how many seconds the queue is empty at the present pace; None if that is not known, or never."""
        if self.waiting is None or not self.starts_per_minute:
            return None
        return (self.waiting + (self.in_flight or 0)) / self.starts_per_minute * 60


@dataclass(frozen=True, slots=True)
class RunNow:
    """Airflow's state of a run: queued, running, success, failed, or missing. "" if Airflow was not asked: `why_not`."""

    state: str = ""
    start_date: str = ""
    end_date: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What S3 says of an object that the gateway never saw. None: not known."""

    exists: bool | None = None
    uploaded_at: float | None = None
    sends_to_eventbridge: bool | None = None
    notifies: int | None = None  # notification configurations of the bucket, whatever they are for
    region: str = ""  # where the bucket is, if it is another region


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything `judge` decides from. Times are in seconds since the epoch.

    `lines` are those of the newest event that the subject names, oldest first; `earlier` the ids of its other events.
    `searched_since` is where the search of the log began. `unread` says what could not be read, and why.
    """

    subject: Subject
    now: float
    searched_since: float
    lines: tuple[TrailLine, ...] = ()
    earlier: tuple[str, ...] = ()
    log_unmatched: str = "all"
    log_level: str = "INFO"
    log_searched: bool = True
    rows: tuple[RequestRow, ...] = ()
    fits: "tuple[RuleFit, ...]" = ()
    fit_then: "RuleFit | None" = None
    batch: BatchNow | None = None
    circuits: tuple[Circuit, ...] = ()
    queues: Mapping[str, QueueNow] = field(default_factory=dict)
    runs: Mapping[str, RunNow] = field(default_factory=dict)
    mwaa_names: Mapping[str, str] = field(default_factory=dict)
    mwaa: "Mapping[str, MwaaStatus]" = field(
        default_factory=dict
    )  # of environments behind an open circuit breaker
    upload: Upload | None = None
    region: str = ""
    unread: tuple[str, ...] = ()
