"""Text with placeholders for values of the event: a target's `dag_id`, the parts of a rule's `dedupe_key`.

    ingest_<region>              <region> is a name of the rule's captures or of the target's input_paths
    <$.detail.business-day>      a path in place of a name

A placeholder needs a value: null, an empty text, an object, a list, or a path without a value is an error, and never
becomes "".
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any, Final

from mwaa_gateway.conf.paths import MISSING, Path, finds_many, follow, parse_path
from mwaa_gateway.errors import ConfError, kind_of
from mwaa_gateway.json_values import is_unicode
from mwaa_gateway.values import value

_PLACEHOLDER: Final = re.compile(r"<([^<>]*)>")


@value
class TextTemplate:
    """A text as its author wrote it, and its parts: text, or the name and path of a value.

    Only `parse_text_template` builds it.
    """

    text: str
    parts: tuple[str | tuple[str, Path | None], ...] = field(repr=False, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether the text is the same for every event."""
        return all(isinstance(part, str) for part in self.parts)

    def fill(
        self,
        envelope: Mapping[str, Any],
        captured: Mapping[str, str],
        paths: Mapping[str, Path] | None = None,
    ) -> str:
        """Return the text for one event; placeholders name `captured` pieces or input `paths`.

        Raises:
            ConfError: A value is missing, or cannot become text.
        """
        return "".join(
            part
            if isinstance(part, str)
            else _text_of(part[0], _value_of(part, envelope, captured, paths or {}))
            for part in self.parts
        )


def parse_text_template(text: str, names: Collection[str]) -> TextTemplate:
    """Parse a text; a placeholder `<…>` contains one of `names`, or a path.

    Raises:
        ValueError: The text is invalid; says why, and what to write instead.
    """
    parts: list[str | tuple[str, Path | None]] = []
    for position, piece in enumerate(_PLACEHOLDER.split(text)):
        if position % 2 == 0:
            if "<" in piece or ">" in piece:
                raise ValueError(f"is {text!r}, with a single < or >; write <name> or <$.detail.field>")
            if piece:
                parts.append(piece)
        elif piece.startswith("$"):
            path = parse_path(piece)
            if path is None or finds_many(path):
                raise ValueError(
                    f"has the path <{piece}>; write a path to one value, such as <$.detail.region>"
                )
            parts.append((piece, path))
        elif piece in names:
            parts.append((piece, None))
        else:
            known = ", ".join(f"<{name}>" for name in sorted(names)) or "none"
            raise ValueError(
                f"has <{piece}>, which is unknown; known names: {known}; or write a path such as <$.detail.region>"
            )
    return TextTemplate(text, tuple(parts))


def _value_of(
    part: tuple[str, Path | None],
    envelope: Mapping[str, Any],
    captured: Mapping[str, str],
    paths: Mapping[str, Path],
) -> Any:
    name, path = part
    if path is not None:
        return follow(path, envelope)
    return captured[name] if name in captured else follow(paths[name], envelope)


def _text_of(name: str, value: Any) -> str:
    match value:
        case str() if value and is_unicode(value):
            return value
        case str() if value:
            raise ConfError(f"<{name}> contains half a surrogate pair in this event; expected Unicode text")
        case bool() | int() | float():
            return json.dumps(value)
        case "":
            raise ConfError(f"<{name}> is empty in this event")
        case _ if value is MISSING or value is None:
            raise ConfError(f"<{name}> is {'missing' if value is MISSING else 'null'} in this event")
        case _:
            raise ConfError(f"<{name}> is {kind_of(value)} in this event; write a path to one value in it")
