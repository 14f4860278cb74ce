"""Event patterns as JSON text: numbers keep their spelling, and a name may stand twice."""

import json
from typing import Any, NoReturn

from mwaa_gateway.errors import InvalidPattern

__all__ = ["NamedTwice", "parsed"]


def parsed(text: str) -> Any:
    """Return the JSON value; numbers remember their spelling, of a name given twice see `_merging`.

    Raises:
        InvalidPattern: It is not JSON.
    """
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_no_constant,
            object_pairs_hook=_merging,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidPattern(f"Pattern is not JSON: {error}") from None


class NamedTwice(dict[str, Any]):
    """An object that had one name twice; `pairs` is what stood there, in that order.

    As a mapping it is what a person would take it for. Of fields each path's last list counts; an operator may be there
    only once.
    """

    pairs: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"NamedTwice({self.pairs!r})"


class _Integer(int):
    """An integer that remembers how it was written."""

    spelling: str

    def __repr__(self) -> str:
        return self.spelling


class _Float(float):
    """A float that remembers how it was written: a double cannot hold every number of JSON."""

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


def _merging(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; of a name given twice, objects merge, two `$or` both hold, else the last one wins."""
    merged: dict[str, Any] = {}
    for name, value in pairs:
        earlier = merged.get(name)
        if isinstance(earlier, dict) and isinstance(value, dict):
            merged[name] = _merging([*earlier.items(), *value.items()])
        elif name == "$or" and isinstance(earlier, list) and isinstance(value, list):
            merged[name] = [
                _merging([*branch.items(), (name, value)]) if isinstance(branch, dict) else branch
                for branch in earlier
            ]
        else:
            merged[name] = value
    if len(merged) == len(pairs):
        return merged
    twice = NamedTwice(merged)
    twice.pairs = tuple(pairs)
    return twice
