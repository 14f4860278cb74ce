"""The command line we send and the answers we read, against answers recorded from real Airflow."""

import base64
import json
import shlex
import string
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.mwaa.versions import known_versions
from mwaa_gateway.airflow.cli import (
    IMPORT_ERRORS_COMMAND,
    CommandAnswer,
    list_command,
    look_up_command,
    read_import_errors,
    read_list,
    read_look_up,
    read_trigger,
    trigger_command,
)
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
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

FIXTURES = Path(__file__).parents[2] / "fixtures" / "airflow_cli"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def printed(stdout: str = "", stderr: str = "") -> bytes:
    """The body of the web server's answer to a command."""
    encoded = (base64.b64encode(text.encode()).decode() for text in (stdout, stderr))
    return json.dumps(dict(zip(("stdout", "stderr"), encoded, strict=True))).encode()


def target(dag_id: str = "ingest_orders", run_id: str = "evt__a__1", **conf: object) -> ResolvedTarget:
    return ResolvedTarget("analytics", dag_id, run_id, conf)


@pytest.mark.guarantee(29)
@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_conf_is_one_shell_word_whatever_it_holds(conf: dict[str, object]) -> None:
    """No value can begin, end or split a word of the command; it arrives unchanged."""
    command = trigger_command(ResolvedTarget("analytics", "d", "evt__a__1", conf))
    words = shlex.split(command)
    assert words[:6] == ["dags", "trigger", "--no-replace-microseconds", "-o", "json", "--run-id=evt__a__1"]
    assert json.loads(words[6].removeprefix("--conf=")) == conf
    assert words[7:] == ["d"]
    assert set(command) <= set(string.printable) - set("\n\r\t\x0b\x0c")


@pytest.mark.parametrize(
    "dag_id", ["", "-x", "--help", "a b", "a;b", "a'b", "a\nb", "dág", "a" * 251, "$(id)"]
)
@pytest.mark.parametrize("command", [trigger_command, look_up_command])
def test_a_dag_id_that_is_no_plain_word_is_never_sent(command, dag_id: str) -> None:
    """A dag_id cannot be an option, a second word, or more than Airflow stores."""
    with pytest.raises(ValueError, match="dag_id"):
        command(target(dag_id))


@pytest.mark.parametrize("run_id", ["", "-r", "a b", "é", "a" * 251])
def test_a_run_id_that_is_no_plain_word_is_never_sent(run_id: str) -> None:
    """The same for the run_id."""
    with pytest.raises(ValueError, match="run_id"):
        look_up_command(target(run_id=run_id))


def test_conf_that_is_not_json_is_never_sent() -> None:
    """Airflow would take NaN, and no other JSON reader after it."""
    with pytest.raises(ValueError, match="JSON"):
        trigger_command(target(x=float("nan")))


# What each recorded answer is to be read as; then where a version, or a whole major, answers otherwise.
EXPECTED: dict[str, type[Outcome] | Reason] = {
    "triggered": Triggered,
    "triggered_conf": Triggered,
    "paused": Triggered,
    "duplicate_run_id": AlreadyTriggered,
    "same_second_collision": Triggered,
    "dag_missing": Reason.DAG_MISSING,
    "dag_broken": Reason.DAG_MISSING,
    "dag_broke_later": Triggered,  # accepted: the run waits for ever, and only the list of DAGs shows why
    "dag_stale": Triggered,
    "bad_json": Reason.CONF_REFUSED,
    "bad_run_id": Reason.RUN_ID_REFUSED,
    "usage_error": Reason.AIRFLOW_REFUSED,
    "usage_error_no_dag": Reason.AIRFLOW_REFUSED,
    "lookup_found": AlreadyTriggered,
    "lookup_missing": Reason.RUN_NOT_THERE,
    "lookup_dag_missing": Reason.RUN_NOT_THERE,
}
OTHERWISE: dict[str, dict[str, type[Outcome] | Reason]] = {
    "2": {
        # It prints the run_id that was asked for although another run has the date: no evidence either way.
        "duplicate_run_id": OutcomeUnknown,
        "same_second_collision": OutcomeUnknown,
        "dag_stale": Reason.DAG_MISSING,
    },
}
# What `dags list` prints, by case and major. A column that a version does not know is left out with a warning.
# Airflow 2 lists what is in the files now; 3 what its database has.
UNKNOWN_COLUMNS = "unrecognized arguments: --columns {}, see help above."
LISTED_ON_2 = [("ingest_orders", "False"), ("paused_orders", "True")]
LISTED_ON_3 = [
    ("breaks_later", "False"),
    ("gone_orders", "False"),
    ("ingest_orders", "False"),
    ("paused_orders", "True"),
]


