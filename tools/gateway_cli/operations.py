"""Who did what, when and why: one item in the rules table for each command that an operator ran.

    partition  sort                          attributes
    operation  <time in UTC>#<random>        command, by, why, count, ids

The command records first and acts afterwards, so nothing is done that is not recorded. The item survives whatever becomes of
the requests and batches it names. No event's partition: those contain a "#" or are "*".
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import click

from gateway_cli.aws_errors import found_or_why
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.output import output_option, print_json, print_note, print_table, who
from mwaa_gateway.aws.dynamodb.values import Value, attributes, text

PARTITION: Final = "operation"
_IDS_OF_AN_ITEM: Final = 500  # an id has at most 250 characters, and an item 400 KB
_FEW: Final = 3  # ids that the table shows
_NEWEST: Final = 100  # commands that a list of requests or batches is compared with

why_option = click.option("--why", metavar="TEXT", default="", help="Why; recorded with your ARN.")


@dataclass(frozen=True, slots=True)
class Operation:
    """One command of an operator."""

    at: str
    by: str
    command: str
    why: str
    ids: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON, without the ids."""
        return {"at": self.at, "by": self.by, "command": self.command, "why": self.why}

    def __str__(self) -> str:
        at = self.at.replace("T", " ").removesuffix("Z")
        return f"{self.command} {at} by {who(self.by)}" + (f": {self.why}" if self.why else "")


def record(
    connection: Connection, command: str, ids: Sequence[str], *, why: str, by: str | None = None
) -> None:
    """Record that the caller is about to run a command on these ids; on none, there is nothing to record."""
    table, name = connection.stack_output("RulesTableName"), by or connection.caller
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for start in range(0, len(ids), _IDS_OF_AN_ITEM):
        item: dict[str, Value] = {
            "partition": PARTITION,
            "sort": f"{moment}#{secrets.token_hex(4)}",
            "command": command,
            "by": name,
            "why": why,
            "count": len(ids),
            "ids": tuple(ids[start : start + _IDS_OF_AN_ITEM]),
        }
        connection.dynamodb.put_item(TableName=table, Item=attributes(item))


def recorded(connection: Connection, about: str | None = None) -> Iterator[Operation]:
    """Yield what was recorded, newest first; with `about` only what names this id."""
    request: dict[str, Any] = {"KeyConditionExpression": "#partition = :partition"}
    values = {":partition": PARTITION} | ({":about": about} if about else {})
    if about:
        request["FilterExpression"] = "contains(ids, :about)"
    for page in connection.dynamodb.get_paginator("query").paginate(
        TableName=connection.stack_output("RulesTableName"),
        ScanIndexForward=False,
        ExpressionAttributeNames={"#partition": "partition"},
        ExpressionAttributeValues=attributes(values),
        **request,
    ):
        for item in page["Items"]:
            ids = tuple(one.get("S", "") for one in item.get("ids", {}).get("L", []))
            at = text(item, "sort").partition(".")[0] + "Z"
            yield Operation(at, text(item, "by"), text(item, "command"), text(item, "why"), ids)


LAST: Final = "LAST COMMAND"  # a column


def with_last(last: Operation | None) -> dict[str, Any]:
    """Return the field of a JSON document that has the last command."""
    return {"last_command": last.document() if last else None}


def last_of_each(connection: Connection, ids: Collection[str]) -> dict[str, Operation]:
    """Return the last command on each of these ids, of the newest commands; if these cannot be read, print a note."""

    def newest() -> list[Operation]:
        return [*islice(recorded(connection), _NEWEST)]

    found, why = found_or_why(newest) if ids else ([], "")
    if why:
        print_note(f"who acted on them could not be read: {why}")
    last: dict[str, Operation] = {}
    for one in found or ():
        for each in one.ids:
            if each in ids:
                last.setdefault(each, one)
    return last


@click.command()
@click.argument("about", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most this many.")
@output_option
@gateway_options
def operations(connection: Connection, about: str | None, limit: int, output: str) -> None:
    """List what operators did, newest first: who, when, what and why.

    With ID, only what concerns this run_id, batch, event or environment. Each redrive, purge, release, cancel, pause,
    resume and rerun is recorded before it is done. `rules history` has the changes of rules.

    \b
    Examples:
      mwaa-gateway operations
      mwaa-gateway operations analytics --limit 5
    """
    found = [one for _, one in zip(range(limit), recorded(connection, about), strict=False)]
    if output == "json":
        print_json([one.document() | {"ids": one.ids} for one in found])
        return
    if not found:
        print_note("nothing is recorded" + (f" about {about}" if about else ""))
    print_table(
        ["WHEN (UTC)", "WHO", "COMMAND", "WHY", "ON"],
        [
            [
                one.at.replace("T", " ").removesuffix("Z"),
                who(one.by),
                one.command,
                one.why or "-",
                "\n".join(
                    [*one.ids[:_FEW], *([f"and {len(one.ids) - _FEW:,} more"] if len(one.ids) > _FEW else [])]
                ),
            ]
            for one in found
        ],
    )
