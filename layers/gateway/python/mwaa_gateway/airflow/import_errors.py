"""Airflow's import errors: the usual cause of a missing DAG is a file that is there and does not import.

Once an answer says that Airflow does not have the DAG, one further read in the same slot fetches the import errors, and the
reason quotes them. An import error names a file, not a DAG, so the reason lists what Airflow has, the files that are named
like the DAG first:

    DAG missing ──read within the last 5 minutes?──no───▶ one read, in the slot of the request ──▶ appended to the reason
                               └──yes──────────────────▶ what that read found, and how old it is ──▶ appended to the reason

The read only adds text: the outcome stays as it is, and a read that fails says so in the reason.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from mwaa_gateway.airflow.dag_list import NotListed
from mwaa_gateway.outcomes import OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.values import value

READ_EVERY_SECONDS: Final = 300.0  # by one sandbox: on Airflow 2 the command parses every DAG file
_QUOTED_FILES: Final = 3
_LONGEST_PATH: Final = 100  # characters, counted from the end: the file's name is there
_LONGEST_ERROR: Final = 200
_EXPLAINED: Final = (Reason.DAG_BROKEN, Reason.DAG_MISSING)

_EXCEPTION: Final = re.compile(
    r"(?:(?:[A-Za-z_]\w*\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception|Exit|Timeout))(?::|$)"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# A stack trace is text of strangers to us: a connection URI or a keyword argument in it may contain a password.
_USER_INFO: Final = re.compile(r"://[^/\s@]+@")
_SECRET: Final = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|credential|api_?key|access_?key)\w*[\"']?\s*[=:]\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s,;)&]+)"
)


@value
class BrokenFile:
    """A DAG file that does not import, and the line of its stack trace that names the exception; both cut and masked."""

    path: str
    error: str

    @classmethod
    def of(cls, path: str, stack_trace: str) -> "BrokenFile":
        """Keep what a reason quotes."""
        shown = _CONTROL.sub(" ", path).strip() or "a file without a name"
        if len(shown) > _LONGEST_PATH:
            shown = f"…{shown[1 - _LONGEST_PATH :]}"
        return cls(shown, _cut(_masked(_named_exception(stack_trace)), _LONGEST_ERROR))


@value
class BrokenFiles:
    """The DAG files that do not import, and how many there are in all: `files` may be one page of them."""

    files: tuple[BrokenFile, ...]
    total: int


ReadImportErrors = Callable[[], BrokenFiles | NotListed | Retryable | OutcomeUnknown]


class ImportErrors:
    """The import errors of one environment's Airflow, as one sandbox knows them.

    `read` fetches them; `monotonic` gives seconds.
    """

    def __init__(self, read: ReadImportErrors, *, monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._read_at: float | None = None
        self._found: BrokenFiles | str = ""

    def explain(self, rejected: Rejected, dag_id: str) -> Rejected:
        """Append the import errors to the reason if it is that Airflow does not have the DAG.

        Reads at most once every five minutes; a read that failed counts. Never raises.
        """
        if rejected.reason not in _EXPLAINED:
            return rejected
        now = self._monotonic()
        if self._read_at is None or now - self._read_at >= READ_EVERY_SECONDS:
            self._read_at = now
            self._found = self._fetch()
        age = now - self._read_at
        when = f" ({age:.0f} s ago)" if age >= 1 else ""
        return replace(rejected, text=f"{rejected.text}. {_text(self._found, dag_id, when)}")

    def _fetch(self) -> BrokenFiles | str:
        try:
            found = self._read()
        except Exception as error:  # noqa: BLE001  the request is judged already: its outcome must not depend on this
            return type(error).__name__
        match found:
            case BrokenFiles():
                return found
            case Retryable(reason, text) | OutcomeUnknown(reason, text):
                return _cut(f"{reason}: {text}", _LONGEST_ERROR)
            case NotListed(text):
                return _cut(text, _LONGEST_ERROR)


def _text(found: BrokenFiles | str, dag_id: str, when: str) -> str:
    if isinstance(found, str):
        return f"Import errors could not be read{when}: {found}"
    if not found.files:
        return f"Airflow has no import errors{when}: no file that defines this DAG is deployed, or it is not parsed yet"
    quoted = _likeliest_first(found.files, dag_id)[:_QUOTED_FILES]
    more = max(found.total, len(found.files)) - len(quoted)
    listed = " | ".join(f"{file.path}: {file.error}" for file in quoted)
    return f"Import errors in Airflow{when}: {listed}" + (f" | and {more} more" if more else "")


def _likeliest_first(files: Iterable[BrokenFile], dag_id: str) -> list[BrokenFile]:
    """Sort by how much a file's name has in common with the DAG's id; else as Airflow lists them."""

    def rank(file: BrokenFile) -> int:
        stem, wanted = PurePosixPath(file.path).stem.lower(), dag_id.lower()
        if stem == wanted:
            return 0
        return 1 if stem and (stem in wanted or wanted in stem) else 2

    return sorted(files, key=rank)


def _named_exception(stack_trace: str) -> str:
    """Return the last line that begins with an exception's name; without one, the last line."""
    lines = [line.rstrip() for line in stack_trace.splitlines() if line.strip()]
    named = [line for line in lines if _EXCEPTION.match(line)]
    return (named or lines or ["no stack trace"])[-1]


def _masked(text: str) -> str:
    """Hide what looks like a secret, and what is not for a log line."""
    masked = _SECRET.sub(r"\1***", _USER_INFO.sub("://***@", text))
    return _CONTROL.sub(" ", masked).strip()


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
