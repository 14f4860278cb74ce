"""Questions about runs, over either transport, and what real Airflows answered to them."""

import json
import shlex

import pytest

from mwaa_gateway.airflow import cli_runs as by_command
from mwaa_gateway.airflow import rest_runs as by_call
from mwaa_gateway.airflow.cli import CommandAnswer, look_up_command
from mwaa_gateway.airflow.ids import LONGEST_REST_PATH
from mwaa_gateway.airflow.rest import RestAnswer, RestCall, fits_invoke_rest_api
from mwaa_gateway.airflow.run_states import (
    NotAvailable,
    ReturnValue,
    RunEnd,
    RunMarkedFailed,
    RunNotThere,
    RunState,
    RunsUnknown,
)
from mwaa_gateway.trigger_request import ResolvedTarget

SINCE = 1_795_305_600.0  # 2026-11-22T00:00:00Z


def printed(stdout: str, stderr: str = "") -> CommandAnswer:
    """The web server's answer to a command."""
    return CommandAnswer(200, stdout, stderr)


# As Airflow 3.3.1 and 2.11.2 printed them.
OF_3 = (
    "2026-11-23T00:24:39.942721Z [warning  ] Could not import graphviz. [py.warnings]\n"
    '[{"dag_id": "tiny", "run_id": "evt__b", "state": "running", "run_after": "2026-11-23T00:24:35.332875+00:00", '
    '"logical_date": "", "start_date": "2026-11-23T00:00:00+00:00", "end_date": ""}]\n'
)
OF_2 = (
    "[2026-11-23T00:26:48.135+0000] {plugins.py:37} INFO - setup plugin alembic.autogenerate.schemas\n"
    '[{"dag_id": "tiny", "run_id": "evt__b", "state": "running", "execution_date": "2026-11-23T00:26:40.502788+00:00", '
    '"start_date": "2026-11-23T00:00:00+00:00", "end_date": ""}, {"dag_id": "tiny", "run_id": "evt__a", "state": "queued", '
    '"execution_date": "2026-11-23T00:26:36.153289+00:00", "start_date": "", "end_date": ""}]\n'
)


@pytest.mark.parametrize("dag_argument", [False, True])
def test_the_list_is_bounded_by_a_date_and_names_the_dag_as_each_major_wants_it(dag_argument):
    """A DAG's old runs are not read."""
    words = shlex.split(by_command.list_runs_command("tiny", SINCE, dag_argument=dag_argument))
    assert words == [
        *("dags", "list-runs", "-o", "json", "--start-date=2026-11-22T00:00:00+00:00"),
        *([] if dag_argument else ["-d"]),
        "tiny",
    ]


@pytest.mark.parametrize("dag_id", ["--help", "a b", "", "a;b"])
def test_no_dag_id_becomes_an_option_or_a_second_word(dag_id):
    """Whoever named it."""
    with pytest.raises(ValueError, match="cannot be sent"):
        by_command.list_runs_command(dag_id, SINCE, dag_argument=True)
    with pytest.raises(ValueError, match="cannot be sent"):
        look_up_command(ResolvedTarget("", dag_id, "evt__a", {}))


@pytest.mark.parametrize("stdout", [OF_3, OF_2])
def test_states_are_read_of_the_runs_asked_for(stdout):
    """Whatever else the DAG has run."""
    states = by_command.read_runs(printed(stdout), {"evt__b", "evt__missing"})
    assert states == {"evt__b": RunState(None, started=True, start_date="2026-11-23T00:00:00+00:00")}


def test_a_queued_run_has_not_started():
    """So that the ledger is still asked about it."""
    states = by_command.read_runs(printed(OF_2), {"evt__a"})
    assert states == {"evt__a": RunState(None, started=False)}


@pytest.mark.parametrize(
    "answer",
    [CommandAnswer(200, body="<html>"), printed("", "airflow.exceptions.DagNotFound: x"), printed("no list")],
)
def test_what_is_no_list_is_unknown_and_no_end(answer):
    """A run that is not listed would be taken for deleted."""
    assert isinstance(by_command.read_runs(answer, {"evt__a"}), RunsUnknown)
    assert isinstance(by_command.read_failed_tasks(answer), RunsUnknown)


