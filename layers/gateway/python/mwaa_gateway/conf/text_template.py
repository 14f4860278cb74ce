"""Text with values of the event in it: a target's `dag_id`, the parts of a rule's `dedupe_key`.

    ingest_<region>              <region> is a piece of the rule's captures, or of the target's input_paths
    <$.detail.business-day>      a path, in place

Text only becomes what it stands for where there is a value: a path that finds nothing, null, an empty text, an object or a
list is refused, never written as "".
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mwaa_gateway.conf.paths import MISSING, Path, finds_many, follow, parse_path
from mwaa_gateway.errors import ConfError, kind_of
from mwaa_gateway.json_values import is_unicode

__all__ = ["TextTemplate", "parse_text_template"]

_PLACEHOLDER: Final = re.compile(r"<([^<>]*)>")


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A text as its author wrote it, and its parts: text, or the name and path of a value. By `parse_text_template` only."""

    text: str
    parts: tuple[str | tuple[str, Path | None], ...] = field(repr=False, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether it is the same text for every event."""
        return all(isinstance(part, str) for part in self.parts)

    def fill(
        self,
        envelope: Mapping[str, Any],
        captured: Mapping[str, str],
        paths: Mapping[str, Path] | None = None,
    ) -> str:
        """Return the text for one event; `paths` are the input paths that may be named beside the captures.

        Raises:
            ConfError: A value is not there, or is none that text can hold.
        """
        return "".join(
            part
            if isinstance(part, str)
            else _written(part[0], _found(part, envelope, captured, paths or {}))
            for part in self.parts
        )


def parse_text_template(text: str, names: Collection[str]) -> TextTemplate:
    """Read a text; `names` are those that may stand in `<…>` beside paths.

    Raises:
        ValueError: It cannot be used; says why, and what to write instead.
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
                    f"has the path <{piece}>; write one like <$.detail.region>, that finds one value"
                )
            parts.append((piece, path))
        elif piece in names:
            parts.append((piece, None))
        else:
            known = ", ".join(f"<{name}>" for name in sorted(names)) or "none are captured"
            raise ValueError(
                f"has <{piece}>, which names nothing: {known}; or write a path like <$.detail.region>"
            )
    return TextTemplate(text, tuple(parts))


def _found(
    part: tuple[str, Path | None],
    envelope: Mapping[str, Any],
    captured: Mapping[str, str],
    paths: Mapping[str, Path],
) -> Any:
    name, path = part
    if path is not None:
        return follow(path, envelope)
    return captured[name] if name in captured else follow(paths[name], envelope)


def _written(name: str, value: Any) -> str:
    match value:
        case str() if value and is_unicode(value):
            return value
        case str() if value:
            raise ConfError(f"<{name}> holds half a surrogate pair in this event; that is no text")
        case bool() | int() | float():
            return json.dumps(value)
        case "":
            raise ConfError(f"<{name}> is empty in this event")
        case _ if value is MISSING or value is None:
            raise ConfError(f"<{name}> is {'missing' if value is MISSING else 'null'} in this event")
        case _:
            raise ConfError(f"<{name}> is {kind_of(value)} in this event; name one value in it")
