"""Rule files: YAML or JSON, several rules to a file; every mistake is reported at once.

A document of a file is one rule, a list of rules, or a mapping with the list under `rules` and optional `defaults`, which
complete the rules. `${var.name}` stands for a value of the stage.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gateway_cli.documents.document import Document, Place
from gateway_cli.documents.json_documents import read_json
from gateway_cli.documents.yaml_documents import read_yaml
from gateway_cli.rules.defaults import filled_in, flaws_of_defaults
from gateway_cli.rules.never_matches import never_matches
from gateway_cli.rules.store import document_text
from gateway_cli.rules.variables import UNRESOLVED, Variables
from mwaa_gateway.errors import GatewayError, InvalidRule
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.allow_lists import Namespaces

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: its place, rule and field, and what to write instead."""

    file: str
    line: int | None
    rule_id: str | None
    field: str | None
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.rule_id, self.field, self.message) if part)


class RulesRefused(GatewayError):
    """The files contain a mistake: nothing of them is applied."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """One rule as a file contains it, not validated."""

    file: str
    document: Mapping[str, Any]
    lines: Mapping[str, int]  # by dotted field as in `InvalidRule`, "" for the rule itself

    @property
    def id(self) -> str | None:
        """The id in the file, if it is text."""
        written = self.document.get("id")
        return written if isinstance(written, str) else None

    def line_of(self, field: str) -> int | None:
        """Return the line of a field, or of the nearest enclosing field in the file."""
        field = self._as_written(field)
        while field and field not in self.lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self.lines.get(field)

    def mistake(self, field: str, message: str) -> Mistake:
        """Return a mistake in one field of this rule, under the name that its author used."""
        written = self._as_written(field)
        return Mistake(self.file, self.line_of(field), self.id, written or None, message)

    def _as_written(self, field: str) -> str:
        for resolved, sugar in (("targets[0]", "target"), ("pattern", "s3")):
            if field.startswith(resolved) and resolved not in self.lines and sugar in self.lines:
                return sugar if sugar == "s3" else sugar + field.removeprefix(resolved)
        return field


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """A valid rule, and whether its file names a state or leaves it to the table.

    `warnings` are the parts of its pattern that can never match.
    """

    rule: Rule
    names_state: bool
    file: str
    warnings: tuple[Mistake, ...] = ()


def read_rules(
    paths: Sequence[Path], *, variable_files: Sequence[Path] = ()
) -> tuple[list[WrittenRule], list[Mistake]]:
    """Read files, and folders with all YAML and JSON files below them; a file named twice is read once.

    `variable_files` contain the values of `${var.name}`; later files override earlier ones. They are not rule files, even
    inside one of the folders.
    """
    variables, mistakes = _variables(variable_files)
    rules: list[WrittenRule] = []
    files: dict[Path, Path] = {}
    for path in paths:
        below = files_below(path)
        if not below:
            what = "this folder contains no *.yaml, *.yml or *.json file" if path.is_dir() else "no such file"
            mistakes.append(Mistake(str(path), None, None, None, what))
        for file in below:
            files.setdefault(file.resolve(), file)
    of_stages = {file.resolve() for file in variable_files}
    for file in (file for resolved, file in files.items() if resolved not in of_stages):
        documents, flaws = read_documents(file)
        mistakes.extend(flaws)
        for written in documents:
            document, unresolved = variables.resolved(written)
            mistakes.extend(Mistake(str(file), flaw.line, None, None, flaw.message) for flaw in unresolved)
            for found in _rules_of(file, document):
                match found:
                    case WrittenRule():
                        rules.append(found)
                    case Mistake():
                        mistakes.append(found)
    if not rules and not mistakes:
        mistakes.append(Mistake(", ".join(map(str, paths)), None, None, None, "contains no rule"))
    return rules, mistakes


def check_rules(
    paths: Sequence[Path],
    *,
    environments: Collection[str] | None,
    namespaces: Namespaces | None = None,
    claim_check_bucket: str = "",
    transports: Mapping[str, Collection[str]] | None = None,
    variable_files: Sequence[Path] = (),
) -> tuple[list[CheckedRule], list[Mistake]]:
    """Read and validate rules; if there is any mistake, none of the rules may be applied.

    `environments` are the names the gateway knows, `namespaces` the allow-lists; None skips the check.
    `claim_check_bucket` is the gateway's own bucket, which no rule may match; `transports` are those of each environment:
    InvokeRestApi takes only short DAG ids, and CLI tokens no partition keys; None skips both checks.
    """
    written, mistakes = read_rules(paths, variable_files=variable_files)
    checked: list[CheckedRule] = []
    first: dict[str, WrittenRule] = {}
    for rule in written:
        try:
            parsed = parse_rule(
                rule.document,
                environments=environments,
                claim_check_bucket=claim_check_bucket,
                transports=transports,
            )
            document_text(parsed)
            problems = namespaces.permits(parsed) if namespaces else []
            mistakes.extend(rule.mistake(problem.field, problem.message) for problem in problems)
            warnings = tuple(
                rule.mistake(f"{where}.{problem.field}", problem.message)
                for where, pattern in parsed.pattern_fields.items()
                for problem in never_matches(pattern)
            )
            checked.append(CheckedRule(parsed, "state" in rule.document, rule.file, warnings))
        except InvalidRule as error:
            mistakes.extend(rule.mistake(problem.field, problem.message) for problem in error.problems)
        if rule.id is not None and first.setdefault(rule.id, rule) is not rule:
            before = first[rule.id]
            mistakes.append(
                rule.mistake(
                    "id", f"{before.file}:{before.line_of('id')} has the same id: change one of them"
                )
            )
    distinct = _once_for_each_place(mistakes)
    return checked, distinct if variable_files else _once_for_each_variable(distinct)


def _once_for_each_place(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Sort mistakes by place, and report one in a default (or an anchor) once, not for each of its rules.

    A variable without a value hides other mistakes at the same place, which follow from it.
    """
    unresolved = {(one.file, one.line) for one in mistakes if UNRESOLVED in one.message and not one.rule_id}
    groups: dict[tuple[str, int | None, str], list[Mistake]] = {}
    for mistake in mistakes:
        if not mistake.rule_id or (mistake.file, mistake.line) not in unresolved:
            groups.setdefault((mistake.file, mistake.line, mistake.message), []).append(mistake)
    distinct: list[Mistake] = []
    for (file, line, message), alike in groups.items():
        rules = {mistake.rule_id for mistake in alike}
        if line is None or len(rules) == 1:
            distinct += alike
        else:
            distinct.append(Mistake(file, line, None, alike[0].field, f"{message} (in {len(rules)} rules)"))
    return sorted(distinct, key=lambda mistake: (mistake.file, mistake.line or 0))


