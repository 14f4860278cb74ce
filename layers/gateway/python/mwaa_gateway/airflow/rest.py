"""Airflow's REST API: the only calls that the gateway makes to start and find runs, and the meaning of the answers.

The same calls serve Airflow 2 (`/api/v1`) and 3 (`/api/v2`): the transport adds the version to the path. InvokeRestApi takes
64 characters of path. To start a run the versions differ in the key `logical_date`: Airflow 3 requires it, and Airflow 2
refuses null. Each says so without starting a run: see `mwaa_gateway.airflow.dialect`.

    start      POST /dags/<dag_id>/dagRuns                          within 64 characters: a dag_id of at most 50
    list       GET  /dags?limit=100&offset=…                        paused and stale DAGs, a hundred at a time
    explain    GET  /importErrors?limit=100&order_by=-timestamp     DAG files that do not import, the newest error first
    look up    GET  /dags/<dag_id>/dagRuns/<run_id>                 nearly always longer than 64 characters
               POST /dags/~/dagRuns/list                            for a run with a logical date
    within 64  POST /dags/~/dagRuns/~/taskInstances/list            Airflow creates a run's tasks together with the run
    characters GET  /dags/<dag_id>/dagRuns?run_id_pattern=…         for a DAG without tasks; Airflow 3.1 and later

Within 64 characters and without a logical date, no lookup finds a run of a DAG without tasks on Airflow 2 and 3.0; another
start does, as they answer that the run_id is taken.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any
from urllib.parse import quote

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.dialect import Answer
from mwaa_gateway.airflow.ids import LONGEST_REST_DAG_ID, LONGEST_REST_PATH, InvalidId, check_ids
from mwaa_gateway.airflow.import_errors import BrokenFile, BrokenFiles
from mwaa_gateway.airflow.refusals import no_partition_keys, rejected_id
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

DAGS_PER_PAGE = 100  # Airflow's own maximum, unless its [api] maximum_page_limit is lower
_LONGEST_TEXT = 500  # characters of Airflow's answer in the text of a reason
_TAGS_AND_SPACES = re.compile(r"(?:<[^<>]*>|\s)+")


@value
class RestCall:
    """One call of Airflow's REST API; `path` without the leading `/api/v2`."""

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = field(default=None, repr=False)


@value
class RestAnswer(Answer):
    """Airflow's answer: its own HTTP status (None if MWAA does not report it), and its body, mostly JSON."""

    status: int | None
    document: Any = field(repr=False)

    def detail(self) -> str:
        """Return Airflow's explanation: the problem's detail on Airflow 2, FastAPI's on 3, or the text of a page.

        A validation error of Airflow 3 quotes its input, and with it the event; this text omits the input.
        """
        document = self.document
        if isinstance(document, Mapping):
            # Some 404 answers of Airflow 2 name their subject only in the title.
            document = document.get("detail") or document.get("message") or document.get("title")
        match document:
            case str(text):
                return html.unescape(_TAGS_AND_SPACES.sub(" ", text)).strip()
            case {"reason": reason, **more}:
                return f"{reason}: {more.get('orig_error', '')}"
            case [*problems]:
                return "; ".join(
                    f"{'.'.join(map(str, problem.get('loc', ())))}: {problem.get('msg', '')}"
                    for problem in problems
                    if isinstance(problem, Mapping)
                )
            case _:
                return "no explanation"

    def summary(self) -> str:
        """Return the status and the shortened detail, for the text of a reason."""
        status = "something without a status" if self.status is None else f"HTTP {self.status}"
        return f"Airflow said {status}: {self.detail()}"[:_LONGEST_TEXT]

    def rows(self, name: str) -> list[Mapping[str, Any]] | None:
        """Return the list `name` of a successful answer; None for any other answer."""
        rows = self.document.get(name) if isinstance(self.document, Mapping) else None
        if self.status != 200 or not isinstance(rows, list):  # noqa: PLR2004  HTTP's OK
            return None
        return rows if all(isinstance(row, Mapping) for row in rows) else None

    def problem_locations(self) -> set[tuple[str, str]]:
        """Return the (type, field) of each problem in a validation error of Airflow 3."""
        detail = self.document.get("detail") if isinstance(self.document, Mapping) else None
        return {
            (str(problem.get("type")), str(problem["loc"][1]))
            for problem in (detail if isinstance(detail, list) else ())
            if isinstance(problem, Mapping)
            and isinstance(problem.get("loc"), list)
            and len(problem["loc"]) > 1
        }


