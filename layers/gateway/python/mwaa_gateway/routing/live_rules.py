"""The current rules: read by partition, compiled once, and read again only after a partition's head changes."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol

from mwaa_gateway.errors import InvalidPattern, InvalidRule
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.rules import Rule, is_own_event, parse_rule
from mwaa_gateway.rules.allow_lists import Namespaces
from mwaa_gateway.rules.partitions import compiled_patterns, event_partitions
from mwaa_gateway.values import value

# A sandbox that lives for hours sees the buckets and detail-types of many senders: it drops the least recently used.
MAXIMUM_CACHED_PARTITIONS: Final = 1_000

UNREADABLE_HEAD: Final = -1  # a generation: the head does not say whether the partition's rules have changed

# Of the rules table; an event's partitions contain a "#" or are "*"
NAMESPACES_PARTITION: Final = "namespaces"


@value
class StoredRule:
    """A rule as the rules table stores it: `document` is unparsed JSON text, `updated_at` an ISO time or ""."""

    id: str
    version: int
    document: str
    updated_at: str = ""


class RuleSource(Protocol):
    """The store of the rules. Every call raises Unavailable when it cannot answer, and never returns "no rules" instead."""

    def heads(self, partitions: Sequence[str]) -> Mapping[str, int]:
        """Return each partition's generation in one call: 0 without a head, UNREADABLE_HEAD if it is no number."""

    def copies(self, partition: str) -> Sequence[StoredRule]:
        """Return every rule stored in the partition."""

    def namespaces(self) -> Mapping[str, str]:
        """Return the allow-list of every namespace as unparsed JSON text."""


@value
class BrokenRule:
    """A stored rule that this version cannot use; it never stops the others."""

    id: str
    version: int
    reason: str


@value
class Matches:
    """The rules that match an event, and the broken ones that may match it.

    `tried` rules are in the event's partitions, whose `generations` say which change of the rules the event met. In
    `unreadable_heads`, the generation is no number: these partitions are read at every refresh.
    """

    rules: tuple[Rule, ...]
    broken: tuple[BrokenRule, ...]
    tried: int = field(default=0, compare=False)
    generations: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def unreadable_heads(self) -> frozenset[str]:
        """The partitions whose head is no number."""
        return frozenset(
            name for name, generation in self.generations.items() if generation == UNREADABLE_HEAD
        )


class _Copy:
    """A stored rule with its pattern compiled; `rule` checks the rest when an event first matches.

    So a cold sandbox compiles the patterns of its event's partitions, but checks only the rules that match.
    """

    __slots__ = ("_namespaces", "_rule", "patterns", "stored")

    def __init__(self, stored: StoredRule) -> None:
        self.stored = stored
        self.patterns = compiled_patterns(json.loads(stored.document))
        self._rule: Rule | BrokenRule | None = None
        self._namespaces: Namespaces | None = None  # those that the rule was checked against

    def rule(
        self, environments: Collection[str], claim_check_bucket: str, namespaces: Namespaces
    ) -> Rule | BrokenRule:
        if self._rule is None or self._namespaces is not namespaces:
            self._rule = self._checked_rule(environments, claim_check_bucket, namespaces)
            self._namespaces = namespaces
        return self._rule

    def _checked_rule(
        self, environments: Collection[str], claim_check_bucket: str, namespaces: Namespaces
    ) -> Rule | BrokenRule:
        """Check the rule as at writing: the table, the gateway and the allow-lists may have changed since."""
        stored = self.stored
        try:
            rule = parse_rule(
                json.loads(stored.document),
                environments=environments,
                version=stored.version,
                claim_check_bucket=claim_check_bucket,
                compiled=self.patterns[0],
            )
            refused = InvalidRule(rule.id, tuple(namespaces.permits(rule)))
        except InvalidRule as error:
            return BrokenRule(stored.id, stored.version, str(error))
        return BrokenRule(stored.id, stored.version, str(refused)) if refused.problems else rule


@dataclass(slots=True)
class _Partition:
    generation: int
    checked_at: float
    copies: Mapping[StoredRule, _Copy]
    index: RuleIndex[_Copy]
    unreadable: tuple[BrokenRule, ...]