def expected_of(path: Path) -> type[Outcome] | Reason:
    version = path.parent.name
    for known in (version, version.split(".")[0]):
        if path.stem in OTHERWISE.get(known, {}):
            return OTHERWISE[known][path.stem]
    return EXPECTED[path.stem]


OUTCOMES = sorted(path for path in FIXTURES.rglob("*.json") if path.stem in EXPECTED)


@pytest.mark.guarantee(18, 19, 20)
@pytest.mark.parametrize("http_status", [200, 400])
@pytest.mark.parametrize("path", OUTCOMES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recorded_answers(path: Path, http_status: int) -> None:
    """What real Airflow printed is understood, whichever HTTP status MWAA puts on it."""
    recorded = json.loads(path.read_text())
    words = shlex.split(recorded["command"])
    if words[0] == "tasks":
        read, asked = read_look_up, target(words[2], words[3])
    else:
        run_id = next(
            (word.removeprefix("--run-id=") for word in words if word.startswith("--run-id=")), "evt__a__1"
        )
        read, asked = read_trigger, target(words[-1], run_id)
    outcome = read(answer(recorded["stdout"], recorded["stderr"], http_status), asked)

    expected = expected_of(path)
    seen = outcome.reason if isinstance(expected, Reason) else type(outcome)
    assert expected == seen, outcome


@pytest.mark.parametrize(
    "path",
    sorted(path for path in FIXTURES.rglob("dags_list*.json") if "errors" not in path.stem),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_recorded_lists_of_dags(path: Path) -> None:
    """The table is found among the log lines of every version, with the columns it knows of those asked for."""
    recorded = json.loads(path.read_text())
    output = answer(recorded["stdout"], recorded["stderr"])
    rows, version = output.rows(), path.parent.name
    if "--columns" in recorded["command"] and version in ("2.7.2", "2.8.1"):
        assert (rows, output.failure()) == (
            None,
            ("usage", UNKNOWN_COLUMNS.format(recorded["command"].split()[3])),
        )
        return
    assert rows is not None
    seen = [(row["dag_id"], row.get("is_paused") or row.get("paused")) for row in rows]
    assert seen == (LISTED_ON_2 if version.startswith("2.") else LISTED_ON_3)


def answer(stdout: str = "", stderr: str = "", status: int = 200) -> CommandAnswer:
    return CommandAnswer.decode(status, printed(stdout, stderr))


def test_every_case_was_recorded_on_every_version() -> None:
    """The tables above are not passed by recordings that are missing."""
    lists = {
        "dags_list",
        "dags_list_plain",
        "dags_list_is_active",
        "dags_list_is_stale",
        "dags_list_import_errors",
    }
    recorded = {(path.parent.name, path.stem) for path in FIXTURES.rglob("*.json")}
    assert {(version, case) for version in known_versions() for case in EXPECTED.keys() | lists} == recorded


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, Reason.ENVIRONMENT_UNREACHABLE),
        (401, Reason.TOKEN_REFUSED),
        (403, Reason.TOKEN_REFUSED),
        (404, Reason.ENVIRONMENT_UNREACHABLE),
        (429, Reason.WEB_SERVER_BUSY),
        (503, Reason.WEB_SERVER_BUSY),
    ],
)
def test_statuses_that_surely_started_nothing(status: int, expected: Reason) -> None:
    """An answer from before the command ran may be tried again without a look-up."""
    for read in (read_trigger, read_look_up):
        outcome = read(CommandAnswer.decode(status, b"<html>"), target())
        assert isinstance(outcome, Retryable)
        assert expected == outcome.reason