def trigger_call(target: ResolvedTarget, *, logical_date: bool) -> RestCall | Rejected:
    """Return the call that starts a run; `Rejected` if no such call is possible.

    `logical_date`: whether to send the key as null if the target has no date. Two runs of one DAG may not share a date, and
    Airflow 3's answer does not say whether the date or the run_id is taken.
    """
    try:
        check_ids(target.dag_id, target.run_id)
    except InvalidId as error:
        return rejected_id(error)
    try:
        json.dumps(target.conf, allow_nan=False)
    except ValueError as error:
        return Rejected(Reason.CONF_REFUSED, f"the conf is not valid JSON: {error}")
    body: dict[str, Any] = {"dag_run_id": target.run_id, "conf": target.conf}
    if logical_date or target.logical_date is not None:
        body["logical_date"] = target.logical_date
    if target.partition_key is not None:
        body["partition_key"] = target.partition_key
    return RestCall("POST", f"/dags/{target.dag_id}/dagRuns", body=body)


def fits_invoke_rest_api(call: RestCall) -> bool:
    """Return whether the call's path is short enough for InvokeRestApi."""
    return len(call.path) <= LONGEST_REST_PATH


def too_long_for_invoke_rest_api(target: ResolvedTarget) -> Rejected:
    """Return the outcome if the path of `trigger_call(target)` is too long."""
    environment = target.environment
    return Rejected(
        Reason.DAG_ID_TOO_LONG,
        f"dag_id {target.dag_id!r} has {len(target.dag_id)} characters, and InvokeRestApi allows {LONGEST_REST_DAG_ID}: "
        "shorten the DAG's id, or use a web login or CLI tokens for its environment "
        f"({environment}=web or {environment}=cli in the stack's parameter Transports)",
    )


