"""Airflow's command line on MWAA: the only commands that the gateway sends, and the meaning of their answers.

MWAA's web server parses the request body like a shell line, so the builders below are the control against command
injection: they check ids, write the conf as one quoted ASCII word, and let no event text begin a word. The readers decide
by the command's output, never by the HTTP status or one phrase alone: texts change with every Airflow release.
"""

import base64
import binascii
import json
import re
from dataclasses import field
from datetime import datetime
from typing import Any

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.dialect import Answer
from mwaa_gateway.airflow.ids import check_ids
from mwaa_gateway.airflow.import_errors import BrokenFile, BrokenFiles
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import ResolvedTarget
from mwaa_gateway.values import value

_LONGEST_TEXT = 500  # characters of Airflow's output in the text of a reason
_EXCEPTION_LINE = re.compile(
    r"(?P<name>(?:[A-Za-z_]\w*\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception))(?:: ?(?P<text>.*))?$"
)
# What Airflow 2, or the database, says if a run has the logical date. Airflow 2 says the same if it is our own run.
_DATE_TAKEN = re.compile(
    r"A DAG Run already exists for DAG \S+ at |.*\bdag_run(?:_dag_id_|\.)(?:logical|execution)_date(?:_key)?\b"
)
_USAGE_LINE = re.compile(r"airflow (?:[\w-]+ )*command error: (?P<text>.*)$")
# MWAA runs it on every version. Airflow 3 reads its database; Airflow 2 parses the DAG files, on the web server.
IMPORT_ERRORS_COMMAND = "dags list-import-errors -o json"