@pytest.mark.guarantee(18)
@pytest.mark.parametrize("status", [200, 400, 500, 502, 504])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b'{"stdout": "W3s=", "stderr"',
        b'{"stdout": "W3!", "stderr": ""}',
        b"\xff",
        printed(),
    ],
)
def test_what_is_not_understood_is_unknown(status: int, body: bytes) -> None:
    """Success and failure both need evidence; a cut or empty answer has none."""
    assert isinstance(read_trigger(CommandAnswer.decode(status, body), target()), OutcomeUnknown)
    assert isinstance(read_look_up(CommandAnswer.decode(status, body), target()), OutcomeUnknown)


@pytest.mark.guarantee(18)
def test_a_run_of_another_name_is_no_evidence() -> None:
    """Airflow must print our run_id, not just some run."""
    stdout = '[{"dag_id": "ingest_orders", "dag_run_id": "evt__other__1"}]'
    assert isinstance(read_trigger(answer(stdout), target()), OutcomeUnknown)


def test_a_logged_run_id_is_no_evidence() -> None:
    """Airflow 3.3 logs the run_id before the INSERT."""
    stdout = "[info ] creating dag run run_id=evt__a__1\n"
    assert isinstance(read_trigger(answer(stdout), target()), OutcomeUnknown)


@pytest.mark.parametrize(
    "stderr",
    [
        'sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key value violates "x"\nDETAIL:  y',
        "sqlalchemy.exc.MultipleResultsFound: Multiple rows were found when one or none was required",
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked",
        "some text nobody has seen before",
        "KeyError: 'x'",
    ],
)
def test_database_errors_and_unknown_texts_are_unknown(stderr: str) -> None:
    """A twin may have got there first, or another run may have the date."""
    assert isinstance(read_trigger(answer(stderr=stderr, status=400), target()), OutcomeUnknown)


DATED = ResolvedTarget("analytics", "d", "evt__a__1", {}, logical_date="2026-11-22T06:00:00.000001+00:00")


@pytest.mark.parametrize(
    ("option", "options"), [("--logical-date", {}), ("--exec-date", {"option": "--exec-date"})]
)
def test_a_logical_date_is_one_more_word(option: str, options: dict[str, str]) -> None:
    """To the microsecond: Airflow zeroes them otherwise."""
    assert DATED.logical_date is not None
    words = shlex.split(trigger_command(DATED, datetime.fromisoformat(DATED.logical_date), **options))
    assert len(words) == 9
    assert "--no-replace-microseconds" in words
    assert f"{option}=2026-11-22T06:00:00.000001+00:00" in words


@pytest.mark.guarantee(19)
@pytest.mark.parametrize(
    "said",
    [
        # Airflow 2 says so of another run's date, and of our own run.
        "DagRunAlreadyExists: A DAG Run already exists for DAG d at 2026-11-22 06:00:00+00:00 with run id evt__a__1",
        'IntegrityError: (UniqueViolation) duplicate key value violates unique constraint "dag_run_dag_id_logical_date_key"',
        'IntegrityError: duplicate key value violates unique constraint "dag_run_dag_id_execution_date_key"',
        "IntegrityError: (sqlite3.IntegrityError) UNIQUE constraint failed: dag_run.dag_id, dag_run.logical_date",
    ],
)
def test_a_taken_logical_date_is_doubt_that_names_the_date(said: str) -> None:
    """Never our run, and never another one: the lookup decides. A run without a date of ours has the doubt alone."""
    failed = answer(stderr=f"airflow.exceptions.{said}", status=400)
    assert read_trigger(failed, DATED) == OutcomeUnknown(Reason.LOGICAL_DATE_TAKEN, f"Airflow said {said}")
    undated = read_trigger(failed, replace(DATED, logical_date=None))
    assert undated == OutcomeUnknown(Reason.UNCLEAR_ANSWER, f"Airflow said {said}")


