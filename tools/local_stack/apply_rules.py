"""Applies a folder of rule files to the rules table; every check runs before the first write."""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from gateway_cli.rules.files import RulesRefused, check_rules
from gateway_cli.rules.plan import apply_plan, make_plan
from gateway_cli.rules.store import Applied, RulesStore


def apply_folder(
    store: RulesStore, folder: Path, environments: Collection[str] | None, by: str, now: datetime
) -> list[Applied]:
    """Check a folder's rule files, then apply them all; raises `RulesRefused` before the first write.

    A rule whose file names no state keeps its state in the table: a pipeline that applies the files again must not end a
    pause that somebody set with `rules disable`.
    """
    checked, mistakes = check_rules([folder], environments=environments)
    if mistakes:
        raise RulesRefused(mistakes)
    stored = store.everything()
    plan = make_plan(store.table, checked, stored)
    changed = {
        applied.rule_id: applied
        for applied in apply_plan(store, plan, environments=environments, by=by, now=now)
    }
    return [
        changed[rule.id]
        if rule.id in changed
        else Applied(rule.id, "unchanged", stored[rule.id].version, stored[rule.id].state)
        for rule in (checked_rule.rule for checked_rule in checked)
    ]
