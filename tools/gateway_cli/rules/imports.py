"""Turns EventBridge rules of a bus, and a bucket's notifications, into rules of the gateway.

What is not carried over is listed with the reason; nothing is carried over in part without a remark. Pure: the commands
call AWS.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_plus

from mwaa_gateway.errors import GatewayError, InvalidRule
from mwaa_gateway.events import Event, from_s3_notification
from mwaa_gateway.events.s3 import DETAIL_TYPES
from mwaa_gateway.patterns.pattern import FieldMatcher, compile_pattern
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.fields import duration

MAXIMUM_TARGETS: Final = 5
DEFAULT_BUS: Final = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """What the imported rules share: their runs' environment, their first state, and their names."""

    environment: str
    state: str
    namespace: str = ""
    dag_id: str = ""  # "" names each DAG after what is imported
    stack: str = ""  # the gateway's own stack, whose own rules are not imported

    def rule_id(self, name: str) -> str:
        """Return a rule id made from this name."""
        slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "imported"
        return f"{self.namespace}.{slug}"[:80] if self.namespace else slug[:80]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that was not carried over, or needs a check, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Import:
    """The imported rules, as documents that can be applied, and what was not carried over."""

    rules: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[Remark] = field(default_factory=list)
    # Carried over, but their events do not reach the gateway
    unreachable: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)

    def add(self, what: str, document: dict[str, Any]) -> bool:
        """Add a rule if it is valid, otherwise note why not; return whether it was added."""
        taken = {rule["id"] for rule in self.rules}
        number = 2
        rule_id = document["id"]
        while document["id"] in taken:
            document["id"] = f"{rule_id[:76]}-{number}"
            number += 1
        try:
            parse_rule(document, environments=None)
        except InvalidRule as error:
            self.not_carried.append(Remark(what, "; ".join(map(str, error.problems))))
            return False
        self.rules.append(document)
        return True


# --- EventBridge --------------------------------------------------------------------------------------------


def of_eventbridge(
    rules: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
    origin: Origin,
    bus: str = DEFAULT_BUS,
) -> Import:
    """Turn EventBridge rules, each with its targets as the API lists them, into rules of the gateway.

    A disabled rule becomes a disabled rule; the others start in the origin's state.
    """
    found = Import()
    for rule, targets in rules:
        what = f"rule {rule['Name']}"
        reason = _no_rule_of_events(rule) or _rule_of_the_gateway(targets, origin.stack)
        if reason:
            found.not_carried.append(Remark(what, reason))
            continue
        document: dict[str, Any] = {
            "id": origin.rule_id(rule["Name"]),
            "description": rule.get("Description") or f"Imported from the EventBridge rule {rule['Name']}",
            "state": origin.state if str(rule.get("State", "")).startswith("ENABLED") else "DISABLED",
            "pattern": json.loads(rule["EventPattern"]),
        }
        _one_or_several(document, list(_targets(what, rule, targets, origin, found)))
        age = min((_age(target) for target in targets if _age(target)), default=0)
        if age:
            document["maximum_event_age"] = duration(age)
        if found.add(what, document) and (why := _unreachable(document["pattern"], bus, origin.stack)):
            found.unreachable.append(Remark(what, why))
    return found


def _unreachable(pattern: Mapping[str, Any], bus: str, stack: str) -> str:
    """Return which of a rule's events never reach the gateway as deployed, "" if all may."""
    own = f"{stack or 'mwaa-gateway'}-events"
    if bus.rpartition("/")[2] == own:
        return ""
    remedy = f"add a rule with this pattern to bus {bus}, with bus {own} as its target"
    if bus != DEFAULT_BUS:
        return f"the gateway receives nothing from bus {bus}: {remedy}, or let the senders use bus {own}"
    lost = sorted({lost for branch in compile_pattern(pattern).branches for lost in _not_of_s3(dict(branch))})
    if not lost:
        return ""
    return (
        f"from the default bus the gateway receives only S3's object events, not {', '.join(lost)}: {remedy}"
    )


def _not_of_s3(fields: Mapping[str, FieldMatcher]) -> Iterator[str]:
    """Yield the parts of one branch of a pattern that are not object events of S3."""
    source, kind = fields.get("source"), fields.get("detail-type")
    if source is not None:
        yield from (f"source {name}" for name in source.strings - {"aws.s3"})
        if not source.matches("aws.s3"):
            if not source.strings:
                yield "other sources"
            return
    if kind is not None:
        yield from (f"detail-type {name!r}" for name in kind.strings - DETAIL_TYPES)