@pytest.mark.parametrize(
    "said",
    [
        'sqlalchemy.exc.IntegrityError: duplicate key value violates unique constraint "dag_run_dag_id_run_id_key"',
        "sqlalchemy.exc.IntegrityError: (sqlite3.IntegrityError) UNIQUE constraint failed: dag_run.dag_id, dag_run.run_id",
        "airflow.exceptions.DagRunAlreadyExists: A DAG Run already exists for DAG d with run id evt__a__2",
    ],
)
def test_a_taken_run_id_says_nothing_of_the_date(said: str) -> None:
    outcome = read_trigger(answer(stderr=said, status=400), DATED)
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.reason == Reason.UNCLEAR_ANSWER


@pytest.mark.parametrize("name", ["The execution_date", "Logical date"])
def test_a_date_before_the_dags_start_is_refused_for_good(name: str) -> None:
    """Airflow would say so every time."""
    said = f"ValueError: {name} [2020-01-01T00:00:00+00:00] should be >= start_date [2024-01-01] from DAG's default_args"
    outcome = read_trigger(answer(stderr=said, status=400), DATED)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == Reason.AIRFLOW_REFUSED


def test_text_of_strangers_in_an_error_decides_nothing() -> None:
    """SQL parameters quote the conf; a line of it must not pass for Airflow's verdict."""
    stderr = (
        "sqlalchemy.exc.IntegrityError: (sqlite3.IntegrityError) UNIQUE constraint failed: dag_run.dag_id\n"
        '[parameters: (\'{"key": "airflow.exceptions.DagNotFound: Dag id x not found"}\',)]\n'
    )
    assert isinstance(read_trigger(answer(stderr=stderr, status=400), target()), OutcomeUnknown)


@pytest.mark.parametrize(
    "stderr",
    [
        "airflow.exceptions.ParamValidationError: Invalid input for param n: 'x' is not of type 'integer'",
        "sqlalchemy.exc.DataError: (psycopg2.errors.UntranslatableCharacter) unsupported Unicode escape\nDETAIL:  \\u0000",
    ],
)
def test_a_conf_that_airflow_cannot_take_is_refused_for_good(stderr: str) -> None:
    """A DAG's params schema, or a NUL in PostgreSQL's JSON: trying again would change nothing."""
    outcome = read_trigger(answer(stderr=stderr, status=400), target())
    assert isinstance(outcome, Rejected)
    assert outcome.reason == Reason.CONF_REFUSED


def test_an_import_error_waits_for_the_dags_author() -> None:
    """Airflow 3 says it when the DAG was parsed once and broke since."""
    stderr = "ValueError: Dag with dag_id: 'x' has import errors and cannot be triggered"
    outcome = read_trigger(answer(stderr=stderr, status=400), target())
    assert isinstance(outcome, Rejected)
    assert outcome.reason == Reason.DAG_BROKEN


def test_warnings_on_stderr_are_no_failure() -> None:
    """A run that is printed was created, whatever else was said."""
    stdout = 'noise\n[{"dag_id": "ingest_orders", "dag_run_id": "evt__a__1"}]\n'
    stderr = "x.py:1 UserWarning: graphviz\nValueError: from a plugin\n"
    assert Triggered() == read_trigger(answer(stdout, stderr), target())


def test_a_look_up_of_a_run_without_tasks_is_found() -> None:
    """An empty list with exit code 0 is how Airflow prints a run whose DAG has no task yet."""
    assert isinstance(read_look_up(answer("[]\n"), target()), AlreadyTriggered)


def test_a_look_up_of_another_dag_is_not_ours() -> None:
    """Evidence names our DAG."""
    assert isinstance(read_look_up(answer('[{"dag_id": "other"}]'), target()), OutcomeUnknown)


ORDERS = ListedDag("ingest_orders", paused=False, stale=False)
PAUSED_ORDERS = ListedDag("paused_orders", paused=True, stale=False)
GONE_ORDERS = ListedDag("gone_orders", paused=False, stale=True)


def recorded_list(version: str, name: str) -> tuple[ListedDag, ...] | NotListed:
    document = json.loads((FIXTURES / version / f"{name}.json").read_text())
    return read_list(answer(document["stdout"], document["stderr"]))


