"""The state of a DAG run for the run watcher, the same over every transport."""

import re
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from mwaa_gateway.outcomes import AlreadyTriggered, Outcome, Reason, Retryable
from mwaa_gateway.values import value

# Airflow's own form, without `.` and `..`, which shorten a path
TASK_ID: Final = re.compile(r"(?!\.{1,2}$)[\w.-]{1,250}")


class RunEnd(StrEnum):
    """The end states of a run."""

    SUCCESS = "success"
    FAILED = "failed"


@value
class RunState:
    """One run: `end` is None until it ends, `started` is true once it left the queue, dates are Airflow's text or ""."""

    end: RunEnd | None
    started: bool
    start_date: str = ""
    end_date: str = ""

    def document(self) -> dict[str, Any]:
        """Return the fields of a Step Functions output: state, start_date, end_date, duration_seconds."""
        document: dict[str, Any] = {
            "state": self.end or ("running" if self.started else "queued"),
            "start_date": self.start_date,
            "end_date": self.end_date,
        }
        try:
            duration = datetime.fromisoformat(self.end_date) - datetime.fromisoformat(self.start_date)
        except (ValueError, TypeError):  # a date is missing, or only one of them has a time zone
            return document
        return document | {"duration_seconds": duration.total_seconds()}


@value
class RunsUnknown:
    """No clear answer from Airflow, or no connection; `text` contains the answer or the error."""

    text: str


@value
class NotAvailable:
    """The object does not exist, or the gateway has no access: a retry does not help. `text` says why, and what does."""

    text: str


@value
class ReturnValue:
    """The return value of an Airflow task, as JSON."""

    value: Any = field(repr=False)


@value
class RunMarkedFailed:
    """The run was active, and is now marked failed."""


@value
class RunNotThere:
    """Airflow has no such run."""


# The result of marking a run failed. A RunState is that of a run which had already ended, and stays unchanged.
Marking = RunMarkedFailed | RunState | RunNotThere | NotAvailable | RunsUnknown


def run_state(state: Any, start_date: Any, end_date: Any) -> RunState:
    """Read Airflow's state of a run (`queued`, `running`, `success`, `failed`) and its optional dates."""
    end = RunEnd(state) if state in (RunEnd.SUCCESS, RunEnd.FAILED) else None
    return RunState(
        end=end,
        started=state != "queued",
        start_date=start_date if isinstance(start_date, str) else "",
        end_date=end_date if isinstance(end_date, str) else "",
    )


def run_exists(found: Outcome) -> bool | RunsUnknown:
    """Return whether a look-up found the run."""
    match found:
        case AlreadyTriggered():
            return True
        case Retryable(reason=Reason.RUN_NOT_THERE):
            return False
        case _:
            return RunsUnknown(getattr(found, "text", ""))
