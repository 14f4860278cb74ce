r"""Captures: a rule splits a text of the event by a form, and names the pieces.

    captures: {detail.object.key: "orders/{region}/dt={date}/{file}.csv"}

    orders/eu/dt=2026-11-22/a.b.csv     region=eu  date=2026-11-22  file=a.b

- `{name}` is one or more characters without `/`.
- `{name*}` is one or more characters, including `/`. A form has at most one.
- `{_}` and `{_*}` are pieces without a name; only they may occur more than once.
- `\{`, `\}`, `\*` and `\\` are these characters. Every other character matches itself.
- A piece ends before the first occurrence of the text after it. A piece after `{name*}` begins after the last occurrence of
  the text before it. So the split is unambiguous, and if any split fits the form, this one does.

Senders choose these texts: one pass of `str.find` decides in linear time, without regular expressions or backtracking.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mwaa_gateway.conf.paths import MISSING, Path, finds_many, follow, parse_path
from mwaa_gateway.errors import ConfError, Problem, kind_of
from mwaa_gateway.values import value

MAXIMUM_CAPTURES: Final = 10  # fields of one rule
MAXIMUM_FORM_CHARACTERS: Final = 1_024  # S3's limit of a key
UNNAMED: Final = "_"


@value
class Segment:
    """The part of a form between two `/`: `head`, then `pieces`, each a name and the text after it."""

    head: str
    pieces: tuple[tuple[str, str], ...] = ()

    def take(self, text: str, pieces: dict[str, str]) -> bool:
        """Add the pieces of a segment's text; return False if it does not have this form."""
        if not self.pieces:
            return text == self.head
        *inner, (last, tail) = self.pieces
        end = len(text) - len(tail)
        position = _take_forward(self.head, inner, text, end, pieces)
        if not 0 <= position < end or not text.endswith(tail):
            return False
        pieces[last] = text[position:end]
        return True


@value
class Crossing:
    """The piece that may contain `/`: its name, and the rest of its segments before and after it.

    `after.head` is the text that follows the piece.
    """

    before: Segment
    name: str
    after: Segment

    def take(self, text: str, pieces: dict[str, str]) -> bool:
        """Add the pieces of a text of one or more segments; return False if it does not have this form."""
        first = text.find("/")
        start = _take_forward(
            self.before.head, self.before.pieces, text, len(text) if first < 0 else first, pieces
        )
        if start < 0:
            return False
        texts = [self.after.head, *(text_after for _, text_after in self.after.pieces)]
        names = [name for name, _ in self.after.pieces]
        end = len(text) - len(texts[-1])
        lowest = max(start + 1, text.rfind("/") + 1)  # the crossing piece has at least one character
        if end <= start or not text.endswith(texts[-1]):
            return False
        for name, text_before in zip(reversed(names), reversed(texts[:-1]), strict=True):
            found = text.rfind(text_before, lowest, end - 1)
            if found < 0:
                return False
            pieces[name] = text[found + len(text_before) : end]
            end = found
        pieces[self.name] = text[start:end]
        return True


@value
class Capture:
    """One field and its form: whole segments `before` and `after` the piece that may contain `/`, if there is one."""

    field: str
    form: str
    path: Path
    before: tuple[Segment, ...]
    crossing: Crossing | None = None
    after: tuple[Segment, ...] = ()

    @property
    def names(self) -> Iterator[str]:
        """The names of the pieces, in order."""
        for segment in self.before:
            yield from _names(segment)
        if self.crossing is not None:
            yield from _names(self.crossing.before)
            if self.crossing.name != UNNAMED:
                yield self.crossing.name
            yield from _names(self.crossing.after)
        for segment in self.after:
            yield from _names(segment)

    def take(self, text: str) -> dict[str, str] | None:
        """Return the named pieces of the text, or None if it does not have this form; in linear time."""
        texts = text.split("/")
        tail = len(texts) - len(self.after)
        if len(self.before) > tail if self.crossing else len(self.before) != tail:
            return None
        pieces: dict[str, str] = {}
        ends = zip((*self.before, *self.after), (*texts[: len(self.before)], *texts[tail:]), strict=True)
        if not all(segment.take(part, pieces) for segment, part in ends):
            return None
        if self.crossing and not self.crossing.take("/".join(texts[len(self.before) : tail]), pieces):
            return None
        pieces.pop(UNNAMED, None)
        return pieces


def captured(captures: tuple[Capture, ...], envelope: Mapping[str, Any]) -> dict[str, str]:
    """Return every named piece of the event.

    Raises:
        ConfError: A field is missing, is no text, or does not have its form.
    """
    pieces: dict[str, str] = {}
    for capture in captures:
        value = follow(capture.path, envelope)
        if not isinstance(value, str):
            what = "missing" if value is MISSING else kind_of(value)
            raise ConfError(
                f"{capture.field} is {what} in this event, and the rule captures pieces of it; write the rule's pattern so "
                "that it matches only events where this field is text"
            )
        taken = capture.take(value)
        if taken is None:
            raise ConfError(
                f"{capture.field} of this event does not have the form {capture.form!r} of the rule's captures; correct "
                "the form, or exclude such events in the rule's pattern"
            )
        pieces |= taken
    return pieces


