"""The rules held against an event that none matched: as they are now, and the nearest one as it was then."""

from collections.abc import Callable
from typing import Any

from gateway_cli.answers.nearest import fit_of, fits_of, is_later
from gateway_cli.answers.trail import TrailLine
from gateway_cli.connection import Connection


def look_at_rules(
    connection: Connection, line: TrailLine, read: Callable[[str, Callable[[], Any]], Any]
) -> dict[str, Any]:
    """Return `fits` and `fit_then` of the evidence, in two queries, or three if the rule changed since."""
    stored = read("the rules", connection.store.everything)
    if stored is None:
        return {}
    namespaces = read("the allow-lists", lambda: connection.allow_lists)
    if namespaces is None:
        return {}
    environments = connection.environments or frozenset()
    fits = fits_of([*stored.values()], line, environments, namespaces)
    changed = next((fit for fit in fits if fit.matches and fit.is_later), fits[0] if fits else None)
    if changed is None or not changed.is_later or changed.version == 1:
        return {"fits": fits}
    versions = read("the rule's history", lambda: connection.store.versions(changed.rule_id))
    then = next((version for version in versions or () if not is_later(version, line)), None)
    if then is None or not then.exists:
        return {"fits": fits}
    return {"fits": fits, "fit_then": fit_of(then, line, environments, namespaces)}
