"""Reads the fields of a rule, and collects all problems."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from mwaa_gateway.errors import Problem

__all__ = ["Reading", "duration", "nearest", "seconds_of"]

_DURATION: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Reading:
    """One pass over one rule; adds what is wrong to `problems`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, field: str, message: str) -> None:
        """Add a problem: the dotted field, what is wrong with it, and what to write instead."""
        self.problems.append(Problem(field, message))

    def text(
        self, written: Mapping[str, Any], name: str, where: str, form: re.Pattern[str], words: str
    ) -> str:
        """Return a required text field, or "" after refusing it."""
        field = f"{where}.{name}" if where else name
        value = written.get(name)
        if value is None:
            self.refuse(field, f"is missing; write {words}")
        elif not isinstance(value, str) or not form.fullmatch(value):
            self.refuse(field, f"is {value!r}; write {words}")
        else:
            return value
        return ""

    def known_fields(
        self, written: Mapping[str, Any], where: str, known: Collection[str], later: Collection[str] = ()
    ) -> None:
        """Refuse unknown fields; `later` are those of a later release, which get their own message."""
        for name in written:
            if name in later:
                self.refuse(f"{where}{name}", "is not supported yet; remove it")
            elif name not in known:
                hint = nearest(name, (*known, *later)) or f"known are: {', '.join(known)}"
                self.refuse(f"{where}{name}", f"is an unknown field; {hint}")


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "did you mean …?" with the most similar known name, or "" if none is similar."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def seconds_of(written: object) -> int:
    """Return the seconds of a duration such as 30s, 15m, 24h or 3d; 0 if it is none."""
    match = _DURATION.fullmatch(written) if isinstance(written, str) else None
    return int(match[1]) * _SECONDS[match[2]] if match else 0


def duration(seconds: int) -> str:
    """Return seconds as a duration in the largest unit without a remainder."""
    unit = next(unit for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