def trigger_command(
    target: ResolvedTarget, logical_date: datetime | None = None, *, option: str = "--logical-date"
) -> str:
    """Return the `dags trigger` command of one run; `shlex.split` of it always gives eight words, nine with a logical date.

    A logical date is unique for each DAG: `--no-replace-microseconds` (2.6.3 and later) gives two events of one second
    different ones on Airflow 2, which always sets one, and keeps the microseconds of a `logical_date`. Its `option` depends
    on Airflow's version. Options are written with `=` before the DAG id, so that no value can act as an option.

    Raises:
        InvalidId: dag_id or run_id has a character that could end its word.
        ValueError: the conf contains NaN or Infinity.
    """
    dag_id, run_id = target.dag_id, target.run_id
    check_ids(dag_id, run_id)
    # ASCII without newlines and single quotes: one shell word, whatever the event contains.
    conf = json.dumps(target.conf, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace(
        "'", "\\u0027"
    )
    date = "" if logical_date is None else f"{option}={logical_date.isoformat()} "
    return f"dags trigger --no-replace-microseconds -o json {date}--run-id={run_id} --conf='{conf}' {dag_id}"


def look_up_command(target: ResolvedTarget) -> str:
    """Return the command that finds a run by its run_id on every Airflow from 2.7 to 3.x."""
    check_ids(target.dag_id, target.run_id)
    return f"tasks states-for-dag-run -o json {target.dag_id} {target.run_id}"


def list_command(*, columns: bool = True) -> str:
    """Return the command that lists all DAGs; `columns` adds those of paused and stale DAGs (Airflow 2.9 and later).

    Airflow 2 has `is_active`, Airflow 3 `is_stale`; each omits the other's column, with a warning on stderr.
    """
    return "dags list -o json" + (" --columns=dag_id,is_paused,is_active,is_stale" if columns else "")


@value
class CommandAnswer(Answer):
    """The web server's answer to an Airflow command: its HTTP status, and what the command printed.

    An answer that is no command's output has a `body` instead: it comes from the web server, or from a proxy before it.
    """

    status: int
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    body: str | None = field(default=None, repr=False)

    @classmethod
    def decode(cls, status: int, body: bytes) -> "CommandAnswer":
        """Decode `{"stdout": base64, "stderr": base64}`; keep any other or truncated body as it is."""
        try:
            document = json.loads(body)
            stdout, stderr = (
                base64.b64decode(document[name], validate=True).decode(errors="replace")
                for name in ("stdout", "stderr")
            )
        except (ValueError, TypeError, KeyError, binascii.Error):
            return cls(status, body=body.decode(errors="replace"))
        return cls(status, stdout, stderr)

    def rows(self) -> list[dict[str, Any]] | None:
        """Return the table that `-o json` prints: the last line that is a JSON list of objects.

        Log lines precede it, also on stdout (2.x: "Loaded API auth backend"; 3.3: structlog).
        """
        for line in reversed(self.stdout.splitlines()):
            if line.startswith("[{") or line.strip() == "[]":
                try:
                    return list(json.loads(line))
                except ValueError:
                    return None
        return None

    def failure(self) -> tuple[str, str] | None:
        """Return (exception or "usage", its text) of a failed command; None if stderr has no such line.

        Only a line that *begins* with an exception's name counts: the rest (SQL parameters, for example) may quote the conf,
        and with it untrusted text. Warnings on stderr are no failure.
        """
        for line in reversed(self.stderr.splitlines()):
            if match := _EXCEPTION_LINE.match(line):
                return match["name"].rpartition(".")[2], match["text"] or ""
            if match := _USAGE_LINE.match(line):
                return "usage", match["text"]
        return None

    def usage_error(self) -> str:
        """Return the text with which Airflow refused the command's form; "" if it did not."""
        match self.failure():
            case ("usage", text):
                return text
            case _:
                return ""


def read_trigger(answer: CommandAnswer, target: ResolvedTarget) -> Outcome:
    """Return the outcome of an answer of `POST /aws_mwaa/cli` to `trigger_command(target)`.

    A failed command may answer 200 or 400, so the decoded output decides. An unclear answer is `OutcomeUnknown`, and the
    caller looks up the run.
    """
    if answer.body is not None:
        return _without_output(answer.status)
    rows = answer.rows()
    if rows and any(target.run_id in (row.get("dag_run_id"), row.get("run_id")) for row in rows):
        return Triggered()
    failure = answer.failure()
    if failure is None:
        return OutcomeUnknown(Reason.UNCLEAR_ANSWER, "Airflow's answer contains neither our run nor an error")
    return _failed_trigger(*failure, target)


def _failed_trigger(name: str, text: str, target: ResolvedTarget) -> Outcome:
    said = f"Airflow said {name}: {text}"[:_LONGEST_TEXT]
    match name:
        case "DagRunAlreadyExists" if text.endswith(f"for DAG {target.dag_id} with run id {target.run_id}"):
            # Airflow 3 compares the run_id alone: "… for DAG d with run id r". Airflow 2 inserts "at <logical date>", and
            # prints the requested run_id even if only the date is taken: no evidence, so look up the run.
            return AlreadyTriggered(said)
        case "DagRunAlreadyExists" | "IntegrityError" if target.logical_date and _DATE_TAKEN.match(text):
            return OutcomeUnknown(Reason.LOGICAL_DATE_TAKEN, said)
        case "DagNotFound":
            return Rejected(Reason.DAG_MISSING, said)
        case "ParamValidationError" | "JSONDecodeError" | "DataError":
            # DataError: the database refused the conf, and stored no run. PostgreSQL's JSON allows no NUL.
            return Rejected(Reason.CONF_REFUSED, said)
        case "usage" | "ValueError" if name == "usage" or re.match(
            r"(The execution_date|Logical date) \[", text
        ):
            return Rejected(
                Reason.AIRFLOW_REFUSED, said
            )  # or a date before the start_date in the DAG's default_args
        case "AirflowException" | "ValueError" if re.match(r"The (provided run ID|run_id provided) ", text):
            return Rejected(Reason.RUN_ID_REFUSED, said)
        case "AirflowException" | "ValueError" if "import errors" in text:
            return Rejected(Reason.DAG_BROKEN, said)
        case _:
            # Includes every database error: an IntegrityError may mean a concurrent attempt, or another run's date.
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, said)


