"""Warnings about the DAGs that rules name."""

from gateway_cli.dag_catalog import dag_warnings
from mwaa_gateway.catalog import DagCatalog
from mwaa_gateway.rules import parse_rule

CATALOG = DagCatalog(1_000.0, frozenset({"runs"}), frozenset({"paused"}), frozenset({"stale"}))


def rule(*dag_ids: str, environment: str = "analytics"):
    targets = [
        {"id": f"t{n}", "environment": environment, "dag_id": dag_id} for n, dag_id in enumerate(dag_ids)
    ]
    return parse_rule({"id": "a.b", "pattern": {"source": ["x"]}, "targets": targets}, environments=None)


def test_each_dag_that_would_not_run_is_named_with_the_lists_age() -> None:
    """One that runs is not."""
    warnings = dag_warnings([rule("runs", "paused", "stale", "unheard_of")], {"analytics": CATALOG}, 1_240.0)
    assert [
        "rule 'a.b', target 't1': DAG 'paused' is paused in analytics, as of 4 min ago",
        "rule 'a.b', target 't2': the file of DAG 'stale' is gone or broken in analytics, as of 4 min ago",
        "rule 'a.b', target 't3': analytics lists no DAG 'unheard_of', as of 4 min ago",
    ] == warnings


def test_without_a_catalog_nothing_is_said() -> None:
    """An environment in which nothing was started yet."""
    assert [] == dag_warnings([rule("paused")], {"analytics": None}, 2_000.0)
    assert [] == dag_warnings([rule("paused", environment="other")], {"analytics": CATALOG}, 2_000.0)
