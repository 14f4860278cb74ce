"""How far a DAG run is, as the watcher sees it, whatever transport said so."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from mwaa_gateway.outcomes import AlreadyTriggered, Outcome, Reason, Retryable

__all__ = [
    "TASK_ID",
    "Marking",
    "NotAvailable",
    "ReturnValue",
    "RunEnd",
    "RunMarkedFailed",
    "RunNotThere",
    "RunState",
    "RunsUnknown",
    "is_there",
    "run_state",
]


TASK_ID: Final = re.compile(
    r"(?!\.{1,2}$)[\w.-]{1,250}"
)  # Airflow's own, but for what a path would be shortened by


class RunEnd(StrEnum):
    """How a run can end."""

    SUCCESS = "success"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunState:
    """One run. `end` is None while it goes on; `started` when it left the queue; the dates are Airflow's texts, or ""."""

    end: RunEnd | None
    started: bool
    start_date: str = ""
    end_date: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as the state's output has it: state, start_date, end_date, duration_seconds."""
        document: dict[str, Any] = {
            "state": self.end or ("running" if self.started else "queued"),
            "start_date": self.start_date,
            "end_date": self.end_date,
        }
        try:
            duration = datetime.fromisoformat(self.end_date) - datetime.fromisoformat(self.start_date)
        except (ValueError, TypeError):  # missing, or one with a time zone and one without
            return document
        return document | {"duration_seconds": duration.total_seconds()}


@dataclass(frozen=True, slots=True)
class RunsUnknown:
    """Airflow was asked and gave no clear answer, or was not reached; `text` says what it said."""

    text: str


@dataclass(frozen=True, slots=True)
class NotAvailable:
    """What was asked for is not there, or not for us: asking again changes nothing. `text` says why, and what would."""

    text: str


@dataclass(frozen=True, slots=True)
class ReturnValue:
    """What a task returned: JSON, as Airflow keeps it."""

    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunMarkedFailed:
    """The run was going on, and is marked failed now."""


@dataclass(frozen=True, slots=True)
class RunNotThere:
    """Airflow has no such run."""


# What became of marking a run failed; a RunState is that of a run which was over before, and was left as it is.
Marking = RunMarkedFailed | RunState | RunNotThere | NotAvailable | RunsUnknown


def run_state(state: Any, start_date: Any, end_date: Any) -> RunState:
    """Read Airflow's words for a run: `queued`, `running`, `success`, `failed`, and dates or nothing."""
    end = RunEnd(state) if state in (RunEnd.SUCCESS, RunEnd.FAILED) else None
    return RunState(
        end=end,
        started=state != "queued",
        start_date=start_date if isinstance(start_date, str) else "",
        end_date=end_date if isinstance(end_date, str) else "",
    )


def is_there(found: Outcome) -> bool | RunsUnknown:
    """Read what a look-up of one run came to."""
    match found:
        case AlreadyTriggered():
            return True
        case Retryable(reason=Reason.RUN_NOT_THERE):
            return False
        case _:
            return RunsUnknown(getattr(found, "text", ""))