def _rule_of_the_gateway(targets: Sequence[Mapping[str, Any]], stack: str) -> str:
    """Return the reason if the rule is the gateway's own, otherwise ""."""
    arns = [str(target.get("Arn", "")) for target in targets]
    own = bool(stack and arns) and all(arn.rpartition(":")[2].startswith(f"{stack}-") for arn in arns)
    return f"it belongs to the gateway's own stack {stack}" if own else ""


def _no_rule_of_events(rule: Mapping[str, Any]) -> str:
    if rule.get("ManagedBy"):
        return f"it belongs to {rule['ManagedBy']}, which manages it"
    if not rule.get("EventPattern"):
        return f"it is a schedule ({rule.get('ScheduleExpression')}), not for events: use Airflow's own schedules"
    try:
        json.loads(rule["EventPattern"])
    except ValueError as error:
        return f"its pattern is not JSON: {error}"
    return ""


def _targets(
    what: str,
    rule: Mapping[str, Any],
    targets: Sequence[Mapping[str, Any]],
    origin: Origin,
    found: Import,
) -> Iterator[dict[str, Any]]:
    """Yield a target of the gateway for each EventBridge target; a rule without targets gets one."""
    for position, target in enumerate(targets or [{}]):
        of = f"{what}, target {target.get('Id', '(none)')}"
        if position >= MAXIMUM_TARGETS:
            found.not_carried.append(
                Remark(
                    of,
                    f"a rule has at most {MAXIMUM_TARGETS} targets: make a second rule with the same pattern",
                )
            )
            continue
        carried: dict[str, Any] = {
            "id": re.sub(r"[^a-z0-9_-]+", "-", str(target.get("Id", "default")).lower())[:40] or "default",
            "environment": origin.environment,
            "dag_id": origin.dag_id or _dag_id(rule["Name"]),
        }
        transformer = _transformer(target)
        if isinstance(transformer, str):
            found.not_carried.append(Remark(of, transformer))
        elif transformer is not None:
            carried["input_transformer"] = transformer
        if target.get("Arn"):
            found.notes.append(
                Remark(
                    of,
                    f"its old target is {target['Arn']}: check that DAG {carried['dag_id']} does the same work",
                )
            )
        if target.get("DeadLetterConfig"):
            found.notes.append(
                Remark(of, "its dead-letter queue is not used: the gateway keeps dead events itself")
            )
        yield carried


def _transformer(target: Mapping[str, Any]) -> dict[str, Any] | str | None:
    """Return the input transformer for a target's input, or why there is none; None if the event itself is the input."""
    if "InputTransformer" in target:
        written = target["InputTransformer"]
        template = written["InputTemplate"]
        if not template.lstrip().startswith("{"):
            return "its input template is text, but a DAG run's conf is an object: write an input_transformer"
        return {"input_paths": dict(written.get("InputPathsMap", {})), "input_template": template}
    if "Input" in target:
        try:
            constant = json.loads(target["Input"])
        except ValueError:
            constant = None
        if not isinstance(constant, dict):
            return "its constant input is not a JSON object, but a DAG run's conf is one: write an input_transformer"
        return {"input_template": constant}
    if target.get("InputPath", "$") != "$":
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", target["InputPath"]).strip("-") or "value"
        # The old target got this part of the event as its whole input; in a conf it needs a name.
        return {"input_paths": {name: target["InputPath"]}, "input_template": {name: f"<{name}>"}}
    return None


def _age(target: Mapping[str, Any]) -> int:
    return int(target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 0))


def _one_or_several(document: dict[str, Any], targets: list[dict[str, Any]]) -> None:
    if len(targets) == 1:
        document["target"] = {name: value for name, value in targets[0].items() if name != "id"}
    else:
        document["targets"] = targets


# --- a bucket's notifications -------------------------------------------------------------------------------

_DESTINATIONS: Final = {
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
}
# Families whose `*` stands for events with several names in EventBridge, and so in a rule.
_FAMILIES: Final = {
    "ObjectRestore:*": ("ObjectRestore:Post", "ObjectRestore:Completed", "ObjectRestore:Delete"),
    "ObjectTagging:*": ("ObjectTagging:Put", "ObjectTagging:Delete"),
    "Replication:*": (
        "Replication:OperationFailedReplication",
        "Replication:OperationMissedThreshold",
        "Replication:OperationReplicatedAfterThreshold",
        "Replication:OperationNotTracked",
    ),
}


