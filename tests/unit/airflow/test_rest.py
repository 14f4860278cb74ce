"""The REST calls we make and the answers we read, against answers recorded from real Airflow."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local_stack.mwaa.versions import known_versions
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.ids import LONGEST_REST_PATH
from mwaa_gateway.airflow.import_errors import BrokenFile, BrokenFiles
from mwaa_gateway.airflow.rest import (
    RestAnswer,
    RestCall,
    fits_invoke_rest_api,
    import_errors_call,
    list_call,
    look_up_by_date_call,
    look_up_call,
    read_import_errors,
    read_list,
    read_look_up,
    read_look_up_by_date,
    read_trigger,
    short_look_up_calls,
    too_long_for_invoke_rest_api,
    trigger_call,
)
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

FIXTURES = Path(__file__).parents[2] / "fixtures" / "airflow_rest"


def target(dag_id: str = "ingest_orders", run_id: str = "evt__a__1", **conf: object) -> ResolvedTarget:
    return ResolvedTarget("analytics", dag_id, run_id, conf)


# --- what is sent -------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=5), st.booleans())
def test_a_run_is_started_by_its_run_id_and_never_by_a_date(conf: dict[str, Any], logical_date: bool) -> None:  # noqa: FBT001
    """The conf goes as it is; a logical date is null or absent, so that only run_ids can collide."""
    call = trigger_call(target(), logical_date=logical_date)
    assert RestCall("POST", "/dags/ingest_orders/dagRuns") == RestCall(call.method, call.path)
    call = trigger_call(ResolvedTarget("analytics", "d", "evt__a__1", conf), logical_date=logical_date)
    expected = {"dag_run_id": "evt__a__1", "conf": conf} | ({"logical_date": None} if logical_date else {})
    assert expected == call.body


DATED = ResolvedTarget(
    "analytics", "ingest_orders", "evt__a__1", {}, logical_date="2026-11-22T06:00:00.000001+00:00"
)
PARTITIONED = ResolvedTarget("analytics", "ingest_orders", "evt__a__1", {}, partition_key="2026-11-22")


@pytest.mark.parametrize("logical_date", [True, False])
def test_a_date_of_the_rule_is_sent_in_either_form(logical_date: bool) -> None:  # noqa: FBT001
    """Both majors take a date; only null is one of Airflow 3 alone."""
    call = trigger_call(DATED, logical_date=logical_date)
    assert isinstance(call, RestCall)
    assert call.body == {
        "dag_run_id": "evt__a__1",
        "conf": {},
        "logical_date": "2026-11-22T06:00:00.000001+00:00",
    }


def test_a_partition_key_is_sent_if_there_is_one() -> None:
    call = trigger_call(PARTITIONED, logical_date=True)
    assert isinstance(call, RestCall)
    assert call.body == {
        "dag_run_id": "evt__a__1",
        "conf": {},
        "logical_date": None,
        "partition_key": "2026-11-22",
    }


@pytest.mark.parametrize(
    "answer",
    [
        RestAnswer(400, {"detail": "{'partition_key': ['Unknown field.']}"}),
        RestAnswer(
            422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "partition_key"], "msg": "Extra"}]}
        ),
    ],
    ids=["Airflow 2", "Airflow 3.1"],
)
def test_an_older_airflow_knows_no_partition_key(answer: RestAnswer) -> None:
    outcome = read_trigger(answer, PARTITIONED)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == Reason.AIRFLOW_REFUSED
    assert outcome.text == (
        f"partition_key needs Airflow 3.2 or later and the transport rest or web, and this Airflow is older; it said HTTP "
        f"{answer.status}: correct that, or remove partition_key from the rule's target"
    )


@pytest.mark.guarantee(19)
@pytest.mark.parametrize(("newer", "name"), [(True, "logical_date"), (False, "execution_date")])
def test_the_run_of_a_date_is_ours_or_another_one(newer: bool, name: str) -> None:  # noqa: FBT001
    """The one lookup that finds our run if it has no tasks, and names the run that has the date."""
    call = look_up_by_date_call(DATED, newer=newer)
    assert call.body == {
        "dag_ids": ["ingest_orders"],
        f"{name}_gte": DATED.logical_date,
        f"{name}_lte": DATED.logical_date,
        "page_limit": 1,
    }

    def read(*rows: dict[str, str]) -> Outcome:
        return read_look_up_by_date(RestAnswer(200, {"dag_runs": list(rows)}), DATED)

    assert isinstance(read({"dag_id": "ingest_orders", "dag_run_id": "evt__a__1"}), AlreadyTriggered)
    other = read({"dag_id": "ingest_orders", "dag_run_id": "manual__1"})
    assert other == Retryable(
        Reason.LOGICAL_DATE_TAKEN, "run evt__a__1 is not in Airflow; run 'manual__1' has its logical date"
    )
    nobody = read()
    assert isinstance(nobody, Retryable)
    assert nobody.reason == Reason.RUN_NOT_THERE
    assert isinstance(read_look_up_by_date(RestAnswer(500, "x"), DATED), OutcomeUnknown)


def test_a_dag_id_of_fifty_characters_fits() -> None:
    """InvokeRestApi takes 64 characters of path."""
    call = trigger_call(target("d" * 50), logical_date=False)
    assert isinstance(call, RestCall)
    assert len(call.path) == LONGEST_REST_PATH


@pytest.mark.guarantee(41)
def test_a_dag_id_of_fifty_one_is_refused_with_the_remedy() -> None:
    """Before anything is sent: the reason says what to do."""
    call = trigger_call(target("d" * 51), logical_date=False)
    assert isinstance(call, RestCall)
    assert not fits_invoke_rest_api(call)
    refused = too_long_for_invoke_rest_api(target("d" * 51))
    assert refused.reason == Reason.DAG_ID_TOO_LONG
    assert "51 characters" in refused.text
    assert "InvokeRestApi allows 50" in refused.text
    assert "analytics=web or analytics=cli in the stack's parameter Transports" in refused.text


@example("d" * 51, "evt__a__1")
@given(st.text(alphabet="abcdefXYZ019_.-", min_size=1, max_size=250), st.text(max_size=250))
def test_no_path_of_a_lookup_is_too_long(dag_id: str, run_id: str) -> None:
    """Whatever the ids are, what is sent fits; a run can be looked up for every DAG."""
    calls = short_look_up_calls(target(dag_id, run_id))
    assert all(map(fits_invoke_rest_api, calls))
    assert calls


@pytest.mark.parametrize(
    "dag_id", ["", "..", "../connections", "a/b", "a?b=c", "a#b", "a%2Fb", "a b", "a\nb", "dág", ".a"]
)
def test_a_dag_id_that_is_no_plain_piece_of_a_path_is_never_sent(dag_id: str) -> None:
    """It would be another path of Airflow's API."""
    assert isinstance(trigger_call(target(dag_id), logical_date=False), Rejected)
    assert all(
        call.path == "/dags/~/dagRuns/~/taskInstances/list" for call in short_look_up_calls(target(dag_id))
    )


