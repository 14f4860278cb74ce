# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway rules`: thin commands over the rule files and the rules table."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway_cli.connection import Connection, connection_options
from gateway_cli.documents.yaml_documents import write_yaml
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table
from gateway_cli.rules.apply import apply_rules
from gateway_cli.rules.files import CheckedRule, Mistake, check_rules
from gateway_cli.rules.store import Applied, State
from gateway_cli.rules.stored import document_of, summary, target_names
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule

__all__ = ["rules"]

_paths = click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
_rule_id = click.argument("rule_id", metavar="ID")
_by = click.option("--by", metavar="NAME", help="Who makes the change; else the caller's ARN.")


@click.group()
def rules() -> None:
    """Check, apply, list, stop and delete the rules that turn events into DAG runs.

    A rule file is YAML or JSON and holds one rule, a list of rules, or a list under `rules:`. A change is
    live within seconds, without a deploy.

    \b
    Exit codes of every command:
      0  done (or nothing to do)
      1  invalid or refused: the reason is on stderr, one line each
      2  the command line itself is wrong
    """


@rules.command()
@_paths
@output_option
@connection_options
def validate(connection: Connection, paths: Sequence[Path], output: str) -> None:
    """Check rule files.

    Tells every mistake at once, with file, line, rule, field, and what to write instead. Needs no AWS
    account. Environment names are checked where --environment, --stack-name or --local say which there are. A
    folder stands for all *.yaml, *.yml and *.json files below it.

    \b
    Example:
      mwaa-gateway rules validate rules/ --environment analytics
    """
    environments = connection.environments if connection.names_a_gateway else None
    checked, mistakes = check_rules(paths, environments=environments)
    if output == "json":
        print_json(
            {
                "valid": not mistakes,
                "rules": [checked_rule.rule.id for checked_rule in checked],
                "environments_checked": environments is not None,
                "problems": [asdict(mistake) for mistake in mistakes],
            }
        )
    if mistakes:
        _tell(mistakes, output)
        raise Refused(_count(len(mistakes), "mistake"))
    if output == "table":
        files = len({checked_rule.file for checked_rule in checked})
        click.echo(f"{_count(len(checked), 'rule')} in {_count(files, 'file')}: valid")
        if environments is None:
            print_note("environment names were not checked: give --environment, --stack-name or --local")


@rules.command()
@_paths
@_by
@output_option
@connection_options
def apply(connection: Connection, paths: Sequence[Path], by: str | None, output: str) -> None:
    """Create and update rules from files.

    With one mistake anywhere, nothing is written. Rules that are the same already are left alone, and so
    are rules that are in no file. A rule whose file names no `state` keeps the state it has in the table:
    applying files again does not start what `rules disable` has stopped.

    \b
    Examples:
      mwaa-gateway rules apply rules/
      mwaa-gateway rules apply examples/rules --local
    """
    environments = connection.environments
    checked, mistakes = check_rules(paths, environments=environments)
    if mistakes:
        if output == "json":
            print_json({"applied": [], "problems": [asdict(mistake) for mistake in mistakes]})
        _tell(mistakes, output)
        raise Refused(f"{_count(len(mistakes), 'mistake')}: nothing was applied")
    if environments is None:
        print_note("environment names were not checked: give --environment or --stack-name")
    done: list[Applied] = []
    try:
        for applied in apply_rules(connection.store, checked, by=by or connection.caller, now=_now()):
            done.append(applied)  # noqa: PERF402 - one by one: known also when the next one fails
    finally:  # what was written before an error is written: it is told first, then the error
        if output == "json":
            print_json({"applied": [asdict(applied) for applied in done], "problems": []})
        else:
            print_table(["RULE", "OUTCOME", "VERSION", "STATE"], [_row(applied) for applied in done])
    _note_kept_brakes(checked, done)


