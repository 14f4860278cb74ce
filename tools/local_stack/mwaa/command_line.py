"""The command line as it arrives at `POST /aws_mwaa/cli`: a shell line without the word `airflow`."""

import shlex
from typing import Final

# From AWS's "Apache Airflow CLI command reference" for MWAA; `*` stands for every subcommand.
_BOTH: Final = frozenset(
    {
        "connections add", "connections delete",
        "dags delete", "dags list", "dags list-import-errors", "dags list-jobs", "dags list-runs",
        "dags next-execution", "dags pause", "dags report", "dags reserialize", "dags show", "dags state",
        "dags test", "dags trigger", "dags unpause",
        "db clean",
        "providers *", "roles *",
        "tasks clear", "tasks failed-deps", "tasks list", "tasks render", "tasks state",
        "tasks states-for-dag-run", "tasks test",
        "variables *", "version",
    }
)  # fmt: skip
_SUPPORTED: Final = {
    2: _BOTH | {"dags backfill", "tasks run"},
    3: _BOTH | {"assets *", "backfill create"},
}
# Linux refuses a longer argument to a new process (MAX_ARG_STRLEN), and MWAA very likely starts one.
_LONGEST_WORD: Final = 128 * 1024 - 1


class UnsupportedCommand(Exception):
    """MWAA does not run this command, or not in this form."""


def words_of(body: bytes, *, airflow_major: int) -> list[str]:
    """Split a request body as a shell would. Raises UnsupportedCommand for what MWAA does not run."""
    try:
        words = shlex.split(body.decode())
    except ValueError as error:  # an open quotation, or no UTF-8
        raise UnsupportedCommand(f"The command line cannot be read: {error}") from error
    command = words[:1] if words[:1] == ["version"] else words[:2]
    supported = _SUPPORTED[airflow_major]
    if " ".join(command) not in supported and f"{' '.join(words[:1])} *" not in supported:
        raise UnsupportedCommand(f"MWAA does not support the command {' '.join(command)!r}")
    if any(len(word.encode()) > _LONGEST_WORD for word in words):
        raise UnsupportedCommand("Argument list too long")
    return words
