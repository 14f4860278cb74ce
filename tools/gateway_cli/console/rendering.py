"""The console's templates, and how they write times, figures and addresses."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway_cli.answers.addressing import with_options
from gateway_cli.answers.words import duration, when

_FOLDER = Path(__file__).parent / "templates"


def templates() -> Environment:
    """Return the templates; every value is escaped, and one that is missing is an error."""
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "age": _age,
        "breakable": _breakable,
        "clock": _clock,
        "day": _day,
        "duration": lambda seconds: "?" if seconds is None else duration(seconds),
        "figure": _figure,
        "find": _find,
        "iso": _iso,
        "json": lambda value: json.dumps(value, separators=(",", ":")),
        "number": _number,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "words": lambda name: str(name).replace("_", " "),
        "when": when,
        "with_options": with_options,
    }
    return found


def _number(value: float | None) -> Markup | str:
    """Return a count; what is not known is a question mark, never 0."""
    if value is None:
        return Markup('<span class="unknown" title="not known">?</span>')
    return f"{value:,.0f}"


def _figure(found: tuple[float, float] | None, unit: str = "") -> Markup | str:
    """Return a data point with its unit and age."""
    if found is None:
        return Markup('<span class="unknown" title="no data point in the last 10 minutes">?</span>')
    value, age = found
    shown = f"{value:,.1f}".removesuffix(".0")
    return Markup('<span class="figure">{}</span> <span class="age">{} old</span>').format(
        f"{shown} {unit}".strip(), duration(age)
    )


def _breakable(name: str) -> Markup:
    """Return a name such as environment:dag_id, which a narrow column may break after the colon only."""
    return (
        Markup("<wbr>").join(f"{part}:" for part in name.split(":")[:-1])
        + Markup("<wbr>")
        + name.rpartition(":")[2]
    )


def _age(read_at: float, now: float) -> Markup:
    """Return how old a reading is; the browser counts on."""
    return Markup('<time data-age datetime="{}">{} ago</time>').format(_iso(read_at), duration(now - read_at))


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _clock(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def _day(at: float | None) -> str:
    return "?" if at is None else f"{datetime.fromtimestamp(at, UTC):%m-%d %H:%M}"


def _find(subject: Any) -> str:
    """Return the address that explains a run, an event or a batch."""
    return f"/find?{urlencode({'q': str(subject)})}"
