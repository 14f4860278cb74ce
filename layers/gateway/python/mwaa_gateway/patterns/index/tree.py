"""A tree that splits rules on one field after another.

An event follows only the branches whose entry matches its value. Each condition on the way holds for all rules below, so no
rule evaluates it again. `building` decides how to split.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mwaa_gateway.patterns.index.common_conditions import CommonConditions
from mwaa_gateway.patterns.index.conditions import ConditionTest
from mwaa_gateway.patterns.index.plain_events import Absent, PlainFields, Read
from mwaa_gateway.patterns.index.values import Entry, ValueIndex
from mwaa_gateway.patterns.pattern import Branch

Values = Mapping[str, Sequence[Any]]  # by path; none of them empty
Leaf = tuple[int, tuple[ConditionTest, ...]]  # the position of a rule, and its remaining conditions


class RepeatedLeaf(tuple[Any, ...]):
    """The leaf of a rule that an event may reach several times."""

    __slots__ = ()


class Split(ValueIndex[Any]):
    """The nodes below each entry of one field."""

    __slots__ = ("path", "read")

    def __init__(self, path: str, read: Read) -> None:
        super().__init__(())
        self.path = path
        self.read = read

    def fill(self, items: Iterable[tuple[Entry, Any]]) -> None:
        """Set the node below each entry."""
        super().__init__(items)


@dataclass(slots=True, eq=False)
class Node:
    """A set of rules. `required` are the conditions that all of them share, evaluated once and omitted below.

    `below` contains positions of rules without further conditions, leaves, splits and nodes; `common` the rules with only
    common conditions left.
    """

    required: Branch = ()
    required_tests: tuple[ConditionTest, ...] = ()
    below: tuple[Any, ...] = ()
    common: CommonConditions[int] | None = None
    may_common_repeat: bool = False
    wide: "WideSplit | None" = None


class WideSplit:
    """Many splits; an event follows only those of the fields that it has."""

    __slots__ = ("_by_path", "_fields")

    def __init__(self, splits: Iterable[Split]) -> None:
        self._by_path = {split.path: split for split in splits}
        self._fields = PlainFields(self._by_path)

    def find(self, event: Mapping[str, Any], below: list[Any]) -> None:
        """Add the nodes below the entries that a plain event's values match."""
        for path, value in self._fields.present(event).items():
            _descend(self._by_path[path], value if type(value) is list else (value,), below)

    def candidates(self, values: Values, below: list[Any]) -> None:
        """Add the nodes below the entries that any of the values matches."""
        for path in self._by_path.keys() & values.keys():
            _descend(self._by_path[path], values[path], below)


class RuleTree:
    """Finds the positions of rules by an event's values."""

    __slots__ = ("_root",)

    def __init__(self, root: Any) -> None:
        self._root = root

    # One function: calls would double the cost of every event.
    def find(self, event: Mapping[str, Any]) -> list[int]:  # noqa: C901, PLR0912
        """Return the positions of the rules that a plain event matches, in order.

        Raises:
            NotPlain: The places of values matter in this event.
        """
        found: list[int] = []
        may_repeat = False
        nodes: list[Any] = [self._root]
        for node in nodes:  # the loop appends to it
            kind = type(node)
            if kind is Split:
                value = node.read(event)
                kind = type(value)
                if kind is str:
                    if value in node.strings:
                        nodes.append(node.strings[value])
                    if node.heads is not None:
                        node.heads.search(value, value, nodes)
                    if node.tails is not None:
                        node.tails.search(value, value, nodes)
                elif kind is list:
                    _descend(node, value, nodes)
                    may_repeat = True
                    continue
                elif kind is Absent:
                    continue
                if node.any is not None:
                    nodes.append(node.any)
                for find in node.finds:
                    find(value, nodes)
            elif kind is tuple:
                position, tests = node
                for test in tests:
                    if not test(event):
                        break
                else:
                    found.append(position)
            elif kind is int:
                found.append(node)
            elif kind is RepeatedLeaf:
                nodes.append(tuple(node))
                may_repeat = True
            else:
                for test in node.required_tests:
                    if not test(event):
                        break
                else:
                    nodes += node.below
                    if node.common is not None:
                        found += node.common.find(event)
                        may_repeat = may_repeat or node.may_common_repeat
                    if node.wide is not None:
                        node.wide.find(event, nodes)
                        may_repeat = True
        if may_repeat:
            return sorted({*found})
        found.sort()
        return found

    def candidates(self, values: Values) -> set[int]:
        """Return the rules that an event may match if the places of its values matter, and few others.

        Each has matching values on its way. The caller still evaluates whether they are in the same objects of a list, and
        whether fields are absent there.
        """
        found: set[int] = set()
        nodes: list[Any] = [self._root]
        for node in nodes:  # the loop appends to it
            if isinstance(node, Split):
                if node.path in values:
                    _descend(node, values[node.path], nodes)
            elif isinstance(node, int):
                found.add(node)
            elif isinstance(node, tuple):
                found.add(node[0])
            elif _are_met(node.required, values):
                nodes += node.below
                if node.common is not None:
                    found.update(node.common.candidates(values))
                if node.wide is not None:
                    node.wide.candidates(values, nodes)
        return found


def _descend(split: ValueIndex[Any], values: Sequence[Any], nodes: list[Any]) -> None:
    """Add once the nodes below the entries that any of the values matches: a list from a stranger may be long."""
    below: list[Any] = []
    for value in values:
        split.find(value, below)
    nodes += {id(node): node for node in below}.values()


def _are_met(conditions: Branch, values: Values) -> bool:
    return all(any(map(matcher.matches, values.get(path, ()))) for path, matcher in conditions)
