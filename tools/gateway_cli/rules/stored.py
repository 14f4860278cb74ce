"""Shows rules of the table; broken ones too, so that somebody can find and repair them."""

from collections.abc import Callable
from typing import Any

from gateway_cli.connection import Connection
from gateway_cli.documents.json_documents import json_object
from gateway_cli.output import Refused
from gateway_cli.rules.items import StoredRuleItem
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespaces


def document_of(item: StoredRuleItem) -> dict[str, Any]:
    """Return a rule's document; raises Refused if it is not a JSON object."""
    document = json_object(item.document)
    if document is None:
        raise Refused(
            f"rule {item.id!r} is unreadable in the table: apply its file again, or delete the rule"
        )
    return document


def why_broken(connection: Connection, item: StoredRuleItem) -> str:
    """Return why the gateway cannot use a rule of the table, "" if it can.

    The check is that of the functions: since the rule was applied, an environment may be gone, or an allow-list narrower.
    """
    return broken_under(connection, item, lambda: connection.allow_lists)


def broken_under(connection: Connection, item: StoredRuleItem, namespaces: Callable[[], Namespaces]) -> str:
    """Like `why_broken`, under these allow-lists."""
    try:
        rule = parse_rule(
            document_of(item),
            environments=connection.environments,
            claim_check_bucket=connection.claim_check_bucket,
        )
    except Refused:
        return "its document is not a JSON object"
    except InvalidRule as error:
        return "; ".join(map(str, error.problems))
    return "; ".join(map(str, namespaces().permits(rule)))


def _targets(item: StoredRuleItem) -> list[dict[str, Any]]:
    """Return the targets in the document, none if it is broken."""
    try:
        return [
            {key: target[key] for key in ("id", "environment", "dag_id")}
            for target in document_of(item)["targets"]
        ]
    except (Refused, KeyError, TypeError):
        return []


def summary(item: StoredRuleItem) -> dict[str, Any]:
    """Return the summary of a rule as JSON."""
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