@pytest.mark.parametrize("run_id", ["", "-r", "a b", "é", "a/b", "a" * 251])
def test_a_run_id_that_airflow_would_refuse_is_never_sent(run_id: str) -> None:
    """Airflow 2 answers 500 to it, as to a breakdown."""
    refused = trigger_call(target(run_id=run_id), logical_date=False)
    assert isinstance(refused, Rejected)
    assert refused.reason == Reason.RUN_ID_REFUSED


def test_a_conf_that_is_not_json_is_never_sent() -> None:
    """NaN would be written as it is, and be no JSON."""
    refused = trigger_call(target(x=float("nan")), logical_date=False)
    assert isinstance(refused, Rejected)
    assert refused.reason == Reason.CONF_REFUSED


def test_no_call_and_no_answer_shows_what_an_event_holds() -> None:
    """Their repr may be logged."""
    assert "canary" not in repr(trigger_call(target(x="canary"), logical_date=True))
    assert "canary" not in repr(RestAnswer(400, {"detail": "canary"}))


# --- recorded answers ---------------------------------------------------------------------------------------

# What each recorded answer is to be read as; then where a version, or a whole major, answers otherwise.
EXPECTED: dict[str, type[Outcome] | Reason] = {
    "triggered": Triggered,
    "triggered_conf": Triggered,
    "triggered_no_tasks": Triggered,
    "paused": Triggered,
    "logical_date_missing": Reason.AIRFLOW_REFUSED,
    "logical_date_null": Triggered,
    "duplicate_run_id": OutcomeUnknown,  # "hidden"
    "dag_missing": Reason.DAG_MISSING,
    "dag_broken": Reason.DAG_MISSING,
    "dag_broke_later": Reason.DAG_MISSING,
    "dag_stale": Reason.DAG_MISSING,  # over the CLI Airflow 3 accepts it
    "conf_refused": Reason.CONF_REFUSED,
    "conf_no_object": Reason.CONF_REFUSED,
    "bad_run_id": Reason.RUN_ID_REFUSED,
    "no_such_path": OutcomeUnknown,  # 405
    "lookup_found": AlreadyTriggered,
    "lookup_missing": Reason.RUN_NOT_THERE,
    "lookup_dag_missing": Reason.RUN_NOT_THERE,
    "lookup_no_tasks": Reason.RUN_NOT_THERE,  # the next look-up finds it, or Airflow 2's own 409
    "lookup_run_missing": Reason.RUN_NOT_THERE,
    "lookup_run_dag_missing": Reason.RUN_NOT_THERE,
    "lookup_run_no_tasks": AlreadyTriggered,
}
OTHERWISE: dict[str, dict[str, type[Outcome] | Reason]] = {
    "2": {
        "logical_date_missing": Triggered,
        "logical_date_null": Reason.AIRFLOW_REFUSED,
        "duplicate_run_id": AlreadyTriggered,  # it says that the run_id is taken, not the date
        "dag_broke_later": Reason.DAG_BROKEN,
        "bad_run_id": OutcomeUnknown,  # a page that says nothing, with 500
        "no_such_path": Reason.ENVIRONMENT_UNREACHABLE,
        "lookup_run_no_tasks": Reason.RUN_NOT_THERE,  # no such filter
    },
    "2.7.2": {"conf_refused": OutcomeUnknown},  # a page that says nothing, with 500
    "2.8.1": {"conf_refused": OutcomeUnknown},
    "3.0.6": {"duplicate_run_id": AlreadyTriggered},  # it shows what the database said
}


