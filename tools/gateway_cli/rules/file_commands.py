"""`mwaa-gateway rules validate | plan | apply`: from files to the table; everything is shown, and nothing is half done."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from gateway_cli.choice import ask
from gateway_cli.connection import Connection, connection_options
from gateway_cli.dag_catalog import DagCheck, check_dags_of, print_dag_check
from gateway_cli.documents.json_documents import json_object
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table, print_text
from gateway_cli.rules.event_files import read_events
from gateway_cli.rules.files import CheckedRule, check_rules
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.options import (
    by_option,
    commit_of,
    commit_option,
    count,
    files_option,
    now,
    paths_argument,
    print_mistakes,
    vars_option,
)
from gateway_cli.rules.overlaps import Overlap, overlaps
from gateway_cli.rules.pauses import release_held
from gateway_cli.rules.plan import Plan, apply_plan, make_plan, read_plan, write_plan
from gateway_cli.rules.rendering import print_plan
from gateway_cli.rules.store import Applied
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import Rule, parse_rule

CHANGES = 2  # exit code of `plan` when something would change


class _ExitsWithChanges(click.Command):
    """A command whose exit code 2 means "changes", so that a wrong command line has exit code 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            error.exit_code = 1
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.exit_code = 1
            raise


@dataclass(frozen=True, slots=True)
class _Files:
    """The files to apply, with the options of the command line."""

    paths: Sequence[Path]
    variable_files: Sequence[Path]
    prune: bool
    namespaces: Sequence[str]
    commit: str | None


def _files_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        commit_option,
        click.option(
            "--namespace",
            "namespaces",
            metavar="NAME",
            multiple=True,
            help="A namespace to prune, besides those of the files' rules; repeatable.",
        ),
        click.option(
            "--prune", is_flag=True, help="Delete rules in the files' namespaces that no file contains."
        ),
        vars_option,
    ):
        command = option(command)
    return command


@click.command()
@paths_argument
@vars_option
@output_option
@connection_options
def validate(
    connection: Connection, paths: Sequence[Path], variable_files: Sequence[Path], output: str
) -> None:
    """Check rule files.

    The command reports every mistake at once, with file, line, rule, field and remedy. It needs no AWS account.
    --environment, --stack-name or --local let it check environment names too. --stack-name or --local also let it
    check the allow-lists, and whether the DAGs exist. A folder stands for all *.yaml, *.yml and *.json files below it.

    \b
    Examples:
      mwaa-gateway rules validate rules/ --environment analytics
      mwaa-gateway rules validate rules/ --vars stages/prod.yaml
    """
    environments = connection.named_environments
    allow_lists = connection.allow_lists if connection.names_a_table else None
    checked, mistakes = check_rules(
        paths,
        environments=environments,
        namespaces=allow_lists,
        claim_check_bucket=connection.claim_check_bucket if connection.names_a_table else "",
        transports=connection.transports_by_name if connection.names_a_table else None,
        variable_files=variable_files,
    )
    rules = [checked_rule.rule for checked_rule in checked]
    check = check_dags_of(connection, rules) if connection.names_a_table and not mistakes else DagCheck()
    if output == "json":
        print_json(
            {
                "valid": not mistakes,
                "rules": [rule.id for rule in rules],
                "environments_checked": environments is not None,
                "problems": [asdict(mistake) for mistake in mistakes],
                "never_matches": _warnings(checked),
                **check.document(),
            }
        )
    if mistakes:
        print_mistakes(mistakes, output)
        raise Refused(count(len(mistakes), "mistake"))
    if output == "table":
        files = len({checked_rule.file for checked_rule in checked})
        click.echo(f"{count(len(checked), 'rule')} in {count(files, 'file')}: valid")
        _print_never_matches(checked)
        print_dag_check(check)
        if environments is None:
            print_note("environment names were not checked: give --environment, --stack-name or --local")


