"""Questions about runs, over either transport, and what real Airflows answered to them."""

import base64
import json
import shlex

import pytest

from mwaa_gateway import airflow_cli_runs as by_command
from mwaa_gateway import airflow_rest_runs as by_call
from mwaa_gateway.airflow_rest import LONGEST_PATH, RestAnswer, RestCall
from mwaa_gateway.run_states import RunEnd, RunState, RunsUnknown

SINCE = 1_795_305_600.0  # 2026-11-22T00:00:00Z


def printed(stdout: str, stderr: str = "") -> bytes:
    """The web server's answer to a command."""
    return json.dumps(
        {
            "stdout": base64.b64encode(stdout.encode()).decode(),
            "stderr": base64.b64encode(stderr.encode()).decode(),
        }
    ).encode()


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
UNKNOWN_FLAG = "airflow command error: unrecognized arguments: -d, see help above.\n"
NO_FLAG = "airflow dags list-runs command error: the following arguments are required: -d/--dag-id, see help above.\n"


@pytest.mark.parametrize("airflow_2", [False, True])
def test_the_list_is_bounded_by_a_date_and_names_the_dag_as_each_major_wants_it(airflow_2):
    """A DAG's old runs are not read."""
    words = shlex.split(by_command.list_runs_command("tiny", SINCE, airflow_2=airflow_2))
    assert words == [
        *("dags", "list-runs", "-o", "json", "--start-date=2026-11-22T00:00:00+00:00"),
        *(["-d"] if airflow_2 else []),
        "tiny",
    ]


@pytest.mark.parametrize("dag_id", ["--help", "a b", "", "a;b"])
def test_no_dag_id_becomes_an_option_or_a_second_word(dag_id):
    """Whoever named it."""
    with pytest.raises(ValueError, match="cannot be sent"):
        by_command.list_runs_command(dag_id, SINCE, airflow_2=False)
    with pytest.raises(ValueError, match="cannot be sent"):
        by_command.tasks_command(dag_id, "evt__a")


@pytest.mark.parametrize("stdout", [OF_3, OF_2])
def test_states_are_read_of_the_runs_asked_for(stdout):
    """Whatever else the DAG has run."""
    states = by_command.read_runs(200, printed(stdout), {"evt__b", "evt__missing"})
    assert states == {"evt__b": RunState(None, started=True, start_date="2026-11-23T00:00:00+00:00")}


def test_a_queued_run_has_not_started():
    """So that the ledger is still asked about it."""
    states = by_command.read_runs(200, printed(OF_2), {"evt__a"})
    assert states == {"evt__a": RunState(None, started=False)}


@pytest.mark.parametrize(
    "body", [b"<html>", printed("", "airflow.exceptions.DagNotFound: x"), printed("no list")]
)
def test_what_is_no_list_is_unknown_and_no_end(body):
    """A run that is not listed would be taken for deleted."""
    assert isinstance(by_command.read_runs(200, body, {"evt__a"}), RunsUnknown)
    assert isinstance(by_command.read_failed_tasks(200, body), RunsUnknown)


@pytest.mark.parametrize(
    ("stderr", "wanted"), [(UNKNOWN_FLAG, True), (NO_FLAG, True), ("Warning: x\n", False)]
)
def test_the_other_majors_words_are_known_by_the_refusal(stderr, wanted):
    """Each says so without having done anything."""
    assert by_command.wants_other_form(printed("usage", stderr)) is wanted


def test_failed_tasks_come_before_those_they_kept_from_running():
    """The first is where to look."""
    rows = [
        {"task_id": "after", "state": "upstream_failed"},
        {"task_id": "broken", "state": "failed"},
        {"task_id": "fine", "state": "success"},
    ]
    assert by_command.read_failed_tasks(200, printed(json.dumps(rows))) == ["broken", "after"]
    assert by_call.read_failed_tasks(RestAnswer(200, {"task_instances": rows[:2]})) == ["broken", "after"]


def test_over_rest_a_page_has_a_hundred_runs_of_the_dag():
    """The date goes by another name in each major version."""
    call = by_call.list_runs_call("tiny", SINCE, offset=100, airflow_2=False)
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
    assert "execution_date_gte" in by_call.list_runs_call("tiny", SINCE, offset=0, airflow_2=True).body
    rows = [
        {"dag_run_id": f"evt__{n}", "state": "success", "start_date": None, "end_date": None}
        for n in range(100)
    ]
    states, is_full = by_call.read_runs(RestAnswer(200, {"dag_runs": rows}), {"evt__7"})
    assert (states, is_full) == ({"evt__7": RunState(RunEnd.SUCCESS, started=True)}, True)
    assert isinstance(by_call.read_runs(RestAnswer(500, {"detail": "x"}), {"evt__7"}), RunsUnknown)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (RestAnswer(400, {"detail": "{'run_after_gte': ['Unknown field.']}"}), True),
        (
            RestAnswer(
                422,
                {"detail": [{"type": "extra_forbidden", "loc": ["body", "execution_date_gte"], "msg": ""}]},
            ),
            True,
        ),
        (RestAnswer(400, {"detail": "bad"}), False),
        (RestAnswer(200, {"dag_runs": []}), False),
    ],
)
def test_over_rest_the_other_major_is_known_by_its_refusal(answer, wanted):
    """As over the command line."""
    assert by_call.wants_other_form(answer) is wanted


def test_a_path_that_invoke_rest_api_does_not_take_is_not_sent():
    """64 characters: a return value hardly ever fits, and it is said so."""
    call = by_call.return_value_call("tiny", "evt__" + "a" * 40, "count")
    assert isinstance(call, RunsUnknown)
    assert str(LONGEST_PATH) in call.text
    assert by_call.fail_run_call("tiny", "evt__a") == RestCall(
        "PATCH", "/dags/tiny/dagRuns/evt__a", body={"state": "failed"}
    )
    assert by_call.read_return_value(RestAnswer(200, {"key": "return_value", "value": {"rows": 3}})) == {
        "rows": 3
    }
    assert isinstance(by_call.read_return_value(RestAnswer(404, {"detail": "none"})), RunsUnknown)


@pytest.mark.parametrize(
    ("start", "end", "duration"),
    [
        ("2026-11-22T10:00:00+00:00", "2026-11-22T10:01:30.5Z", {"duration_seconds": 90.5}),
        ("", "2026-11-22T10:01:30Z", {}),
        ("2026-11-22T10:00:00", "2026-11-22T10:01:30Z", {}),
    ],
)
def test_a_duration_is_told_where_both_dates_are_known(start, end, duration):
    """Never a made-up one."""
    document = RunState(RunEnd.SUCCESS, started=True, start_date=start, end_date=end).document()
    assert document == {"state": "success", "start_date": start, "end_date": end} | duration