def _take_forward(
    head: str,
    inner: list[tuple[str, str]] | tuple[tuple[str, str], ...],
    text: str,
    end: int,
    pieces: dict[str, str],
) -> int:
    """Add the pieces between `head` and `end`; return the position after the last one and its text, -1 if none fits."""
    if not text.startswith(head):
        return -1
    position = len(head)
    for name, text_after in inner:
        found = text.find(text_after, position + 1, end)
        if found < 0:
            return -1
        pieces[name] = text[position:found]
        position = found + len(text_after)
    return position


def _names(segment: Segment) -> Iterator[str]:
    return (name for name, _ in segment.pieces if name != UNNAMED)


# --- reading ------------------------------------------------------------------------------------------------


def validate_captures(written: object) -> tuple[tuple[Capture, ...], list[Problem]]:
    """Check the `captures` of a rule; return the valid ones and all problems."""
    if not isinstance(written, Mapping) or not written:
        return (), [
            Problem(
                "captures",
                'must be an object: a form for each field, as in `detail.object.key: "in/{file}.csv"`',
            )
        ]
    problems: list[Problem] = []
    if len(written) > MAXIMUM_CAPTURES:
        problems.append(
            Problem("captures", f"has {len(written)} fields; at most {MAXIMUM_CAPTURES} are allowed")
        )
    captures: list[Capture] = []
    seen: set[str] = set()
    for field, form in written.items():
        where = f"captures.{field}"
        path = parse_path(f"$.{field}")
        if path is None or finds_many(path):
            problems.append(
                Problem("captures", f"has the field {field!r}; write one like detail.object.key, without $")
            )
            continue
        try:
            capture = _capture(field, form, path)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
            continue
        for name in capture.names:
            if name in seen:
                problems.append(Problem(where, f"has the name {name!r} twice; each piece needs its own name"))
            seen.add(name)
        captures.append(capture)
    return tuple(captures), problems


@value
class _Piece:
    name: str
    crossing: bool


_TOKEN: Final = re.compile(
    r"\\(?P<escaped>[{}*\\])|\{(?P<piece>[^{}]*)\}|(?P<stray>[{}*\\])|(?P<text>[^\\{}*]+)"
)
_PIECE: Final = re.compile(r"([A-Za-z0-9_-]{1,64})(\*?)")


def _capture(field: str, form: object, path: Path) -> Capture:
    if not isinstance(form, str) or not 0 < len(form) <= MAXIMUM_FORM_CHARACTERS:
        raise ValueError(
            f'is {form!r}; write the field\'s form with named pieces, as in "in/{{region}}/{{file}}.csv"'
            if not isinstance(form, str) or not form
            else f"has {len(form)} characters; at most {MAXIMUM_FORM_CHARACTERS} are allowed"
        )
    segments = _segments(form)
    where = [
        (number, position)
        for number, parts in enumerate(segments)
        for position, part in enumerate(parts)
        if isinstance(part, _Piece) and part.crossing
    ]
    if len(where) > 1:
        raise ValueError("has more than one {name*}; only one piece may contain `/`")
    if not any(isinstance(part, _Piece) for parts in segments for part in parts):
        raise ValueError(f"is {form!r}, without a piece; name one, such as {{file}}")
    if not where:
        return Capture(field, form, path, tuple(map(_segment, segments)))
    [(number, position)] = where
    parts = segments[number]
    piece = parts[position]
    return Capture(
        field,
        form,
        path,
        tuple(map(_segment, segments[:number])),
        Crossing(_segment(parts[:position]), getattr(piece, "name", ""), _segment(parts[position + 1 :])),
        tuple(map(_segment, segments[number + 1 :])),
    )


def _segments(form: str) -> list[list[str | _Piece]]:
    """Return the texts and pieces of each segment between two `/`."""
    segments: list[list[str | _Piece]] = [[]]
    for token in _tokens(form):
        if isinstance(token, _Piece):
            if segments[-1] and isinstance(segments[-1][-1], _Piece):
                raise ValueError(
                    f"has {{{segments[-1][-1].name}}} and {{{token.name}}} side by side; write the text that separates "
                    "them"
                )
            segments[-1].append(token)
            continue
        for position, text in enumerate(token.split("/")):
            if position:
                segments.append([])
            if text and segments[-1] and isinstance(segments[-1][-1], str):
                segments[-1][-1] += text  # after an escaped character
            elif text:
                segments[-1].append(text)
    return segments


def _tokens(form: str) -> Iterator[str | _Piece]:
    for match in _TOKEN.finditer(form):
        if match["stray"]:
            raise ValueError(
                f"has a single {match['stray']} at character {match.start() + 1}; write a piece as {{name}} or {{name*}}, "
                f"or the character itself as \\{match['stray']}"
            )
        if match["piece"] is None:
            yield match["escaped"] or match["text"]
            continue
        piece = _PIECE.fullmatch(match["piece"])
        if piece is None:
            raise ValueError(
                f"has the piece {match[0]}; write {{name}} or {{name*}}: a name has letters, digits, - and _, at most 64"
            )
        yield _Piece(piece[1], bool(piece[2]))


def _segment(parts: list[str | _Piece]) -> Segment:
    head = parts[0] if parts and isinstance(parts[0], str) else ""
    rest = parts[1:] if head else parts
    pieces: list[tuple[str, str]] = []
    for part in rest:
        if isinstance(part, _Piece):
            pieces.append((part.name, ""))
        else:
            pieces[-1] = pieces[-1][0], part
    return Segment(head, tuple(pieces))