def _once_for_each_variable(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Report each variable once if no file of values is given: then that is the one mistake."""
    places: dict[str, int] = Counter(one.message for one in mistakes if UNRESOLVED in one.message)
    distinct: dict[Mistake, None] = {}
    first: dict[str, Mistake] = {}
    for mistake in mistakes:
        number = places.get(mistake.message, 1)
        where = replace(mistake, message=f"{mistake.message} (and in {number - 1} more places)")
        distinct[first.setdefault(mistake.message, where) if number > 1 else mistake] = None
    return list(distinct)


def files_below(path: Path) -> list[Path]:
    """Return a file, or the YAML and JSON files below a folder; none if there is nothing. Hidden ones are left out."""
    if not path.is_dir():
        return [path] if path.exists() else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def read_documents(file: Path) -> tuple[list[Document], list[Mistake]]:
    """Read the documents of one YAML or JSON file."""

    def mistake(line: int | None, message: str) -> Mistake:
        return Mistake(str(file), line, None, None, message)

    if file.suffix not in SUFFIXES:
        return [], [mistake(None, "a rule file must be named *.yaml, *.yml or *.json")]
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        return [], [mistake(None, f"cannot read the file: {error.strerror}")]
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


def _variables(files: Sequence[Path]) -> tuple[Variables, list[Mistake]]:
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for file in files:
        if not file.is_file():
            mistakes.append(Mistake(str(file), None, None, None, "no such file"))
            continue
        documents, flaws = read_documents(file)
        mistakes.extend(flaws)
        for document in documents:
            flaws_of_names = Variables.flaws_of(document)
            mistakes.extend(
                Mistake(str(file), flaw.line, None, None, flaw.message) for flaw in flaws_of_names
            )
            values |= document.value if isinstance(document.value, dict) else {}
    return Variables(values, tuple(map(str, files))), mistakes


def _rules_of(file: Path, document: Document) -> Iterator[WrittenRule | Mistake]:
    """Yield the rules of a document: one rule, a list of rules, or a mapping with the list under `rules`."""
    value: Any = document.value
    place: Place = ()
    defaults: Mapping[str, Any] = {}
    if isinstance(value, dict) and ("rules" in value or "defaults" in value):
        for other in value.keys() - {"rules", "defaults"}:
            message = f"{other!r} has no meaning beside `rules`: remove it"
            yield Mistake(str(file), document.lines.get((other,)), None, other, message)
        for flaw in flaws_of_defaults(document):
            yield Mistake(str(file), flaw.line, None, "defaults", flaw.message)
        written = value.get("defaults")
        defaults = written if isinstance(written, dict) else {}
        value, place = value.get("rules"), ("rules",)
        if not isinstance(value, list):
            yield Mistake(str(file), document.lines.get(place), None, "rules", "must be a list of rules")
            return
    rules = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    lines = _grouped(document.lines, len(place) + isinstance(value, list))
    of_defaults = {at: line for at, line in document.lines.items() if at[:1] == ("defaults",)}
    for index, rule in rules:
        here: Place = place if index is None else (*place, index)
        if isinstance(rule, dict):
            complete, filled = filled_in(rule, defaults)
            fields = _fields(lines.get(here, {}), here)
            for field, source in filled.items():
                fields |= _fields(of_defaults, ("defaults", *source), field)
            yield WrittenRule(str(file), complete, fields)
        else:
            message = "a rule must be a mapping with id, pattern and targets"
            yield Mistake(str(file), document.lines.get(here), None, None, message)


def _grouped(lines: Mapping[Place, int], depth: int) -> dict[Place, dict[Place, int]]:
    """Group the lines by rule, in one pass over a file of any number of rules."""
    groups: dict[Place, dict[Place, int]] = {}
    for place, line in lines.items():
        groups.setdefault(place[:depth], {})[place] = line
    return groups


def _fields(lines: Mapping[Place, int], rule: Place, field: str = "") -> dict[str, int]:
    """Name the fields of one rule like its problems do, `targets[0].dag_id`; `field` prefixes the names."""
    fields: dict[str, int] = {}
    for place, line in lines.items():
        if place[: len(rule)] == rule:
            steps = place[len(rule) :]
            name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            fields.setdefault(f"{field}{name}".removeprefix("."), line)
    return fields
