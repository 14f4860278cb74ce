"""Which of two forms an Airflow accepts is read from its refusal: recorded, or as that version prints it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mwaa_gateway.airflow.cli import CommandAnswer
from mwaa_gateway.airflow.dialect import (
    COLUMNS_OPTION,
    DAG_ARGUMENT,
    EXCLUDE_STALE,
    LOGICAL_DATE_FIELD,
    LOGICAL_DATE_FILTER,
    LOGICAL_DATE_OPTION,
    RUN_AFTER_FIELD,
    STRINGIFY,
    WEB_LOGIN,
    Dialect,
    Difference,
)
from mwaa_gateway.airflow.rest import RestAnswer

FIXTURES = Path(__file__).parents[2] / "fixtures" / "airflow_rest"


def recorded(version: str, case: str) -> RestAnswer:
    document = json.loads((FIXTURES / version / f"{case}.json").read_text())
    return RestAnswer(document["status"], document["response"])


def usage(text: str) -> CommandAnswer:
    return CommandAnswer(400, "usage: airflow …", f"\n{text}, see help above.\n")


def bad(detail: str) -> RestAnswer:
    return RestAnswer(400, {"detail": detail})


NO_OPTION = usage("airflow command error: unrecognized arguments: --logical-date=2026-11-22T00:00:00+00:00")
NO_COLUMNS = usage("airflow command error: unrecognized arguments: --columns=dag_id,is_paused")
NO_ARGUMENT = usage("airflow dags list-runs command error: the following arguments are required: -d/--dag-id")
NO_FLAG = usage("airflow command error: unrecognized arguments: -d")
NO_DATE_OF_2 = RestAnswer(
    422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "execution_date_gte"], "msg": ""}]}
)
NEWER_REFUSED = [
    (LOGICAL_DATE_OPTION, NO_OPTION),
    (COLUMNS_OPTION, NO_COLUMNS),
    (DAG_ARGUMENT, NO_ARGUMENT),
    (LOGICAL_DATE_FIELD, recorded("2.11.2", "logical_date_null")),
    (EXCLUDE_STALE, bad("Extra query parameter(s) exclude_stale not in spec")),
    (RUN_AFTER_FIELD, bad("{'run_after_gte': ['Unknown field.']}")),
    (LOGICAL_DATE_FILTER, bad("{'logical_date_gte': ['Unknown field.']}")),
    (STRINGIFY, bad("Extra query parameter(s) stringify not in spec")),
    (WEB_LOGIN, RestAnswer(405, None)),
]
OLDER_REFUSED = [
    (
        LOGICAL_DATE_OPTION,
        usage("airflow command error: unrecognized arguments: --exec-date=2026-11-22T00:00:00+00:00"),
    ),
    (LOGICAL_DATE_FILTER, NO_DATE_OF_2),
    (DAG_ARGUMENT, NO_FLAG),
    (LOGICAL_DATE_FIELD, recorded("3.3.1", "logical_date_missing")),
    (EXCLUDE_STALE, recorded("3.3.1", "dags_list_only_active")),
    (RUN_AFTER_FIELD, NO_DATE_OF_2),
    (WEB_LOGIN, RestAnswer(404, None)),
]
OTHER_CAUSES = [
    (LOGICAL_DATE_OPTION, usage("airflow dags trigger command error: argument --conf: not JSON")),
    (COLUMNS_OPTION, NO_OPTION),
    (DAG_ARGUMENT, CommandAnswer(200, "[]", "Warning: x\n")),
    (DAG_ARGUMENT, CommandAnswer(502, body="<html>")),
    (LOGICAL_DATE_FIELD, recorded("3.3.1", "conf_no_object")),
    (LOGICAL_DATE_FIELD, recorded("3.3.1", "duplicate_run_id")),
    (LOGICAL_DATE_FIELD, recorded("2.11.2", "conf_refused")),
    (LOGICAL_DATE_FIELD, recorded("2.11.2", "bad_run_id")),
    (LOGICAL_DATE_FIELD, bad("'x' is not valid: {'logical_date': … quoted from the conf")),
    (EXCLUDE_STALE, RestAnswer(403, {"detail": "Forbidden"})),
    (RUN_AFTER_FIELD, bad("bad")),
    (RUN_AFTER_FIELD, RestAnswer(200, {"dag_runs": []})),
    (STRINGIFY, RestAnswer(404, {"detail": None, "title": "XCom entry not found"})),
    (WEB_LOGIN, RestAnswer(503, None)),
]


class Airflow:
    """Answers one form with `refusal`, and accepts the other; None: accepts neither."""

    def __init__(self, refusal: Any, *, accepts_newer: bool | None) -> None:
        self.refusal, self.accepts_newer = refusal, accepts_newer
        self.sent: list[bool] = []

    def ask(self, newer: bool) -> Any:  # noqa: FBT001  as `Dialect.send` calls it
        self.sent.append(newer)
        return "accepted" if newer is self.accepts_newer else self.refusal


def sandbox_that_sends(difference: Difference[Any], *, newer: bool) -> Dialect:
    """A sandbox whose last request was accepted in this form, after a refusal of the other one if need be."""
    dialect = Dialect()
    refusal = dict(NEWER_REFUSED if not newer else OLDER_REFUSED).get(difference)
    assert dialect.send(difference, Airflow(refusal, accepts_newer=newer).ask) == "accepted"
    return dialect


@pytest.mark.parametrize(
    ("difference", "refusal", "accepts_newer"),
    [(*case, False) for case in NEWER_REFUSED] + [(*case, True) for case in OLDER_REFUSED],
)
def test_a_refused_form_costs_one_repeated_request_and_is_not_sent_again(
    difference: Difference[Any],
    refusal: Any,
    accepts_newer: bool,  # noqa: FBT001
) -> None:
    """Also after an upgrade, when the sandbox remembers what the version before accepted."""
    dialect = sandbox_that_sends(difference, newer=not accepts_newer)
    airflow = Airflow(refusal, accepts_newer=accepts_newer)
    assert [dialect.send(difference, airflow.ask) for _ in range(2)] == ["accepted", "accepted"]
    assert airflow.sent == [not accepts_newer, accepts_newer, accepts_newer]


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize(("difference", "answer"), OTHER_CAUSES)
def test_a_refusal_for_another_cause_is_the_answer(
    difference: Difference[Any],
    answer: Any,
    newer: bool,  # noqa: FBT001
) -> None:
    """One request, whichever form the sandbox sends."""
    airflow = Airflow(answer, accepts_newer=not newer)
    assert sandbox_that_sends(difference, newer=newer).send(difference, airflow.ask) is answer
    assert airflow.sent == [newer]


def test_an_airflow_that_refuses_both_forms_is_asked_twice() -> None:
    """Then its answer counts."""
    airflow = Airflow(NO_ARGUMENT, accepts_newer=None)
    assert Dialect().send(DAG_ARGUMENT, airflow.ask) is NO_ARGUMENT
    assert airflow.sent == [True, False]


def test_what_a_sandbox_learns_of_one_request_says_nothing_of_another() -> None:
    """Airflow 2.9 knows the columns, and no `stringify`."""
    dialect = Dialect()
    dialect.send(STRINGIFY, Airflow(bad("stringify"), accepts_newer=False).ask)
    columns = Airflow(None, accepts_newer=True)
    dialect.send(COLUMNS_OPTION, columns.ask)
    assert columns.sent == [True]