def expected_of(path: Path) -> type[Outcome] | Reason:
    version = path.parent.name
    for known in (version, version.split(".")[0]):
        if path.stem in OTHERWISE.get(known, {}):
            return OTHERWISE[known][path.stem]
    return EXPECTED[path.stem]


LISTS = {"dags_list", "dags_list_only_active", "import_errors"}


def recorded(path: Path) -> tuple[dict[str, Any], RestAnswer]:
    document = json.loads(path.read_text())
    return document, RestAnswer(document["status"], document["response"])


@pytest.mark.guarantee(19, 20, 41)
@pytest.mark.parametrize(
    "path",
    sorted(path for path in FIXTURES.rglob("*.json") if path.stem not in LISTS),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_recorded_answers(path: Path) -> None:
    """What real Airflow answered is understood."""
    document, answer = recorded(path)
    sent = document["sent"]
    if path.stem.startswith("lookup"):
        run_id = sent.get("run_id_pattern") or sent["dag_run_ids"][0]
        dag_id = document["path"].split("/")[2]
        read, asked = read_look_up, target(sent["dag_ids"][0] if dag_id == "~" else dag_id, run_id)
    else:
        read = read_trigger
        asked = target(document["path"].split("/")[2], sent.get("dag_run_id", "evt__a__1"))
    outcome = read(answer, asked)

    expected = expected_of(path)
    seen = outcome.reason if isinstance(expected, Reason) else type(outcome)
    assert expected == seen, outcome


def test_every_case_was_recorded_on_every_version() -> None:
    """The tables above are not passed by recordings that are missing."""
    cases = {(path.parent.name, path.stem) for path in FIXTURES.rglob("*.json")}
    recorded = {(version, case) for version in known_versions() for case in EXPECTED}
    assert recorded | {(version, case) for version in ("2.11.2", "3.3.1") for case in LISTS} == cases


@pytest.mark.parametrize("version", known_versions())
def test_the_calls_are_those_that_were_recorded(version: str) -> None:
    """The recordings are answers to what is really sent."""
    for case in ("triggered_conf", "lookup_found", "lookup_run_missing"):
        document, _ = recorded(FIXTURES / version / f"{case}.json")
        sent = document["sent"]
        run_id = sent.get("dag_run_id") or sent.get("run_id_pattern") or sent["dag_run_ids"][0]
        asked = ResolvedTarget("analytics", "ingest_orders", run_id, sent.get("conf", {}))
        calls = [trigger_call(asked, logical_date=version.startswith("3.")), *short_look_up_calls(asked)]
        assert (document["method"], document["path"], sent) in [
            (call.method, call.path, call.body or call.query) for call in calls if isinstance(call, RestCall)
        ]


OUR_IDS = "dag_id: `ingest_orders` and run_id: `evt__a__1`"


@pytest.mark.guarantee(51)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RestAnswer(200, {"dag_id": "ingest_orders", "dag_run_id": "evt__a__1"}), AlreadyTriggered),
        (RestAnswer(200, {"dag_id": "ingest_orders", "dag_run_id": "evt__a__2"}), Reason.UNCLEAR_ANSWER),
        (RestAnswer(201, {"dag_id": "ingest_orders", "dag_run_id": "evt__a__1"}), Reason.UNCLEAR_ANSWER),
        (RestAnswer(404, {"detail": f"The DagRun with {OUR_IDS} was not found"}), Reason.RUN_NOT_THERE),
        (
            RestAnswer(
                404,
                {"detail": "DAGRun with DAG ID: 'ingest_orders' and DagRun ID: 'evt__a__1' not found"},
            ),
            Reason.RUN_NOT_THERE,
        ),
        (
            RestAnswer(404, {"detail": OUR_IDS.replace("__1", "__2") + " was not found"}),
            Reason.UNCLEAR_ANSWER,
        ),
        (RestAnswer(404, {"detail": "Not Found"}), Reason.UNCLEAR_ANSWER),
        (RestAnswer(404, f"<p>{OUR_IDS} was not found</p>"), Reason.UNCLEAR_ANSWER),
        (RestAnswer(404, {"detail": f"{OUR_IDS}: access denied"}), Reason.UNCLEAR_ANSWER),
        (RestAnswer(401, {"detail": "Unauthorized"}), Reason.TOKEN_REFUSED),
        (RestAnswer(403, {"detail": "Forbidden"}), Reason.AIRFLOW_REFUSED),
        (RestAnswer(429, "slow down"), Reason.WEB_SERVER_BUSY),
        (RestAnswer(500, "<html>"), Reason.UNCLEAR_ANSWER),
    ],
)
def test_a_run_read_by_its_run_id_is_there_or_certainly_not(
    answer: RestAnswer, expected: type[Outcome] | Reason
) -> None:
    """Nothing but Airflow's own words about this run say that it is missing."""
    call = look_up_call(target())
    assert call == RestCall("GET", "/dags/ingest_orders/dagRuns/evt__a__1")
    outcome = read_look_up(answer, target())
    assert expected == (outcome.reason if isinstance(expected, Reason) else type(outcome)), outcome


