"""One definition of ids: what a rule may name, both ways to Airflow can ask for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mwaa_gateway.airflow.cli import look_up_command, trigger_command
from mwaa_gateway.airflow.cli_runs import list_runs_command
from mwaa_gateway.airflow.ids import LONGEST_REST_DAG_ID, LONGEST_REST_PATH, InvalidId, check_ids
from mwaa_gateway.airflow.refusals import rejected_id
from mwaa_gateway.airflow.rest import RestCall, trigger_call
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.outcomes import Reason, Rejected
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import ResolvedTarget

TRAPS = ["-daily", "--help", ".daily", "..", "a..b", "_", "9", "a" * 250, "a" * 251, "a b", "", "é", "a\n"]


def is_valid_in_a_rule(dag_id: str) -> bool:
    """Whether a rule may name it."""
    target = {"environment": "analytics", "dag_id": dag_id}
    try:
        parse_rule({"id": "a", "pattern": {"source": ["x"]}, "target": target}, environments=None)
    except InvalidRule:
        return False
    return True


@given(st.text(st.sampled_from("aZ0_.-~:+ é\n<"), max_size=5) | st.sampled_from(TRAPS))
def test_a_rule_names_exactly_what_both_ways_can_send(dag_id: str) -> None:
    """None is valid in a rule and dies at dispatch, or the other way round."""
    target = ResolvedTarget("analytics", dag_id, "evt__a__1", {})
    by_rest = trigger_call(target, logical_date=False)
    try:
        by_cli = trigger_command(target)
    except InvalidId:
        by_cli = ""
    too_long = isinstance(by_rest, Rejected) and by_rest.reason == Reason.DAG_ID_TOO_LONG
    if "<" not in dag_id:  # in a rule a value of the event
        assert is_valid_in_a_rule(dag_id) == bool(by_cli)
    assert bool(by_cli) == (isinstance(by_rest, RestCall) or too_long)


@pytest.mark.parametrize(
    "write",
    [
        lambda dag_id: list_runs_command(dag_id, 0.0, dag_argument=True),
        lambda dag_id: look_up_command(ResolvedTarget("", dag_id, "evt__a__1", {})),
    ],
    ids=["list_runs", "look_up"],
)
def test_the_watchers_commands_refuse_the_same_ids(write) -> None:
    """The watcher asks about runs that the dispatcher started."""
    assert "a.b-c" in write("a.b-c")
    with pytest.raises(InvalidId, match=re.escape("dag_id '-daily' cannot be sent")):
        write("-daily")


def test_an_id_that_is_refused_is_named() -> None:
    """The reason says which of the two."""
    for ids, reason in (
        (("-daily", "evt__a"), Reason.AIRFLOW_REFUSED),
        (("daily", "-r"), Reason.RUN_ID_REFUSED),
    ):
        with pytest.raises(InvalidId) as error:
            check_ids(*ids)
        assert rejected_id(error.value) == Rejected(reason, str(error.value))


def test_the_longest_dag_id_over_rest_fills_the_path() -> None:
    """MWAA's path has 64 characters."""
    target = ResolvedTarget("analytics", "d" * LONGEST_REST_DAG_ID, "evt__a__1", {})
    call = trigger_call(target, logical_date=True)
    assert isinstance(call, RestCall)
    assert len(call.path) == LONGEST_REST_PATH
