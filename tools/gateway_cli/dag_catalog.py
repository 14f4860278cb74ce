"""Warnings of `rules plan` and `rules validate` about DAGs, from the dispatchers' DAG catalogs.

A dispatcher lists its environment's DAGs every few minutes while runs start (`dispatch.dag_catalog`), so a catalog is as old
as the last run. Each warning shows the catalog's age, and refuses nothing.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from gateway_cli.connection import Connection
from gateway_cli.output import print_note
from mwaa_gateway.aws.dynamodb.dag_catalogs import CatalogItem
from mwaa_gateway.dispatch.dag_catalog import DagCatalog
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import NotRunnable
from mwaa_gateway.rules import Rule, Target

Problem = Literal["paused", "stale", "missing"]


@dataclass(frozen=True, slots=True)
class DagWarning:
    """A DAG that would not run or does not exist, and the rules that name it."""

    environment: str
    dag_id: str
    problem: Problem
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DagCheck:
    """The warnings, and for each environment the age of its catalog in seconds; None if it has no catalog.

    `trouble` says why no catalog could be read at all.
    """

    warnings: tuple[DagWarning, ...] = ()
    ages: Mapping[str, float | None] = field(default_factory=dict)
    trouble: str = ""

    def document(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return {
            "dag_warnings": [asdict(warning) for warning in self.warnings],
            "dag_list_age_seconds": {
                name: None if age is None else round(age) for name, age in self.ages.items()
            },
        }


def check_dags_of(connection: Connection, rules: Iterable[Rule]) -> DagCheck:
    """Check rules against the catalogs of their environments, if the options name a gateway."""
    rules = [rule for rule in rules if rule.state != "DISABLED"]
    environments = sorted({target.environment for rule in rules for target in rule.targets})
    if connection.names_a_table_alone:
        return DagCheck(trouble="--table does not name a gateway: give --stack-name or --local")
    table = connection.stack_outputs.get("LedgerTableName")
    if table is None:
        return DagCheck(trouble="the stack has no output for the ledger table: its version is too old")
    try:
        catalogs = {
            name: CatalogItem(connection.dynamodb, table, name).read().catalog for name in environments
        }
    except Unavailable as error:
        return DagCheck(trouble=str(error))
    return check_dags(rules, catalogs, time.time())


def check_dags(rules: Iterable[Rule], catalogs: Mapping[str, DagCatalog | None], now: float) -> DagCheck:
    """Return a warning for each DAG of a rule that is paused, stale, or missing in its environment."""
    found: dict[tuple[str, str, Problem], dict[str, None]] = {}
    for rule in rules:
        for target in rule.targets:
            catalog = catalogs.get(target.environment)
            for dag_id in _dag_ids(target) if catalog else ():
                problem = catalog and _problem(catalog, dag_id)
                if problem:
                    found.setdefault((target.environment, dag_id, problem), {})[rule.id] = None
    ages = {
        name: None if catalog is None else max(0.0, now - catalog.taken_at)
        for name, catalog in catalogs.items()
    }
    return DagCheck(tuple(DagWarning(*key, tuple(ids)) for key, ids in found.items()), ages)


def _dag_ids(target: Target) -> Iterator[str]:
    """Yield every DAG that the target certainly names: for a template, the allowed ones without a wildcard."""
    if target.dag_id_template is None:
        yield target.dag_id
    else:
        yield from (dag_id for dag_id in target.allowed_dag_ids if "*" not in dag_id)


def _problem(catalog: DagCatalog, dag_id: str) -> Problem | None:
    match catalog.not_runnable(dag_id):
        case NotRunnable.PAUSED:
            return "paused"
        case NotRunnable.STALE:
            return "stale"
        # Without runnable DAGs, the list was too long to store: then an unknown DAG may be runnable.
        case None if catalog.knows(dag_id) or not catalog.runnable:
            return None
        case None:
            return "missing"


_WORDS: Final[Mapping[Problem, str]] = {
    "paused": "DAG {dag!r} is paused in {environment}",
    "stale": "the file of DAG {dag!r} is gone or broken in {environment}",
    "missing": "{environment} lists no DAG {dag!r}",
}
_FEW: Final = 5  # so many rules of a DAG, and DAGs of one environment and problem, are named


def print_dag_check(check: DagCheck) -> None:
    """Print each warning with the age of its catalog, then what could not be checked."""
    alike: dict[tuple[str, Problem], list[DagWarning]] = {}
    for warning in check.warnings:
        alike.setdefault((warning.environment, warning.problem), []).append(warning)
    for (environment, problem), warnings in alike.items():
        age = _age(check.ages[environment] or 0.0)
        for warning in warnings[:_FEW]:
            what = _WORDS[problem].format(dag=warning.dag_id, environment=environment)
            more = f" and {len(warning.rules) - _FEW} more" if len(warning.rules) > _FEW else ""
            print_note(f"Warning: {what}, by its list of {age} ago: {', '.join(warning.rules[:_FEW])}{more}")
        if len(warnings) > _FEW:
            word = {"missing": "not listed"}.get(problem, problem)
            print_note(
                f"Warning: {len(warnings) - _FEW} more DAGs are {word} in {environment}: -o json names them all"
            )
    if check.trouble:
        print_note(f"DAGs were not checked: {check.trouble}")
    for name, known in check.ages.items():
        if known is None:
            print_note(f"DAGs of {name} were not checked: it has no DAG catalog yet, its first run makes one")


def _age(seconds: float) -> str:
    minutes = round(seconds / 60)
    if not minutes:
        return f"{seconds:.0f} s"
    if minutes < 120:  # noqa: PLR2004  two hours
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"  # noqa: PLR2004  two days
