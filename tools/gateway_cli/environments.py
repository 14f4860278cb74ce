"""`mwaa-gateway environments`: pause an environment, and drain it before you remove it."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.aws_errors import describe_error, errors_as_refusals
from gateway_cli.certify.commands import certify
from gateway_cli.check.commands import check
from gateway_cli.choice import Age, Filters, ask
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.held.requests import release_all
from gateway_cli.operations import record
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table
from gateway_cli.remainders import Remainder, remainders, waiting_states
from gateway_cli.versions import changed_at
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION, environment_sort
from mwaa_gateway.aws.dynamodb.values import attributes, rules_key
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.transports import InvalidTransports, Transports

LOOK_SECONDS = 10.0
# SQS counts approximately: a queue is taken for empty once a minute's looks in a row have found nothing in it.
_EMPTY_LOOKS: Final = 7

_name = click.argument("name", metavar="[NAME]", required=False)
_by = click.option("--by", metavar="NAME", help="Who pauses it; by default the caller's ARN.")


@click.group(cls=Group, epilog=EXIT_CODES)
def environments() -> None:
    """List the environments, pause and resume one or all, or drain it before you remove it.

    While an environment is paused, its trigger requests are held: they leave the queue within seconds, and wait in the
    ledger. The gateway still accepts its events, and other environments run as usual.
    """


@environments.command("list")
@output_option
@gateway_options
def list_environments(connection: Connection, output: str) -> None:
    """List the environments, and show which are paused.

    \b
    Example:
      mwaa-gateway environments list
    """
    names = sorted(connection.environments or ())
    unread: dict[str, str] = {}
    pauses = {name: _pause_item(connection, name, unread) for name in names}
    _note_wrong_transports(connection.transports, names)
    shown: list[dict[str, Any]] = [
        {
            "name": name,
            "transport": _transport(connection, name),
            "paused": None if name in unread else pause is not None,
            **{key: (pause or {}).get(key) for key in ("reason", "updated_by", "updated_at")},
        }
        for name, pause in pauses.items()
    ]
    if output == "json":
        print_json(shown)
    else:
        states = {None: "?", True: "PAUSED", False: "RUNNING"}
        print_table(
            ["NAME", "TRANSPORT", "STATE", "REASON", "BY", "SINCE (UTC)"],
            [
                [name, transport or "-", states[paused], *(value or "-" for value in why)]
                for name, transport, paused, *why in (one.values() for one in shown)
            ],
        )
    if unread:
        raise Refused(
            "\n".join(f"{name}: not known whether it is paused: {why}" for name, why in unread.items())
        )


_all = click.option("--all", "everything", is_flag=True, help="All environments.")


@environments.command()
@_name
@_all
@click.option("--reason", metavar="TEXT", help="Why; shown with every held request.")
@_by
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@gateway_options
def pause(
    connection: Connection,
    name: str | None,
    *,
    everything: bool,
    reason: str | None,
    by: str | None,
    yes: bool,
) -> None:
    """Hold the trigger requests of an environment, or of all.

    A run that Airflow is starting at this moment still starts. Events are still accepted, batches still collect their
    members, and Step Functions states whose runs have started still get their answers.

    \b
    Examples:
      mwaa-gateway environments pause analytics --reason "moving the warehouse"
      mwaa-gateway environments pause --all --reason "wrong files"
    """
    names = _named(connection, name, everything=everything)
    if everything and not yes and sys.stdin.isatty():
        ask(f"Pause {', '.join(names)}?", "nothing was paused; use --yes to pause without a question")
    facts = {"updated_at": changed_at(datetime.now(UTC)), "updated_by": by or connection.caller}
    facts |= {"reason": reason} if reason else {}
    table = connection.stack_output("RulesTableName")

    def pause_one(each: str) -> None:
        record(connection, "environments pause", [each], why=reason or "", by=by)
        connection.dynamodb.put_item(TableName=table, Item={**_key(each), **attributes(facts)})
        click.echo(f"{each}: paused; its requests are held within seconds")

    _each_of(names, pause_one, "paused")
    if everything:
        print_note(
            "Not stopped: batches collect members, and states whose runs have started wait for their end."
        )
        print_note("To end it: mwaa-gateway environments resume --all")


@environments.command()
@_name
@_all
@click.option("--reason", metavar="TEXT", help="Why; recorded with your ARN.")
@gateway_options
def resume(connection: Connection, name: str | None, *, everything: bool, reason: str | None) -> None:
    """End the pause of an environment, or of all; release its requests.

    If the command was interrupted, run it again: it releases the rest.

    \b
    Examples:
      mwaa-gateway environments resume analytics
      mwaa-gateway environments resume --all
    """
    table = connection.stack_output("RulesTableName")

    def resume_one(each: str) -> None:
        record(connection, "environments resume", [each], why=reason or "")
        connection.dynamodb.delete_item(TableName=table, Key=_key(each))
        click.echo(f"{each}: running")
        summary = release_all(connection, [Filters(environment=each, reason=Reason.ENVIRONMENT_PAUSED)])
        print_note(f"released: {len(summary.done):,}")

    _each_of(_named(connection, name, everything=everything), resume_one, "resumed")


def _named(connection: Connection, name: str | None, *, everything: bool) -> list[str]:
    """Return the environment that is named, or all; refuses an unknown name, and neither or both."""
    if (name is None) != everything:
        raise click.UsageError("say which: the name of an environment, or --all")
    if name is None:
        return sorted(connection.environments or ())
    refuse_unknown_environment(connection, name)
    return [name]


def _each_of(names: Sequence[str], step: Callable[[str], None], done: str) -> None:
    """Run a step for each environment; one that fails stops no other, and is named at the end."""
    failed: list[str] = []
    for name in names:
        try:
            with errors_as_refusals():
                step(name)
        except Refused as error:
            failed.append(f"{name} was not {done}: {error.message}" if len(names) > 1 else error.message)
    if failed:
        raise Refused("\n".join(failed))


environments.add_command(certify)
environments.add_command(check)


@environments.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All environments, and the ingress queues.")
@click.option("--tasks", is_flag=True, help="Only Step Functions states that wait for a run.")
@click.option(
    "--timeout",
    type=Age(),
    default="15m",
    show_default=True,
    help="How long to wait for the requests the gateway still processes; 0s looks once.",
)
@click.option(
    "--allow-stopped", is_flag=True, help="Exit with 0 even if held requests or dead letters are left."
)
@output_option
@gateway_options
def drain(
    connection: Connection,
    names: Sequence[str],
    *,
    everything: bool,
    tasks: bool,
    timeout: float,
    allow_stopped: bool,
    output: str,
) -> None:
    """Wait until an environment is empty, so that you can remove it.

    CloudFormation deletes queues with all their messages. Before you remove an environment from the parameter
    Environments, set StepFunctionsTasks to false, or delete the stack: disable the rules that start DAGs there, then drain.

    Drain changes nothing. It waits until the trigger queues are empty and no state waits for a run, and lists what is
    left and what to do about it. Held requests and dead letters wait for your decision; they stay when you remove the
    environment.

    \b
    Examples:
      mwaa-gateway environments drain analytics
      mwaa-gateway environments drain --all --timeout 2h
      mwaa-gateway environments drain --all --tasks
    """
    if bool(names) == everything:
        raise click.UsageError("say which: names of environments, or --all")
    for name in names:
        refuse_unknown_environment(connection, name)
    those = sorted(names or connection.environments or ())

    def look() -> list[Remainder]:
        if tasks:
            return [one for name in those if (one := waiting_states(connection, name)).count != 0]
        return remainders(connection, those, ingress=everything)

    left = _drained(look, timeout)
    blocking = [one for one in left if not (one.kept and allow_stopped)]
    if output == "json":
        print_json({"drained": not blocking, "left": [asdict(one) for one in left]})
    else:
        print_table(
            ["ENVIRONMENT", "LEFT", "COUNT", "WHAT TO DO"],
            [
                [one.environment, one.what, "?" if one.count is None else f"{one.count:,}", one.remedy]
                for one in left
            ],
        )
    if blocking:
        raise Refused(f"not drained: {', '.join(map(str, blocking))}")
    if tasks:
        print_note(f"drained: no state waits for a run in {', '.join(those)}")
        return
    print_note(f"drained: {', '.join(those)}")
    print_note("The dead-letter queues stay when an environment or the stack is removed. To delete one:")
    template = connection.stack_output("TriggerDlqUrlTemplate")
    queues = [template.replace("{environment}", name) for name in those]
    for queue in [*queues, *([connection.stack_output("IngressDlqUrl")] if everything else [])]:
        print_note(f"  aws sqs delete-queue --queue-url {queue}")


def _drained(look: Callable[[], list[Remainder]], timeout: float) -> list[Remainder]:
    """Look until nothing is left that the gateway processes by itself, or until the timeout; return what is left."""
    end, empty, shown = time.monotonic() + timeout, 0, ""
    while True:
        left = look()
        passing = [one for one in left if one.passes]
        empty = 0 if passing else empty + 1
        if empty == _EMPTY_LOOKS or time.monotonic() + LOOK_SECONDS > end:
            return left
        progress = ", ".join(map(str, passing))
        if progress != shown:
            print_note(f"waiting for {progress}" if passing else "nothing waits; looking for another minute")
            shown = progress
        time.sleep(LOOK_SECONDS)


def _transport(connection: Connection, name: str) -> str | None:
    if connection.transports is None:
        return None
    try:
        return connection.transports.of(name)
    except InvalidTransports:
        return None


def _note_wrong_transports(transports: Transports | None, names: list[str]) -> None:
    """Warn on stderr about entries of the parameter Transports that do not fit the parameter Environments."""
    if transports is None:
        return
    for name in transports.unknown(names):
        print_note(
            f"Warning: the stack's parameter Transports names {name!r}, which is not in its Environments"
        )
    for name in names:
        try:
            transports.of(name)
        except InvalidTransports as error:
            print_note(f"Warning: nothing starts in {name}: {error}")


def _pause_item(connection: Connection, name: str, unread: dict[str, str]) -> dict[str, str] | None:
    """Return the pause of an environment; None if it has none, or if `unread` says why that is not known."""
    table = connection.stack_output("RulesTableName")
    try:
        answer = connection.dynamodb.get_item(TableName=table, Key=_key(name), ConsistentRead=True)
    except (BotoCoreError, ClientError) as error:
        unread[name] = describe_error(error)
        return None
    item = answer.get("Item")
    return None if item is None else {key: value.get("S", "") for key, value in item.items()}


def _key(name: str) -> dict[str, Any]:
    return rules_key(PAUSE_PARTITION, environment_sort(name))
