"""The rules held against an event of the trail, which has its source, detail-type and resource, and not its content.

Each field of a pattern is tested by the code that routes events. A field that the trail does not know is neither right nor
wrong: it is listed, so that nobody takes a possible match for a sure one.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.answers.trail import TrailLine, seconds
from gateway_cli.documents.json_documents import json_object
from gateway_cli.rules.explanation import FieldVerdict, explain
from gateway_cli.rules.items import StoredRuleItem
from mwaa_gateway.errors import InvalidPattern, InvalidRule
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespaces
from mwaa_gateway.rules.partitions import compiled_patterns

_MANY: Final = 300  # rules: beyond that only those that mention the event are compared
_ALIKE: Final = 0.8  # of difflib's ratio: a slip in a name
_FARTHEST: Final = 2  # fields that differ: beyond that a rule is not near


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFit:
    """One version of a rule held against an event: the fields that differ, and those that the trail does not know."""

    rule_id: str
    version: int
    state: str
    changed_at: float | None
    changed_by: str = ""
    wrong: tuple[FieldVerdict, ...] = ()
    unknown: tuple[str, ...] = ()
    broken: str = ""
    outside: str = ""
    is_later: bool = False  # the event did not meet this version

    @property
    def matches(self) -> bool:
        """Whether nothing that is known of the event differs."""
        return not self.wrong and not self.broken

    @property
    def name(self) -> str:
        """The rule with its version and state, for people."""
        return f"{self.rule_id} (v{self.version}, {self.state})"


def known_event(line: TrailLine) -> dict[str, Any]:
    """Return what the trail knows of the event, in the form of its envelope."""
    envelope: dict[str, Any] = {"source": line.source, "detail-type": line.detail_type}
    if line.source == "aws.s3" and line.resource.startswith("s3://") and not line.resource.endswith("…"):
        bucket, _, key = line.resource.removeprefix("s3://").partition("/")
        envelope["detail"] = {"bucket": {"name": bucket}, "object": {"key": key}}
    elif line.resource.startswith("arn:"):
        envelope["resources"] = [line.resource]
    return envelope


def fits_of(
    rules: Sequence[StoredRuleItem], line: TrailLine, environments: Collection[str], namespaces: Namespaces
) -> tuple[RuleFit, ...]:
    """Hold the rules against the event; those that match, then the near ones, the nearest first."""
    envelope = known_event(line)
    rules = [rule for rule in rules if rule.exists]
    if len(rules) > _MANY:
        rules = [rule for rule in rules if _mentions(rule.document, envelope)]
    fits = [fit_of(rule, line, environments, namespaces) for rule in rules]
    near = [fit for fit in fits if fit.matches or _is_near(fit)]
    return tuple(sorted(near, key=_distance))


def _is_near(fit: RuleFit) -> bool:
    """Return whether few fields differ, and the source no more than by a slip: rules of another source explain nothing."""
    return 0 < len(fit.wrong) <= _FARTHEST and all(
        one.field != "source" or _likeness(one) >= _ALIKE for one in fit.wrong
    )


def fit_of(
    rule: StoredRuleItem, line: TrailLine, environments: Collection[str], namespaces: Namespaces
) -> RuleFit:
    """Hold one version of a rule against the event."""
    envelope, document = known_event(line), json_object(rule.document)
    broken, outside, verdicts = "", "", []
    known = {path for path, _ in _leaves("", envelope)}
    try:
        patterns = compiled_patterns(document or {})
        ways = [explain(pattern, envelope).fields for pattern in patterns]
        verdicts = list(min(ways, key=lambda way: sum(f.field in known and not f.matches for f in way)))
    except (InvalidPattern, KeyError, TypeError, AttributeError, ValueError) as error:
        broken = f"its pattern cannot be read: {error}"
    else:
        try:
            parsed = parse_rule(document or {}, environments=environments, version=rule.version)
            outside = "; ".join(map(str, namespaces.permits(parsed)))
        except InvalidRule as error:
            broken = str(error)
    return RuleFit(
        rule_id=rule.id,
        version=rule.version,
        state=rule.state,
        changed_at=seconds(rule.updated_at),
        changed_by=rule.updated_by,
        wrong=tuple(one for one in verdicts if one.field in known and not one.matches),
        unknown=tuple(one.field for one in verdicts if one.field not in known),
        broken=broken,
        outside=outside,
        is_later=is_later(rule, line),
    )


def is_later(version: StoredRuleItem, line: TrailLine) -> bool:
    """Return whether the event met older rules than this version, by the generations of the partitions that both name.

    A version of a disabled rule, or of an earlier release, names none: then the times decide, to the second.
    """
    met = line.generations
    both = [(made, met[partition]) for partition, made in version.generations.items() if partition in met]
    if both:
        return all(made > then for made, then in both)
    changed = seconds(version.updated_at)
    return changed is not None and changed > line.at


def _distance(fit: RuleFit) -> tuple[Any, ...]:
    """Order fits: fewer differences first, then the more alike, then those that may run."""
    alike = sum(_likeness(one) for one in fit.wrong)
    return (len(fit.wrong), -alike, len(fit.unknown), fit.state != "ENABLED", fit.rule_id)


def _likeness(verdict: FieldVerdict) -> float:
    """Return how alike the value and the pattern are, 1 for the same but for case."""
    if verdict.hint.startswith("only "):
        return 1.0
    seen = " ".join(map(str, verdict.seen)).lower()
    wanted = [entry if isinstance(entry, str) else _text_of(entry) for entry in verdict.wanted]
    return max((difflib.SequenceMatcher(None, seen, each.lower()).ratio() for each in wanted), default=0.0)


def _text_of(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return " ".join(value for value in entry.values() if isinstance(value, str))
    return json.dumps(entry)


def _mentions(document: str, envelope: Mapping[str, Any]) -> bool:
    text = document.lower()
    return any(len(value) > 2 and value.lower() in text for _, value in _leaves("", envelope))  # noqa: PLR2004


def _leaves(path: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, child)
    elif isinstance(value, list):
        for child in value:
            yield path, str(child)
    else:
        yield path, str(value)
