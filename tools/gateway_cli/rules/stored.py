"""What is shown of a rule in the table; a broken one is shown too, or nobody could find and mend it."""

import json
from typing import Any

from gateway_cli.output import Refused
from gateway_cli.rules.items import StoredRuleItem

__all__ = ["document_of", "summary", "target_names"]


def document_of(item: StoredRuleItem) -> dict[str, Any]:
    """Return a rule's document; refused where it is not even a JSON object."""
    try:
        document = json.loads(item.document)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refused(
            f"rule {item.id!r} is unreadable in the table: apply its file again, or delete the rule"
        )
    return document


def _targets(item: StoredRuleItem) -> list[dict[str, Any]]:
    """The targets as the document has them, none where it is broken."""
    try:
        return [
            {key: target[key] for key in ("id", "environment", "dag_id")}
            for target in document_of(item)["targets"]
        ]
    except (Refused, KeyError, TypeError):
        return []


def summary(item: StoredRuleItem) -> dict[str, Any]:
    """Return what a program is told of a rule."""
    return {
        "id": item.id,
        "state": item.state,
        "version": item.version,
        "partitions": list(item.partitions),
        "targets": _targets(item),
        "updated_at": item.updated_at,
        "updated_by": item.updated_by,
    }


def target_names(item: StoredRuleItem) -> list[str]:
    """Return each target as `environment:dag_id`."""
    names = [f"{target['environment']}:{target['dag_id']}" for target in _targets(item)]
    return names or ["(unreadable: apply its file again)"]