@click.command(cls=_ExitsWithChanges)
@paths_argument
@_files_options
@click.option(
    "--save", metavar="FILE", type=click.Path(path_type=Path), help="Save the plan, for `apply --plan`."
)
@files_option(
    "--event",
    "event_files",
    "An event for which two rules must not start the same DAG; repeatable.",
    metavar="FILE",
)
@output_option
@connection_options
def plan(
    connection: Connection,
    save: Path | None,
    event_files: Sequence[Path],
    output: str,
    **files: Any,
) -> None:
    """Show what `apply` would do, and change nothing.

    The plan lists the rules to add, to change (field by field) and to delete. It warns if one event would start one
    DAG through two rules; it tries events made from each rule's pattern, and those of --event. It also warns of DAGs
    that are paused, gone or unknown, from the list that the environment's dispatcher made last.

    \b
    Exit codes of this command:
      0  nothing would change
      1  invalid or refused, or the command line is wrong
      2  something would change

    \b
    Examples:
      mwaa-gateway rules plan rules/ --vars stages/prod.yaml --prune
      mwaa-gateway rules plan rules/ --save plan.json     # then: mwaa-gateway rules apply --plan plan.json
    """
    events = read_events(event_files)
    checked, made, stored = _planned(connection, _Files(**files), output)
    changed = {change.rule_id for change in made.changes if change.action != "delete"}
    rules = _rules_after(checked, made, stored)
    warnings = overlaps(rules, events, concerning=changed)
    written = {checked_rule.rule.id for checked_rule in checked}
    check = check_dags_of(connection, [rule for rule in rules if rule.id in written])
    if save is not None:
        write_plan(made, save)
    if output == "json":
        extra = {
            "warnings": [asdict(warning) for warning in warnings],
            "problems": [],
            "never_matches": _warnings(checked),
        }
        print_json(_plan_document(made) | extra | check.document())
    else:
        print_plan(made, stored)
        _print_unchanged(made)
        _print_state_changes(made)
        _print_never_matches(checked)
        print_dag_check(check)
        for warning in warnings:
            print_note(_sentence(warning))
    if made.changes:
        click.get_current_context().exit(CHANGES)


@click.command(short_help="Create, update and delete rules from files.")
@click.argument("paths", metavar="[PATH...]", nargs=-1, type=click.Path(path_type=Path))
@_files_options
@click.option(
    "--plan",
    "saved",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Apply this plan of `plan --save` instead of files.",
)
@click.option(
    "--yes", is_flag=True, help="Do not ask before --prune deletes rules; it asks on a terminal only."
)
@by_option
@output_option
@connection_options
def apply(
    connection: Connection, saved: Path | None, *, yes: bool, by: str | None, output: str, **files: Any
) -> None:
    """Create and update rules from files; with --prune, delete those that no file contains.

    The command does what `plan` shows, or exactly what a saved plan says. If there is a mistake anywhere, or somebody
    changed one of the rules since the plan was made, it writes nothing. It does not touch rules that are unchanged. A
    rule whose file names no `state` keeps its state in the table, so applying files again does not enable a disabled
    rule. --prune deletes only in the namespaces of the files' rules (`finance` of `finance.orders`) and those of
    --namespace; on a terminal it asks first, but not for a saved plan.

    When a rule becomes DISABLED, its waiting requests are held, as with `rules disable`. When it becomes ENABLED
    again, they are released, as with `rules enable`.

    \b
    Examples:
      mwaa-gateway rules apply rules/
      mwaa-gateway rules apply rules/ --vars stages/prod.yaml --prune
      mwaa-gateway rules apply --plan plan.json
    """
    wanted = _Files(**files)
    if (saved is None) == (not wanted.paths):
        raise click.UsageError("name files, or a saved plan with --plan")
    store = connection.store
    checked: Sequence[CheckedRule] = ()
    if saved is not None:
        made = read_plan(saved, store.table)
    else:
        checked, made, _ = _planned(connection, wanted, output)
        deleted = [change.rule_id for change in made.of("delete")]
        if deleted and not yes and sys.stdin.isatty():
            print_note(f"no file contains these rules, --prune deletes them: {', '.join(deleted)}")
            ask(
                f"Delete {count(len(deleted), 'rule')}?",
                "nothing was applied; `rules plan` shows the changes",
            )
    if connection.environments is None:
        print_note("environment names were not checked: give --environment or --stack-name")
    done: list[Applied] = []
    whole = False
    try:
        for applied in apply_plan(
            store,
            made,
            environments=connection.environments,
            namespaces=connection.allow_lists,
            transports=connection.transports_by_name,
            by=by or connection.caller,
            now=now(),
        ):
            done.append(applied)  # noqa: PERF402 - one by one, to be known even if the next one fails
        whole = True
    finally:  # rules that were written before an error stay written: print them before the error
        _print_applied(made, done, output, whole=whole)
        release_held(connection, [one.rule_id for one in done if _starts_again(made, one.rule_id, one.state)])
    _print_unchanged(made)
    _print_never_matches(checked)


def _starts_again(made: Plan, rule_id: str, state: str) -> bool:
    """Return whether an existing rule becomes ENABLED; a new rule cannot have held anything."""
    return state == "ENABLED" != made.states[rule_id] and made.versions[rule_id] > 0