@pytest.mark.parametrize(
    ("ids", "reason"),
    [(("../x", "evt__a__1"), Reason.AIRFLOW_REFUSED), (("a", "../b"), Reason.RUN_ID_REFUSED)],
)
def test_a_run_is_read_by_ids_that_are_plain_pieces_of_a_path(ids: tuple[str, str], reason: Reason) -> None:
    """Another path of Airflow's API would be read with the session's rights."""
    refused = look_up_call(target(*ids))
    assert isinstance(refused, Rejected)
    assert refused.reason is reason


# --- what is evidence ---------------------------------------------------------------------------------------


DUPLICATE_KEY = (
    'duplicate key value violates unique constraint "dag_run_dag_id_run_id_key"\n'
    "DETAIL:  Key (dag_id, run_id)=(ingest_orders, {}) already exists.\n"
)


def conflict(detail: object) -> Outcome:
    return read_trigger(RestAnswer(409, {"detail": detail}), target())


def test_a_conflict_of_dates_is_no_evidence() -> None:
    """Airflow 2 checks both; another run of the same moment has the date, and ours is not there."""
    taken = "DAGRun with DAG ID: 'ingest_orders' and DAGRun logical date: '2026-11-22 12:00:00+00:00' already exists"
    assert isinstance(conflict(taken), OutcomeUnknown)


@pytest.mark.guarantee(19, 41)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("UNIQUE constraint failed: dag_run.dag_id, dag_run.run_id", AlreadyTriggered),
        ("UNIQUE constraint failed: dag_run.dag_id, dag_run.logical_date", OutcomeUnknown),
        (
            DUPLICATE_KEY.format("evt__a__1"),
            AlreadyTriggered,
        ),
        (
            DUPLICATE_KEY.format("evt__a__12"),
            OutcomeUnknown,
        ),
        (
            'duplicate key value violates unique constraint "dag_run_dag_id_logical_date_key"\n',
            OutcomeUnknown,
        ),
        ("hidden", OutcomeUnknown),
    ],
)
def test_a_conflict_is_read_by_its_cause(error: str, expected: type[Outcome]) -> None:
    """Airflow 3.0 shows what SQLite or PostgreSQL said; 3.1 and later hide it."""
    detail = {"reason": "Unique constraint violation", "statement": "INSERT …", "orig_error": error}
    assert isinstance(conflict(detail), expected)


