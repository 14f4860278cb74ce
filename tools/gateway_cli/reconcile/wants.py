"""What a listed object is to the rules as they are now: a run of each target, or a member of a batch."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal

from gateway_cli.connection import Connection
from gateway_cli.documents.json_documents import json_object
from gateway_cli.events.uploads import object_event
from gateway_cli.output import print_note
from gateway_cli.rules.items import StoredRuleItem
from mwaa_gateway.aws.dynamodb.ledger_items import REMEMBERED_SECONDS
from mwaa_gateway.conf.captures import captured
from mwaa_gateway.dispatch.s3_objects import ListedObject
from mwaa_gateway.errors import ConfError, InvalidRule
from mwaa_gateway.events import Event
from mwaa_gateway.events.event import derived_id
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern
from mwaa_gateway.routing.members import Member, MemberMessage, member_of
from mwaa_gateway.routing.resolve import Refused, Resolved, identity_in, resolve
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.trigger_request import event_hash

# What a listing says of an object, as paths of its event.
_LISTED: Final[Mapping[str, Any]] = {
    "source": True,
    "detail-type": True,
    "region": True,
    "resources": True,
    "version": True,
    "detail": {
        "version": True,
        "bucket": {"name": True},
        "object": {"key": True, "size": True, "etag": True, "version-id": True},
    },
}
# What only the upload's own event says.
_OTHERS: Final = ("request-id", "requester", "source-ip-address", "reason")
_REMEMBERED: Final = REMEMBERED_SECONDS - 86_400  # with a day to spare

Found = Literal["never", "unsure", "refused"]


@dataclass(frozen=True, slots=True)
class Want:
    """What one rule makes of an object: a run of a target, or, if `target_id` is "", a member of a batch.

    `row` names its row in the ledger, or its pointer in the batches table, if the gateway starts it for the listed object.
    With `is_own` the upload's event has another identity, so that its row has another name; without it, both are the same.
    `state` is what is known before the tables are read, with the reason.
    """

    listed: ListedObject
    rule_id: str
    target_id: str
    row: str
    run_id: str = ""
    is_own: bool = True
    state: Found = "never"
    why: str = ""


class Rules:
    """The rules of a gateway, or one of them, and what they make of objects.

    `disabled` are the rules that match nothing or start nothing now, with their state.
    """

    def __init__(self, connection: Connection, only: str | None) -> None:
        self._connection = connection
        self._bucket = connection.claim_check_bucket
        items = [connection.store.get(only)] if only else connection.store.list()
        self.rules: dict[str, Rule] = {}
        self.idle: dict[str, str] = {}
        patterns: list[tuple[tuple[Rule, str], Pattern]] = []
        for item in items:
            rule = self._usable(item)
            if rule is None:
                continue
            if rule.state != "ENABLED":
                self.idle[rule.id] = rule.state
            self.rules[rule.id] = rule
            for pattern in rule.patterns:
                relaxed, lacking = listed_part(pattern.document)
                patterns.append(((rule, lacking), compile_pattern(relaxed)))
        self._index = RuleIndex(patterns)

    def _usable(self, item: StoredRuleItem) -> Rule | None:
        try:
            rule = parse_rule(
                json_object(item.document) or {},
                environments=self._connection.environments,
                version=item.version,
                claim_check_bucket=self._bucket,
            )
        except InvalidRule as error:
            why = str(error)
        else:
            problems = self._connection.allow_lists.permits(rule)
            if not problems:
                return rule
            why = "; ".join(map(str, problems))
        print_note(f"rule {item.id} is broken and starts nothing: {why}")
        return None

    def event(self, listed: ListedObject) -> Event:
        """Return the event that stands for an object."""
        identity = listed.identity
        return Event(object_event(self._connection, listed, derived_id(identity)), identity)

    def matching(self, event: Event) -> dict[str, str]:
        """Return the rules that match, or may match, and for the latter what the listing lacks, else ""."""
        found: dict[str, str] = {}
        for rule, lacking in self._index.match(event.envelope):
            found[rule.id] = min(found.get(rule.id, lacking), lacking)
        return found

    def wants(self, listed: ListedObject, rule_id: str, lacking: str) -> Iterator[Want]:
        """Yield what an enabled rule makes of the object."""
        rule = self.rules[rule_id]
        event = self.event(listed)
        why = lacking and f"the rule's pattern asks for {lacking}, and a listing does not have it"
        why = why or self._forgotten(rule_id, listed)
        own = identity_is_listed(rule, event)
        if own is None:
            why = why or "the rule's dedupe_key has a value that a listing does not have"
        for want in self._wants(rule, event, listed):
            if why and want.state == "never":
                yield replace(want, state="unsure", why=why, is_own=own is not True)
            else:
                yield replace(want, is_own=own is not True)

    def _wants(self, rule: Rule, event: Event, listed: ListedObject) -> Iterator[Want]:
        for target_id, found in self.resolved(rule, event):
            match found:
                case Refused(text=text):
                    yield Want(listed, rule.id, target_id, "", state="refused", why=text)
                case Member(id=member_id):
                    yield Want(listed, rule.id, "", member_id)
                case Resolved(request=request):
                    yield Want(
                        listed, rule.id, target_id, event_hash(request.identity), request.target.run_id
                    )

    def resolved(self, rule: Rule, event: Event) -> Iterator[tuple[str, Resolved | Member | Refused]]:
        """Yield what each target makes of the event, with the target's id; "" if the rule collects."""
        if rule.collect is not None:
            message = self.message(rule, event)
            yield "", message.member if isinstance(message, MemberMessage) else message
            return
        for found in resolve(event, rule, now=time.time(), claim_check_bucket=self._bucket):
            match found:
                case Refused(target=None):
                    yield from ((target.id, found) for target in rule.targets)
                case Refused(target=target) if target is not None:
                    yield target.id, found
                case Resolved():
                    yield found.request.target_id, found

    @staticmethod
    def message(rule: Rule, event: Event) -> MemberMessage | Refused:
        """Return the object's message to the collect queue."""
        assert rule.collect is not None  # noqa: S101  the caller has looked
        return member_of(event, rule, rule.collect)

    def _forgotten(self, rule_id: str, listed: ListedObject) -> str:
        """Return why the ledger may have forgotten a run of this object, or ""."""
        horizon = listed.seen_at - _REMEMBERED
        if listed.modified > horizon or self._began(rule_id) > horizon:
            return ""
        return "the ledger remembers 90 days, and the object is older"

    @cache  # noqa: B019  one object for each command
    def _began(self, rule_id: str) -> float:
        """Return when the rule was first written; 0 if its history does not say."""
        first = self._connection.store.versions(rule_id)[-1]
        try:
            return datetime.fromisoformat(first.updated_at).timestamp() if first.version == 1 else 0.0
        except ValueError:
            return 0.0


