"""The rules that an event matches, found without asking every rule.

plain_events                            the values of an event, read as they are asked for
text_parts, texts, numbers, addresses   which of many entries of one kind a value matches
values                                  the same for entries of all kinds
conditions                              one condition of one rule
common_conditions                       rules that nearly every event matches, by what rules them out
tree, building                          rules with several conditions
"""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from mwaa_gateway.patterns.flat_event import Wanted
from mwaa_gateway.patterns.index.building import rule_tree
from mwaa_gateway.patterns.index.plain_events import NotPlain
from mwaa_gateway.patterns.pattern import Pattern

__all__ = ["RuleIndex"]

K = TypeVar("K")


class RuleIndex(Generic[K]):
    """Compiled patterns by key, immutable. A match costs little more among 100,000 rules than among ten.

    What it costs grows with the rules that are found, with the size of the event, and with the logarithm of the
    number of rules; whatever their operators are.
    """

    __slots__ = ("_keys", "_patterns", "_tree", "_wanted")

    def __init__(self, pairs: Iterable[tuple[K, Pattern]]) -> None:
        with _no_collections():
            pairs = list(pairs)
            self._keys = tuple(key for key, _ in pairs)
            self._patterns = tuple(pattern for _, pattern in pairs)
            paths = {path for pattern in self._patterns for branch in pattern.branches for path, _ in branch}
            self._wanted = Wanted(paths)
            self._tree = rule_tree(
                (position, branch)
                for position, pattern in enumerate(self._patterns)
                for branch in pattern.branches
            )

    def match(self, event: Mapping[str, Any]) -> list[K]:
        """Return the keys of the patterns that match, in the order they were given."""
        try:
            found = self._tree.find(event)
        except NotPlain:
            found = self._found_in_places(event)
        keys = self._keys
        return [keys[position] for position in found]

    def _found_in_places(self, event: Mapping[str, Any]) -> list[int]:
        """Match an event with objects in lists: where values lie decides, and each candidate is asked."""
        fields = self._wanted.fields(event)
        candidates = self._tree.candidates({path: leaves.values for path, leaves in fields.items()})
        return [
            position for position in sorted(candidates) if self._patterns[position].matches_fields(fields)
        ]


@contextmanager
def _no_collections() -> Iterator[None]:
    """Hold back the collector of cyclic garbage: of many new objects that stay, its searches double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