def test_failed_tasks_come_before_those_they_kept_from_running():
    """The first is where to look."""
    rows = [
        {"task_id": "after", "state": "upstream_failed"},
        {"task_id": "broken", "state": "failed"},
        {"task_id": "fine", "state": "success"},
    ]
    assert by_command.read_failed_tasks(printed(json.dumps(rows))) == ["broken", "after"]
    assert by_call.read_failed_tasks(RestAnswer(200, {"task_instances": rows[:2]})) == ["broken", "after"]


def test_over_rest_a_page_has_a_hundred_runs_of_the_dag():
    """The date goes by another name in each major version."""
    call = by_call.list_runs_call("tiny", SINCE, offset=100, run_after=True)
    assert call == RestCall(
        "POST",
        "/dags/~/dagRuns/list",
        body={
            "dag_ids": ["tiny"],
            "run_after_gte": "2026-11-22T00:00:00+00:00",
            "page_limit": 100,
            "page_offset": 100,
            "order_by": "id",
        },
    )
    assert "execution_date_gte" in by_call.list_runs_call("tiny", SINCE, offset=0, run_after=False).body
    rows = [
        {"dag_run_id": f"evt__{n}", "state": "success", "start_date": None, "end_date": None}
        for n in range(100)
    ]
    states, is_full = by_call.read_runs(RestAnswer(200, {"dag_runs": rows}), {"evt__7"})
    assert (states, is_full) == ({"evt__7": RunState(RunEnd.SUCCESS, started=True)}, True)
    assert isinstance(by_call.read_runs(RestAnswer(500, {"detail": "x"}), {"evt__7"}), RunsUnknown)


# As Airflow 3.3.1 and 3.0.6, 2.11.2, and 2.9.2 answered.
NO_RUN_3 = {"detail": "The DagRun with dag_id: `tiny` and run_id: `evt__a` was not found"}
NO_RUN_2 = {
    "detail": "DAGRun with DAG ID: 'tiny' and DagRun ID: 'evt__a' not found",
    "title": "DAGRun not found",
}
NO_RUN_TO_MARK_2 = {"detail": None, "status": 404, "title": "Dag Run id evt__a not found in dag tiny"}
NO_XCOM_3 = {"detail": "XCom entry with key: `return_value` not found"}
NO_XCOM_2 = {"detail": None, "status": 404, "title": "XCom entry not found"}


def test_a_return_value_is_asked_for_as_json():
    """Airflow 2.10 and 2.11 write Python's text of it otherwise; what is older knows nothing else."""
    call = by_call.return_value_call("tiny", "evt__a", "group.count", as_json=True)
    path = "/dags/tiny/dagRuns/evt__a/taskInstances/group.count/xcomEntries/return_value"
    assert call == RestCall("GET", path, query={"stringify": "false"})
    assert by_call.return_value_call("tiny", "evt__a", "group.count", as_json=False) == RestCall("GET", path)


@pytest.mark.parametrize("fits", [True, False])
def test_only_short_paths_fit_invoke_rest_api(fits):
    """64 characters."""
    run_id = "evt__" + "a" * (LONGEST_REST_PATH - len("/dags/tiny/dagRuns/evt__") + (not fits))
    call = by_call.run_call("tiny", run_id)
    assert len(call.path) == LONGEST_REST_PATH + (not fits)
    assert fits_invoke_rest_api(call) is fits


@pytest.mark.parametrize(
    "task_id", ["..", ".", "", "a/b", "../../variables/secret", "a?b", "a%2e", "a#b", "a b", "a\n", "x" * 251]
)
def test_no_task_id_leads_to_another_place_of_the_api(task_id):
    """A caller names it, and a web login may read more than return values."""
    with pytest.raises(ValueError, match="cannot be sent"):
        by_call.return_value_call("tiny", "evt__a", task_id, as_json=True)


@pytest.mark.parametrize(
    ("dag_id", "run_id"), [("..", "evt__a"), ("a/b", "evt__a"), ("tiny", "a/../b"), ("tiny", "")]
)
def test_nor_does_a_dag_id_or_a_run_id(dag_id, run_id):
    """Whoever named them."""
    for write in (by_call.run_call, by_call.fail_run_call):
        with pytest.raises(ValueError, match="cannot be sent"):
            write(dag_id, run_id)


