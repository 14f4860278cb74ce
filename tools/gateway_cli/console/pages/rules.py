"""Rules: each with its state, why it is broken, what it matched lately; one rule with its versions; an event to try."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.answers.insights import Insights, equals
from gateway_cli.answers.trail import TrailLine
from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway
from gateway_cli.documents.json_documents import json_object
from gateway_cli.output import Refused, who
from gateway_cli.rules.event_files import events_of
from gateway_cli.rules.explanation import Explanation, explain_rule
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.stored import broken_under, document_of, target_names
from gateway_cli.rules.trial import Trial, try_events
from mwaa_gateway.errors import InvalidRule, MalformedEvent
from mwaa_gateway.rules import Rule, parse_rule

LATELY_SECONDS: Final = 86_400
_MOST_LINES: Final = 50
_MOST_EVENTS: Final = 20
_MATCHES: Final = {"Requested": "requests", "Member": "members", "Shadow": "in shadow"}


@dataclass(frozen=True, slots=True)
class RuleNow:
    """A rule of the table; `broken` says why the gateway cannot use it."""

    item: StoredRuleItem
    targets: Sequence[str]
    broken: str

    @property
    def by(self) -> str:
        """Who changed it last."""
        return who(self.item.updated_by)


@dataclass(frozen=True, slots=True)
class Tried:
    """What the rules make of one event; `nearest` explains the closest rule if none matches, or the rule in question."""

    trial: Trial
    malformed: str = ""
    nearest: Rule | None = None
    explanation: Explanation | None = None


def read_rules(connection: Connection) -> list[RuleNow]:
    """Read every rule, and check it as the functions do: two calls."""
    items = connection.store.list()
    namespaces = connection.namespaces.namespaces()
    return [
        RuleNow(item, target_names(item), broken_under(connection, item, lambda: namespaces))
        for item in items
    ]


def listed(gateway: Gateway, *, lately: bool) -> dict[str, Any]:
    """Return the rules; with `lately` what each matched in the last day, which searches the log."""
    rules = gateway.read("rules", read_rules)
    matches = gateway.read("matches", lambda of: _matches(of, gateway.now()), fresh=60) if lately else None
    return {
        "rules": rules.value,
        "matches": None if matches is None else matches.value,
        "lately": lately,
        "words": _MATCHES,
        "unread": list(dict.fromkeys(one.why for one in (rules, matches) if one is not None and one.why)),
        "read_at": rules.at,
    }


def one(gateway: Gateway, rule_id: str, *, lately: bool) -> dict[str, Any]:
    """Return a rule with its versions; with `lately` its newest lines in the log of the last day."""
    versions = gateway.read(f"versions {rule_id}", lambda of: [*of.store.versions(rule_id)])
    broken = gateway.read(f"broken {rule_id}", lambda of: _broken(of, versions.value or ()))
    lines = (
        gateway.read(f"lines {rule_id}", lambda of: _lines(of, rule_id, gateway.now()), fresh=60)
        if lately
        else None
    )
    readings = [reading for reading in (versions, broken, lines) if reading is not None]
    current = versions.value[0] if versions.value else None
    return {
        "rule_id": rule_id,
        "current": current,
        "document": (json_object(current.document) or current.document) if current else None,
        "versions": versions.value or (),
        "broken": broken.value,
        "lines": None if lines is None else lines.value,
        "lately": lately,
        "unread": list(dict.fromkeys(reading.why for reading in readings if reading.why)),
        "read_at": versions.at,
    }


def tried(gateway: Gateway, text: str, rule_id: str = "") -> dict[str, Any]:
    """Try an event on the rules, or on one of them, with the code of the functions; nothing is sent."""
    try:
        events = events_of(json.loads(text), "event")
    except ValueError as error:
        return {
            "tried": (),
            "why": f"This is not JSON: {error}. Paste an event as its source sends it.",
            "left_out": 0,
        }
    rules = gateway.read("rules", read_rules)
    if rules.value is None:
        return {"tried": (), "why": rules.why, "left_out": 0}
    stack = gateway.stack()
    environments = stack.value.environments if stack.value else ()
    parsed = _parsed(
        [each.item for each in rules.value if not rule_id or each.item.id == rule_id], environments
    )
    shown = events[:_MOST_EVENTS]
    return {
        "tried": [
            _explained(trial, parsed, always=bool(rule_id))
            for trial in try_events(parsed, shown, environments=environments)
        ],
        "why": "" if events else "It has no event.",
        "left_out": len(events) - len(shown),
    }


def _parsed(items: Sequence[StoredRuleItem], environments: Sequence[str]) -> list[Rule]:
    found: list[Rule] = []
    for item in items:
        try:
            found.append(parse_rule(document_of(item), environments=environments, version=item.version))
        except (InvalidRule, Refused):  # the list of rules says why
            continue
    return found


def _explained(trial: Trial, rules: Sequence[Rule], *, always: bool) -> Tried:
    event = trial.event.event
    if isinstance(event, MalformedEvent):
        return Tried(trial, malformed=str(event))
    if (trial.results and not always) or not rules:
        return Tried(trial)
    explanations = [(rule, explain_rule(rule, event.envelope)) for rule in rules]
    nearest, explanation = min(explanations, key=lambda one: (not one[1].matches, one[1].wrong, one[0].id))
    return Tried(trial, "", nearest, explanation)


def _broken(connection: Connection, versions: Sequence[StoredRuleItem]) -> str:
    if not versions or not versions[0].exists:
        return ""
    return broken_under(connection, versions[0], connection.namespaces.namespaces)


def _matches(connection: Connection, now: float) -> Mapping[str, Counter[str]]:
    """Count what each rule matched in the last day, with one search of the log."""
    outcomes = ", ".join(f'"{name}"' for name in _MATCHES)
    query = f"filter ispresent(trail) and outcome in [{outcomes}] | stats count(*) by rule_id, outcome"
    found: dict[str, Counter[str]] = {}
    for row in Insights.of(connection).rows(query, now - LATELY_SECONDS, now):
        rule_id, outcome = row.get("rule_id", "").removesuffix("~shadow"), row.get("outcome", "")
        if rule_id and outcome in _MATCHES:
            found.setdefault(rule_id, Counter())[outcome] += int(float(row["count(*)"]))
    return found


def _lines(connection: Connection, rule_id: str, now: float) -> list[TrailLine]:
    condition = f"ispresent(trail) and {equals('rule_id', rule_id)}"
    return Insights.of(connection).find(condition, now - LATELY_SECONDS, now, _MOST_LINES)[::-1]