@pytest.mark.parametrize(
    "name", ["dags_list", "dags_list_is_active", "dags_list_is_stale", "dags_list_plain"]
)
@pytest.mark.parametrize("version", ["2.11.2", "3.3.1"])
def test_a_list_says_which_dags_are_paused(version: str, name: str) -> None:
    """In whatever columns this Airflow has, and whatever it logs before them."""
    dags = recorded_list(version, name)
    assert isinstance(dags, tuple)
    assert {"paused_orders"} == {dag.dag_id for dag in dags if dag.paused}
    assert {ORDERS, PAUSED_ORDERS} <= set(dags)


def test_a_list_of_airflow_3_says_which_dags_are_stale() -> None:
    """Airflow 2 does not list such a DAG, and refuses its runs."""
    assert GONE_ORDERS in recorded_list("3.3.1", "dags_list")  # type: ignore[operator]
    assert not any(dag.stale for dag in recorded_list("2.11.2", "dags_list"))  # type: ignore[union-attr]


# By version, else by major. No scheduler ran when it was recorded: who reads the database lists what was written there.
BROKEN_WHEN_RECORDED = {
    "2": ["/airflow/dags/breaks_later.py", "/airflow/dags/broken.py"],
    "2.10.3": [],
    "3.0.6": ["/airflow/dags/broken.py"],
    "3.2.1": ["broken.py"],
    "3.3.1": [],
}


@pytest.mark.parametrize("http_status", [200, 400])
@pytest.mark.parametrize("version", known_versions())
def test_recorded_import_errors(version: str, http_status: int) -> None:
    """The table is found on every version, whichever HTTP status the command's exit code 1 becomes."""
    document = json.loads((FIXTURES / version / "dags_list_import_errors.json").read_text())
    assert IMPORT_ERRORS_COMMAND == document["command"]
    found = read_import_errors(answer(document["stdout"], document["stderr"], http_status))
    assert isinstance(found, BrokenFiles)
    names = BROKEN_WHEN_RECORDED[version if version in BROKEN_WHEN_RECORDED else version[0]]
    assert names == [file.path for file in found.files]
    assert {file.error for file in found.files} <= {
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    }
    assert len(names) == found.total


@pytest.mark.parametrize(
    ("status", "given", "expected"),
    [
        (200, printed("no table"), NotListed),
        (200, printed('["a"]'), NotListed),
        (200, b"<html>", OutcomeUnknown),
        (500, b"Unsupported command", OutcomeUnknown),
        (503, b"", Retryable),
    ],
)
def test_what_is_no_list_of_import_errors(status: int, given: bytes, expected: type) -> None:
    """A command cut short, one that MWAA does not run, a web server that is busy."""
    assert isinstance(read_import_errors(CommandAnswer.decode(status, given)), expected)


def test_import_errors_of_another_form_are_kept_as_far_as_they_go() -> None:
    """A column that a later Airflow renames costs its words, not the reason."""
    found = read_import_errors(answer('[{"file": "a.py", "error": null}]'))
    assert BrokenFiles((BrokenFile("a file without a name", "None"),), 1) == found


def test_an_older_airflow_lists_its_own_columns() -> None:
    """2.7 and 2.8 call the column `paused`."""
    plain = '[{"dag_id": "a", "filepath": "a.py", "owner": "x", "paused": "False"}, {"dag_id": "b", "paused": "True"}]\n'
    assert (
        ListedDag("a", paused=False, stale=False),
        ListedDag("b", paused=True, stale=False),
    ) == read_list(answer(plain))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        printed(),
        printed("No data found\n"),
        printed("[1, 2]\n"),
        printed('[{"dag": 1}]\n'),
        printed("[{]\n"),
    ],
    ids=["empty", "page", "silence", "text", "numbers", "no ids", "no JSON"],
)
def test_what_is_no_list_is_none(body: bytes) -> None:
    """A wrong list would make wrong verdicts."""
    assert isinstance(read_list(CommandAnswer.decode(200, body)), NotListed | OutcomeUnknown)


@pytest.mark.parametrize("columns", [True, False])
def test_the_list_is_one_command_without_any_text_from_outside(columns: bool) -> None:  # noqa: FBT001
    """The only further command that is ever sent."""
    assert ["dags", "list", "-o", "json"] == shlex.split(list_command(columns=columns))[:4]