def look_up_call(target: ResolvedTarget) -> RestCall | Rejected:
    """Return the call that reads the run by its run_id, whose path is too long for InvokeRestApi."""
    try:
        return RestCall("GET", run_path(target.dag_id, target.run_id))
    except InvalidId as error:
        return rejected_id(error)


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of a run. Raises InvalidId."""
    check_ids(dag_id, run_id)
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def short_look_up_calls(target: ResolvedTarget) -> tuple[RestCall, ...]:
    """Return the calls within 64 characters that find a run by its run_id; make them in order until one finds it.

    The second one's filter is a pattern (`_` matches any character), so `read_look_up` compares the run_id again.
    """
    run = {"dag_ids": [target.dag_id], "dag_run_ids": [target.run_id], "page_limit": 1}
    by_its_tasks = RestCall("POST", "/dags/~/dagRuns/~/taskInstances/list", body=run)
    try:
        check_ids(target.dag_id)
    except InvalidId:
        return (by_its_tasks,)
    newest_first = {"run_id_pattern": target.run_id, "order_by": "-id", "limit": 10}
    by_pattern = RestCall("GET", f"/dags/{target.dag_id}/dagRuns", query=newest_first)
    return (by_its_tasks, by_pattern) if fits_invoke_rest_api(by_pattern) else (by_its_tasks,)


def look_up_by_date_call(target: ResolvedTarget, *, newer: bool) -> RestCall:
    """Return the call that finds the run of the target's logical date; `newer`: with Airflow 3's name of the date."""
    name = "logical_date" if newer else "execution_date"
    date = target.logical_date
    body = {"dag_ids": [target.dag_id], f"{name}_gte": date, f"{name}_lte": date, "page_limit": 1}
    return RestCall("POST", "/dags/~/dagRuns/list", body=body)


def list_call(offset: int, *, exclude_stale: bool) -> RestCall:
    """Return the call for one page of DAGs, including stale ones.

    `exclude_stale`: use Airflow 3's parameter, which Airflow 2 refuses. Airflow 3 ignores that of Airflow 2.
    """
    everything = {"exclude_stale": False} if exclude_stale else {"only_active": False}
    return RestCall(
        "GET", "/dags", query={"limit": DAGS_PER_PAGE, "offset": offset, "order_by": "dag_id", **everything}
    )


def read_list(answer: RestAnswer) -> tuple[tuple[ListedDag, ...], int] | NotListed:
    """Return (the DAGs of one page, the number of DAGs on all pages)."""
    rows = answer.rows("dags")
    total = answer.document.get("total_entries") if rows is not None else None
    if rows is None or not isinstance(total, int):
        return NotListed(f"the list of DAGs: {answer.summary()}", answer.status)
    dags = tuple(
        ListedDag(
            row["dag_id"],
            paused=row.get("is_paused") is True,
            stale=row.get("is_stale") is True or row.get("is_active") is False,
        )
        for row in rows
        if isinstance(row.get("dag_id"), str)
    )
    return dags, total


def import_errors_call() -> RestCall:
    """Write the call for the newest import errors; one page of them is more than a reason quotes."""
    return RestCall("GET", "/importErrors", query={"limit": DAGS_PER_PAGE, "order_by": "-timestamp"})


def read_import_errors(answer: RestAnswer) -> BrokenFiles | NotListed:
    """Return the import errors in an answer to `import_errors_call()`."""
    rows = answer.rows("import_errors")
    if rows is None:
        return NotListed(answer.summary(), answer.status)
    files = tuple(
        BrokenFile.of(str(row.get("filename") or ""), str(row.get("stack_trace") or "")) for row in rows
    )
    total = answer.document.get("total_entries")
    return BrokenFiles(files, total if isinstance(total, int) else len(files))


def read_trigger(answer: RestAnswer, target: ResolvedTarget) -> Outcome:
    """Return the outcome of an answer to `trigger_call(target)`.

    An unclear answer and every 5xx is `OutcomeUnknown`, and the caller looks up the run.
    """
    match answer.status:
        case 200 | 201 if _is_our_run(answer.document, target):
            return Triggered()
        case 400 | 422 if target.partition_key is not None and _knows_no_partition_key(answer):
            return no_partition_keys(f"this Airflow is older; it said HTTP {answer.status}")
        case 400 | 422:
            return Rejected(_reason_of_refusal(answer, target), answer.summary())
        case 404:
            return _not_found(answer, target)
        case 409 if _names_our_run_id(answer, target):
            return AlreadyTriggered(answer.summary())
        case 500 if f"The provided run ID '{target.run_id}' is invalid" in answer.detail():
            return Rejected(Reason.RUN_ID_REFUSED, answer.summary())  # Airflow 2, if it shows its stack trace
        case _:
            return _refused(answer) or OutcomeUnknown(Reason.UNCLEAR_ANSWER, answer.summary())


def read_look_up(answer: RestAnswer, target: ResolvedTarget) -> Outcome:
    """Return the outcome of a lookup of the run: it exists, does not (`Retryable`), or is still unknown."""
    not_there = Retryable(Reason.RUN_NOT_THERE, f"run {target.run_id} is not in Airflow")
    tasks, runs = answer.rows("task_instances"), answer.rows("dag_runs")
    found = answer.document if answer.status == 200 else None  # noqa: PLR2004  HTTP's OK
    if any(_is_our_run(row, target) for row in (found, *(tasks or ()), *(runs or ()))):
        return AlreadyTriggered(f"the look-up found run {target.run_id}")
    if tasks == [] or runs is not None:
        return not_there
    match answer.status:
        case 400 if "run_id_pattern" in answer.detail():
            return not_there  # Airflow 2 has no such filter; its 409 to another start says whose run it is
        case 404 if f"`{target.dag_id}` was not found" in answer.detail():
            return not_there
        case 404 if isinstance(answer.document, Mapping) and _names_ids(answer.detail(), target):
            return not_there  # not the page of a proxy, which may quote the path
        case _:
            unclear = OutcomeUnknown(
                Reason.UNCLEAR_ANSWER, f"the look-up gave no clear answer: {answer.summary()}"
            )
            return _refused(answer) or unclear


def read_look_up_by_date(answer: RestAnswer, target: ResolvedTarget) -> Outcome:
    """Return the outcome of `look_up_by_date_call(target)`; `Retryable` names LOGICAL_DATE_TAKEN if it finds another run."""
    outcome = read_look_up(answer, target)
    others = answer.rows("dag_runs")
    if isinstance(outcome, Retryable) and others:
        other = f"run {others[0].get('dag_run_id')!r} has its logical date"[:_LONGEST_TEXT]
        return Retryable(Reason.LOGICAL_DATE_TAKEN, f"{outcome.text}; {other}")
    return outcome


def _knows_no_partition_key(answer: RestAnswer) -> bool:
    return ("extra_forbidden", "partition_key") in answer.problem_locations() or answer.detail().startswith(
        "{'partition_key': "
    )


def _is_our_run(row: Any, target: ResolvedTarget) -> bool:
    ours = (target.dag_id, target.run_id)
    return isinstance(row, Mapping) and (row.get("dag_id"), row.get("dag_run_id")) == ours


def _names_ids(detail: str, target: ResolvedTarget) -> bool:
    """Airflow 3: "The DagRun with dag_id: `d` and run_id: `r` was not found", Airflow 2: "… 'd' and DagRun ID: 'r' …"."""
    return detail.lower().endswith("not found") and all(
        re.search(rf"ID: ['`]{re.escape(name)}['`]", detail, re.IGNORECASE)
        for name in (target.dag_id, target.run_id)
    )


def _names_our_run_id(answer: RestAnswer, target: ResolvedTarget) -> bool:
    """Return whether a 409 is evidence of our run, and not of another run with the same date.

    Airflow 2 says which of the two is taken. Airflow 3 shows the database's error, or "hidden" (3.1 and later).
    """
    taken = f"DAGRun with DAG ID: '{target.dag_id}' and DAGRun ID: '{target.run_id}' already exists"
    match answer.document:
        case {"detail": str(detail)}:
            return detail == taken
        case {"detail": {"orig_error": str(error)}}:
            return (
                error.strip("() ") == "UNIQUE constraint failed: dag_run.dag_id, dag_run.run_id"
                or f"Key (dag_id, run_id)=({target.dag_id}, {target.run_id}) already exists" in error
            )
        case _:
            return False


def _not_found(answer: RestAnswer, target: ResolvedTarget) -> Rejected | Retryable:
    """Distinguish a missing DAG from a missing API."""
    if re.match(rf"(?i)dag with dag_id: '{re.escape(target.dag_id)}'", answer.detail()):
        return Rejected(Reason.DAG_MISSING, answer.summary())
    return Retryable(
        Reason.ENVIRONMENT_UNREACHABLE, f"Airflow's REST API is not available: {answer.summary()}"
    )


def _reason_of_refusal(answer: RestAnswer, target: ResolvedTarget) -> Reason:
    """Classify Airflow's refusal. Only the beginning of a text counts: the rest may quote the conf."""
    detail = answer.detail()
    fields = {field for _, field in answer.problem_locations()}
    if re.match(rf"(?i)dag with dag_id: '{re.escape(target.dag_id)}' has import errors", detail):
        return Reason.DAG_BROKEN
    if "dag_run_id" in fields or re.match(
        r"The run_id provided '|The provided run ID '|A manual DAG run cannot use ID|\{'dag_run_id': ", detail
    ):
        return Reason.RUN_ID_REFUSED
    if "conf" in fields or detail.startswith("Invalid input for param ") or detail.endswith("- 'conf'"):
        return Reason.CONF_REFUSED
    if detail.startswith("Value rejected by database"):
        return Reason.CONF_REFUSED  # the database stored no run, and the gateway checked dag_id and run_id
    return Reason.AIRFLOW_REFUSED


def _refused(answer: RestAnswer) -> Retryable | None:
    """Return the outcome of a refusal that concerns every call, not this run; otherwise None."""
    match answer.status:
        case 401:
            return Retryable(
                Reason.TOKEN_REFUSED, f"the session with Airflow is not valid: {answer.summary()}"
            )
        case 403:
            return Retryable(
                Reason.AIRFLOW_REFUSED,
                f"the dispatcher's Airflow role (RestApiRole) does not allow the call: {answer.summary()}",
            )
        case 429:
            return Retryable(
                Reason.WEB_SERVER_BUSY, f"the web server is busy with other calls: {answer.summary()}"
            )
        case _:
            return None
