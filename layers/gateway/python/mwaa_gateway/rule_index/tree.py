"""Rules as a tree that splits them on one field after the other.

Each node splits its rules on the fields that tell most of them apart; an event follows only the branches whose
entry its value matches. What was decided on the way is decided for all rules below, and not asked again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mwaa_gateway.flat_event import PlainValues
from mwaa_gateway.patterns import Branch, Condition, FieldMatcher
from mwaa_gateway.rule_index.common_conditions import CommonConditions
from mwaa_gateway.rule_index.numbers import is_range, mean_depth
from mwaa_gateway.rule_index.values import Entry, ValueIndex
from mwaa_gateway.value_patterns import AnythingBut, AnyValue, NumberIn

__all__ = ["Conjunction", "RuleTree"]

# A rule by its position, or one of its alternatives, with the conditions that are left of it.
Conjunction = tuple[int, Branch]

_FEW: Final = 4  # so many rules are asked one by one
_ROUNDS: Final = 4  # fields chosen for all rules of a node; what is left then is split rule by rule
_COPIES: Final = (
    8  # long lists put a rule below many entries: with more copies than this, it is split no further
)
_PRESENT: Final = AnyValue()


@dataclass(slots=True, eq=False)
class Node:
    """Conjunctions: a few to ask, those of common conditions only, and more below the entries of one field each.

    `required` are conditions that all of them share, asked once and left out below.
    """

    required: Branch = ()
    asked: Sequence[Conjunction] = ()
    common: CommonConditions[int] | None = None
    splits: "dict[str, ValueIndex[Node]] | None" = None


class RuleTree:
    """Rules by position, to be found by an event's values."""

    __slots__ = ("_root",)

    def __init__(self, conjunctions: Iterable[Conjunction]) -> None:
        self._root = _tree(conjunctions)

    # one function, as calls would double what every event costs
    def find(self, values: PlainValues) -> list[int]:  # noqa: C901
        """Return the positions of the rules that an event matches, some perhaps twice."""
        found: list[int] = []
        nodes = [self._root]
        for node in nodes:  # grows while it is read
            if node.required and not _are_met(node.required, values):
                continue
            for position, conditions in node.asked:
                if _are_met(conditions, values):
                    found.append(position)
            if node.common is not None:
                found += node.common.find(values, places_matter=False)
            splits = node.splits
            if splits:
                for path in splits.keys() & values.keys() if len(splits) > _FEW else splits:
                    if path in values:
                        here, split = values[path], splits[path]
                        if len(here) > 1:
                            _descend(split, here, nodes)
                            continue
                        if here[0] in split.strings:
                            nodes.append(split.strings[here[0]])
                        if split.others is not None:
                            split.others.find(here[0], nodes)
        return found

    def candidates(self, values: PlainValues) -> set[int]:
        """Return the rules that an event may match of which the values' places matter, and few others.

        What is below an entry has a value that matches; whether the values lie in the same objects of a list,
        and whether one is absent there, is left to be asked.
        """
        found: set[int] = set()
        nodes = [self._root]
        for node in nodes:  # grows while it is read
            if not _are_met(node.required, values):
                continue
            found.update(position for position, _ in node.asked)
            if node.common is not None:
                found.update(node.common.find(values, places_matter=True))
            splits = node.splits or {}
            for path in splits.keys() & values.keys():
                _descend(splits[path], values[path], nodes)
        return found


def _descend(split: ValueIndex[Node], values: Sequence[Any], nodes: list[Node]) -> None:
    """Add the nodes below the entries that any of the values matches, each once: a stranger's list may be long."""
    below: list[Node] = []
    for value in values:
        split.find(value, below)
    nodes += dict.fromkeys(below)


def _are_met(conditions: Branch, values: PlainValues) -> bool:
    for path, matcher in conditions:
        here = values.get(path, ())
        if matcher.strings.isdisjoint(here):
            for value in here if matcher.others else ():
                if matcher.matches(value):
                    break
            else:
                if here or not matcher.absent:
                    return False
    return True


# --- building -----------------------------------------------------------------------------------------------