def test_what_a_path_would_take_for_its_own_is_written_in_percent():
    """A run_id may have colons and plus signs, a task_id letters of any script."""
    assert by_call.run_call("tiny", "evt__a:b+c~1").path == "/dags/tiny/dagRuns/evt__a%3Ab%2Bc~1"
    assert (
        "/taskInstances/z%C3%A4hlen/" in by_call.return_value_call("t", "r", "z\u00e4hlen", as_json=True).path
    )


@pytest.mark.parametrize("value", [{"rows": 3}, None, 0, "text", [1, 2]])
def test_a_return_value_is_what_airflow_keeps(value):
    """Of any kind, and never shown by the answer's repr."""
    read = by_call.read_return_value(RestAnswer(200, {"key": "return_value", "value": value}))
    assert read == ReturnValue(value)
    assert repr(ReturnValue("canary")) == "ReturnValue()"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (RestAnswer(404, NO_XCOM_3), NotAvailable),
        (RestAnswer(404, NO_XCOM_2), NotAvailable),
        (RestAnswer(403, {"detail": "Forbidden"}), NotAvailable),
        (RestAnswer(400, {"detail": "no"}), NotAvailable),
        (RestAnswer(200, {"key": "return_value"}), RunsUnknown),
        (RestAnswer(404, "<html>Not found</html>"), RunsUnknown),
        (RestAnswer(401, {"detail": "Not authenticated"}), RunsUnknown),
        (RestAnswer(429, {"detail": "slowly"}), RunsUnknown),
        (RestAnswer(503, {"message": "Service Unavailable"}), RunsUnknown),
        (RestAnswer(None, {"value": 1}), RunsUnknown),
    ],
)
def test_what_is_unavailable_for_good_differs_from_what_a_retry_may_get(answer, kind):
    """The state gets the one; the watcher asks for the other again."""
    assert isinstance(by_call.read_return_value(answer), kind)


def test_a_run_is_looked_at_before_it_is_marked_and_only_airflows_word_counts():
    """A 404 of whatever stands before Airflow is no word that a run is gone."""
    assert by_call.fail_run_call("tiny", "evt__a") == RestCall(
        "PATCH", "/dags/tiny/dagRuns/evt__a", body={"state": "failed"}
    )
    going_on = RestAnswer(200, {"state": "running", "start_date": "2026-11-22T10:00:00Z", "end_date": None})
    assert by_call.read_run(going_on) == RunState(None, started=True, start_date="2026-11-22T10:00:00Z")
    for document in (NO_RUN_3, NO_RUN_2, NO_RUN_TO_MARK_2):
        assert by_call.read_run(RestAnswer(404, document)) == RunNotThere()
    for answer in (
        RestAnswer(404, {"detail": "Not Found"}),
        RestAnswer(404, "<html>run</html>"),
        RestAnswer(500, {}),
    ):
        assert isinstance(by_call.read_run(answer), RunsUnknown)


def test_a_run_is_marked_when_airflow_says_so():
    """Airflow 2 answers 200 as well where it does not find the DAG, and leaves the run as it is."""
    assert by_call.read_failed_run(RestAnswer(200, {"state": "failed"})) == RunMarkedFailed()
    assert isinstance(by_call.read_failed_run(RestAnswer(200, {"state": "running"})), NotAvailable)
    assert isinstance(by_call.read_failed_run(RestAnswer(403, {"detail": "Forbidden"})), NotAvailable)
    assert isinstance(by_call.read_failed_run(RestAnswer(502, "")), RunsUnknown)
    assert by_call.read_failed_run(RestAnswer(404, NO_RUN_TO_MARK_2)) == RunNotThere()


@pytest.mark.parametrize(
    ("start", "end", "duration"),
    [
        ("2026-11-22T10:00:00+00:00", "2026-11-22T10:01:30.5Z", {"duration_seconds": 90.5}),
        ("", "2026-11-22T10:01:30Z", {}),
        ("2026-11-22T10:00:00", "2026-11-22T10:01:30Z", {}),
    ],
)
def test_a_duration_is_given_where_both_dates_are_known(start, end, duration):
    """Never a made-up one."""
    document = RunState(RunEnd.SUCCESS, started=True, start_date=start, end_date=end).document()
    assert document == {"state": "success", "start_date": start, "end_date": end} | duration
