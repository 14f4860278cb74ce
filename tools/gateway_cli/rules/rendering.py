"""How rules and their changes look to people: colour on a terminal, the same words without it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway_cli.output import print_text
from gateway_cli.rules.changes import ABSENT, FieldChange
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.plan import Plan, PlannedChange
from mwaa_gateway.routing import rule_partitions

__all__ = ["print_field_changes", "print_plan", "shown"]

_SIGNS: Final = {"add": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}


def print_plan(plan: Plan, stored: Mapping[str, StoredRuleItem]) -> None:
    """Print each change with what it means, then how many there are of each kind."""
    for change in plan.changes:
        sign, colour = _SIGNS[change.action]
        print_text(
            (f"{sign} {change.rule_id}", f"bold {colour}"), ("  " + _headline(change, plan, stored), "dim")
        )
        if change.action == "add" and change.document is not None:
            for line in _routes(change.document):
                print_text(f"    {line}")
        print_field_changes(change.fields, indent="    ")
    if plan.changes:
        print_text("")
    counts = [f"{len(plan.of(action))} to {action}" for action in _SIGNS if plan.of(action)]
    print_text(f"{', '.join(counts) or 'nothing to change'}, {len(plan.unchanged)} unchanged", style="bold")


def _headline(change: PlannedChange, plan: Plan, stored: Mapping[str, StoredRuleItem]) -> str:
    version = plan.versions[change.rule_id]
    match change.action:
        case "add":
            return (
                f"version {version + 1}" if not version else f"version {version + 1}, it was deleted before"
            )
        case "change":
            item = stored[change.rule_id]
            unreadable = "" if change.before is not None else ", unreadable in the table"
            return f"version {version} → {version + 1}, last changed by {item.updated_by}{unreadable}"
        case "delete":
            return f"version {version}, in no file"


def _routes(document: Mapping[str, Any]) -> list[str]:
    """Say where events come from and what they start, as `rules list` does."""
    targets = [f"{target['environment']}:{target['dag_id']}" for target in document["targets"]]
    partitions = rule_partitions(document["pattern"])
    few = 3
    shown_partitions = ", ".join(partitions[:few]) + (" …" if len(partitions) > few else "")
    return [f"{shown_partitions} → {', '.join(targets)}  ({document['state']})"]


def print_field_changes(changes: Iterable[FieldChange], *, indent: str = "  ") -> None:
    """Print a line for each field: before → after; a value that is long takes lines of its own."""
    changes = list(changes)
    width = max((len(change.field) for change in changes), default=0)
    for change in changes:
        before, after = shown(change.before), shown(change.after)
        if len(before) + len(after) + width > _LINE:
            print_text(f"{indent}{change.field}", style="bold")
            print_text(f"{indent}  - {before}", style="red")
            print_text(f"{indent}  + {after}", style="green")
        else:
            print_text(
                (f"{indent}{change.field.ljust(width)}  ", "bold"),
                (before, "red"),
                (" → ", ""),
                (after, "green"),
            )


_LINE = 90  # characters of a field's name and its two values that are still read at a glance


def shown(value: Any) -> str:
    """Return a value as JSON, as it would be written in a file, on one line."""
    return "(none)" if value is ABSENT else json.dumps(value, ensure_ascii=False)