def _tree(conjunctions: Iterable[Conjunction]) -> Node:
    root = Node()
    present: frozenset[str] = frozenset()
    pending = [(root, _with_shared_matchers(conjunctions), present)]
    while pending:
        node, rules, present = pending.pop()
        node.required, rules = _shared_apart(rules)
        if len(rules) <= _FEW:
            node.asked = tuple(rules)
            continue
        groups, common = _grouped(rules, present)
        if len(common) <= _FEW:
            node.asked = tuple(common)
        else:
            node.common = CommonConditions(common)
        node.splits = splits = {}
        for path, group in groups.items():
            below = _by_entry(path, group)
            keys = {entry: tuple(map(id, inner)) for entry, inner in below.items()}
            inner_nodes = {key: Node() for key in keys.values()}
            splits[path] = ValueIndex((entry, inner_nodes[key]) for entry, key in keys.items())
            is_split_further = sum(map(len, inner_nodes)) <= _COPIES * len(group)
            for entry, inner in below.items():
                inner_node = inner_nodes.pop(keys[entry], None)
                if inner_node is None:
                    pass  # its rules are those of an earlier entry
                elif is_split_further:
                    pending.append((inner_node, inner, present | {path} if entry == _PRESENT else present))
                else:
                    inner_node.asked = tuple(inner)
    return root


def _with_shared_matchers(conjunctions: Iterable[Conjunction]) -> list[Conjunction]:
    """Return the conjunctions with one object for all equal conditions, to be told apart by identity."""
    shared: dict[Condition, Condition] = {}
    known: dict[int, Condition] = {}
    result = []
    for position, conditions in conjunctions:
        for condition in conditions:
            if id(condition) not in known:
                known[id(condition)] = shared.setdefault(condition, condition)
        result.append((position, tuple([known[id(condition)] for condition in conditions])))
    return result


def _shared_apart(rules: list[Conjunction]) -> tuple[Branch, list[Conjunction]]:
    """Return the conditions that all rules share, and the rules without them.

    Absence is left to each rule: where objects in lists are concerned, it is not for the values to say.
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
    """Return the rules by the field to split them on, and those that have only common conditions left."""
    groups: dict[str, list[Conjunction]] = {}
    common: list[Conjunction] = []
    left: list[Conjunction] = []
    for rule in rules:
        (left if any(_can_split(condition, present) for condition in rule[1]) else common).append(rule)
    for _ in range(_ROUNDS):
        if not left:
            return groups, common
        spreads = _spreads(left, present)
        path = max(spreads, key=lambda path: spreads[path].gain)
        limit = max(_FEW, len(left) // 2)
        on_path = [(rule, spreads[path].reach(rule[1], path)) for rule in left]
        taken = [rule for rule, reach in on_path if reach is not None and reach <= limit]
        taken = taken or [rule for rule, reach in on_path if reach is not None]
        groups.setdefault(path, []).extend(taken)
        is_taken = set(map(id, taken))
        left = [rule for rule in left if id(rule) not in is_taken]
    spreads = _spreads(left, present)
    for rule in left:
        paths = [condition[0] for condition in rule[1] if _can_split(condition, present)]
        path = min(paths, key=lambda path: spreads[path].reach(rule[1], path) or 0)
        groups.setdefault(path, []).append(rule)
    return groups, common


def _can_split(condition: Condition, present: frozenset[str]) -> bool:
    """Say whether an event must have a certain value in the field, or at least any."""
    return not condition[1].absent and condition[0] not in present


def _is_open(matcher: FieldMatcher) -> bool:
    """Say whether nearly any value will do."""
    return any(isinstance(entry, AnythingBut | AnyValue) for entry in matcher.others)


class _Spread:
    """How well the entries of one field tell rules apart."""

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
        # How many rules an event need not look at: those here, less those that a value like the rules' own meets.
        self.gain = (rules - (self._open + self._depth + met) * copies, -self._open)

    def reach(self, conditions: Branch, path: str) -> float | None:
        """Return how many rules an event has to look at that meets this one; None for a rule without the field."""
        matcher = next((matcher for name, matcher in conditions if name == path), None)
        if matcher is None or matcher.absent:
            return None
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


def _by_entry(path: str, rules: Sequence[Conjunction]) -> dict[Entry, list[Conjunction]]:
    """Return the rules below each entry of the field, without the condition that the entry decides."""
    below: dict[Entry, list[Conjunction]] = {}
    rests: dict[tuple[int, ...], Branch] = {}
    for rule in rules:
        position, conditions = rule
        matcher = next(matcher for name, matcher in conditions if name == path)
        if _is_open(matcher) and _PRESENT not in matcher.others:
            below.setdefault(_PRESENT, []).append(
                rule
            )  # anything-but is asked below, of a field that is there
            continue
        rest = tuple([condition for condition in conditions if condition[0] != path])
        rest = rests.setdefault(tuple(map(id, rest)), rest)
        decided = (position, rest)
        for entry in (_PRESENT,) if _is_open(matcher) else set(matcher.entries):
            below.setdefault(entry, []).append(decided)
    return below
