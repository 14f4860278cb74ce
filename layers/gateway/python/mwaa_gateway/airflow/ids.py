"""The form of Airflow's ids: one definition for rules, Step Functions tasks and all transports.

It is stricter than Airflow, which allows letters of any alphabet and a leading `-` or `.`: so no id can act as an option of
a command or shorten a path.
"""

import re
from typing import Final

DAG_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}")
DAG_ID_WORDS: Final = "letters, digits, '_', '.' and '-', at most 250, the first a letter, a digit or '_'"
RUN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~:+-]{0,249}")
LONGEST_REST_PATH: Final = 64  # of InvokeRestApi; botocore does not check it
LONGEST_REST_DAG_ID: Final = LONGEST_REST_PATH - len("/dags//dagRuns")


class InvalidId(ValueError):
    """An id that the gateway does not send; `name` is dag_id or run_id."""

    def __init__(self, name: str, value: str, allowed: "re.Pattern[str]") -> None:
        self.name = name
        super().__init__(f"{name} {value!r} cannot be sent: it must match {allowed.pattern}")


def check_ids(dag_id: str, run_id: str | None = None) -> None:
    """Raise InvalidId if one of the ids does not have the required form."""
    for name, value, allowed in (("dag_id", dag_id, DAG_ID), ("run_id", run_id, RUN_ID)):
        if value is not None and not allowed.fullmatch(value):
            raise InvalidId(name, value, allowed)
