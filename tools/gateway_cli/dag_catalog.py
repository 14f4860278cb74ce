"""What the dispatchers' catalogs say of the DAGs that rules name: warnings for `rules plan` and `rules apply`."""

from collections.abc import Iterable, Mapping

from mwaa_gateway.catalog import DagCatalog
from mwaa_gateway.outcomes import NotRunnable
from mwaa_gateway.rules import Rule

__all__ = ["dag_warnings"]


def dag_warnings(rules: Iterable[Rule], catalogs: Mapping[str, DagCatalog | None], now: float) -> list[str]:
    """Return a sentence for each target whose DAG is paused, stale, or not known to its environment.

    `catalogs` are those of the environments, as `mwaa_gateway.aws.catalog_item.CatalogItem(…).read().catalog` returns them;
    where there is none, nothing is said. They are as old as the last run that was started, so the sentence says how old.
    """
    return [
        f"rule {rule.id!r}, target {target.id!r}: {problem}, as of {_age(now - catalog.taken_at)} ago"
        for rule in rules
        for target in rule.targets
        if (catalog := catalogs.get(target.environment)) is not None
        and (problem := _problem(catalog, target.environment, target.dag_id))
    ]


def _problem(catalog: DagCatalog, environment: str, dag_id: str) -> str:
    match catalog.not_runnable(dag_id):
        case NotRunnable.PAUSED:
            return f"DAG {dag_id!r} is paused in {environment}"
        case NotRunnable.STALE:
            return f"the file of DAG {dag_id!r} is gone or broken in {environment}"
        case None if "<" in dag_id or catalog.knows(dag_id):  # `<` begins a value of the event
            return ""
        case None:
            return f"{environment} lists no DAG {dag_id!r}"


def _age(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004  two hours
