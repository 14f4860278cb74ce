"""The rules as they are now: read by partition, compiled once, read again only after a partition's head moved."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mwaa_gateway.errors import InvalidPattern, InvalidRule
from mwaa_gateway.patterns import compile_pattern
from mwaa_gateway.routing import RuleIndex, event_partitions
from mwaa_gateway.rules import Rule, parse_rule

__all__ = ["BrokenRule", "LiveRules", "Matches", "RuleSource", "StoredRule"]


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as it lies in the rules table: `document` is JSON text that nobody has looked at yet."""

    id: str
    version: int
    document: str


class RuleSource(Protocol):
    """Where the rules lie. Both calls raise when they cannot answer: no answer never reads as "no rule"."""

    def heads(self, partitions: Sequence[str]) -> Mapping[str, int]:
        """Return the generation of each partition, 0 where it has none; one call however many partitions."""
        ...

    def copies(self, partition: str) -> Sequence[StoredRule]:
        """Return every rule that lies in the partition."""
        ...


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule in the table that this version cannot use; it never stops the others."""

    id: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Matches:
    """The rules an event is meant for, and the broken ones it may have been meant for."""

    rules: tuple[Rule, ...]
    broken: tuple[BrokenRule, ...]


@dataclass(slots=True)
class _Partition:
    generation: int
    checked_at: float
    index: RuleIndex[Rule | BrokenRule]
    unreadable: tuple[BrokenRule, ...]


class LiveRules:
    """The rules that concern an event, at most `refresh_seconds` old.

    An event concerns three partitions. A refresh is one read of their heads; the rules themselves are read and
    compiled again only where the head moved, so that a busy sandbox costs DynamoDB next to nothing.
    """

    def __init__(self, source: RuleSource, *, environments: Collection[str], refresh_seconds: float) -> None:
        self._source = source
        self._environments = environments
        self._refresh_seconds = refresh_seconds
        self._partitions: dict[str, _Partition] = {}

    def match(self, envelope: Mapping[str, Any], now: float) -> Matches:
        """Return what matches the event; `now` is in seconds of any clock that runs forward.

        Raises:
            Unavailable: the rules table does not answer.
        """
        partitions = event_partitions(envelope)
        self._refresh(partitions, now)
        # A rule that is just moving from one partition to another may lie in both: the newer version counts, once.
        matched: dict[str, Rule | BrokenRule] = {}
        for partition in (self._partitions[name] for name in partitions):
            for rule in (*partition.index.match(envelope), *partition.unreadable):
                if rule.id not in matched or matched[rule.id].version < rule.version:
                    matched[rule.id] = rule
        return Matches(
            rules=tuple(rule for rule in matched.values() if isinstance(rule, Rule)),
            broken=tuple(rule for rule in matched.values() if isinstance(rule, BrokenRule)),
        )

    def _refresh(self, partitions: Sequence[str], now: float) -> None:
        known = self._partitions
        stale = [
            name
            for name in partitions
            if name not in known or not 0 <= now - known[name].checked_at < self._refresh_seconds
        ]
        if not stale:
            return
        for name, generation in self._source.heads(stale).items():
            if name in known and known[name].generation == generation:
                known[name].checked_at = now
            else:
                rules = self._source.copies(name) if generation else ()
                known[name] = self._compile(rules, generation, now)

    def _compile(self, stored: Sequence[StoredRule], generation: int, now: float) -> _Partition:
        pairs: list[tuple[Rule | BrokenRule, Any]] = []
        unreadable: list[BrokenRule] = []
        for item in stored:
            try:
                document = json.loads(item.document)
                pattern = compile_pattern(document["pattern"])
            except (ValueError, TypeError, KeyError, InvalidPattern) as error:
                unreadable.append(BrokenRule(item.id, item.version, f"its pattern cannot be read: {error}"))
                continue
            try:
                rule: Rule | BrokenRule = parse_rule(
                    document, environments=self._environments, version=item.version
                )
            except InvalidRule as error:
                rule = BrokenRule(item.id, item.version, str(error))
            pairs.append((rule, pattern))
        return _Partition(generation, now, RuleIndex(pairs), tuple(unreadable))
