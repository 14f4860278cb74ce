"""Rules as people write them: YAML and JSON files, several rules to a file, every mistake told at once."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway_cli.documents.document import Document, Place
from gateway_cli.documents.json_documents import read_json
from gateway_cli.documents.yaml_documents import read_yaml
from gateway_cli.rules.store import document_text
from mwaa_gateway.errors import GatewayError, InvalidRule
from mwaa_gateway.rules import Rule, parse_rule

__all__ = ["CheckedRule", "Mistake", "RulesRefused", "WrittenRule", "check_rules", "read_rules"]

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend: where it stands, in which rule and field, and what to write instead."""

    file: str
    line: int | None
    rule_id: str | None
    field: str | None
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.rule_id, self.field, self.message) if part)


class RulesRefused(GatewayError):
    """Files that hold a mistake: nothing of them is applied."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """One rule as a file has it, not yet checked."""

    file: str
    document: Mapping[str, Any]
    lines: Mapping[str, int]  # by dotted field as `InvalidRule` names it, "" for the rule itself

    @property
    def id(self) -> str | None:
        """The id as written, where it is text at all."""
        written = self.document.get("id")
        return written if isinstance(written, str) else None

    def line_of(self, field: str) -> int | None:
        """Return the line of a field, or of the nearest field around it that the file has."""
        while field and field not in self.lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self.lines.get(field)

    def mistake(self, field: str, message: str) -> Mistake:
        """Say what is wrong with one field of this rule."""
        return Mistake(self.file, self.line_of(field), self.id, field or None, message)


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """A rule that may be applied, and whether its author wrote down a state or left it to the table."""

    rule: Rule
    names_state: bool
    file: str


def read_rules(paths: Sequence[Path]) -> tuple[list[WrittenRule], list[Mistake]]:
    """Read files, and folders with all YAML and JSON files below them; a file named twice is read once."""
    rules: list[WrittenRule] = []
    mistakes: list[Mistake] = []
    files: dict[Path, Path] = {}
    for path in paths:
        below = _files(path)
        if not below:
            what = "no *.yaml, *.yml or *.json file lies in this folder" if path.is_dir() else "no such file"
            mistakes.append(Mistake(str(path), None, None, None, what))
        for file in below:
            files.setdefault(file.resolve(), file)
    for file in files.values():
        documents, flaws = _read(file)
        mistakes.extend(flaws)
        for document in documents:
            for found in _rules_of(file, document):
                match found:
                    case WrittenRule():
                        rules.append(found)
                    case Mistake():
                        mistakes.append(found)
    if not rules and not mistakes:
        mistakes.append(Mistake(", ".join(map(str, paths)), None, None, None, "there is no rule in here"))
    return rules, mistakes


def check_rules(
    paths: Sequence[Path], *, environments: Collection[str] | None
) -> tuple[list[CheckedRule], list[Mistake]]:
    """Read and check rules; with any mistake at all, none of the rules may be applied.

    `environments` are the names the gateway knows; None leaves the names unchecked.
    """
    written, mistakes = read_rules(paths)
    checked: list[CheckedRule] = []
    first: dict[str, WrittenRule] = {}
    for rule in written:
        try:
            parsed = parse_rule(rule.document, environments=environments)
            document_text(parsed)
            checked.append(CheckedRule(parsed, "state" in rule.document, rule.file))
        except InvalidRule as error:
            mistakes.extend(rule.mistake(problem.field, problem.message) for problem in error.problems)
        if rule.id is not None and first.setdefault(rule.id, rule) is not rule:
            before = first[rule.id]
            mistakes.append(
                rule.mistake(
                    "id", f"{before.file}:{before.line_of('id')} has this id too: give one of them another"
                )
            )
    mistakes.sort(key=lambda mistake: (mistake.file, mistake.line or 0))
    return checked, mistakes


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.exists() else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def _read(file: Path) -> tuple[list[Document], list[Mistake]]:
    def mistake(line: int | None, message: str) -> Mistake:
        return Mistake(str(file), line, None, None, message)

    if file.suffix not in SUFFIXES:
        return [], [mistake(None, "a rule file is named *.yaml, *.yml or *.json")]
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        return [], [mistake(None, f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return [], [mistake(None, "is not UTF-8 text: save it as UTF-8")]
    documents, flaws = (read_json if file.suffix == ".json" else read_yaml)(text)
    mistakes = [mistake(flaw.line, flaw.message) for flaw in flaws]
    for document in documents:
        try:
            json.dumps(document.value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            mistakes.append(
                mistake(document.lines[()], "half a surrogate pair (\\ud800 to \\udfff) is no character")
            )
    return documents, mistakes


def _rules_of(file: Path, document: Document) -> Iterator[WrittenRule | Mistake]:
    """A document is one rule, a list of rules, or a mapping that holds the list under `rules`."""
    value: Any = document.value
    place: Place = ()
    if isinstance(value, dict) and "rules" in value:
        for other in value.keys() - {"rules"}:
            message = f"{other!r} means nothing beside `rules`: remove it"
            yield Mistake(str(file), document.lines.get((other,)), None, other, message)
        value, place = value["rules"], ("rules",)
        if not isinstance(value, list):
            yield Mistake(str(file), document.lines.get(place), None, "rules", "has to be a list of rules")
            return
    for index, rule in enumerate(value) if isinstance(value, list) else [(None, value)]:
        here: Place = place if index is None else (*place, index)
        if isinstance(rule, dict):
            yield WrittenRule(str(file), rule, _fields(document.lines, here))
        else:
            message = "a rule has to be a mapping with id, pattern and targets"
            yield Mistake(str(file), document.lines.get(here), None, None, message)


def _fields(lines: Mapping[Place, int], rule: Place) -> dict[str, int]:
    """Name the fields of one rule as its problems do: `targets[0].dag_id`."""
    fields: dict[str, int] = {}
    for place, line in lines.items():
        if place[: len(rule)] == rule:
            steps = place[len(rule) :]
            name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            fields.setdefault(name.removeprefix("."), line)
    return fields
