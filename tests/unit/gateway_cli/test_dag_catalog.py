"""Warnings about the DAGs that rules name."""

from gateway_cli.dag_catalog import DagWarning, check_dags, print_dag_check
from mwaa_gateway.dispatch.dag_catalog import DagCatalog
from mwaa_gateway.rules import parse_rule

CATALOG = DagCatalog(1_000.0, frozenset({"runs"}), frozenset({"paused"}), frozenset({"stale"}))


def rule(*dag_ids: str, rule_id: str = "a.b", environment: str = "analytics", **target):
    targets = [
        {"id": f"t{n}", "environment": environment, "dag_id": dag_id, **target}
        for n, dag_id in enumerate(dag_ids)
    ]
    return parse_rule({"id": rule_id, "pattern": {"source": ["x"]}, "targets": targets}, environments=None)


def test_each_dag_that_would_not_run_is_named_once_with_its_rules_and_the_lists_age(capsys) -> None:
    """One that runs is not."""
    rules = [rule("runs", "paused", "stale", "unheard_of"), rule("paused", "paused", rule_id="a.c")]
    check = check_dags(rules, {"analytics": CATALOG}, 1_240.0)
    assert check.warnings == (
        DagWarning("analytics", "paused", "paused", ("a.b", "a.c")),
        DagWarning("analytics", "stale", "stale", ("a.b",)),
        DagWarning("analytics", "unheard_of", "missing", ("a.b",)),
    )
    print_dag_check(check)
    assert capsys.readouterr().err.splitlines() == [
        "Warning: DAG 'paused' is paused in analytics, by its list of 4 min ago: a.b, a.c",
        "Warning: the file of DAG 'stale' is gone or broken in analytics, by its list of 4 min ago: a.b",
        "Warning: analytics lists no DAG 'unheard_of', by its list of 4 min ago: a.b",
    ]


def test_many_rules_of_one_dag_are_one_line(capsys) -> None:
    """The first few by name; the age of a list that is days old is in days."""
    check = check_dags(
        [rule("paused", rule_id=f"a.r{n}") for n in range(7)], {"analytics": CATALOG}, 1_000.0 + 3 * 86_400
    )
    print_dag_check(check)
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("by its list of 3 d ago: a.r0, a.r1, a.r2, a.r3, a.r4 and 2 more")


def test_many_dags_alike_are_a_few_lines(capsys) -> None:
    """A new environment lists none of them: that is not to hide the plan."""
    check = check_dags(
        [rule(*"abcde"), rule(*"fgh", rule_id="a.c"), rule("paused")], {"analytics": CATALOG}, 1_010.0
    )
    print_dag_check(check)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[0]) == (7, "Warning: analytics lists no DAG 'a', by its list of 10 s ago: a.b")
    assert lines[5] == "Warning: 3 more DAGs are not listed in analytics: -o json names them all"
    assert "DAG 'paused' is paused" in lines[6]


def test_of_dags_that_events_name_those_written_out_are_checked() -> None:
    """What a star stands for is anybody's guess."""
    named = rule("in_<$.detail.region>", allowed_dag_ids=["paused", "in_*", "runs"])
    assert [warning.dag_id for warning in check_dags([named], {"analytics": CATALOG}, 0.0).warnings] == [
        "paused"
    ]


def test_a_list_without_what_runs_calls_nothing_missing() -> None:
    """Of one too long to be kept, the DAGs that run are left out."""
    catalog = DagCatalog(1_000.0, frozenset(), frozenset({"paused"}), frozenset())
    check = check_dags([rule("paused", "unheard_of")], {"analytics": catalog}, 0.0)
    assert [warning.dag_id for warning in check.warnings] == ["paused"]


def test_where_there_is_no_list_that_is_said(capsys) -> None:
    """An environment in which nothing was started yet."""
    check = check_dags([rule("paused")], {"analytics": None}, 2_000.0)
    assert (check.warnings, check.document()["dag_list_age_seconds"]) == ((), {"analytics": None})
    print_dag_check(check)
    assert "DAGs of analytics were not checked: it has no DAG catalog yet" in capsys.readouterr().err
