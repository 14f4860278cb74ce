"""From rule files to the rules table: everything is checked before anything is written."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from gateway_cli.rules.files import CheckedRule, RulesRefused, check_rules
from gateway_cli.rules.store import Applied, RulesStore

__all__ = ["apply_folder", "apply_rules"]


def apply_folder(
    store: RulesStore, folder: Path, environments: Collection[str] | None, by: str, now: datetime
) -> list[Applied]:
    """Check a folder's rule files, then apply them all; raises `RulesRefused` before any write."""
    checked, mistakes = check_rules([folder], environments=environments)
    if mistakes:
        raise RulesRefused(mistakes)
    return list(apply_rules(store, checked, by=by, now=now))


def apply_rules(
    store: RulesStore, rules: Sequence[CheckedRule], *, by: str, now: datetime
) -> Iterator[Applied]:
    """Apply checked rules one by one, each atomically; what was yielded before an error is done and stays.

    A rule whose file names no state keeps the one it has in the table: applying files again, as a pipeline
    does, must not release a brake that somebody has pulled with `rules disable`.
    """
    for checked in rules:
        yield store.put(checked.rule, by=by, now=now, keep_state=not checked.names_state)
