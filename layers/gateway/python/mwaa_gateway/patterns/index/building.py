"""Builds the tree of rules, by the fields that distinguish them.

Each node splits its rules on the field that distinguishes most of them, and each rule without that field on its own best
one, until few rules are left, or no field distinguishes them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from mwaa_gateway.patterns.index.common_conditions import CommonConditions
from mwaa_gateway.patterns.index.conditions import ConditionTests
from mwaa_gateway.patterns.index.numbers import is_range, mean_depth
from mwaa_gateway.patterns.index.tree import Leaf, Node, RepeatedLeaf, RuleTree, Split, WideSplit
from mwaa_gateway.patterns.index.values import Entry
from mwaa_gateway.patterns.matchers import AnythingBut, AnyValue, NumberIn
from mwaa_gateway.patterns.pattern import Branch, Condition, FieldMatcher

# The position of a rule, and the remaining conditions of one of its branches.
Conjunction = tuple[int, Branch]

_FEW: Final = 4  # up to so many rules are evaluated one by one
# A long list copies a rule below each of its entries; nodes with more copies a rule split no further
_COPIES: Final = 8
_PRESENT: Final = AnyValue()
_OPEN: Final = (AnythingBut, AnyValue)


def rule_tree(conjunctions: Iterable[Conjunction]) -> RuleTree:
    """Return the tree of these rules. The caller keeps their conditions alive until it returns."""
    return RuleTree(_Building().tree(_with_shared_matchers(conjunctions)))


class _Building:
    """Builds one tree. It fills the splits from a queue, without recursion: rules with many fields make a deep tree."""

    def __init__(self) -> None:
        self._tests = ConditionTests()
        self._repeated: set[int] = set()  # rules below several entries that one value may match
        self._pending: list[tuple[Split, list[Conjunction], frozenset[str]]] = []

    def tree(self, rules: list[Conjunction]) -> Any:
        times = Counter(position for position, _ in rules)
        self._repeated = {position for position, count in times.items() if count > 1}
        root = self._below(rules, frozenset())
        while self._pending:
            split, rules, present = self._pending.pop()
            by_entry = _by_entry(split.path, rules)
            self._repeated.update(_not_exclusive(split.path, rules))
            keys = {entry: tuple(map(id, inner)) for entry, inner in by_entry.items()}
            is_split_further = sum(map(len, set(keys.values()))) <= _COPIES * len(rules)
            below: dict[tuple[int, ...], Any] = {}  # entries with the same rules share a subtree
            for entry, key in keys.items():
                if key not in below:
                    now_present = present | {split.path} if entry == _PRESENT else present
                    below[key] = self._below(by_entry[entry], now_present, is_split_further=is_split_further)
            split.fill((entry, below[key]) for entry, key in keys.items())
        return root

    def _below(
        self, rules: list[Conjunction], present: frozenset[str], *, is_split_further: bool = True
    ) -> Any:
        node = Node()
        if is_split_further:
            node.required, rules = _split_off_shared(rules)
            node.required_tests = self._tests.of(node.required)
        if not is_split_further or len(rules) <= _FEW:
            node.below = tuple(map(self._leaf, rules))
        else:
            groups, common = _grouped(rules, present)
            splits = []
            for path, group in groups.items():
                split = Split(path, self._tests.reader(path))
                self._pending.append((split, group, present))
                splits.append(split)
            if len(common) > _FEW:
                node.common = CommonConditions(common, present, self._tests)
                node.may_common_repeat = not self._repeated.isdisjoint(position for position, _ in common)
            else:
                node.below = tuple(map(self._leaf, common))
            if len(splits) > _FEW:
                node.wide = WideSplit(splits)
            else:
                node.below += tuple(splits)
        has_only_one = (
            len(node.below) == 1 and not node.required and node.common is None and node.wide is None
        )
        return node.below[0] if has_only_one else node

    def _leaf(self, rule: Conjunction) -> int | Leaf:
        position, conditions = rule
        if position in self._repeated:
            return RepeatedLeaf((position, self._tests.of(conditions)))
        return (position, self._tests.of(conditions)) if conditions else position


def _with_shared_matchers(conjunctions: Iterable[Conjunction]) -> list[Conjunction]:
    """Return the conjunctions with one object for all equal conditions, so that identity means equality."""
    shared: dict[Condition, Condition] = {}
    known: dict[int, Condition] = {}
    result = []
    for position, conditions in conjunctions:
        for condition in conditions:
            if id(condition) not in known:
                known[id(condition)] = shared.setdefault(condition, condition)
        result.append((position, tuple([known[id(condition)] for condition in conditions])))
    return result


def _split_off_shared(rules: list[Conjunction]) -> tuple[Branch, list[Conjunction]]:
    """Return the conditions that all rules share, and the rules without them.

    Conditions that absence meets stay with each rule: with objects in lists, the values alone do not decide them.
    """
    first, *others = rules or [(0, ())]
    shared = {id(condition) for condition in first[1] if not condition[1].absent}
    for _, conditions in others:
        if not shared:
            break
        shared.intersection_update(map(id, conditions))
    if not others or not shared:
        return (), rules
    rests: dict[tuple[int, ...], Branch] = {}
    left: list[Conjunction] = []
    for position, conditions in rules:
        rest = tuple([condition for condition in conditions if id(condition) not in shared])
        left.append((position, rests.setdefault(tuple(map(id, rest)), rest)))
    return tuple([condition for condition in first[1] if id(condition) in shared]), left


def _grouped(
    rules: Sequence[Conjunction], present: frozenset[str]
) -> tuple[dict[str, list[Conjunction]], list[Conjunction]]:
    """Return the rules by the field to split them on, and the rules with only common conditions left."""
    groups: dict[str, list[Conjunction]] = {}
    common: list[Conjunction] = []
    left: list[Conjunction] = []
    for rule in rules:
        (left if any(_can_split(condition, present) for condition in rule[1]) else common).append(rule)
    if not left:
        return groups, common
    spreads = _spreads(left, present)
    best = max(spreads, key=lambda path: spreads[path].gain)
    if len(spreads) <= _FEW and spreads[best].gain[0] < len(left) / 2:
        return groups, common + left  # most values would match most of them
    rest: list[Conjunction] = []
    for rule in left:
        has_best = any(path == best and not matcher.absent for path, matcher in rule[1])
        (groups.setdefault(best, []) if has_best else rest).append(rule)
    spreads = _spreads(rest, present)
    for rule in rest:
        conditions = [condition for condition in rule[1] if _can_split(condition, present)]
        path, _ = min(conditions, key=lambda condition: spreads[condition[0]].reach(condition[1]))
        groups.setdefault(path, []).append(rule)
    return groups, common


def _can_split(condition: Condition, present: frozenset[str]) -> bool:
    """Return whether the condition requires a value in a field that the event is not known to have."""
    return not condition[1].absent and condition[0] not in present


def _is_open(matcher: FieldMatcher) -> bool:
    """Return whether nearly any value matches."""
    for entry in matcher.others:  # noqa: SIM110 (half the time of any(), in a call for every rule of every node)
        if isinstance(entry, _OPEN):
            return True
    return False


class _Spread:
    """How well the entries of one field distinguish rules."""

    def __init__(self, conditions: Iterable[tuple[FieldMatcher, int]]) -> None:
        self._sizes: dict[Entry, int] = {}
        ranges: list[tuple[NumberIn, int]] = []
        self._open = 0
        rules = entries = 0
        for matcher, count in conditions:
            rules += count
            if _is_open(matcher):
                self._open += count
                entries += count
                continue
            for entry in matcher.entries:
                if isinstance(entry, NumberIn) and is_range(entry):
                    ranges.append((entry, count))
                else:
                    self._sizes[entry] = self._sizes.get(entry, 0) + count
                entries += count
        self._depth = mean_depth(ranges) if ranges else 0.0
        total = sum(self._sizes.values())
        met = sum(size * size for size in self._sizes.values()) / total if total else 0.0
        copies = max(1.0, entries / rules / 2)
        # The number of rules that a split excludes: all here, less those that a value typical of the rules matches.
        self.gain = (rules - (self._open + self._depth + met) * copies, -self._open)

    def reach(self, matcher: FieldMatcher) -> float:
        """Return how many rules remain for an event that meets this condition on the field."""
        if _is_open(matcher):
            return self._open
        return max(self._sizes.get(entry, self._depth) for entry in matcher.entries)


def _spreads(rules: Sequence[Conjunction], present: frozenset[str]) -> dict[str, _Spread]:
    counted: dict[str, dict[int, tuple[FieldMatcher, int]]] = {}
    for _, conditions in rules:
        for condition in conditions:
            if _can_split(condition, present):
                path, matcher = condition
                matchers = counted.setdefault(path, {})
                matchers[id(matcher)] = (matcher, matchers.get(id(matcher), (matcher, 0))[1] + 1)
    return {path: _Spread(matchers.values()) for path, matchers in counted.items()}


def _not_exclusive(path: str, rules: Iterable[Conjunction]) -> Iterator[int]:
    """Yield the rules with several entries that one value may match."""
    for position, conditions in rules:
        matcher = next(matcher for name, matcher in conditions if name == path)
        if len(matcher.strings) + len(matcher.others) > 1 and matcher.others:
            yield position


def _by_entry(path: str, rules: Sequence[Conjunction]) -> dict[Entry, list[Conjunction]]:
    """Return the rules below each entry of the field, without the condition that the entry decides."""
    # `anything-but` stays a condition of the rule, below "the field is present".
    below: dict[Entry, list[Conjunction]] = {}
    rests: dict[tuple[int, ...], Branch] = {}
    for rule in rules:
        position, conditions = rule
        matcher = next(matcher for name, matcher in conditions if name == path)
        if _is_open(matcher) and _PRESENT not in matcher.others:
            below.setdefault(_PRESENT, []).append(rule)
            continue
        rest = tuple([condition for condition in conditions if condition[0] != path])
        rest = rests.setdefault(tuple(map(id, rest)), rest)
        decided = (position, rest)
        for entry in (_PRESENT,) if _is_open(matcher) else set(matcher.entries):
            below.setdefault(entry, []).append(decided)
    return below
