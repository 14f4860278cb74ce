"""What applying files would do to the rules table: decided once, shown, and then done exactly like that.

A plan remembers the version of every rule that it looked at. It is refused once one of them is another
version, so that nobody's change is undone by a decision that did not know of it.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from gateway_cli.aws_errors import told_plainly
from gateway_cli.output import Refused
from gateway_cli.rules.changes import FieldChange, field_changes
from gateway_cli.rules.files import CheckedRule
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.store import Applied, RuleChanged, RulesStore, kept_state, read_document
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespaces
from mwaa_gateway.rules.partitions import rule_partitions

__all__ = ["Plan", "PlannedChange", "apply_plan", "make_plan", "read_plan", "write_plan"]

FORMAT: Final = 1
_IN_A_ROW: Final = 5  # rules that fail, after which no further one is tried
Action = Literal["add", "change", "delete"]


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What is to happen to one rule: `document` is what it will be, None when it is to be deleted."""

    rule_id: str
    action: Action
    document: dict[str, Any] | None
    before: dict[str, Any] | None

    @property
    def fields(self) -> list[FieldChange]:
        """The fields that differ, of a rule that is there before and after."""
        if self.document is None or self.before is None:
            return []
        return field_changes(self.before, self.document)


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes that lead from the table to the files.

    `versions` and `states` are of every rule looked at, version 0 for one that never was; `kept` are rules of the
    files' namespaces that no file has, and that stay as nobody asked to prune; `braked` are rules that stay
    DISABLED or in SHADOW because their file names no state.
    """

    table: str
    changes: tuple[PlannedChange, ...]
    versions: Mapping[str, int]
    states: Mapping[str, str]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]
    braked: tuple[str, ...]
    commit: str = ""

    def of(self, action: str) -> list[PlannedChange]:
        """The changes of one kind."""
        return [change for change in self.changes if change.action == action]


def make_plan(
    table: str,
    rules: Sequence[CheckedRule],
    stored: Mapping[str, StoredRuleItem],
    *,
    prune: bool = False,
    namespaces: Collection[str] = (),
    commit: str = "",
) -> Plan:
    """Compare checked files with every item of the table.

    With `prune` a rule that is in no file is deleted, if it is of a namespace that one of the files' rules is
    of, or of one of `namespaces`. Rules without a namespace are never pruned: nobody can say whose they are.
    """
    changes: list[PlannedChange] = []
    unchanged: list[str] = []
    braked: list[str] = []
    for checked in rules:
        item = stored.get(checked.rule.id, StoredRuleItem.deleted(checked.rule.id))
        document = checked.rule.document()
        if item.exists and not checked.names_state:
            document["state"] = kept_state(item.state)
            braked += [item.id] if document["state"] != "ENABLED" else []
        before = read_document(item) if item.exists else None
        if before is not None and not field_changes(before, document) and _lies_right(item, document):
            unchanged.append(item.id)
        else:
            changes.append(PlannedChange(item.id, "change" if item.exists else "add", document, before))
    written = {checked.rule.id for checked in rules}
    concerned = {_namespace(rule_id) for rule_id in written} | set(namespaces)
    left = [item for item in stored.values() if item.exists and item.id not in written]
    orphans = [item for item in left if _namespace(item.id) in concerned - {""}]
    if prune:
        changes += [PlannedChange(item.id, "delete", None, read_document(item)) for item in orphans]
    looked_at = [*written, *(item.id for item in orphans)]
    found = {rule_id: stored.get(rule_id, StoredRuleItem.deleted(rule_id)) for rule_id in sorted(looked_at)}
    # What is new starts before what is old ends: a rule that was renamed leaves no gap in which events are lost.
    changes.sort(key=lambda change: (_ORDER[change.action], change.rule_id))
    return Plan(
        table=table,
        changes=tuple(changes),
        versions={rule_id: item.version for rule_id, item in found.items()},
        states={rule_id: item.state for rule_id, item in found.items()},
        unchanged=tuple(unchanged),
        kept=() if prune else tuple(item.id for item in orphans),
        braked=tuple(braked),
        commit=commit,
    )


_ORDER: Final = {"add": 0, "change": 1, "delete": 2}


def apply_plan(
    store: RulesStore,
    plan: Plan,
    *,
    environments: Collection[str] | None,
    by: str,
    now: datetime,
    namespaces: Namespaces | None = None,
    rest_environments: Collection[str] = (),
) -> Iterator[Applied]:
    """Do what the plan says, rule by rule, each atomically; a rule that cannot be written stops no other.

    What was yielded is done. After five failures in a row no further rule is tried: AWS is likely to refuse them too.

    Raises:
        RuleChanged: A rule is not the version that the plan was made for; nothing was written.
        Refused: Some rules were not written, each with the reason; raised after the others were.
        InvalidRule: A rule of a saved plan is not valid, or not allowed, any more; nothing was written.
    """
    rules = {
        change.rule_id: parse_rule(
            change.document, environments=environments, rest_environments=rest_environments
        )
        for change in plan.changes
        if change.document is not None
    }
    for rule in rules.values():
        if problems := namespaces.permits(rule) if namespaces else []:
            raise InvalidRule(rule.id, tuple(problems))
    stored = (
        store.everything()
    )  # each is written on condition that it is as it was read here: one call a rule
    _refuse_stale(plan, stored)
    failures: list[str] = []
    in_a_row = 0
    for change in plan.changes:
        rule_id = change.rule_id
        if in_a_row == _IN_A_ROW:
            failures.append(f"{rule_id}: not tried, as {_IN_A_ROW} rules in a row failed")
            continue
        read = stored.get(rule_id, StoredRuleItem.deleted(rule_id))
        try:
            with told_plainly():
                if rule_id in rules:
                    applied = store.put(rules[rule_id], by=by, now=now, commit=plan.commit, read=read)
                else:
                    applied = store.delete(rule_id, by=by, now=now, commit=plan.commit, read=read)
        except Refused as error:
            named = error.message.startswith(f"rule {rule_id!r} ")
            failures.append(error.message if named else f"{rule_id}: {error.message}")
            in_a_row += 1
        else:
            in_a_row = 0
            yield applied
    if failures:
        raise Refused(
            "\n".join([*failures, f"{len(failures):,} of {len(plan.changes):,} changes were not applied"])
        )


def _refuse_stale(plan: Plan, stored: Mapping[str, StoredRuleItem]) -> None:
    for rule_id, version in plan.versions.items():
        item = stored.get(rule_id, StoredRuleItem.deleted(rule_id))
        if item.version != version:
            raise RuleChanged(
                f"nothing was applied: rule {rule_id!r} is version {item.version} now ({item.change} by "
                f"{item.updated_by}, {item.updated_at}), the plan was made for version {version}: plan again"
            )


def write_plan(plan: Plan, file: Path) -> None:
    """Save a plan, to be applied later as it is."""
    text = json.dumps({"format": FORMAT, **asdict(plan)}, indent=2, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def read_plan(file: Path, table: str) -> Plan:
    """Read a saved plan; refused when it is none, or was made for another table."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved.pop("format") != FORMAT:
            raise Refused(f"{file} was written by another version of this command: plan again")
        changes = tuple(PlannedChange(**change) for change in saved.pop("changes"))
        plan = Plan(changes=changes, **{name: _frozen(value) for name, value in saved.items()})
        made_for = {change.rule_id for change in plan.changes}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(f"{file} is no plan that `mwaa-gateway rules plan --save` wrote: {error}") from error
    if not made_for <= plan.versions.keys():
        raise Refused(f"{file} is no plan: it does not say for which versions it was made")
    if plan.table != table:
        raise Refused(f"{file} was made for the table {plan.table!r}, and this is {table!r}: plan again")
    return plan


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _lies_right(item: StoredRuleItem, document: Mapping[str, Any]) -> bool:
    """Say whether the rule lies where its pattern says; a hand in the console may have moved it."""
    return set(item.partitions) == set(rule_partitions(document["pattern"]))


def _namespace(rule_id: str) -> str:
    namespace, dot, _ = rule_id.partition(".")
    return namespace if dot else ""
