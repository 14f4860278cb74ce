"""What the rule index is worth: against a hash of exact, prefix and suffix entries with a scan of the rest.

    python -m benchmarks.simple_index                        every kind below, 10 to 10,000 rules
    python -m benchmarks.simple_index --kind "one bucket" --rules 1000

All rules are in one partition, as ingress has them in memory. Each line is a process of its own, which checks that all find
the same rules and measures them one after the other, in processor time. The events are parsed already, as Lambda hands
them over.

The simple index keeps each rule under one of its conditions: of those with only exact, prefix and suffix entries, the one
whose entries the fewest rules share. Every event evaluates the rules without such a condition. `wildcards too` also takes
the literal beginning or end of a wildcard as a prefix or a suffix. The scan evaluates every rule.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from time import process_time
from typing import Any, Literal

from benchmarks.measure import rate
from benchmarks.rule_sets import rule_set
from benchmarks.table import print_table
from mwaa_gateway.patterns.flat_event import Wanted
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.matchers import Prefix, Suffix, Wildcard
from mwaa_gateway.patterns.pattern import FieldMatcher, Pattern, compile_pattern

COLUMNS = {
    "kind": "kind",
    "rules": "rules",
    "found_per_event": "found/event",
    "evaluated_per_event": "evaluated/event, hash",
    "index_microseconds": "index, µs/event",
    "hash_microseconds": "hash, µs/event",
    "times_hash": "times the hash",
    "times_hash_wildcards": "times the hash, wildcards too",
    "times_scan": "times the scan",
    "index_build_milliseconds": "index, build ms",
    "hash_build_milliseconds": "hash, build ms",
}
KINDS = (
    "one bucket",
    "exact",
    "prefix",
    "suffix",
    "wildcard",
    "numeric",
    "anything-but",
)
SIZES = (10, 100, 1_000, 10_000)

Key = tuple[str, Literal["exact", "prefix", "suffix"], str]  # path, kind, text


class SimpleIndex:
    """Rules under the rarest of their hashable conditions; the others in a list."""

    def __init__(self, patterns: Sequence[Pattern], *, wildcards: bool = False) -> None:
        self._patterns = patterns
        self._wanted = Wanted(
            path for pattern in patterns for branch in pattern.branches for path, _ in branch
        )
        choices = [
            [
                [keys for path, matcher in branch if (keys := _keys(path, matcher, wildcards))]
                for branch in each
            ]
            for each in (pattern.branches for pattern in patterns)
        ]
        shared = Counter(chain.from_iterable(keys for rule in choices for branch in rule for keys in branch))
        self._rest: list[int] = []
        self._tables: defaultdict[tuple[str, str, int], defaultdict[str, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for number, rule in enumerate(choices):
            if not all(rule):
                self._rest.append(number)
                continue
            for branch in rule:
                for path, kind, text in min(branch, key=lambda keys: max(shared[key] for key in keys)):
                    length = 0 if kind == "exact" else len(text)
                    self._tables[path, kind, length][text].append(number)

    def candidates(self, fields: Mapping[str, Any]) -> set[int]:
        """Return the rules to evaluate."""
        found = set(self._rest)
        for (path, kind, length), table in self._tables.items():
            for value in fields[path].values if path in fields else ():
                if isinstance(value, str) and length <= len(value):
                    part = (
                        value if kind == "exact" else value[:length] if kind == "prefix" else value[-length:]
                    )
                    found.update(table.get(part, ()))
        return found

    def match(self, event: Mapping[str, Any]) -> list[int]:
        """Return the numbers of the rules that match."""
        fields = self._wanted.fields(event)
        patterns = self._patterns
        return [
            number for number in sorted(self.candidates(fields)) if patterns[number].matches_fields(fields)
        ]

    def evaluated(self, event: Mapping[str, Any]) -> int:
        """Return how many rules an event evaluates."""
        return len(self.candidates(self._wanted.fields(event)))


def _keys(path: str, matcher: FieldMatcher, wildcards: bool) -> list[Key]:  # noqa: FBT001
    """Return the keys of a condition, none if the hash cannot decide it."""
    keys: list[Key] = [(path, "exact", text) for text in matcher.strings]
    for entry in matcher.others:
        match entry:
            case Prefix(text) if text:
                keys.append((path, "prefix", text))
            case Suffix(text) if text:
                keys.append((path, "suffix", text))
            case Wildcard((head, *_)) if wildcards and head:
                keys.append((path, "prefix", head))
            case Wildcard((*_, tail)) if wildcards and tail:
                keys.append((path, "suffix", tail))
            case _:
                return []
    return [] if matcher.absent else keys


def measured(kind: str, rules: int, *, events: int = 200) -> dict[str, Any]:
    """Measure one kind at one size, and check that all find the same."""
    shape = rule_set(kind, rules, events=events)
    patterns = [compile_pattern(text) for text in shape.patterns]
    parsed = [json.loads(text) for text in shape.events]
    index, index_build = _built(lambda: RuleIndex(enumerate(patterns)))
    simple, hash_build = _built(lambda: SimpleIndex(patterns))
    wider = SimpleIndex(patterns, wildcards=True)
    few = parsed[: max(5, events * 10 // rules)]  # the scan is slow
    found = [index.match(event) for event in parsed]
    for other in (simple, wider):
        if found != [other.match(event) for event in parsed]:
            raise AssertionError("the simple index finds other rules than the index")
    wanted = Wanted(path for pattern in patterns for branch in pattern.branches for path, _ in branch)

    def scan_all(event: Mapping[str, Any]) -> list[int]:
        fields = wanted.fields(event)
        return [number for number, pattern in enumerate(patterns) if pattern.matches_fields(fields)]

    if found[: len(few)] != list(map(scan_all, few)):
        raise AssertionError("the scan finds other rules than the index")
    rates = [
        rate(parsed, each.match, rounds=rounds) for each, rounds in ((index, 30), (simple, 3), (wider, 3))
    ]
    scan = rate(few, scan_all, rounds=3)
    return {
        "kind": kind,
        "rules": rules,
        "found_per_event": round(sum(map(len, found)) / events, 1),
        "evaluated_per_event": round(sum(map(simple.evaluated, parsed)) / events, 1),
        "index_microseconds": round(1e6 / rates[0], 1),
        "hash_microseconds": round(1e6 / rates[1], 1),
        "times_hash": round(rates[0] / rates[1], 1),
        "times_hash_wildcards": round(rates[0] / rates[2], 1),
        "times_scan": round(rates[0] / scan, 1),
        "index_build_milliseconds": round(index_build * 1e3, 1),
        "hash_build_milliseconds": round(hash_build * 1e3, 1),
    }


def _built(build: Callable[[], Any]) -> tuple[Any, float]:
    """Build it three times; return it, and the seconds of the quickest."""
    quickest = float("inf")
    for _ in range(3):
        begun = process_time()
        built = build()
        quickest = min(quickest, process_time() - begun)
    return built, quickest


if __name__ == "__main__":
    print_table("benchmarks.simple_index", __doc__ or "", COLUMNS, measured, kinds=KINDS, sizes=SIZES)