@pytest.mark.parametrize("detail", ["already exists", "", None, {}, [], "evt__a__1 already exists"])
def test_a_conflict_that_is_not_understood_is_unknown(detail: object) -> None:
    """Never success by the status alone."""
    assert isinstance(conflict(detail), OutcomeUnknown)


@pytest.mark.parametrize("status", [200, 201, None, 202, 204, 302, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "document",
    [
        None,
        "",
        "<html>",
        [],
        {},
        {"dag_run_id": "evt__other__1", "dag_id": "ingest_orders"},
        {"dag_run_id": "evt__a__1", "dag_id": "other"},
        {"dag_runs": [{"dag_run_id": "evt__other__1"}], "total_entries": 1},
        {"task_instances": [{"dag_run_id": "evt__other__1", "dag_id": "ingest_orders"}]},
        {"task_instances": "none"},
        {"task_instances": [1]},
    ],
)
def test_what_is_not_understood_is_unknown(status: int | None, document: Any) -> None:
    """Success and absence both need evidence: a 5xx may have been carried out, and another's run is not ours."""
    answer = RestAnswer(status, document)
    assert isinstance(read_trigger(answer, target()), OutcomeUnknown)
    if not (status == 200 and isinstance(document, dict) and "dag_runs" in document):
        assert isinstance(read_look_up(answer, target()), OutcomeUnknown)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 503])
def test_an_error_is_never_success_whatever_it_quotes(status: int) -> None:
    """An answer that looks like our run, with the status of an error."""
    ours = {"dag_run_id": "evt__a__1", "dag_id": "ingest_orders", "detail": "run evt__a__1"}
    outcome = read_trigger(RestAnswer(status, ours), target())
    assert not isinstance(outcome, Triggered | AlreadyTriggered)


def test_a_pattern_finds_more_than_was_asked_for() -> None:
    """`_` stands for any character in it, and a rerun's id begins with ours: compared exactly."""
    rows = [{"dag_id": "ingest_orders", "dag_run_id": name} for name in ("evtX_a__1", "evt__a__1__r1")]
    assert Reason.RUN_NOT_THERE == read_look_up(RestAnswer(200, {"dag_runs": rows}), target()).reason
    rows.append({"dag_id": "ingest_orders", "dag_run_id": "evt__a__1"})
    assert isinstance(read_look_up(RestAnswer(200, {"dag_runs": rows}), target()), AlreadyTriggered)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.0", "2.x"])
def test_an_import_error_waits_for_the_dags_author(version: str) -> None:
    """The DAG was parsed once and broke since."""
    detail = {
        "3.0": "DAG with dag_id: 'ingest_orders' has import errors and cannot be triggered",
        "2.x": "DAG with dag_id: 'ingest_orders' has import errors",
    }[version]
    outcome = read_trigger(RestAnswer(400, {"detail": detail}), target())
    assert isinstance(outcome, Rejected)
    assert Reason.DAG_BROKEN == outcome.reason


@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        (400, "Invalid input for param n: \"DAG with dag_id: 'x' has import errors\"", Reason.CONF_REFUSED),
        (400, "Invalid input for param n: 'The run_id provided'", Reason.CONF_REFUSED),
        (400, "A manual DAG run cannot use ID 'scheduled__x' since it is reserved", Reason.RUN_ID_REFUSED),
        (400, "{'dag_run_id': ['Longer than maximum length 250.']}", Reason.RUN_ID_REFUSED),
        (400, "Dag with dag_id: 'ingest_orders' does not allow manual runs", Reason.AIRFLOW_REFUSED),
        (422, {"reason": "Value rejected by database", "orig_error": "hidden"}, Reason.CONF_REFUSED),
    ],
)
def test_text_of_strangers_in_a_refusal_decides_nothing(status: int, detail: Any, expected: Reason) -> None:
    """Only how Airflow's text begins counts; a conf quoted in it cannot pass for another verdict."""
    outcome = read_trigger(RestAnswer(status, {"detail": detail}), target())
    assert isinstance(outcome, Rejected)
    assert expected == outcome.reason


