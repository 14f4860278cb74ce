"""A plan: the changes that applying files would make to the rules table. It is made once, shown, and applied as shown.

A plan records the version of every rule that it looked at. If one of them has changed since, the plan is refused, so that it
cannot undo a change that it did not know.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.documents.json_documents import json_object
from gateway_cli.output import Refused
from gateway_cli.rules.changes import FieldChange, field_changes
from gateway_cli.rules.files import CheckedRule
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.store import Applied, RuleChanged, RulesStore, kept_state
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespaces
from mwaa_gateway.rules.partitions import document_partitions

FORMAT: Final = 1
_IN_A_ROW: Final = 5  # failed rules, after which the other rules are skipped
Action = Literal["add", "change", "delete"]


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """The change of one rule: `document` is the new one, None to delete the rule."""

    rule_id: str
    action: Action
    document: dict[str, Any] | None
    before: dict[str, Any] | None

    @property
    def fields(self) -> list[FieldChange]:
        """The fields that differ, if the rule exists before and after."""
        if self.document is None or self.before is None:
            return []
        return field_changes(self.before, self.document)

    @property
    def open_batches(self) -> str:
        """What becomes of batches that the rule has open, if it collects and the change concerns them; else ""."""
        before = (self.before or {}).get("collect")
        if not before or (self.before or {}).get("state") == "SHADOW":
            return ""  # what a rule in SHADOW collects starts nothing
        if self.document is None:
            return (
                f"they stay open, and start their runs; `mwaa-gateway batches cancel --rule {self.rule_id}` "
                "cancels them"
            )
        after = self.document.get("collect")
        changed = {field.field for field in self.fields}
        if after is None:
            return "they stay open, and start their runs; new events start a run each"
        match self.document.get("state"):
            case "DISABLED" if "state" in changed:
                return (
                    "they stay open and take no new members; when they are released, their requests are held"
                )
            case "SHADOW":
                return "they stay open, and start their runs; new events collect apart, and start nothing"
        if after.get("key") != before.get("key"):
            return "they follow the version that opened them; members of before stay in the batches of the old key"
        if any(field.startswith("collect") for field in changed):
            return "they follow the version that opened them, also for members that still come"
        return ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes that lead from the table to the files.

    `versions` and `states` cover every rule looked at, version 0 for one that never existed. `kept` are rules in the files'
    namespaces that no file contains, and that stay without --prune. `braked` are rules that stay DISABLED or in SHADOW
    because their file names no state.
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
    """Compare validated files with the whole table.

    `prune` deletes a rule that no file contains, if its namespace is that of a rule in the files or one of `namespaces`.
    Rules without a namespace are never pruned, because nobody can tell whose they are.
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
        before = json_object(item.document) if item.exists else None
        if before is not None and not field_changes(before, document) and _lies_right(item, document):
            unchanged.append(item.id)
        else:
            changes.append(PlannedChange(item.id, "change" if item.exists else "add", document, before))
    written = {checked.rule.id for checked in rules}
    concerned = {_namespace(rule_id) for rule_id in written} | set(namespaces)
    left = [item for item in stored.values() if item.exists and item.id not in written]
    orphans = [item for item in left if _namespace(item.id) in concerned - {""}]
    if prune:
        changes += [PlannedChange(item.id, "delete", None, json_object(item.document)) for item in orphans]
    looked_at = [*written, *(item.id for item in orphans)]
    found = {rule_id: stored.get(rule_id, StoredRuleItem.deleted(rule_id)) for rule_id in sorted(looked_at)}
    # New rules start before old ones end: renaming a rule leaves no gap in which events are lost.
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
    transports: Mapping[str, Collection[str]] | None = None,
) -> Iterator[Applied]:
    """Apply the plan rule by rule, each atomically; a rule that cannot be written does not stop the others.

    Yielded rules are applied. After five failures in a row the other rules are skipped: AWS would likely refuse them too.

    Raises:
        RuleChanged: A rule has another version than the plan expects; nothing was written.
        Refused: Some rules were not written, each with its reason; raised after the other rules were written.
        InvalidRule: A rule of a saved plan is no longer valid or allowed; nothing was written.
    """
    rules = {
        change.rule_id: parse_rule(change.document, environments=environments, transports=transports)
        for change in plan.changes
        if change.document is not None
    }
    for rule in rules.values():
        if problems := namespaces.permits(rule) if namespaces else []:
            raise InvalidRule(rule.id, tuple(problems))
    # Each write is conditional on the version read here, which saves a read per rule
    stored = store.everything()
    _refuse_stale(plan, stored)
    failures: list[str] = []
    in_a_row = 0
    for change in plan.changes:
        rule_id = change.rule_id
        if in_a_row == _IN_A_ROW:
            failures.append(f"{rule_id}: skipped, because {_IN_A_ROW} rules in a row failed")
            continue
        read = stored.get(rule_id, StoredRuleItem.deleted(rule_id))
        try:
            with errors_as_refusals():
                if rule_id in rules:
                    applied = store.put(rules[rule_id], by=by, now=now, commit=plan.commit, read=read)
                else:
                    applied = store.delete(rule_id, by=by, now=now, commit=plan.commit, read=read)
        except Refused as error:
            named = f"changed rule {rule_id!r} " in error.message
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
                f"nothing was applied: rule {rule_id!r} is now version {item.version} ({item.change} by "
                f"{item.updated_by}, {item.updated_at}), but the plan was made for version {version}: plan again"
            )


def write_plan(plan: Plan, file: Path) -> None:
    """Save a plan, to apply it later unchanged."""
    text = json.dumps({"format": FORMAT, **asdict(plan)}, indent=2, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def read_plan(file: Path, table: str) -> Plan:
    """Read a saved plan; raises Refused if the file is not a plan, or is for another table."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved.pop("format") != FORMAT:
            raise Refused(f"another version of this command wrote {file}: plan again")
        changes = tuple(PlannedChange(**change) for change in saved.pop("changes"))
        plan = Plan(changes=changes, **{name: _frozen(value) for name, value in saved.items()})
        made_for = {change.rule_id for change in plan.changes}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(f"{file} is not a plan from `mwaa-gateway rules plan --save`: {error}") from error
    if not made_for <= plan.versions.keys():
        raise Refused(f"{file} is not a complete plan: it lacks the rules' versions; plan again")
    if plan.table != table:
        raise Refused(f"{file} is a plan for table {plan.table!r}, but this is {table!r}: plan again")
    return plan


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _lies_right(item: StoredRuleItem, document: Mapping[str, Any]) -> bool:
    """Return whether the rule has its copies where its pattern says; a manual change may have moved them."""
    return set(item.partitions) == set(document_partitions(document))


def _namespace(rule_id: str) -> str:
    namespace, dot, _ = rule_id.partition(".")
    return namespace if dot else ""
