"""Finds the rules that match an event without evaluating every rule.

plain_events                            the values of an event, read on demand
text_parts, texts, numbers, addresses   the entries of one kind that a value matches, of many
values                                  the same for entries of all kinds
conditions                              one condition of one rule
common_conditions                       rules that nearly every event matches, by what excludes them
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

    The cost grows with the number of matching rules, the size of the event, and the logarithm of the number of rules, for
    every operator.
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
        """Return the keys of the patterns that match, in the order of `pairs`."""
        try:
            found = self._tree.find(event)
        except NotPlain:
            found = self._match_with_places(event)
        keys = self._keys
        return [keys[position] for position in found]

    def _match_with_places(self, event: Mapping[str, Any]) -> list[int]:
        """Match an event with objects in lists, by evaluating each candidate: the places of values matter."""
        fields = self._wanted.fields(event)
        candidates = self._tree.candidates({path: leaves.values for path, leaves in fields.items()})
        return [
            position for position in sorted(candidates) if self._patterns[position].matches_fields(fields)
        ]


@contextmanager
def _no_collections() -> Iterator[None]:
    """Pause the cyclic garbage collector, which otherwise doubles the time of creating many lasting objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