def test_a_run_id_refused_with_a_stack_trace_is_dead_with_that_reason() -> None:
    """Airflow 2 that shows its traces: the 500 has a cause, and it will not go away."""
    page = (
        "<pre>AirflowException: The provided run ID &#39;evt__a__1&#39; is invalid. It does not match …</pre>"
    )
    outcome = read_trigger(RestAnswer(500, page), target())
    assert isinstance(outcome, Rejected)
    assert Reason.RUN_ID_REFUSED == outcome.reason


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Reason.TOKEN_REFUSED),
        (403, Reason.AIRFLOW_REFUSED),
        (404, Reason.ENVIRONMENT_UNREACHABLE),
        (429, Reason.WEB_SERVER_BUSY),
    ],
)
def test_statuses_that_surely_started_nothing(status: int, expected: Reason) -> None:
    """Airflow did not come to the run: try again later."""
    outcome = read_trigger(RestAnswer(status, {"detail": "Not Found"}), target())
    assert isinstance(outcome, Retryable)
    assert expected == outcome.reason


def test_a_reason_quotes_no_event() -> None:
    """Airflow 3 sends back what it was sent with every validation error."""
    problem = {
        "type": "dict_type",
        "loc": ["body", "conf"],
        "msg": "Input should be valid",
        "input": "canary",
    }
    outcome = read_trigger(RestAnswer(422, {"detail": [problem]}), target())
    assert isinstance(outcome, Rejected)
    assert "Input should be valid" in outcome.text
    assert "canary" not in outcome.text
    assert len(read_trigger(RestAnswer(400, {"detail": "x" * 9_999}), target()).text) <= 500


# --- the list of DAGs ---------------------------------------------------------------------------------------


def recorded_list(version: str, name: str) -> RestAnswer:
    document = json.loads((FIXTURES / version / f"{name}.json").read_text())
    return RestAnswer(document["status"], document["response"])


@pytest.mark.parametrize(("version", "name"), [("2.11.2", "dags_list_only_active"), ("3.3.1", "dags_list")])
def test_a_page_says_which_dags_are_paused_and_stale(version: str, name: str) -> None:
    """`is_active` on Airflow 2, `is_stale` on 3; the call is the one that was recorded."""
    page = read_list(recorded_list(version, name))
    assert not isinstance(page, NotListed)
    dags, total = page
    assert total == len(dags)
    assert {
        ListedDag("ingest_orders", paused=False, stale=False),
        ListedDag("paused_orders", paused=True, stale=False),
    } <= set(dags)
    assert [True] == [dag.stale for dag in dags if dag.dag_id.startswith("gone")]
    sent = json.loads((FIXTURES / version / f"{name}.json").read_text())["sent"]
    assert sent == list_call(0, exclude_stale=name == "dags_list").query


@pytest.mark.parametrize(("version", "folder"), [("2.11.2", "/airflow/dags/"), ("3.3.1", "")])
def test_recorded_import_errors(version: str, folder: str) -> None:
    """The newest first; the call is the one that was recorded."""
    found = read_import_errors(recorded_list(version, "import_errors"))
    error = "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    names = ("breaks_later.py", "broken.py")
    assert BrokenFiles(tuple(BrokenFile(folder + name, error) for name in names), 2) == found
    document = json.loads((FIXTURES / version / "import_errors.json").read_text())
    call = import_errors_call()
    assert (call.method, call.path, call.query) == (document["method"], document["path"], document["sent"])


@pytest.mark.parametrize(
    "answer",
    [
        RestAnswer(403, {"detail": "Forbidden"}),
        RestAnswer(200, {"import_errors": None}),
        RestAnswer(200, "<html>"),
        RestAnswer(None, {}),
    ],
)
def test_what_is_no_list_of_import_errors(answer: RestAnswer) -> None:
    """As where the Airflow role may not see them."""
    assert isinstance(read_import_errors(answer), NotListed)


@pytest.mark.parametrize(
    "answer",
    [
        RestAnswer(403, {"detail": "Forbidden"}),
        RestAnswer(200, []),
        RestAnswer(200, {"dags": [1], "total_entries": 1}),
    ],
)
def test_what_is_no_page_is_none(answer: RestAnswer) -> None:
    """A wrong list would make wrong verdicts."""
    assert isinstance(read_list(answer), NotListed)
