"""Which tests show which row, read from the tests' source; and what became of them when they were last run."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

__all__ = ["RESULTS", "ROOT", "Result", "Results", "ShowingTest", "showing_tests"]

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results.json"
_NAMED = re.compile(r"test_rows?_(\d+(?:_and_\d+)*)_")


@dataclass(frozen=True, slots=True)
class ShowingTest:
    """A test function that shows something of these rows, or of no one row; `file` is relative to the project."""

    file: str
    name: str
    rows: tuple[int, ...]
    class_name: str = ""

    @property
    def node(self) -> str:
        """What pytest calls all of its cases."""
        return "::".join(filter(None, (self.file, self.class_name, self.name)))

    @property
    def layer(self) -> str:
        """The folder under tests/."""
        return self.file.split("/")[1]


def showing_tests() -> list[ShowingTest]:
    """Find them all, without importing one."""
    found: list[ShowingTest] = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT).as_posix()
        for class_name, function in _tests(ast.parse(path.read_text())):
            named, marked = tuple(_named(function.name)), _marked(function)
            if named or marked is not None:
                rows = tuple(dict.fromkeys((*named, *(marked or ()))))
                found.append(ShowingTest(file, function.name, rows, class_name))
    return found


def _tests(module: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield each test with the name of its class, "" for a function of the module."""
    for node in module.body:
        in_class = isinstance(node, ast.ClassDef)
        for one in node.body if in_class else [node]:
            if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"):
                yield node.name if in_class else "", one


def _named(name: str) -> Iterator[int]:
    if match := _NAMED.match(name):
        yield from map(int, match[1].split("_and_"))


def _marked(function: ast.FunctionDef) -> tuple[int, ...] | None:
    """Return the rows of the mark, none for one without rows; None where there is no mark."""
    for decorator in function.decorator_list:
        mark, args = (decorator.func, decorator.args) if isinstance(decorator, ast.Call) else (decorator, [])
        if ast.unparse(mark) == "pytest.mark.guarantee":
            return tuple(map(ast.literal_eval, args))
    return None


@dataclass
class Result:
    """What became of one test's cases, and what it counted (`record_property`)."""

    cases: dict[str, int] = field(default_factory=dict)  # passed, failed, skipped, xfailed: how many
    counts: dict[str, int] = field(default_factory=dict)
    reds: dict[str, str] = field(default_factory=dict)  # safeguard: what went red without it

    def add(self, outcome: str, properties: list[tuple[str, Any]]) -> None:
        """Add one case."""
        self.cases[outcome] = self.cases.get(outcome, 0) + 1
        for name, value in properties:
            if name == "red":
                self.reds |= value
            elif name == "counts":
                self.counts |= {what: self.counts.get(what, 0) + count for what, count in value.items()}


@dataclass
class Results:
    """The last run of every test, and when the last of them was run."""

    date: str = ""
    tests: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Self:
        if not RESULTS.exists():
            return cls()
        document = json.loads(RESULTS.read_text())
        return cls(document["date"], {node: Result(**result) for node, result in document["tests"].items()})

    def write(self) -> None:
        existing = {test.node for test in showing_tests()}
        tests = {node: vars(result) for node, result in sorted(self.tests.items()) if node in existing}
        RESULTS.write_text(json.dumps({"date": self.date, "tests": tests}, indent=1) + "\n")
