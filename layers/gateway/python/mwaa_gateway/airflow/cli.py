"""Airflow's command line as MWAA's web server takes it: the only commands we send, and what their answers mean.

The web server parses the request body like a shell line, so the builders below are the control against command
injection: ids are checked, conf is one quoted ASCII word, and no event text can begin a word. Answers are decided on
what the command printed, never on the HTTP status alone and never on one phrase: texts change with every Airflow release.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.ids import checked_ids
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

__all__ = [
    "IMPORT_ERRORS_COMMAND",
    "ColumnsRefused",
    "CommandOutput",
    "list_command",
    "look_up_command",
    "read_import_errors",
    "read_list",
    "read_look_up",
    "read_trigger",
    "refuses_logical_date",
    "trigger_command",
]

_LONGEST_TEXT = 500  # characters of Airflow's own words that a reason carries on
# MWAA runs it on every version. Airflow 3 reads its database; Airflow 2 parses the DAG files, on the web server.
IMPORT_ERRORS_COMMAND = "dags list-import-errors -o json"


def trigger_command(target: ResolvedTarget, logical_date: datetime | None = None) -> str:
    """Write `dags trigger` for one run; `shlex.split` of it always gives eight words, nine with a logical date.

    `--no-replace-microseconds` (Airflow 2.6.3 and later) keeps two events of one second apart on Airflow 2, whose
    logical date is unique per DAG. `logical_date` is for Airflow 3 alone, which gives a run none by itself; Airflow 2
    refuses the word (`refuses_logical_date`). Options take `=` and stand before the DAG id: no value can pass for one.

    Raises:
        InvalidId: dag_id or run_id has a character that could end its word.
        ValueError: conf holds NaN or Infinity.
    """
    dag_id, run_id = target.dag_id, target.run_id
    checked_ids(dag_id, run_id)
    # Pure ASCII, no newline, no single quote inside: one shell word whatever the event holds.
    conf = json.dumps(target.conf, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace(
        "'", "\\u0027"
    )
    date = "" if logical_date is None else f"--logical-date={logical_date.isoformat()} "
    return f"dags trigger --no-replace-microseconds -o json {date}--run-id={run_id} --conf='{conf}' {dag_id}"


def look_up_command(target: ResolvedTarget) -> str:
    """Write the one command that finds a run by its run_id on every Airflow from 2.7 to 3.x."""
    checked_ids(target.dag_id, target.run_id)
    return f"tasks states-for-dag-run -o json {target.dag_id} {target.run_id}"


def list_command(*, columns: bool = True) -> str:
    """Write the command that lists all DAGs; `columns`: with those that tell what runs (Airflow 2.9 and later).

    Airflow 2 has `is_active`, Airflow 3 `is_stale`; each warns of the other on stderr, and leaves it out.
    """
    return "dags list -o json" + (" --columns=dag_id,is_paused,is_active,is_stale" if columns else "")


def refuses_logical_date(outcome: Outcome) -> bool:
    """Tell whether Airflow did not know the option, and so started nothing."""
    return isinstance(outcome, Rejected) and "unrecognized arguments: --logical-date" in outcome.text


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What an Airflow command printed."""

    stdout: str
    stderr: str

    @classmethod
    def decode(cls, body: bytes) -> "CommandOutput | None":
        """Decode `{"stdout": base64, "stderr": base64}`; None when the body is anything else, or cut short."""
        try:
            document = json.loads(body)
            return cls(
                stdout=base64.b64decode(document["stdout"], validate=True).decode(errors="replace"),
                stderr=base64.b64decode(document["stderr"], validate=True).decode(errors="replace"),
            )
        except (ValueError, TypeError, KeyError, binascii.Error):
            return None

    def rows(self) -> list[dict[str, Any]] | None:
        """Return the table printed by `-o json`: the last line that is a JSON list of objects.

        Log lines come before it, and on stdout too (2.x: "Loaded API auth backend"; 3.3: structlog).
        """
        for line in reversed(self.stdout.splitlines()):
            if line.startswith("[{") or line.strip() == "[]":
                try:
                    return list(json.loads(line))
                except ValueError:
                    return None
        return None

    def failure(self) -> tuple[str, str] | None:
        """Return (exception or "usage", its text) of a command that failed; None when stderr holds no such line.

        Only a line that *begins* with an exception's name counts: what follows it (SQL parameters, for one) may
        quote the conf, and with it text from strangers. Warnings on stderr are no failure.
        """
        for line in reversed(self.stderr.splitlines()):
            if match := _EXCEPTION_LINE.match(line):
                return match["name"].rpartition(".")[2], match["text"] or ""
            if match := _USAGE_LINE.match(line):
                return "usage", match["text"]
        return None


_EXCEPTION_LINE = re.compile(
    r"(?P<name>(?:[A-Za-z_]\w*\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception))(?:: ?(?P<text>.*))?$"
)
_USAGE_LINE = re.compile(r"airflow (?:[\w-]+ )*command error: (?P<text>.*)$")


def read_trigger(status: int, body: bytes, target: ResolvedTarget) -> Outcome:
    """Say what an answer of `POST /aws_mwaa/cli` to `trigger_command(target)` means.

    A command that failed may come as 200 or as 400, so the decoded text decides. Whatever is not understood is
    `OutcomeUnknown`: the caller looks the run up.
    """
    output = CommandOutput.decode(body)
    if output is None:
        return _without_output(status)
    rows = output.rows()
    if rows and any(target.run_id in (row.get("dag_run_id"), row.get("run_id")) for row in rows):
        return Triggered()
    failure = output.failure()
    if failure is None:
        return OutcomeUnknown(Reason.UNCLEAR_ANSWER, "Airflow's answer names neither our run nor an error")
    return _failed_trigger(*failure, target)


