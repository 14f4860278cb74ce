"""What a field of a rule is: one annotation on its attribute says how it is written, read, stored and described.

    maximum_event_age_seconds: Annotated[
        int | None, RuleField(Duration(...), "How long the gateway retries …", name="maximum_event_age")
    ] = None

`Reading.values` parses a field by it, `document_of` writes it, and the command derives the JSON schema from it. An attribute
without a default is required. A record of such attributes nests in another one as `Nested(Record)`. A field whose meaning
depends on other fields has the kind `Own`: its reader is a method in `parsing` or `targets`.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Final, get_args

from mwaa_gateway.errors import Problem, nearest
from mwaa_gateway.values import value

DURATION: Final = "[1-9][0-9]{0,6}[smhd]"
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


@value
class Text:
    """Text of a form (a regular expression) or a length; `words` describe it to its author."""

    form: str = ""
    words: str = "text"
    longest: int = 0


@value
class OneOf:
    """One of the texts of a `Literal`."""

    literal: Any

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts."""
        return get_args(self.literal)


@value
class Integer:
    """A whole number within two bounds."""

    lowest: int
    highest: int


@value
class Duration:
    """A duration such as 15m, kept as seconds; `examples` are for its author."""

    longest_seconds: int
    examples: str


@value
class Nested:
    """An object with the fields of a record."""

    record: type


@value
class Own:
    """A field with a reader in `parsing` or `targets`, and a form in the command's `rules/schema.py`."""

    document: Callable[[Any], Any] = lambda value: value


Kind = Text | OneOf | Integer | Duration | Nested | Own


@value
class RuleField:
    """How authors write an attribute; `text` is for the editor that shows it.

    `name` is the field's name if it is not the attribute's, `shorthand` another field that replaces it. A field that has
    its default is left out of the document, unless it is `always` written.
    """

    kind: Kind
    text: str
    name: str = ""
    shorthand: str = ""
    always: bool = False
    # What `fields_of` adds from the attribute itself:
    attribute: str = ""
    required: bool = True
    default: Any = None


@cache
def fields_of(record: type) -> Mapping[str, RuleField]:
    """Return the fields of a record by the name that authors write, in the order of its attributes."""
    found: dict[str, RuleField] = {}
    for attribute in dataclasses.fields(record):
        for field in getattr(attribute.type, "__metadata__", ()):
            name = field.name or attribute.name
            required = attribute.default is dataclasses.MISSING
            default = None if required else attribute.default
            found[name] = dataclasses.replace(
                field, name=name, attribute=attribute.name, required=required, default=default
            )
    return found


@cache
def names_of(record: type) -> tuple[str, ...]:
    """Return the names of all fields of a record, with their shorthands."""
    fields = fields_of(record).values()
    return tuple(name for field in fields for name in (field.name, field.shorthand) if name)


def document_of(value: Any) -> dict[str, Any]:
    """Return the document of a record; reading it gives an equal record."""
    return {
        name: _written(field.kind, own)
        for name, field in fields_of(value.__class__).items()
        if (own := getattr(value, field.attribute)) != field.default or field.required or field.always
    }


def _written(kind: Kind, value: Any) -> Any:
    match kind:
        case Text() | OneOf() | Integer():
            return value
        case Duration():
            return duration(value)
        case Nested():
            return document_of(value)
        case Own():
            return kind.document(value)


def _remedy(kind: Kind) -> str:
    match kind:
        case Text():
            return f"{kind.words} of at most {kind.longest} characters" if kind.longest else kind.words
        case OneOf():
            return f"{', '.join(kind.choices[:-1])} or {kind.choices[-1]}"
        case Integer():
            return f"a number from {kind.lowest:,} to {kind.highest:,}"
        case Duration():
            return f"{kind.examples}, at most {duration(kind.longest_seconds)}"
        case Nested():
            return f"an object with {', '.join(names_of(kind.record))}"
        case Own():
            raise TypeError("its reader has its own error texts")


class Reading:
    """One pass over one rule; adds what is wrong to `problems`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, field: str, message: str) -> None:
        """Add a problem: the dotted field, what is wrong with it, and what to write instead."""
        self.problems.append(Problem(field, message))

    def values(self, record: type, written: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """Return what the author wrote for the attributes of a record, without `Own` fields and refused ones."""
        values: dict[str, Any] = {}
        for name, field in fields_of(record).items():
            if isinstance(field.kind, Own):
                continue
            if field.required and written.get(name) is None:
                self.refuse(f"{where}{name}", f"is missing; write {_remedy(field.kind)}")
            elif name in written:
                value = self._value(field.kind, written[name], f"{where}{name}")
                if value is not None:
                    values[field.attribute] = value
        return values

    def _value(self, kind: Kind, written: Any, where: str) -> Any:
        """Return the value of the field `where`, or None after refusing it."""
        match kind:
            case Text() if isinstance(written, str) and _fits(kind, written):
                return written
            case OneOf() if isinstance(written, str) and written in kind.choices:
                return written
            case Integer() if type(written) is int and kind.lowest <= written <= kind.highest:
                return written
            case Duration() if 0 < (seconds := seconds_of(written)) <= kind.longest_seconds:
                return seconds
            case Nested() if isinstance(written, Mapping):
                before = len(self.problems)
                self.known_fields(written, f"{where}.", names_of(kind.record))
                values = self.values(kind.record, written, f"{where}.")
                return kind.record(**values) if len(self.problems) == before else None
        return self.refuse(where, f"is {written!r}; write {_remedy(kind)}")

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


def _fits(kind: Text, written: str) -> bool:
    return (not kind.form or re.fullmatch(kind.form, written) is not None) and (
        not kind.longest or len(written) <= kind.longest
    )


def seconds_of(written: Any) -> int:
    """Return the seconds of a duration such as 30s, 15m, 24h or 3d; 0 if it is none."""
    is_duration = isinstance(written, str) and re.fullmatch(DURATION, written)
    return int(written[:-1]) * _SECONDS[written[-1]] if is_duration else 0


def duration(seconds: int) -> str:
    """Return seconds as a duration in the largest unit without a remainder."""
    unit = next(unit for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
