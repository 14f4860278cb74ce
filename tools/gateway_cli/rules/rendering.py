"""Prints rules and their changes: in colour on a terminal, the same words without colour elsewhere."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway_cli.documents.yaml_documents import write_yaml
from gateway_cli.output import print_text, who
from gateway_cli.rules.changes import ABSENT, FieldChange
from gateway_cli.rules.event_files import NamedEvent
from gateway_cli.rules.expectations import Failure
from gateway_cli.rules.explanation import Explanation, FieldVerdict
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.plan import Plan, PlannedChange
from gateway_cli.rules.trial import Result, Trial
from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.rules import Rule
from mwaa_gateway.rules.partitions import document_partitions

_SIGNS: Final = {"add": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}


def print_plan(plan: Plan, stored: Mapping[str, StoredRuleItem]) -> None:
    """Print each change with its meaning, then the number of changes of each kind."""
    for change in plan.changes:
        sign, colour = _SIGNS[change.action]
        print_text(
            (f"{sign} {change.rule_id}", f"bold {colour}"), ("  " + _headline(change, plan, stored), "dim")
        )
        if change.action == "add" and change.document is not None:
            for line in _routes(change.document):
                print_text(f"    {line}")
        print_field_changes(change.fields, indent="    ")
        if change.open_batches:
            print_text(("    open batches  ", "dim"), change.open_batches)
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
            return f"version {version} → {version + 1}, last changed by {who(item.updated_by)}{unreadable}"
        case "delete":
            return f"version {version}, in no file"


def _routes(document: Mapping[str, Any]) -> list[str]:
    """Return the partitions and the targets of a rule, as `rules list` shows them."""
    targets = [f"{target['environment']}:{target['dag_id']}" for target in document["targets"]]
    partitions = document_partitions(document)
    few = 3
    shown_partitions = ", ".join(partitions[:few]) + (" …" if len(partitions) > few else "")
    return [f"{shown_partitions} → {', '.join(targets)}  ({document['state']})"]


def print_field_changes(changes: Iterable[FieldChange], *, indent: str = "  ") -> None:
    """Print a line for each field, before → after; long values get their own lines."""
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


_LINE = 90  # characters of a field's name and its two values that are still easy to read on one line


def shown(value: Any) -> str:
    """Return a value as JSON on one line, as in a file."""
    return "(none)" if value is ABSENT else json.dumps(value, ensure_ascii=False)


# --- trials -------------------------------------------------------------------------------------------------


def print_trial(trial: Trial, *, indent: str = "") -> None:
    """Print an event, and its results."""
    if not indent:
        print_text((trial.event.name, "bold"), (f"  {_event_words(trial.event)}", "dim"))
    if not trial.results and not trial.disabled:
        print_text(f"{indent}  no rule matches", style="yellow")
    for result in trial.results:
        _print_result(result, indent + "  ")
    for rule_id in trial.disabled:
        print_text(f"{indent}  ○ {rule_id} matches, but is DISABLED: it starts nothing", style="yellow")
    if not indent:
        print_text("")


def _print_result(result: Result, indent: str) -> None:
    if result.outcome == "refused":
        concerned = f"{result.rule_id}: " if result.rule_id else ""
        print_text((f"{indent}✗ {concerned}", "bold red"), (result.reason or "", "red"))
        return
    if result.outcome in ("member", "marker"):
        _print_collected(result, indent)
        return
    sign, colour, aside = (
        ("✓", "green", "")
        if result.outcome == "run"
        else ("◌", "cyan", ", in SHADOW: recorded, starts nothing")
    )
    print_text(
        (f"{indent}{sign} {result.rule_id}", f"bold {colour}"),
        f" → {result.environment}:{result.dag_id}  target {result.target_id}{aside}",
    )
    print_text((f"{indent}    run_id  ", "dim"), str(result.run_id))
    _print_dates(indent, result.logical_date, result.partition_key)
    print_text((f"{indent}    conf", "dim"))
    for line in write_yaml(result.own_conf).splitlines():
        print_text(f"{indent}      {line}")


def _print_dates(indent: str, logical_date: str | None, partition_key: str | None) -> None:
    for name, value in (("logical_date", logical_date), ("partition_key", partition_key)):
        if value is not None:
            print_text((f"{indent}    {name}  ", "dim"), value)


def _print_collected(result: Result, indent: str) -> None:
    key = ", ".join(f"{name}={value}" for name, value in (result.batch or {}).items())
    batch = f"the batch {key}" if key else "its open batch"
    sign, colour, aside = (
        ("◌", "cyan", "in SHADOW: it collects apart, and starts nothing")
        if result.shadow
        else ("✓", "green", "no run by itself")
    )
    print_text(
        (f"{indent}{sign} {result.rule_id}", f"bold {colour}"), f" → {result.outcome} of {batch}; {aside}"
    )
    missing = result.missing
    lacks = None if missing is None else ", ".join(missing) or "nothing: it is complete"
    for name, value in (
        ("part", result.part),
        ("with this event alone, the batch waits for", lacks),
        ("due", result.due),
    ):
        if value is not None:
            print_text((f"{indent}    {name}  ", "dim"), value)
    if result.outcome == "member":
        print_text((f"{indent}    counts as  ", "dim"), str(result.counts_as))
    elif result.members_needed is not None:
        print_text((f"{indent}    members needed  ", "dim"), str(result.members_needed))
    for target in result.released or ():
        if "reason" in target:
            print_text(
                (f"{indent}    ✗ released, the batch starts no run: ", "bold red"), (target["reason"], "red")
            )
            continue
        where = f"{target['environment']}:{target['dag_id']}"
        print_text((f"{indent}    released with this member alone: a run of ", "dim"), where)
        _print_dates(indent, target.get("logical_date"), target.get("partition_key"))
        for line in write_yaml(target["conf"]).splitlines():
            print_text(f"{indent}      {line}")


def _event_words(named: NamedEvent) -> str:
    if isinstance(named.event, MalformedEvent):
        return "malformed"
    envelope = named.event.envelope
    return f"{envelope['source']} · {envelope['detail-type']}"


def print_case(name: str, place: str, found: Iterable[Failure]) -> None:
    """Print whether a case passed; for one that failed, the expected and the actual values."""
    found = list(found)
    sign, colour = ("✗", "red") if found else ("✓", "green")
    print_text((f"{sign} {name}", f"bold {colour}"), (f"  {place}", "dim"))
    for failure in found:
        print_text((f"    {failure.rule_id} ", "bold"), failure.message)
        for field in failure.fields:
            print_text(f"      {field.field}")
            print_text(f"        expected  {shown(field.before)}", style="green")
            print_text(f"        actual    {shown(field.after)}", style="red")


# --- explanations -------------------------------------------------------------------------------------------


def print_explanation(
    rule: Rule, named: NamedEvent, explanation: Explanation | None, broken: str = ""
) -> None:
    """Print the verdict on an event, field by field; `broken` says why the rule starts nothing."""
    version = f" version {rule.version}" if rule.version else ""
    print_text((f"{rule.id}{version}", "bold"), (f"  {named.name}: {_event_words(named)}", "dim"))
    if explanation is None:
        print_text(f"  the event is malformed, no rule sees it: {named.event}", style="red")
        return
    wrong = sum(not field.matches for field in explanation.fields)
    if explanation.field != "pattern":
        print_text(f"  compared with {explanation.field}", style="dim")
    way = f", alternative {explanation.way} of {explanation.ways}" if explanation.ways > 1 else ""
    if explanation.matches:
        print_text(f"  matches{way}", style="bold green")
    else:
        closest = f"{way}, the closest" if way else ""
        what = f"{wrong} of {len(explanation.fields)} fields" if wrong else "no field by itself"
        print_text(f"  does not match: {what}{closest}", style="bold red")
    if explanation.reason:
        print_text(f"  {explanation.reason}", style="yellow")
    _print_verdicts(explanation.fields)
    if broken:
        print_text(f"  the rule is broken and starts nothing: {broken}", style="bold red")
    if rule.state != "ENABLED":
        means = "it records what it would start" if rule.state == "SHADOW" else "it starts nothing"
        print_text(
            f"  the rule is {rule.state}: {means}; `mwaa-gateway rules enable {rule.id}` lets it start runs",
            style="yellow",
        )


def _print_verdicts(fields: Iterable[FieldVerdict]) -> None:
    fields = list(fields)
    width = max(len(field.field) for field in fields)
    for field in fields:
        sign, colour = ("✓", "green") if field.matches else ("✗", "red")
        seen = ", ".join(map(shown, field.seen[:_FEW])) + (" …" if len(field.seen) > _FEW else "")
        print_text(
            (f"  {sign} {field.field.ljust(width)}  ", colour),
            f"{shown(field.wanted)}  ",
            ("has ", "dim"),
            seen or "(nothing)",
        )
        if field.hint:
            print_text(f"      {field.hint}", style="yellow")


_FEW = 5  # values of one field that are shown