def _failed_trigger(name: str, text: str, target: ResolvedTarget) -> Outcome:
    said = f"Airflow said {name}: {text}"[:_LONGEST_TEXT]
    match name:
        case "DagRunAlreadyExists":
            # Airflow 3 checks the run_id alone: "… for DAG d with run id r". Airflow 2 puts "at <logical date>" before
            # it and prints the requested run_id even when only the date is taken: no evidence, look it up.
            if text.endswith(f"for DAG {target.dag_id} with run id {target.run_id}"):
                return AlreadyTriggered(said)
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, said)
        case "DagNotFound":
            return Rejected(Reason.DAG_MISSING, said)
        case "ParamValidationError" | "JSONDecodeError" | "DataError":
            # DataError: the database cannot hold it, and so holds nothing. PostgreSQL has no NUL in its JSON.
            return Rejected(Reason.CONF_REFUSED, said)
        case "usage":
            return Rejected(Reason.AIRFLOW_REFUSED, said)
        case "AirflowException" | "ValueError" if re.match(r"The (provided run ID|run_id provided) ", text):
            return Rejected(Reason.RUN_ID_REFUSED, said)
        case "AirflowException" | "ValueError" if "import errors" in text:
            return Rejected(Reason.DAG_BROKEN, said)
        case _:
            # Includes every database error: an IntegrityError is a twin that got there first, or another run's date.
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, said)


def read_look_up(status: int, body: bytes, target: ResolvedTarget) -> Outcome:
    """Say what an answer to `look_up_command(target)` means: there, not there (`Retryable`), or still unknown."""
    output = CommandOutput.decode(body)
    if output is None:
        return OutcomeUnknown(
            Reason.UNCLEAR_ANSWER, f"the look-up was answered with HTTP {status} and no output"
        )
    failure = output.failure()
    rows = output.rows()
    # A run whose DAG has no task yet prints an empty list; with rows, a traceback of some plugin on stderr is no matter.
    if (rows or (rows == [] and failure is None)) and all(row.get("dag_id") == target.dag_id for row in rows):
        return AlreadyTriggered(f"run {target.run_id} was found in Airflow")
    match failure:
        case ("DagRunNotFound", _):
            return Retryable(Reason.RUN_NOT_THERE, f"run {target.run_id} is not in Airflow")
        case ("AirflowException", text) if text.startswith("Error parsing the supplied execution_date"):
            # Airflow 2 takes what is no run_id for a date.
            return Retryable(Reason.RUN_NOT_THERE, f"run {target.run_id} is not in Airflow")
        case _:
            return OutcomeUnknown(
                Reason.UNCLEAR_ANSWER, f"the look-up gave no clear answer: {failure}"[:_LONGEST_TEXT]
            )


class ColumnsRefused(NotListed):
    """This Airflow, older than 2.9, lists what it lists: it takes no `--columns`."""


def read_list(status: int, body: bytes) -> tuple[ListedDag, ...] | NotListed | Retryable | OutcomeUnknown:
    """Say what an answer to `list_command()` holds.

    Values are words: "True", "False", and "None" for a DAG that was never stored. Before 2.9 the column is `paused`.
    Airflow 2 reads the files anew and lists what it could read, so that a DAG whose file broke is not in its list.
    """
    output = CommandOutput.decode(body)
    if output is None:
        return _without_output(status)
    rows = output.rows()
    if rows is None or not all(isinstance(row, dict) and isinstance(row.get("dag_id"), str) for row in rows):
        match output.failure():
            case ("usage", text) if "--columns" in text:
                return ColumnsRefused(text)
            case failure:
                return NotListed(f"`dags list` gave no list: {failure}"[:_LONGEST_TEXT])
    return tuple(
        ListedDag(
            row["dag_id"],
            paused=str(row.get("is_paused", row.get("paused"))) == "True",
            stale=str(row.get("is_stale")) == "True" or str(row.get("is_active")) == "False",
        )
        for row in rows
    )


def read_import_errors(status: int, body: bytes) -> BrokenFiles | NotListed | Retryable | OutcomeUnknown:
    """Say what an answer to `IMPORT_ERRORS_COMMAND` holds. From Airflow 2.8 on, exit code 1 says that there are some."""
    output = CommandOutput.decode(body)
    if output is None:
        return _without_output(status)
    rows = output.rows()
    if rows is None or not all(isinstance(row, dict) for row in rows):
        return NotListed(f"`{IMPORT_ERRORS_COMMAND}` gave no list: {output.failure()}"[:_LONGEST_TEXT])
    files = tuple(BrokenFile.of(str(row.get("filepath", "")), str(row.get("error", ""))) for row in rows)
    return BrokenFiles(files, len(files))


def _without_output(status: int) -> Retryable | OutcomeUnknown:
    """Judge an answer that is not a command's output: by who sent it, the web server or something before it."""
    match status:
        case 401 | 403:
            return Retryable(Reason.TOKEN_REFUSED, f"the web server refused the CLI token (HTTP {status})")
        case 429 | 503:
            return Retryable(
                Reason.WEB_SERVER_BUSY, f"the web server takes no further command now (HTTP {status})"
            )
        case 404 | 405:
            return Retryable(
                Reason.ENVIRONMENT_UNREACHABLE, f"the web server offers no CLI at this moment (HTTP {status})"
            )
        case _ if 300 <= status < 400:  # noqa: PLR2004  HTTP's redirects
            return Retryable(
                Reason.ENVIRONMENT_UNREACHABLE,
                f"the web server redirects (HTTP {status}); redirects are not followed",
            )
        case _:
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, f"HTTP {status} without a command's output")
