"""Sends events by hand: through the gateway's retry queue to every rule, or to one rule whatever its pattern says."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway_cli.connection import Connection
from gateway_cli.documents.json_documents import read_json
from gateway_cli.output import Refused
from gateway_cli.rules.event_files import NamedEvent, events_of
from gateway_cli.rules.stored import document_of
from gateway_cli.rules.trial import Trial, try_events
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.errors import InvalidRule, MalformedEvent
from mwaa_gateway.events import Event
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.routing.members import member_of
from mwaa_gateway.routing.resolve import Refused as RuleRefuses
from mwaa_gateway.routing.resolve import resolve
from mwaa_gateway.rules import Rule, parse_rule


@dataclass(frozen=True, slots=True)
class Sendable:
    """One message to send: its body as the source sends it, and the events in it."""

    body: str
    events: tuple[NamedEvent, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """One event that was sent; `run_ids` are known only if it went to one rule."""

    name: str
    event_id: str
    run_ids: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "event_id": self.event_id, "run_ids": list(self.run_ids)}


def read_files(files: Sequence[Path]) -> Iterator[Sendable]:
    """Read event files, each a payload of a source or a list of them.

    Raises:
        Refused: a file is not JSON, or contains a malformed event. Nothing was sent then.
    """
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"cannot read {file}: {error}") from error
        documents, flaws = read_json(text)
        if flaws:
            raise Refused(f"{file}:{flaws[0].line}: {flaws[0].message}")
        value = documents[0].value
        for document in value if isinstance(value, list) else [value]:
            yield sendable(document, str(file))


def sendable(document: Any, name: str) -> Sendable:
    """Return a payload with its events; raises Refused if one is malformed."""
    events = tuple(events_of(document, name))
    for named in events:
        if isinstance(named.event, MalformedEvent):
            raise Refused(f"{named.name}: {named.event}")
    return Sendable(json.dumps(document), events)


def send_to_all(connection: Connection, message: Sendable) -> list[Sent]:
    """Send a message to the ingress retry queue, whose function holds it against every rule."""
    connection.sqs.send_message(
        QueueUrl=connection.stack_output("IngressRetryQueueUrl"), MessageBody=message.body
    )
    return [Sent(named.name, named.event.id) for named in message.events if isinstance(named.event, Event)]


def rule_to_send_to(connection: Connection, rule_id: str) -> Rule:
    """Return a rule as it is now; raises Refused if the gateway cannot use it."""
    item = connection.store.get(rule_id)
    try:
        rule = parse_rule(
            document_of(item),
            environments=connection.environments,
            version=item.version,
            claim_check_bucket=connection.claim_check_bucket,
        )
    except InvalidRule as error:
        raise Refused(
            f"rule {rule_id} starts nothing: {error}: correct its file and apply it again"
        ) from error
    if problems := connection.allow_lists.permits(rule):
        raise Refused(f"rule {rule_id} starts nothing: {'; '.join(map(str, problems))}")
    return rule


def try_on(rule: Rule, named: NamedEvent, environments: frozenset[str] | None) -> Trial:
    """Try an event on one rule as `send_to_rule` sends it: any event of its source matches, and the rule is enabled."""
    enabled = replace(rule, state="ENABLED")
    if rule.pattern is not None and isinstance(named.event, Event):
        enabled = replace(enabled, pattern=compile_pattern({"source": [named.event.envelope["source"]]}))
    return try_events([enabled], [named], environments=environments)[0]


def send_to_rule(connection: Connection, named: NamedEvent, rule: Rule) -> Sent:
    """Send an event to one rule, whether or not its pattern matches; the run_ids are those of a match.

    Raises:
        Refused: the rule cannot make a run, or a member, of this event.
    """
    event = named.event
    if isinstance(event, MalformedEvent):
        raise Refused(f"{named.name}: {event}")
    if rule.collect is not None:
        member = member_of(event, rule, rule.collect)
        if isinstance(member, RuleRefuses):
            raise Refused(f"{named.name}: rule {rule.id} refuses it: {member.text}")
        connection.sqs.send_message(
            QueueUrl=connection.stack_output("IngressRetryQueueUrl"), MessageBody=member.to_json()
        )
        return Sent(named.name, event.id)
    requests, checks = [], []
    for found in resolve(event, rule, now=time.time(), claim_check_bucket=connection.claim_check_bucket):
        if isinstance(found, RuleRefuses):
            raise Refused(f"{named.name}: rule {rule.id} refuses it: {found.text}")
        requests.append(found.request)
        checks += [found.claim_check] if found.claim_check is not None else []
    if checks:
        ClaimCheckBucket(lambda: connection.s3).put(checks)
    TriggerQueues(connection.sqs, connection.stack_output("TriggerQueueUrlTemplate")).enqueue(requests)
    return Sent(named.name, event.id, tuple(request.target.run_id for request in requests))