def read_look_up(answer: CommandAnswer, target: ResolvedTarget) -> Outcome:
    """Return the outcome of `look_up_command(target)`: the run exists, does not (`Retryable`), or is still unknown."""
    if answer.body is not None:
        return _without_output(answer.status)
    failure = answer.failure()
    rows = answer.rows()
    # A run of a DAG without tasks prints an empty list. If there are rows, a plugin's traceback on stderr does not matter.
    if (rows or (rows == [] and failure is None)) and all(row.get("dag_id") == target.dag_id for row in rows):
        return AlreadyTriggered(f"the look-up found run {target.run_id}")
    match failure:
        case ("DagRunNotFound", _):
            return Retryable(Reason.RUN_NOT_THERE, f"run {target.run_id} is not in Airflow")
        case ("AirflowException", text) if text.startswith("Error parsing the supplied execution_date"):
            # Airflow 2 parses an unknown run_id as a date.
            return Retryable(Reason.RUN_NOT_THERE, f"run {target.run_id} is not in Airflow")
        case _:
            return OutcomeUnknown(
                Reason.UNCLEAR_ANSWER, f"the look-up gave no clear answer: {failure}"[:_LONGEST_TEXT]
            )


def read_list(answer: CommandAnswer) -> tuple[ListedDag, ...] | NotListed | Retryable | OutcomeUnknown:
    """Return the DAGs in an answer to `list_command()`.

    Values are words: "True", "False", and "None" for a DAG that was never stored. Before 2.9 the column is `paused`.
    Airflow 2 parses the files again, so a DAG with a broken file is missing from its list.
    """
    if answer.body is not None:
        return _without_output(answer.status)
    rows = answer.rows()
    if rows is None or not all(isinstance(row, dict) and isinstance(row.get("dag_id"), str) for row in rows):
        return NotListed(f"`dags list` gave no list: {answer.failure()}"[:_LONGEST_TEXT])
    return tuple(
        ListedDag(
            row["dag_id"],
            paused=str(row.get("is_paused", row.get("paused"))) == "True",
            stale=str(row.get("is_stale")) == "True" or str(row.get("is_active")) == "False",
        )
        for row in rows
    )


def read_import_errors(answer: CommandAnswer) -> BrokenFiles | NotListed | Retryable | OutcomeUnknown:
    """Return the import errors in an answer to `IMPORT_ERRORS_COMMAND`; from Airflow 2.8 on, exit code 1 means some."""
    if answer.body is not None:
        return _without_output(answer.status)
    rows = answer.rows()
    if rows is None or not all(isinstance(row, dict) for row in rows):
        return NotListed(f"`{IMPORT_ERRORS_COMMAND}` gave no list: {answer.failure()}"[:_LONGEST_TEXT])
    files = tuple(BrokenFile.of(str(row.get("filepath", "")), str(row.get("error", ""))) for row in rows)
    return BrokenFiles(files, len(files))


def _without_output(status: int) -> Retryable | OutcomeUnknown:
    """Return the outcome of an answer without a command's output: by the web server, or by a proxy before it."""
    match status:
        case 401 | 403:
            return Retryable(Reason.TOKEN_REFUSED, f"the web server refused the CLI token (HTTP {status})")
        case 429 | 503:
            return Retryable(
                Reason.WEB_SERVER_BUSY, f"the web server is busy with other commands (HTTP {status})"
            )
        case 404 | 405:
            return Retryable(
                Reason.ENVIRONMENT_UNREACHABLE, f"the web server's CLI is not available (HTTP {status})"
            )
        case _ if 300 <= status < 400:  # noqa: PLR2004  HTTP's redirects
            return Retryable(
                Reason.ENVIRONMENT_UNREACHABLE,
                f"the web server redirects (HTTP {status}); the gateway does not follow redirects",
            )
        case _:
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, f"HTTP {status} without a command's output")