def identity_is_listed(rule: Rule, event: Event) -> bool | None:
    """Return whether a listing gives the identity that the upload's own event has for this rule.

    False: the identity is the event's own, which no listing has. None: the rule's dedupe_key needs what a listing lacks.
    """
    if rule.dedupe_key is None:
        return False
    if rule.dedupe_key.window_seconds is not None:
        return None
    identities = set()
    for value in ("0", "1"):
        envelope = event.envelope
        others = dict.fromkeys(_OTHERS, value)
        described = {**envelope["detail"]["object"], "sequencer": value}
        detail = {**envelope["detail"], **others, "object": described}
        unlike = {
            **envelope,
            "id": value,
            "account": value,
            "time": f"200{value}-01-01T00:00:00Z",
            "detail": detail,
        }
        try:
            identities.add(identity_in(Event(unlike, value), rule, captured(rule.captures, unlike)))
        except ConfError:
            return True  # the rule refuses the event for this, whatever its identity is
    return True if len(identities) == 1 else None


def listed_part(document: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a pattern without what a listing lacks, and the first of those fields, "" if there is none."""
    relaxed, lacking = _listed_part(document, _LISTED, "")
    return relaxed or {"source": ["aws.s3"]}, lacking


def _listed_part(
    document: Mapping[str, Any], listed: Mapping[str, Any], path: str
) -> tuple[dict[str, Any], str]:
    relaxed: dict[str, Any] = {}
    lacking = ""
    for name, wanted in document.items():
        if name == "$or":
            choices = [_listed_part(one, listed, path) for one in wanted]
            lacking = lacking or next((lacks for _, lacks in choices if lacks), "")
            if all(choice for choice, _ in choices):
                relaxed[name] = [choice for choice, _ in choices]
            continue
        known = listed.get(name)
        if isinstance(known, Mapping) and isinstance(wanted, Mapping):
            part, lacks = _listed_part(wanted, known, f"{path}{name}.")
            lacking = lacking or lacks
            if part:
                relaxed[name] = part
        elif known is True:
            relaxed[name] = wanted
        else:
            lacking = lacking or f"{path}{name}"
    return relaxed, lacking
