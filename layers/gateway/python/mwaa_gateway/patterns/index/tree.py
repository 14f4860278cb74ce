"""Rules as a tree that splits them on one field after the other.

An event follows only the branches whose entry its value matches. What was decided on the way is decided for all
rules below, and not asked again; `building` decides how rules are split.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mwaa_gateway.patterns.index.common_conditions import CommonConditions
from mwaa_gateway.patterns.index.conditions import Ask
from mwaa_gateway.patterns.index.plain_events import Absent, PlainFields, Read
from mwaa_gateway.patterns.index.values import Entry, ValueIndex
from mwaa_gateway.patterns.pattern import Branch

__all__ = ["Leaf", "LeafAgain", "Node", "RuleTree", "Split", "WideSplit"]

Values = Mapping[str, Sequence[Any]]  # by path; none of them empty
Leaf = tuple[int, tuple[Ask, ...]]  # the position of a rule, and what is left to be asked for it


class LeafAgain(tuple[Any, ...]):
    """The leaf of a rule that may be found in several places of the tree."""

    __slots__ = ()


class Split(ValueIndex[Any]):
    """What is below each entry of one field."""

    __slots__ = ("path", "read")

    def __init__(self, path: str, read: Read) -> None:
        super().__init__(())
        self.path = path
        self.read = read

    def fill(self, items: Iterable[tuple[Entry, Any]]) -> None:
        """Take in what is below each entry."""
        super().__init__(items)


@dataclass(slots=True, eq=False)
class Node:
    """Rules: what is below all of them, and those of which the conditions left are common ones.

    `below` holds positions of rules that are decided, leaves, splits and nodes. `required` are conditions that all
    rules share, asked once and left out below.
    """

    required: Branch = ()
    required_asks: tuple[Ask, ...] = ()
    below: tuple[Any, ...] = ()
    common: CommonConditions[int] | None = None
    may_common_repeat: bool = False
    wide: "WideSplit | None" = None


class WideSplit:
    """Many splits, of which only those of the fields that an event has are looked at."""

    __slots__ = ("_by_path", "_fields")

    def __init__(self, splits: Iterable[Split]) -> None:
        self._by_path = {split.path: split for split in splits}
        self._fields = PlainFields(self._by_path)

    def find(self, event: Mapping[str, Any], below: list[Any]) -> None:
        """Add what is below the entries that a plain event's values match."""
        for path, value in self._fields.present(event).items():
            _descend(self._by_path[path], value if type(value) is list else (value,), below)

    def candidates(self, values: Values, below: list[Any]) -> None:
        """Add what is below the entries that any of the values matches."""
        for path in self._by_path.keys() & values.keys():
            _descend(self._by_path[path], values[path], below)


class RuleTree:
    """Rules by position, to be found by an event's values."""

    __slots__ = ("_root",)

    def __init__(self, root: Any) -> None:
        self._root = root

    # one function, as calls would double what every event costs
    def find(self, event: Mapping[str, Any]) -> list[int]:  # noqa: C901, PLR0912
        """Return the positions of the rules that a plain event matches, in their order.

        Raises:
            NotPlain: Where values lie matters in this event.
        """
        found: list[int] = []
        may_repeat = False
        nodes: list[Any] = [self._root]
        for node in nodes:  # grows while it is read
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
                position, asks = node
                for ask in asks:
                    if not ask(event):
                        break
                else:
                    found.append(position)
            elif kind is int:
                found.append(node)
            elif kind is LeafAgain:
                nodes.append(tuple(node))
                may_repeat = True
            else:
                for ask in node.required_asks:
                    if not ask(event):
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
        """Return the rules that an event may match of which the values' places matter, and few others.

        What is below an entry has a value that matches; whether the values lie in the same objects of a list,
        and whether one is absent there, is left to be asked.
        """
        found: set[int] = set()
        nodes: list[Any] = [self._root]
        for node in nodes:  # grows while it is read
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
    """Add what is below the entries that any of the values matches, once: a stranger's list may be long."""
    below: list[Any] = []
    for value in values:
        split.find(value, below)
    nodes += {id(node): node for node in below}.values()


def _are_met(conditions: Branch, values: Values) -> bool:
    return all(any(map(matcher.matches, values.get(path, ()))) for path, matcher in conditions)