def _planned(
    connection: Connection, files: _Files, output: str
) -> tuple[list[CheckedRule], Plan, Mapping[str, StoredRuleItem]]:
    """Check the files and compare them with the table; refuse any mistake."""
    checked, mistakes = check_rules(
        files.paths,
        environments=connection.environments,
        namespaces=connection.allow_lists,
        claim_check_bucket=connection.claim_check_bucket,
        transports=connection.transports_by_name,
        variable_files=files.variable_files,
    )
    if mistakes:
        if output == "json":
            print_json({"applied": [], "problems": [asdict(mistake) for mistake in mistakes]})
        print_mistakes(mistakes, output)
        raise Refused(f"{count(len(mistakes), 'mistake')}: nothing was applied")
    stored = connection.store.everything()
    commit = commit_of(files.paths) if files.commit is None else files.commit
    made = make_plan(
        connection.store.table,
        checked,
        stored,
        prune=files.prune,
        namespaces=files.namespaces,
        commit=commit,
    )
    return checked, made, stored


def _rules_after(
    checked: Sequence[CheckedRule], made: Plan, stored: Mapping[str, StoredRuleItem]
) -> list[Rule]:
    """Return the rules that the table would contain; unreadable ones match nothing and are left out."""
    documents = {item.id: json_object(item.document) for item in stored.values() if item.exists}
    documents |= {checked_rule.rule.id: checked_rule.rule.document() for checked_rule in checked}
    documents |= {change.rule_id: change.document for change in made.changes}
    rules: list[Rule] = []
    for document in documents.values():
        try:
            rules += [parse_rule(document, environments=None)] if document else []
        except InvalidRule:
            continue
    return rules


def _plan_document(made: Plan) -> dict[str, Any]:
    return {
        "changes": [
            {
                "rule_id": change.rule_id,
                "action": change.action,
                "version": made.versions[change.rule_id],
                "fields": [field.document() for field in change.fields],
                "document": change.document,
                **({"open_batches": change.open_batches} if change.open_batches else {}),
            }
            for change in made.changes
        ],
        "unchanged": list(made.unchanged),
        "kept": list(made.kept),
        "commit": made.commit or None,
    }


def _print_applied(made: Plan, done: Sequence[Applied], output: str, *, whole: bool) -> None:
    """Print what was done; `whole` says that the plan was applied completely."""
    if output == "json":
        unchanged = [
            Applied(rule_id, "unchanged", made.versions[rule_id], made.states[rule_id])
            for rule_id in made.unchanged
        ]
        print_json({"applied": [asdict(applied) for applied in [*unchanged, *done]], "problems": []})
        return
    if done:
        print_table(
            ["RULE", "OUTCOME", "VERSION", "STATE"],
            [(one.rule_id, one.outcome, str(one.version), one.state) for one in done],
        )
        print_text("")
    if whole:
        outcomes = Counter(one.outcome for one in done)
        counts = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
        print_text(f"{counts or 'nothing to change'}, {len(made.unchanged)} unchanged", style="bold")


def _print_unchanged(made: Plan) -> None:
    """Print the rules that keep their state or stay, although somebody may expect otherwise."""
    for rule_id in made.braked:
        shadow = made.states[rule_id] == "SHADOW"
        print_note(
            f"{rule_id} stays {'SHADOW' if shadow else 'DISABLED'}, its file names no state: "
            f"`mwaa-gateway rules enable {rule_id}` makes it {'start runs' if shadow else 'match again'}"
        )
    if made.kept:
        print_note(f"in no file, but kept without --prune: {', '.join(made.kept)}")


def _warnings(checked: Iterable[CheckedRule]) -> list[dict[str, Any]]:
    return [asdict(warning) for one in checked for warning in one.warnings]


def _print_never_matches(checked: Iterable[CheckedRule]) -> None:
    """Warn of parts of patterns that can never match."""
    for one in checked:
        for warning in one.warnings:
            print_note(f"Warning: {warning}")


def _print_state_changes(made: Plan) -> None:
    """Print what changes of state mean for requests that already wait or are held."""
    for change in made.changes:
        before = made.states[change.rule_id]
        match change.document and change.document["state"]:
            case "DISABLED" if before in ("ENABLED", "SHADOW"):
                print_note(f"{change.rule_id} becomes DISABLED: its waiting requests are held")
            case "ENABLED" if _starts_again(made, change.rule_id, "ENABLED"):
                print_note(f"{change.rule_id} becomes ENABLED: its held requests are released")


def _sentence(warning: Overlap) -> str:
    rules = " and ".join(warning.rules)
    return (
        f"Warning: {rules} would each start {warning.environment}:{warning.dag_id} for one event "
        f"({warning.event}): unless you want that, make their patterns exclude each other"
    )
