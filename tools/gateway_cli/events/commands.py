"""`mwaa-gateway events`: send an event by hand, and follow the trail as it is written."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gateway_cli.answers.addressing import with_options
from gateway_cli.answers.insights import Insights, equals
from gateway_cli.answers.screens import line_text
from gateway_cli.answers.trail import TrailLine
from gateway_cli.choice import Age
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.documents.json_documents import json_object
from gateway_cli.events.sending import (
    Sendable,
    read_files,
    rule_to_send_to,
    send_to_all,
    send_to_rule,
    sendable,
    try_on,
)
from gateway_cli.events.uploads import upload_event
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.operations import record, why_option
from gateway_cli.output import Refused, output_option, print_json, print_note, print_text
from gateway_cli.rules.rendering import print_trial
from gateway_cli.rules.trial import try_events
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.events import Event
from mwaa_gateway.rules import Rule, parse_rule

_POLL_SECONDS = 5.0
_RAN_WITHIN_SECONDS = 2 * 86_400.0
_OVERLAP_SECONDS = 30.0  # Logs Insights finds some lines later than others


@click.group(cls=Group, epilog=EXIT_CODES)
def events() -> None:
    """Send an event by hand, or follow what the gateway decides about events."""


@events.command(short_help="Send events by hand.")
@click.argument("what", metavar="FILE|S3-URI...", nargs=-1, required=True)
@click.option(
    "--rule", "rule_id", metavar="ID", help="Send it to this rule alone, whatever its pattern says."
)
@click.option(
    "--again", is_flag=True, help="Also send an object whose key has started a run in the last 2 days."
)
@click.option("--dry-run", is_flag=True, help="Only show what would become of it.")
@why_option
@output_option
@gateway_options
def send(
    connection: Connection,
    what: Sequence[str],
    *,
    rule_id: str | None,
    again: bool,
    dry_run: bool,
    why: str,
    output: str,
) -> None:
    """Send events by hand: each starts one run for each rule that matches it.

    A file contains a source's payload, as `rules test` takes it. Its event keeps its identity: one that has run starts
    nothing.

    An s3:// URI stands for an object that lies in the bucket. S3 does not say which upload made it, so this is an event of
    its own: sent twice it starts one run, but if the upload's own event also arrives, that one starts another. So the
    command refuses an object whose key has started a run in the last 2 days. Where its event may still arrive,
    `reconcile s3://BUCKET/KEY --apply` starts the object once, whatever arrives later; it takes two minutes.

    With --rule the event goes to this rule alone, even if its pattern does not match. If the rule is disabled, the
    request is held until you enable the rule.

    \b
    Examples:
      mwaa-gateway events send s3://acme-landing/orders/2026-11-22.csv --dry-run
      mwaa-gateway events send s3://acme-landing/Orders/2026-11-22.csv --rule finance.orders
      mwaa-gateway events send order.json
    """
    messages = [*_read(connection, what)]
    rule = rule_to_send_to(connection, rule_id) if rule_id else None
    if dry_run:
        _show(connection, messages, rule)
        return
    if not again:
        _refuse_what_ran(connection, messages)
    ids = [one.event.id for message in messages for one in message.events if isinstance(one.event, Event)]
    record(connection, "events send", ids, why=why)
    sent = []
    for message in messages:
        if rule is None:
            sent += send_to_all(connection, message)
        else:
            sent += [send_to_rule(connection, named, rule) for named in message.events]
    if output == "json":
        print_json([one.document() for one in sent])
        return
    for one in sent:
        click.echo(f"{one.name}: sent{' as ' if one.run_ids else ''}{', '.join(one.run_ids)}")
        answer = with_options(
            f"mwaa-gateway why {(one.run_ids or (one.event_id,))[0]}", connection.as_options
        )
        print_note(f"what becomes of it: {answer}")


def _read(connection: Connection, what: Sequence[str]) -> Iterator[Sendable]:
    for each in what:
        if each.startswith("s3://"):
            yield sendable(upload_event(connection, each), each)
        else:
            yield from read_files([Path(each)])


def _show(connection: Connection, messages: Sequence[Sendable], rule: Rule | None) -> None:
    named = [one for message in messages for one in message.events]
    if rule is None:
        trials = try_events(_usable_rules(connection), named, environments=connection.environments)
    else:
        trials = [try_on(rule, one, connection.environments) for one in named]
    for trial in trials:
        print_trial(trial)
    print_note("nothing was sent")


def _usable_rules(connection: Connection) -> list[Rule]:
    """Return the rules of the table that can be read; a broken one starts nothing, and is named."""
    rules = []
    for item in connection.store.list():
        try:
            rules.append(
                parse_rule(json_object(item.document) or {}, environments=None, version=item.version)
            )
        except InvalidRule as error:
            print_note(f"rule {item.id} is broken and starts nothing: {error}")
    return rules


def _refuse_what_ran(connection: Connection, messages: Sequence[Sendable]) -> None:
    """Refuse objects made into events here, whose key has started a run."""
    names = [message.events[0].name for message in messages]
    for uri in (name for name in names if name.startswith("s3://")):
        now = time.time()
        condition = f"{equals('resource', uri)} and {equals('outcome', 'Requested')}"
        lines = Insights.of(connection).find(condition, now - _RAN_WITHIN_SECONDS, now, most=20)
        if lines:
            raise Refused(
                f"{uri} has started a run ({lines[-1].run_id}): `mwaa-gateway why {uri}` says what became of it; "
                "`mwaa-gateway rerun --event` starts another on purpose, and --again sends it as a new event"
            )


@events.command(short_help="Follow what the gateway decides.")
@click.option("--rule", "rule_id", metavar="ID", help="Only of this rule.")
@click.option("--unmatched", is_flag=True, help="Only events that no rule matches.")
@click.option("--dead", is_flag=True, help="Only what is dead.")
@click.option(
    "--since", type=Age(), default="5m", show_default=True, help="How far back to begin: 90s, 15m, 2h."
)
@click.option(
    "--follow/--no-follow", default=True, show_default=True, help="Continue until Ctrl-C, or stop at now."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Lines for people, or JSON lines.",
)
@gateway_options
def tail(
    connection: Connection,
    *,
    rule_id: str | None,
    unmatched: bool,
    dead: bool,
    since: float,
    follow: bool,
    output: str,
) -> None:
    """Print each decision about an event as it is made: requests, attempts, batches, unmatched and dead events.

    Lines appear about ten seconds after the gateway writes them. Each look scans the log of the last minute, and
    Logs Insights charges for what it scans.

    \b
    Examples:
      mwaa-gateway events tail
      mwaa-gateway events tail --rule finance.orders --since 1h --no-follow
      mwaa-gateway events tail --unmatched -o json
    """
    condition = tail_condition(rule_id, unmatched=unmatched, dead=dead)
    insights = Insights.of(connection)
    try:
        for line in followed(insights, condition, time.time() - since, follow=follow):
            if output == "json":
                click.echo(json.dumps(line.document()))
            else:
                print_text(*line_text(line))
    except KeyboardInterrupt:
        click.echo("", err=True)


def tail_condition(rule_id: str | None, *, unmatched: bool, dead: bool) -> str:
    """Return the condition of Logs Insights for these options."""
    outcomes = [*(["Unmatched"] if unmatched else []), *(["Dead", "Rejected", "Late"] if dead else [])]
    parts = ["ispresent(trail)"]
    if rule_id:
        parts.append(equals("rule_id", rule_id))
    if outcomes:
        listed = ", ".join(f'"{each}"' for each in outcomes)
        parts.append(f"outcome in [{listed}]")
    return " and ".join(parts)


def followed(insights: Insights, condition: str, since: float, *, follow: bool) -> Iterator[TrailLine]:
    """Yield each line once, oldest first, and new ones as they appear."""
    seen: dict[TrailLine, None] = {}
    while True:
        now = time.time()
        for line in insights.find(condition, since, now):
            if line not in seen:
                seen[line] = None
                yield line
        if not follow:
            return
        since = max(since, now - _OVERLAP_SECONDS)
        seen = {line: None for line in seen if line.at >= since - _OVERLAP_SECONDS}
        time.sleep(_POLL_SECONDS)
