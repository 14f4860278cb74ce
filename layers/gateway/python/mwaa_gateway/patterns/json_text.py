"""Event patterns as JSON text: numbers keep their spelling, and a name may occur twice."""

import json
from typing import Any, NoReturn

from mwaa_gateway.errors import InvalidPattern


def parse_json(text: str) -> Any:
    """Parse JSON text; numbers keep their spelling, and `_merge_pairs` combines duplicate names.

    Raises:
        InvalidPattern: The text is not JSON.
    """
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_no_constant,
            object_pairs_hook=_merge_pairs,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidPattern(f"Pattern is not JSON: {error}") from None


class DuplicateNames(dict[str, Any]):
    """An object with a duplicate name; `pairs` are its original names and values, in order.

    The mapping has the merged values. Of two fields with one path, the last list counts; an operator may occur only once.
    """

    pairs: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"DuplicateNames({self.pairs!r})"


class _Integer(int):
    """An integer with its original spelling."""

    spelling: str

    def __repr__(self) -> str:
        return self.spelling


class _Float(float):
    """A float with its original spelling: a double cannot represent every JSON number."""

    spelling: str

    def __repr__(self) -> str:
        return self.spelling


def _integer(text: str) -> _Integer:
    number = _Integer(text)
    number.spelling = text
    return number


def _float(text: str) -> _Float:
    number = _Float(text)
    number.spelling = text
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _merge_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; for a duplicate name, objects merge, two `$or` must both match, and otherwise the last value wins."""
    merged: dict[str, Any] = {}
    for name, value in pairs:
        earlier = merged.get(name)
        if isinstance(earlier, dict) and isinstance(value, dict):
            merged[name] = _merge_pairs([*earlier.items(), *value.items()])
        elif name == "$or" and isinstance(earlier, list) and isinstance(value, list):
            merged[name] = [
                _merge_pairs([*branch.items(), (name, value)]) if isinstance(branch, dict) else branch
                for branch in earlier
            ]
        else:
            merged[name] = value
    if len(merged) == len(pairs):
        return merged
    twice = DuplicateNames(merged)
    twice.pairs = tuple(pairs)
    return twice
