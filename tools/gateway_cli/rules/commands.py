"""`mwaa-gateway rules`: thin commands over the rule files and the rules table."""

from dataclasses import asdict

import click

from gateway_cli.choice import ask
from gateway_cli.connection import Connection, connection_options
from gateway_cli.documents.yaml_documents import write_yaml
from gateway_cli.groups import Group
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table
from gateway_cli.rules.file_commands import apply, plan, validate
from gateway_cli.rules.new_commands import import_rules, new, schema
from gateway_cli.rules.options import by_option, now, refuse_unless_allowed, rule_id_argument
from gateway_cli.rules.pauses import release_held
from gateway_cli.rules.shadow_commands import shadow_report
from gateway_cli.rules.store import Applied
from gateway_cli.rules.stored import document_of, summary, target_names, why_broken
from gateway_cli.rules.trial_commands import explain_rule, test
from gateway_cli.rules.version_commands import diff, history, rollback
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import State, parse_rule


@click.group(cls=Group)
def rules() -> None:
    """Write, test, apply, explain and roll back the rules that turn events into DAG runs.

    A rule file is YAML or JSON. It contains one rule, a list of rules, or a list under `rules:` with optional
    `defaults:`. A change takes effect within seconds, without a deploy.

    \b
    Exit codes of every command:
      0  done (or nothing to do)
      1  invalid or refused: the reason is on stderr, one line each
      2  the command line is wrong; for `plan`: something would change
    """


@rules.command("list")
@output_option
@connection_options
def list_rules(connection: Connection, output: str) -> None:
    """List the rules in the table.

    The list shows each rule's state, version, partitions, targets and last change. Below it stand the broken rules,
    which the gateway cannot use, and why.

    \b
    Examples:
      mwaa-gateway rules list
      mwaa-gateway rules list --local -o json
    """
    items = connection.store.list()
    broken = {item.id: why for item in items if (why := why_broken(connection, item))}
    if output == "json":
        print_json([summary(item) | {"broken": broken.get(item.id)} for item in items])
        return
    if not items:
        print_note("there are no rules yet: `mwaa-gateway rules new` writes the first file")
    print_table(
        ["ID", "STATE", "VERSION", "PARTITIONS", "TARGETS", "UPDATED (UTC)"],
        [
            [
                item.id,
                f"{item.state}\n(broken)" if item.id in broken else item.state,
                str(item.version),
                "\n".join(item.partitions),
                "\n".join(target_names(item)),
                item.updated_at[:19].replace("T", " "),
            ]
            for item in items
        ],
    )
    for rule_id, why in broken.items():
        print_note(
            f"{rule_id} is broken, its events go to the ingress DLQ: {why}: correct its file and apply it, or delete it"
        )


@rules.command()
@rule_id_argument
@output_option
@connection_options
def show(connection: Connection, rule_id: str, output: str) -> None:
    """Show one rule as it is in the table.

    The rule is resolved, as YAML that can be applied again.

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
@rule_id_argument
@by_option
@output_option
@connection_options
def enable(connection: Connection, rule_id: str, by: str | None, output: str) -> None:
    """Enable a rule, and release its held requests.

    The rule is checked first: a broken rule, or one that names an unknown environment, is refused. To keep held
    requests from running, use `mwaa-gateway held cancel` before. Run the command again if it was interrupted: it
    finishes the rest.

    \b
    Example:
      mwaa-gateway rules enable finance.orders-landing
    """
    document = document_of(connection.store.get(rule_id))
    try:
        rule = parse_rule(
            document,
            environments=connection.environments,
            claim_check_bucket=connection.claim_check_bucket,
            transports=connection.transports_by_name,
        )
        refuse_unless_allowed(rule, connection.allow_lists)
    except InvalidRule as error:
        raise Refused(f"{error}: correct its file and apply it again") from error
    _set_state(connection, rule_id, "ENABLED", by, output)
    release_held(connection, [rule_id])


@rules.command(short_help="Disable a rule within seconds.")
@rule_id_argument
@by_option
@output_option
@connection_options
def disable(connection: Connection, rule_id: str, by: str | None, output: str) -> None:
    """Disable a rule: within seconds it matches no event and starts no run.

    Requests that it has already matched and that still wait are held, however many. A command that Airflow is
    executing at that moment still takes effect.

    \b
    Example:
      mwaa-gateway rules disable finance.orders-landing
    """
    _set_state(connection, rule_id, "DISABLED", by, output)


@rules.command()
@rule_id_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@by_option
@output_option
@connection_options
def delete(connection: Connection, rule_id: str, yes: bool, by: str | None, output: str) -> None:  # noqa: FBT001
    """Delete a rule, after a confirmation.

    If a rule with the same id is applied later, it continues the version numbers.

    \b
    Example:
      mwaa-gateway rules delete finance.orders-landing --yes
    """
    item = connection.store.get(rule_id)
    if not yes:
        ask(
            f"Delete rule {rule_id} (version {item.version}, {item.state})?",
            "nothing was deleted; use --yes to delete without a question",
        )
    _print_one(connection.store.delete(rule_id, by=by or connection.caller, now=now()), output)


def _set_state(connection: Connection, rule_id: str, state: State, by: str | None, output: str) -> None:
    _print_one(connection.store.set_state(rule_id, state, by=by or connection.caller, now=now()), output)


def _print_one(applied: Applied, output: str) -> None:
    if output == "json":
        print_json(asdict(applied))
    else:
        click.echo(f"{applied.rule_id}: {applied.outcome}, version {applied.version}, {applied.state}")


for _command in (
    apply,
    diff,
    explain_rule,
    history,
    import_rules,
    new,
    plan,
    rollback,
    schema,
    shadow_report,
    test,
    validate,
):
    rules.add_command(_command)
