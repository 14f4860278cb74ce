# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway environments`: a brake for everything that is to run in one environment."""

from datetime import UTC, datetime
from typing import Any

import click

from gateway_cli.check.commands import check
from gateway_cli.choice import Filters
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.held.requests import release_all
from gateway_cli.output import output_option, print_json, print_note, print_table
from mwaa_gateway.aws.brake_items import BRAKE_PARTITION, environment_sort
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.transports import InvalidTransports, Transports

__all__ = ["environments"]

_name = click.argument("name", metavar="NAME")
_by = click.option("--by", metavar="NAME", help="Who does it; else the caller's ARN.")


@click.group()
def environments() -> None:
    """List the environments, pause one, and let it go on.

    While an environment is paused, its trigger requests are held: they leave the queue within seconds, and wait in the
    ledger. Events are taken in as ever, and other environments are not concerned.

    \b
    Exit codes of every command:
      0  done (or nothing to do)
      1  refused, or not all of it done: the reason is on stderr
      2  the command line itself is wrong
    """


@environments.command("list")
@output_option
@gateway_options
def list_environments(connection: Connection, output: str) -> None:
    """List the gateway's environments, and which are paused.

    \b
    Example:
      mwaa-gateway environments list
    """
    names = sorted(connection.environments or ())
    paused = {name: item for name in names if (item := _brake(connection, name)) is not None}
    _note_wrong_transports(connection.transports, names)
    if output == "json":
        print_json(
            [
                {
                    "name": name,
                    "transport": _transport(connection, name),
                    "paused": name in paused,
                    **{key: paused.get(name, {}).get(key) for key in ("reason", "updated_by", "updated_at")},
                }
                for name in names
            ]
        )
        return
    print_table(
        ["NAME", "TRANSPORT", "STATE", "REASON", "BY", "SINCE (UTC)"],
        [
            [
                name,
                _transport(connection, name) or "-",
                "PAUSED" if name in paused else "RUNNING",
                *(paused.get(name, {}).get(key) or "-" for key in ("reason", "updated_by", "updated_at")),
            ]
            for name in names
        ],
    )


@environments.command()
@_name
@click.option("--reason", metavar="TEXT", help="Why; it stands beside everything that is held.")
@_by
@gateway_options
def pause(connection: Connection, name: str, reason: str | None, by: str | None) -> None:
    """Hold everything that is to run in an environment.

    A command that Airflow is just carrying out is not taken back.

    \b
    Example:
      mwaa-gateway environments pause analytics --reason "the warehouse is being moved"
    """
    refuse_unknown_environment(connection, name)
    item: dict[str, Any] = {
        **_key(name),
        "updated_at": {"S": datetime.now(UTC).isoformat(timespec="seconds")},
        "updated_by": {"S": by or connection.caller},
    }
    if reason:
        item["reason"] = {"S": reason}
    connection.dynamodb.put_item(TableName=connection.stack_output("RulesTableName"), Item=item)
    click.echo(f"{name}: paused; within seconds its requests are held")


@environments.command()
@_name
@gateway_options
def resume(connection: Connection, name: str) -> None:
    """Let an environment go on, and release what its pause has held.

    Run again, it does what a run that was broken off has not done.

    \b
    Example:
      mwaa-gateway environments resume analytics
    """
    refuse_unknown_environment(connection, name)
    connection.dynamodb.delete_item(TableName=connection.stack_output("RulesTableName"), Key=_key(name))
    click.echo(f"{name}: running")
    summary = release_all(connection, [Filters(environment=name, reason=Reason.ENVIRONMENT_PAUSED)])
    print_note(f"released: {len(summary.done):,}")


environments.add_command(check)


def _transport(connection: Connection, name: str) -> str | None:
    if connection.transports is None:
        return None
    try:
        return connection.transports.of(name)
    except InvalidTransports:
        return None


def _note_wrong_transports(transports: Transports | None, names: list[str]) -> None:
    """Say on stderr which entries of the parameter Transports do not fit the parameter Environments."""
    if transports is None:
        return
    for name in transports.unknown(names):
        print_note(
            f"Warning: the stack's parameter Transports names {name!r}, which is none of its Environments"
        )
    for name in names:
        try:
            transports.of(name)
        except InvalidTransports as error:
            print_note(f"Warning: nothing starts in {name}: {error}")


def _brake(connection: Connection, name: str) -> dict[str, str] | None:
    answer = connection.dynamodb.get_item(
        TableName=connection.stack_output("RulesTableName"), Key=_key(name), ConsistentRead=True
    )
    item = answer.get("Item")
    return None if item is None else {key: value.get("S", "") for key, value in item.items()}


def _key(name: str) -> dict[str, Any]:
    return {"partition": {"S": BRAKE_PARTITION}, "sort": {"S": environment_sort(name)}}
