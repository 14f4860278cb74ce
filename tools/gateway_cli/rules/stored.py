"""What is shown of a rule in the table; a broken one is shown too, or nobody could find and mend it."""

import json
from typing import Any

from gateway_cli.connection import Connection
from gateway_cli.output import Refused
from gateway_cli.rules.items import StoredRuleItem
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule

__all__ = ["document_of", "summary", "target_names", "why_broken"]


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


def why_broken(connection: Connection, item: StoredRuleItem) -> str:
    """Say why the gateway cannot use a rule as the table has it, "" where it can.

    It is checked as by the functions: an environment may be gone since, or an allow-list narrower.
    """
    try:
        rule = parse_rule(
            document_of(item),
            environments=connection.environments,
            claim_check_bucket=connection.claim_check_bucket,
        )
    except Refused:
        return "its document is no JSON object"
    except InvalidRule as error:
        return "; ".join(map(str, error.problems))
    return "; ".join(map(str, connection.allow_lists.permits(rule)))


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
