"""A document of a rule file: JSON values, with the line of every field."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Place = tuple[str | int, ...]  # the path of a field: ("targets", 0, "dag_id")


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem with a file or a place in it; lines count from 1."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its value in JSON's types, and the line where each field begins (`()` is the whole document)."""

    value: Any
    lines: Mapping[Place, int]


def finite(text: str) -> float:
    """Return the number, or raise ValueError if no float can represent it: JSON has no Infinity."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number