@rules.command("list")
@output_option
@connection_options
def list_rules(connection: Connection, output: str) -> None:
    """List the rules in the table.

    Of each: state, version, the partitions of events that it lies in, its targets, and when it was changed.

    \b
    Examples:
      mwaa-gateway rules list
      mwaa-gateway rules list --local -o json
    """
    items = connection.store.list()
    if output == "json":
        print_json([summary(item) for item in items])
        return
    print_table(
        ["ID", "STATE", "VERSION", "PARTITIONS", "TARGETS", "UPDATED (UTC)"],
        [
            [
                item.id,
                item.state,
                str(item.version),
                "\n".join(item.partitions),
                "\n".join(target_names(item)),
                item.updated_at[:19].replace("T", " "),
            ]
            for item in items
        ],
    )


@rules.command()
@_rule_id
@output_option
@connection_options
def show(connection: Connection, rule_id: str, output: str) -> None:
    """Show one rule as the table has it.

    Resolved, as YAML that can be applied again.

    \b
    Example:
      mwaa-gateway rules show finance.orders-landing > orders.yaml
    """
    item = connection.store.get(rule_id)
    document = document_of(item)
    if output == "json":
        print_json({**summary(item), "document": document})
        return
    click.echo(f"# version {item.version}, updated {item.updated_at} by {item.updated_by}")
    click.echo(write_yaml(document), nl=False)


@rules.command()
@_rule_id
@_by
@output_option
@connection_options
def enable(connection: Connection, rule_id: str, by: str | None, output: str) -> None:
    """Let a rule match events again.

    It is checked first: a rule that is broken, or names an unknown environment, is refused.

    \b
    Example:
      mwaa-gateway rules enable finance.orders-landing
    """
    document = document_of(connection.store.get(rule_id))
    try:
        parse_rule(document, environments=connection.environments)
    except InvalidRule as error:
        raise Refused(f"{error}: apply its file again, mended") from error
    _set_state(connection, rule_id, "ENABLED", by, output)


@rules.command()
@_rule_id
@_by
@output_option
@connection_options
def disable(connection: Connection, rule_id: str, by: str | None, output: str) -> None:
    """Stop a rule: within seconds it matches no event.

    Trigger requests that were made before still become runs.

    \b
    Example:
      mwaa-gateway rules disable finance.orders-landing
    """
    _set_state(connection, rule_id, "DISABLED", by, output)


@rules.command()
@_rule_id
@click.option("--yes", is_flag=True, help="Do not ask.")
@_by
@output_option
@connection_options
def delete(connection: Connection, rule_id: str, yes: bool, by: str | None, output: str) -> None:  # noqa: FBT001
    """Delete a rule, after asking.

    A rule of the same id that is applied later continues its count of versions.

    \b
    Example:
      mwaa-gateway rules delete finance.orders-landing --yes
    """
    item = connection.store.get(rule_id)
    if not yes:
        _ask(f"Delete rule {rule_id} (version {item.version}, {item.state})?")
    _print_one(connection.store.delete(rule_id, by=by or connection.caller, now=_now()), output)


def _set_state(connection: Connection, rule_id: str, state: State, by: str | None, output: str) -> None:
    _print_one(connection.store.set_state(rule_id, state, by=by or connection.caller, now=_now()), output)


def _now() -> datetime:
    return datetime.now(UTC)


def _ask(question: str) -> None:
    try:
        yes = click.confirm(question, err=True)
    except click.Abort:
        print_note("")  # nobody there to answer: the question's line is ended here
        yes = False
    if not yes:
        raise Refused("nothing was deleted; give --yes where nobody can be asked")


def _tell(mistakes: Sequence[Mistake], output: str) -> None:
    if output == "table":  # JSON has them all
        for mistake in mistakes:
            print_note(str(mistake))


def _note_kept_brakes(checked: Sequence[CheckedRule], done: Sequence[Applied]) -> None:
    for rule, applied in zip(checked, done, strict=True):
        if applied.state == "DISABLED" and not rule.names_state:
            print_note(
                f"{applied.rule_id} stays DISABLED, its file names no state: "
                f"`mwaa-gateway rules enable {applied.rule_id}` lets it match again"
            )


def _print_one(applied: Applied, output: str) -> None:
    if output == "json":
        print_json(asdict(applied))
    else:
        click.echo(f"{applied.rule_id}: {applied.outcome}, version {applied.version}, {applied.state}")


def _row(applied: Applied) -> tuple[str, str, str, str]:
    return applied.rule_id, applied.outcome, str(applied.version), applied.state


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
