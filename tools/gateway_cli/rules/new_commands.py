"""`mwaa-gateway rules new | import`: write first rule files, from nothing or from what an account already has."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway_cli.connection import Connection, gateway_options
from gateway_cli.documents.yaml_documents import write_yaml
from gateway_cli.output import Refused, output_option, print_json, print_note
from gateway_cli.rules.imports import Import, Origin, of_bucket, of_eventbridge
from gateway_cli.rules.new_rule import SCHEMA_NAME, new_rule
from gateway_cli.rules.options import count
from gateway_cli.rules.schema import schema_text


def _environment_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--environment",
        metavar="NAME",
        help="The environment of the targets; default: the only one of the gateway that --stack-name or --local names.",
    )(command)


def _to_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--to",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Write this new file instead of printing.",
    )(command)


@click.command(short_help="Write a first rule file.")
@click.option(
    "--from",
    "source",
    metavar="S3-URI",
    required=True,
    help="The uploads: s3://bucket/prefix/*.csv; `*` is any run of characters, `/` too; {name} is a piece for the conf.",
)
@click.option("--dag", "dag_id", metavar="DAG", required=True, help="The DAG to start for each upload.")
@_environment_option
@click.option(
    "--id", "rule_id", metavar="ID", help="The rule's id, as in finance.orders; default: bucket and DAG."
)
@_to_option
@output_option
@gateway_options
def new(
    connection: Connection,
    *,
    source: str,
    dag_id: str,
    environment: str | None,
    rule_id: str | None,
    to: Path | None,
    output: str,
) -> None:
    """Write a first rule file: start a DAG for each upload to a bucket.

    With --to, the command also writes the schema for editors beside the file, whose first line names it.

    \b
    Examples:
      mwaa-gateway rules new --from 's3://acme-landing/orders/*.csv' --dag ingest_orders --environment analytics
      mwaa-gateway rules new --from 's3://acme-landing/*' --dag ingest --local --to rules/landing.yaml
      mwaa-gateway rules new --from 's3://acme-landing/{region}/dt={date}/*' --dag ingest --environment analytics
    """
    made = new_rule(
        source, dag_id=dag_id, environment=environment or _only_environment(connection), rule_id=rule_id
    )
    if to is not None:
        _write(to, made.text)
        (to.parent / SCHEMA_NAME).write_text(schema_text(), encoding="utf-8")
    if output == "json":
        print_json({"rule": made.rule.document(), "file": str(to) if to else None})
    elif to is None:
        click.echo(made.text, nl=False)
    else:
        click.echo(f"{made.rule.id} → {to}")
    if "*" in source:
        print_note("`*` matches any characters, `/` too: subfolders are included")


@click.command()
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write to a file instead of printing.",
)
@output_option
def schema(*, to: Path | None, output: str) -> None:
    """Print the JSON schema of rule files, for editors.

    Editors such as VS Code with its YAML extension check and complete a file whose first line is
    `# yaml-language-server: $schema=.mwaa-gateway-rules.schema.json`. The schema is JSON with either --output.

    \b
    Example:
      mwaa-gateway rules schema --to rules/.mwaa-gateway-rules.schema.json
    """
    if to is None:
        click.echo(schema_text(), nl=False)
        return
    try:
        to.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {to}: {error.strerror}") from error
    if output == "json":
        print_json({"file": str(to)})
    else:
        click.echo(f"schema → {to}")


@click.command("import", short_help="Make rule files from a bus or a bucket.")
@click.option("--bus", metavar="NAME", help="An EventBridge bus whose rules become rules of the gateway.")
@click.option(
    "--bucket", metavar="NAME", help="A bucket whose event notifications become rules of the gateway."
)
@_environment_option
@click.option(
    "--dag",
    "dag_id",
    metavar="DAG",
    default="",
    help="The DAG of every target; default: a name made from the old target.",
)
@click.option(
    "--namespace", metavar="NAME", default="", help="The beginning of the rules' ids, as in finance.orders."
)
@click.option(
    "--state",
    type=click.Choice(["SHADOW", "ENABLED", "DISABLED"]),
    default="SHADOW",
    show_default=True,
    help="The rules' first state; in SHADOW they record what they would start, while the old setup still works.",
)
@_to_option
@output_option
@gateway_options
def import_rules(
    connection: Connection,
    *,
    bus: str | None,
    bucket: str | None,
    environment: str | None,
    dag_id: str,
    namespace: str,
    state: str,
    to: Path | None,
    output: str,
) -> None:
    """Turn EventBridge rules, or a bucket's notifications, into a rule file.

    The command only reads; nothing changes in the account. It lists what it could not carry over and why, what you
    should check, and which rules match events that do not reach the gateway.

    It needs events:ListRules and events:ListTargetsByRule, or s3:GetBucketNotification.

    \b
    Examples:
      mwaa-gateway rules import --bus default --environment analytics --namespace finance --to rules/finance.yaml
      mwaa-gateway rules import --bucket acme-landing --environment analytics --dag ingest_landing
    """
    if not bus and not bucket:
        raise click.UsageError("use --bus, --bucket, or both")
    origin = Origin(environment or _only_environment(connection), state, namespace, dag_id, connection.stack)
    found = Import()
    for part in _found(connection, bus, bucket, origin):
        for rule in part.rules:
            found.add(f"rule {rule['id']}", rule)
        found.not_carried += part.not_carried
        found.unreachable += part.unreachable
        found.notes += part.notes
    text = f"# Imported from {' and '.join(filter(None, [bus and f'bus {bus}', bucket and f'bucket {bucket}']))}.\n"
    text += write_yaml({"rules": found.rules})
    if to is not None and found.rules:
        _write(to, text)
    if output == "json":
        print_json(asdict(found) | {"file": str(to) if to else None})
        return
    if to is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{count(len(found.rules), 'rule')} → {to}" if found.rules else "no rule was found")
    for note in found.notes:
        print_note(f"Check: {note.what}: {note.why}")
    for lost in found.unreachable:
        print_note(f"Never matches yet: {lost.what}: {lost.why}")
    for left in found.not_carried:
        print_note(f"Not carried over: {left.what}: {left.why}")


def _found(connection: Connection, bus: str | None, bucket: str | None, origin: Origin) -> Iterator[Import]:
    if bus:
        yield of_eventbridge(list(_rules_of(connection, bus)), origin, bus)
    if bucket:
        answer = connection.s3.get_bucket_notification_configuration(Bucket=bucket)
        yield of_bucket(bucket, dict(answer), origin)


def _rules_of(
    connection: Connection, bus: str
) -> Iterator[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]:
    eventbridge = connection.eventbridge
    for page in eventbridge.get_paginator("list_rules").paginate(EventBusName=bus):
        for rule in page["Rules"]:
            pages = eventbridge.get_paginator("list_targets_by_rule").paginate(
                Rule=rule["Name"], EventBusName=bus
            )
            yield dict(rule), [dict(target) for targets in pages for target in targets["Targets"]]


def _only_environment(connection: Connection) -> str:
    """Return the gateway's environment, if the options name a gateway with exactly one."""
    if not connection.names_a_table:
        raise click.UsageError("use --environment, or name the gateway with --stack-name or --local")
    known = sorted(connection.environments or ())
    if len(known) != 1:
        raise Refused(f"name the environment with --environment; known are: {', '.join(known) or 'none'}")
    return known[0]


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise Refused(f"{file} exists already: name another file with --to") from error
    except OSError as error:
        raise Refused(f"cannot write {file}: {error.strerror}") from error
