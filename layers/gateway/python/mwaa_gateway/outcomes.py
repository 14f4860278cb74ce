"""What became of one attempt to start a DAG run, named by what the caller does next.

    Outcome
    ├── Triggered         our run exists because of this attempt           → done
    ├── AlreadyTriggered  our run existed before; proven, not guessed      → done
    ├── Rejected          will never work as it is                         → dead, with the reason
    ├── Held              shall not be tried now, for a stated reason      → parked in the ledger until it is released
    ├── Retryable         surely not done                                  → back off, try again
    └── OutcomeUnknown    perhaps done                                     → look the run_id up before anything else

`Triggered` and `AlreadyTriggered` need evidence of *our* run_id: Airflow 2 says "already exists", and prints the
run_id that was asked for, when another run of the same second holds the logical date
(github.com/apache/airflow/issues/29582).
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AlreadyTriggered",
    "Held",
    "NotRunnable",
    "Outcome",
    "OutcomeUnknown",
    "Reason",
    "Rejected",
    "Retryable",
    "Triggered",
]


class Reason(StrEnum):
    """The class of a reason: stable, for filters, metrics and alarms; the text beside it is for people."""

    ACCESS_DENIED = "access_denied"
    AIRFLOW_REFUSED = "airflow_refused"
    AWS_UNAVAILABLE = "aws_unavailable"
    CANCELLED = "cancelled"
    CONF_REFUSED = "conf_refused"
    CRASHED = "crashed"
    DAG_BROKEN = "dag_broken"
    DAG_ID_TOO_LONG = "dag_id_too_long"
    DAG_CATALOG_AWAITED = "dag_catalog_awaited"
    DAG_MISSING = "dag_missing"
    DAG_PAUSED = "dag_paused"
    ENVIRONMENT_PAUSED = "environment_paused"
    ENVIRONMENT_UNREACHABLE = "environment_unreachable"
    CIRCUIT_OPEN = "gate_shut"
    MESSAGE_UNREADABLE = "message_unreadable"
    OVERTAKEN = "overtaken"
    PINNED_ELSEWHERE = "pinned_elsewhere"
    RULE_DISABLED = "rule_disabled"
    RUN_ID_REFUSED = "run_id_refused"
    RUN_NOT_THERE = "run_not_there"
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a reason, not a secret
    TOKEN_UNAVAILABLE = "token_unavailable"  # noqa: S105  a reason, not a secret
    TOO_OLD = "too_old"
    UNCLEAR_ANSWER = "unclear_answer"
    WEB_SERVER_BUSY = "web_server_busy"


class NotRunnable(StrEnum):
    """Why a run that Airflow has accepted stays queued: see `mwaa_gateway.dispatch.dag_catalog`."""

    PAUSED = "paused"
    STALE = "stale"

    @property
    def text(self) -> str:
        """For people."""
        if self is NotRunnable.PAUSED:
            return "the DAG is paused, and its run starts when somebody unpauses it"
        return "the DAG's file is gone or broken, and its run stays queued"


@dataclass(frozen=True, slots=True)
class Triggered:
    """Airflow printed the run it has just created, and its run_id is ours."""

    not_runnable: NotRunnable | None = None


@dataclass(frozen=True, slots=True)
class AlreadyTriggered:
    """The run was there: created by an earlier attempt, or by a duplicate of the same event."""

    text: str = ""
    not_runnable: NotRunnable | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """For good: no further attempt can succeed until a person changes something.

    `in_doubt` says that the run may exist all the same: whoever tries again looks it up first.
    """

    reason: Reason
    text: str
    run_may_exist: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody said not now: it leaves the queue, and waits in the ledger until it is released or cancelled."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Retryable:
    """Nothing was started, and the same attempt may succeed later."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The command went out and its effect is not known."""

    reason: Reason
    text: str


Outcome = Triggered | AlreadyTriggered | Rejected | Held | Retryable | OutcomeUnknown
