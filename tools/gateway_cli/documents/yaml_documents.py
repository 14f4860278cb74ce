"""YAML without its surprises.

What another reader could understand differently is refused with its line, never guessed: duplicate keys, `no` and `on`
(booleans to YAML 1.1, words to everybody else), `012`, `1_000`, `12:30`, `1e3` (numbers to some). Dates stay text, because
JSON has none.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from gateway_cli.documents.document import Document, Flaw, Place, finite

_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_EXPONENT: Final = re.compile(r"-?[0-9]+[eE][+-]?[0-9]+")  # text to YAML 1.1, a number to JSON and YAML 1.2
_BREAKS: Final = re.compile("[\x85\u2028\u2029\ufeff]")
# Frequent mistakes, which YAML reads in an unintended way, and what to write instead.
_REMEDIES: Final = (
    ("did not find expected ','", r"\$\{", "inside {} and [], put ${var.name} in quotes"),
    ("", r"^ *\t", "indent with spaces, not with tabs"),
    ("mapping values are not allowed", r": .*: ", "put text that contains a colon and a space in quotes"),
    (
        "cannot start any token|expected alphabetic|undefined alias",
        r"[:\[,-] *[*&!%@`]",
        "put text that begins with * & ! % @ or ` in quotes",
    ),
)
_MOST_NODES: Final = 200_000  # about 5,000 rules per document; a few nested aliases can mean billions
# Levels. The interpreter's own limit differs by its version, and any caller may raise it.
_DEEPEST: Final = 200
# libyaml reads a thousand rules in a tenth of the time, and every wheel of PyYAML includes it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str) -> tuple[list[Document], list[Flaw]]:
    """Read every document of a YAML text; empty ones are left out, and flaws do not stop the reading."""
    documents: list[Document] = []
    flaws: list[Flaw] = []
    try:
        for root in yaml.compose_all(text, Loader=_Loader):
            reading = _Reading(flaws)
            value = reading.value(root, ())
            if value is not None:
                documents.append(Document(value, reading.lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        problem = str(error.problem or error.context)
        flaws.append(Flaw(line + 1, f"this is not YAML: {problem}{_remedy(problem, text, line)}"))
    except yaml.YAMLError as error:
        flaws.append(Flaw(1, f"this is not YAML: {error}".replace("\n", " ")))
    except RecursionError:
        flaws.append(Flaw(1, "this is nested too deeply"))
    return documents, flaws


def _remedy(problem: str, text: str, line: int) -> str:
    written = "".join(text.splitlines()[line : line + 1])
    for words, sign, remedy in _REMEDIES:
        if re.search(words, problem) and re.search(sign, written):
            return f"; {remedy}"
    return ""


def write_yaml(value: Any) -> str:
    """Return YAML that `read_yaml` reads back as the same value."""
    # PyYAML's emitter writes these four characters unescaped, and its reader takes them for line breaks, or fails.
    plain = not _BREAKS.search(json.dumps(value, ensure_ascii=False))
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=plain, width=110))


class _Dumper(yaml.SafeDumper):
    """PyYAML quotes what YAML 1.1 would misread; this dumper also quotes what YAML 1.2 and JSON would."""


def _quoted_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _EXPONENT.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted_text)


@dataclass(slots=True)
class _Reading:
    """Turns the nodes of one YAML document into a value, and adds problems to `flaws`."""

    flaws: list[Flaw]
    lines: dict[Place, int] = field(default_factory=dict)
    open_nodes: set[int] = field(default_factory=set)
    nodes: int = 0

    def value(self, node: Any, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        self.nodes += 1
        if len(place) > _DEEPEST:
            raise RecursionError
        if id(node) in self.open_nodes or self.nodes > _MOST_NODES:
            raise yaml.composer.ComposerError(
                None, None, "an alias contains itself, or aliases multiply without end", node.start_mark
            )
        self.open_nodes.add(id(node))
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(node, place)
                case yaml.SequenceNode():
                    return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
                case _:
                    return self._scalar(node)
        finally:
            self.open_nodes.discard(id(node))

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged |= self._merged(value_node, place)
                continue
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                written = json.dumps(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "text"
                self._flaw(key_node, f"a key must be text: write it as {written}")
                continue
            if key in own:
                self._flaw(key_node, f"the key {key!r} is given twice: remove one of the two")
                continue
            self.lines[*place, key] = key_node.start_mark.line + 1
            own[key] = self.value(value_node, (*place, key))
        return merged | own

    def _merged(self, node: Any, place: Place) -> dict[str, Any]:
        """Return what `<<` merges: of several mappings the first that has a key wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            value = self.value(part, place)
            if isinstance(value, dict):
                merged = value | merged
            else:
                self._flaw(part, "only a mapping can be merged with `<<`")
        return merged

    def _scalar(self, node: Any) -> str | float | bool | None:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "null":
                return None
            case "bool" if text.lower() in {"true", "false"}:
                return text.lower() == "true"
            case "bool":
                self._flaw(
                    node,
                    f"some readers take {text!r} for a boolean, others for text: write true or false, or quote it",
                )
            case "int" | "float" if _JSON_NUMBER.fullmatch(text):
                return self._number(node)
            case "int" | "float":
                self._flaw(
                    node,
                    f"readers disagree about the number {text!r}: write it as JSON does, or quote it",
                )
            case "str" if not node.style and _EXPONENT.fullmatch(text):
                self._flaw(
                    node,
                    f"some readers take {text!r} for a number, others for text: write its digits, or quote it",
                )
            case "str" | "timestamp" | "value":
                pass
            case tag:
                self._flaw(node, f"the tag {tag!r} has no meaning here: write plain YAML")
        return text

    def _number(self, node: Any) -> str | float:
        try:
            number: float = json.loads(node.value, parse_float=finite)
        except ValueError as error:
            self._flaw(node, f"{error}")
            return str(node.value)
        return number

    def _flaw(self, node: Any, message: str) -> None:
        self.flaws.append(Flaw(node.start_mark.line + 1, message))