def of_bucket(bucket: str, configuration: Mapping[str, Any], origin: Origin) -> Import:
    """Turn a bucket's notification configuration, as the API returns it, into rules of the gateway."""
    found = Import()
    for kind, arn_field in _DESTINATIONS.items():
        for entry in configuration.get(kind, ()):
            name, arn = str(entry.get("Id") or f"{bucket}-{len(found.rules) + 1}"), str(entry[arn_field])
            what = f"notification {name}"
            target = {
                "environment": origin.environment,
                "dag_id": origin.dag_id or _dag_id(arn.rpartition(":")[2]),
            }
            document: dict[str, Any] = {
                "id": origin.rule_id(name),
                "description": f"Imported from the notification {name} of bucket {bucket}",
                "state": origin.state,
                "pattern": _pattern(bucket, entry),
                "target": target,
            }
            found.add(what, document)
            found.notes.append(
                Remark(what, f"its old target is {arn}: check that DAG {target['dag_id']} does the same work")
            )
    if "EventBridgeConfiguration" in configuration:
        found.notes.append(
            Remark(
                f"bucket {bucket}",
                "already sends its events to EventBridge, so they also reach the gateway that way",
            )
        )
    elif found.rules:
        found.notes.append(
            Remark(
                f"bucket {bucket}",
                "does not send its events to EventBridge: enable that (Properties → Amazon EventBridge), or list a queue "
                "that collects them in EventQueueArns",
            )
        )
    return found


def _pattern(bucket: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    detail: dict[str, Any] = {"bucket": {"name": [bucket]}}
    key = _key(entry)
    if key is not None:
        detail["object"] = {"key": [key]}
    kinds = _kinds(bucket, entry.get("Events", ()))
    pattern: dict[str, Any] = {"source": ["aws.s3"]}
    if len(kinds) == 1:
        return pattern | {
            "detail-type": kinds[0]["detail-type"],
            "detail": detail | kinds[0].get("detail", {}),
        }
    return pattern | {"detail": detail, "$or": kinds}


def _kinds(bucket: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the patterns for events with these names, as the parser of notifications reads them."""
    grouped: dict[tuple[str, str], set[str]] = {}
    for written in names:
        name = written.removeprefix("s3:")
        for one in _FAMILIES.get(name, (name,)):
            envelope = _event_of(bucket, one)
            detail = envelope["detail"]
            group = (envelope["detail-type"], detail.get("deletion-type", ""))
            grouped.setdefault(group, set()).add(detail.get("reason", ""))
    plain = sorted(kind for (kind, deletion), reasons in grouped.items() if not deletion and "" in reasons)
    patterns: list[dict[str, Any]] = [{"detail-type": plain}] if plain else []
    for (kind, deletion), reasons in sorted(grouped.items()):
        if deletion or "" not in reasons:
            inner: dict[str, Any] = {"reason": sorted(reasons)} if "" not in reasons else {}
            inner |= {"deletion-type": [deletion]} if deletion else {}
            patterns.append({"detail-type": [kind], "detail": inner})
    return patterns


def _event_of(bucket: str, name: str) -> Mapping[str, Any]:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": "2026-01-01T00:00:00Z",
        "awsRegion": "eu-west-1",
        "s3": {"bucket": {"name": bucket}, "object": {"key": "sample", "sequencer": "00"}},
    }
    [event] = from_s3_notification({"Records": [record]})
    if not isinstance(event, Event):
        raise GatewayError(f"cannot read S3's event {name!r} of bucket {bucket!r}: {event}")
    return event.envelope


def _key(entry: Mapping[str, Any]) -> Any:
    """Return the pattern of a filter's prefix and suffix, which S3 stores URL-encoded; None without a filter."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    values = {str(rule["Name"]).lower(): unquote_plus(str(rule["Value"])) for rule in rules}
    prefix, suffix = values.get("prefix", ""), values.get("suffix", "")
    if prefix and suffix:
        escaped = [part.replace("\\", "\\\\").replace("*", "\\*") for part in (prefix, suffix)]
        return {"wildcard": "*".join(escaped)}
    if prefix:
        return {"prefix": prefix}
    return {"suffix": suffix} if suffix else None


def _dag_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_")[:250] or "imported"
