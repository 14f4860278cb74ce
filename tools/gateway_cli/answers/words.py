"""Times, durations and values as the sentences of answers write them."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

_LONG: Final = 300  # characters of another part's text in a sentence
_DAY: Final = 86_400


def when(at: float | None, now: float) -> str:
    """Return a time for people: the day only if it is not today, in UTC, with its distance."""
    if at is None:
        return "at an unknown time"
    moment = datetime.fromtimestamp(at, UTC)
    day = "" if moment.date() == datetime.fromtimestamp(now, UTC).date() else f"{moment:%Y-%m-%d} "
    distance = f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"
    return f"{day}{moment:%H:%M:%S} UTC ({distance})"


def duration(seconds: float) -> str:
    """Return a duration in its largest fitting unit, rounded."""
    whole = max(0, round(seconds))
    if whole < 120:  # noqa: PLR2004  two minutes
        return f"{whole} s"
    if whole < 7_200:  # noqa: PLR2004  two hours
        return f"{round(whole / 60)} min"
    return f"{round(whole / 3600)} h" if whole < 2 * _DAY else f"{round(whole / _DAY)} days"


def count(number: int, noun: str) -> str:
    """Return the number with its noun."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(values: Iterable[str], most: int = 5) -> str:
    """Return the first values, and how many more there are."""
    texts = list(values)
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def shown(value: Any) -> str:
    """Return a value of an event or a pattern as JSON."""
    return json.dumps(value, ensure_ascii=False)


def cut(text: str) -> str:
    """Return a text that fits a sentence, without its full stop."""
    text = " ".join(text.split())
    text = text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
    return text.removesuffix(".")
