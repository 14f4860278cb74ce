"""`${var.name}` in rule files: values that differ between stages, in one file for each stage.

    bucket: acme-landing-prod               # prod.yaml
    regions: [eu, us]

    s3: s3://${var.bucket}/orders/*         # inside text: inserts text, a number or a boolean
    region: ${var.regions}                  # a whole value: any type, which it keeps
    comment: costs $${var.name} to write    # `$$` stands for `$`: not resolved

Inserted values are not resolved again: a value cannot refer to another variable.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway_cli.documents.document import Document, Flaw, Place

UNRESOLVED: Final = "has no value"  # part of the text about a reference without a value

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]*"
_REFERENCE: Final = re.compile(r"(\$?)\$\{var\.([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Variables:
    """The values of one stage, and the files that contain them."""

    values: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @staticmethod
    def flaws_of(document: Document) -> Iterator[Flaw]:
        """Yield the flaws of a file of values."""
        if not isinstance(document.value, dict):
            yield Flaw(document.lines[()], "a file of variables is a mapping of names to values")
            return
        for name in document.value:
            if not re.fullmatch(_NAME, name):
                yield Flaw(
                    document.lines[(name,)],
                    f"{name!r} is no variable name; write letters, digits, _ and -, as in `bucket: acme-landing`",
                )

    def resolved(self, document: Document) -> tuple[Document, list[Flaw]]:
        """Return the document with its references replaced, and the references that cannot be."""
        flaws: list[Flaw] = []
        return Document(self._value(document, (), document.value, flaws), document.lines), flaws

    def _value(self, document: Document, place: Place, value: Any, flaws: list[Flaw]) -> Any:
        match value:
            case dict():
                flaws.extend(
                    Flaw(_line(document, (*place, name)), f"{name!r}: only values can contain variables")
                    for name in value
                    if _REFERENCE.search(name)
                )
                return {
                    name: self._value(document, (*place, name), child, flaws) for name, child in value.items()
                }
            case list():
                return [
                    self._value(document, (*place, index), child, flaws) for index, child in enumerate(value)
                ]
            case str() if "${var." in value:
                return self._text(_line(document, place), value, flaws)
            case _:
                return value

    def _text(self, line: int, text: str, flaws: list[Flaw]) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole and not whole[1]:
            return self._find(whole[2], line, flaws)

        def inside(match: re.Match[str]) -> str:
            if match[1]:
                return match[0][1:]
            value = self._find(match[2], line, flaws)
            if isinstance(value, dict | list):
                kind = "a list" if isinstance(value, list) else "a mapping"
                flaws.append(
                    Flaw(
                        line,
                        f"${{var.{match[2]}}} is {kind}, but stands inside text; give it its own field",
                    )
                )
            return value if isinstance(value, str) else json.dumps(value)

        return _REFERENCE.sub(inside, text)

    def _find(self, name: str, line: int, flaws: list[Flaw]) -> Any:
        if name in self.values:
            return self.values[name]
        near = difflib.get_close_matches(name, self.values, n=1)
        if not self.files:
            remedy = f"name the stage's file with --vars, and write `{name}: …` in it"
        elif near:
            remedy = f"did you mean ${{var.{near[0]}}}?"
        else:
            remedy = f"write `{name}: …` in {self.files[-1]}"
        flaws.append(Flaw(line, f"${{var.{name}}} {UNRESOLVED}; {remedy}"))
        return f"${{var.{name}}}"


def _line(document: Document, place: Place) -> int:
    """Return the line of a place, or of the nearest enclosing place that is known."""
    while place and place not in document.lines:
        place = place[:-1]
    return document.lines.get(place, 1)
