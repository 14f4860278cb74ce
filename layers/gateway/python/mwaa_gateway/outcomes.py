"""The outcome of one attempt to start a DAG run, named by what the caller does next.

    Outcome
    ├── Triggered         this attempt created our run                     → done
    ├── AlreadyTriggered  our run existed before, by evidence              → done
    ├── Rejected          no attempt can succeed until a person acts       → dead, with the reason
    ├── Held              the request must wait, for a stated reason       → parked in the ledger until it is released
    ├── Retryable         the attempt created no run                       → back off, try again
    └── OutcomeUnknown    the attempt may have created the run             → look up the run_id first

`Triggered` and `AlreadyTriggered` need evidence of *our* run_id: when another run of the same second has the logical
date, Airflow 2 answers "already exists" and prints the run_id of the request
(github.com/apache/airflow/issues/29582).
"""

from enum import StrEnum
from typing import Literal

from mwaa_gateway.values import value


class Reason(StrEnum):
    """The kind of a reason: a stable value for filters, metrics and alarms. The text beside it is for people."""

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
    OBJECT_RESERVED = "object_reserved"
    LOGICAL_DATE_TAKEN = "logical_date_taken"
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


HeldReason = Literal[Reason.DAG_PAUSED, Reason.ENVIRONMENT_PAUSED, Reason.RULE_DISABLED]


class NotRunnable(StrEnum):
    """Why a run that Airflow accepted stays queued: see `mwaa_gateway.dispatch.dag_catalog`."""

    PAUSED = "paused"
    STALE = "stale"

    @property
    def text(self) -> str:
        """The explanation for people."""
        if self is NotRunnable.PAUSED:
            return "the DAG is paused, and its run starts when somebody unpauses it"
        return "the DAG's file is gone or broken, and its run stays queued"


@value
class Triggered:
    """Airflow reports a run that it has just created, and its run_id is ours."""

    not_runnable: NotRunnable | None = None


@value
class AlreadyTriggered:
    """The run existed: an earlier attempt or a duplicate of the event created it."""

    text: str = ""
    not_runnable: NotRunnable | None = None


@value
class Rejected:
    """No attempt can succeed until a person changes something.

    `run_may_exist`: the run may exist nevertheless, so the next attempt looks it up first.
    """

    reason: Reason
    text: str
    run_may_exist: bool = False


@value
class Held:
    """The request leaves the queue and waits in the ledger until somebody releases or cancels it."""

    reason: HeldReason
    text: str


@value
class Retryable:
    """The attempt started no run; the same attempt may succeed later."""

    reason: Reason
    text: str


@value
class OutcomeUnknown:
    """The gateway sent the command and does not know its effect.

    LOGICAL_DATE_TAKEN: a run has the logical date, ours or another one; the lookup decides.
    """

    reason: Reason
    text: str


Outcome = Triggered | AlreadyTriggered | Rejected | Held | Retryable | OutcomeUnknown
