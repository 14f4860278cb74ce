"""What Airflow's ids may look like: one definition for rules, tasks of state machines, and both ways to Airflow.

Stricter than Airflow, whose ids may be of any letters and begin with `-` or `.`: no id can pass for an option of a command
or shorten a path.
"""

import re
from typing import Final

from mwaa_gateway.outcomes import Reason, Rejected

__all__ = [
    "DAG_ID",
    "DAG_ID_WORDS",
    "LONGEST_REST_DAG_ID",
    "LONGEST_REST_PATH",
    "RUN_ID",
    "InvalidId",
    "checked_ids",
    "rejected_id",
]

DAG_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}")
DAG_ID_WORDS: Final = "letters, digits, '_', '.' and '-', at most 250, the first a letter, a digit or '_'"
RUN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~:+-]{0,249}")
LONGEST_REST_PATH: Final = 64  # of InvokeRestApi; botocore does not check it
LONGEST_REST_DAG_ID: Final = LONGEST_REST_PATH - len("/dags//dagRuns")


class InvalidId(ValueError):
    """An id that is never sent; `name` is dag_id or run_id."""

    def __init__(self, name: str, value: str, allowed: "re.Pattern[str]") -> None:
        self.name = name
        super().__init__(f"{name} {value!r} cannot be sent: it must match {allowed.pattern}")


def checked_ids(dag_id: str, run_id: str | None = None) -> None:
    """Raise InvalidId where one of them cannot be sent."""
    for name, value, allowed in (("dag_id", dag_id, DAG_ID), ("run_id", run_id, RUN_ID)):
        if value is not None and not allowed.fullmatch(value):
            raise InvalidId(name, value, allowed)


def rejected_id(error: InvalidId) -> Rejected:
    """Return the outcome of a run whose dag_id or run_id is never sent."""
    return Rejected(Reason.RUN_ID_REFUSED if error.name == "run_id" else Reason.AIRFLOW_REFUSED, str(error))