class LiveRules:
    """The rules for an event, at most `refresh_seconds` old.

    An event has three partitions. A refresh is one read of their heads and of the namespaces' head. Only where a head has
    changed it reads the rules again, and compiles those that changed, so that a busy sandbox costs DynamoDB next to
    nothing. A rule that its namespace does not allow counts as broken.
    """

    def __init__(
        self,
        source: RuleSource,
        *,
        environments: Collection[str],
        refresh_seconds: float,
        claim_check_bucket: str = "",
    ) -> None:
        self._source = source
        self._claim_check_bucket = claim_check_bucket
        self._environments = environments
        self._refresh_seconds = refresh_seconds
        self._partitions: dict[str, _Partition] = {}
        self._namespaces = Namespaces()
        self._namespaces_generation = 0

    def refresh(self, envelope: Mapping[str, Any], now: float) -> None:
        """Read the rules of the event's partitions again if they are too old and a head has changed.

        `now` is in seconds of any clock that runs forward.

        Raises:
            Unavailable: The rules table does not answer.
        """
        partitions, known = event_partitions(envelope), self._partitions
        stale = [
            name
            for name in partitions
            if name not in known or not 0 <= now - known[name].checked_at < self._refresh_seconds
        ]
        if not stale:
            return
        generations = dict(self._source.heads([*stale, NAMESPACES_PARTITION]))
        self._refresh_namespaces(generations.pop(NAMESPACES_PARTITION))
        for name, generation in generations.items():
            partition = known.pop(name, None)  # so that the most recently used are last in the dict
            if partition is None or generation == UNREADABLE_HEAD or partition.generation != generation:
                rules = self._source.copies(name) if generation else ()
                partition = _compiled_partition(rules, generation, partition)
            partition.checked_at = now
            known[name] = partition
        for name in [*islice(known, max(0, len(known) - MAXIMUM_CACHED_PARTITIONS))]:
            if name not in partitions:
                del known[name]

    def match(self, envelope: Mapping[str, Any]) -> Matches:
        """Return the rules that match the event, as of the last `refresh` for an event of its partitions."""
        partitions = event_partitions(envelope)
        # A rule that is moving between partitions may be in both: the newer version counts, once.
        matched: dict[str, Rule | BrokenRule] = {}
        known = {name: self._partitions[name] for name in partitions}
        for partition in known.values():
            found = (
                copy.rule(self._environments, self._claim_check_bucket, self._namespaces)
                for copy in partition.index.match(envelope)
            )
            for rule in (*found, *partition.unreadable):
                if rule.id not in matched or matched[rule.id].version < rule.version:
                    matched[rule.id] = rule
        # No rule may match the gateway's own events, not even one that matches everything: it could trigger itself.
        own = is_own_event(envelope, self._claim_check_bucket)
        return Matches(
            rules=tuple(rule for rule in matched.values() if isinstance(rule, Rule) and not own),
            broken=tuple(rule for rule in matched.values() if isinstance(rule, BrokenRule)),
            tried=sum(len(partition.copies) + len(partition.unreadable) for partition in known.values()),
            generations={name: partition.generation for name, partition in known.items()},
        )

    def _refresh_namespaces(self, generation: int) -> None:
        if generation == UNREADABLE_HEAD or generation != self._namespaces_generation:
            self._namespaces = Namespaces.from_items(self._source.namespaces())
            self._namespaces_generation = generation


def _compiled_partition(
    stored: Sequence[StoredRule], generation: int, earlier: _Partition | None
) -> _Partition:
    """Return the partition with compiled rules; those that did not change come from its earlier state."""
    copies: dict[StoredRule, _Copy] = {}
    unreadable: list[BrokenRule] = []
    for item in stored:
        copy = earlier.copies.get(item) if earlier else None
        if copy is None:
            try:
                copy = _Copy(item)
            except (ValueError, TypeError, KeyError, AttributeError, InvalidPattern) as error:
                unreadable.append(BrokenRule(item.id, item.version, f"its pattern is invalid: {error}"))
                continue
        copies[item] = copy
    index = RuleIndex((copy, pattern) for copy in copies.values() for pattern in copy.patterns)
    return _Partition(generation, 0.0, copies, index, tuple(unreadable))
