"""Writes docs/guarantees.md from the fault table, the tests that exist, and their last results: `make guarantees`."""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from guarantees.faults import FAULTS, Fault
from guarantees.tests import ROOT, Results, ShowingTest, showing_tests

__all__ = ["PAGE", "page"]

PAGE = ROOT / "docs" / "guarantees.md"
TEMPLATE = Path(__file__).parent / "page.md"
LAYERS = ("unit", "simulation", "sweep", "integration", "template", "local_parts", "local_stack")


def page(tests: list[ShowingTest], results: Results) -> str:
    """Return the page's text; what was never counted is a question mark."""
    filled = {
        "date": results.date or "never run",
        "rows": "\n".join(_rows(tests, results)),
        "safeguards": "\n".join(_safeguards(results)),
        **{what: f"{count:,}" for what, count in _counts(results).items()},
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda name: filled.get(name[1], "?"), TEMPLATE.read_text())


def _rows(tests: list[ShowingTest], results: Results) -> Iterator[str]:
    by_row: defaultdict[int, list[ShowingTest]] = defaultdict(list)
    for test in tests:
        for row in test.rows:
            by_row[row].append(test)
    unknown = by_row.keys() - {fault.row for fault in FAULTS}
    assert not unknown, f"tests show rows that the fault table does not have: {sorted(unknown)}"
    for stage in dict.fromkeys(fault.stage for fault in FAULTS):
        yield f"\n### {stage}\n"
        yield "| | what goes wrong | what is promised | shown by | last run |\n|---|---|---|---|---|"
        yield from (_row(fault, by_row[fault.row], results) for fault in FAULTS if fault.stage == stage)


def _row(fault: Fault, tests: list[ShowingTest], results: Results) -> str:
    shown = (fault.fault, fault.promise, _shown_by(tests), _last_run(tests, results))
    return f"| {fault.row} | {' | '.join(shown)} |"


def _shown_by(tests: list[ShowingTest]) -> str:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for test in sorted(tests, key=lambda test: (LAYERS.index(test.layer), test.file)):
        files[test.file].append(f"`{test.name.removeprefix('test_')}`")
    return "<br>".join(
        f"[{file.removeprefix('tests/').removesuffix('.py')}](../{file}): {', '.join(names)}"
        for file, names in files.items()
    )


def _last_run(tests: list[ShowingTest], results: Results) -> str:
    if not tests:
        return "**no test**"
    cases: Counter[str] = Counter()
    for test in tests:
        result = results.tests.get(test.node)
        cases.update(result.cases if result else {"not run": 1})
    passed = [f"{cases.pop('passed')} passed"] if cases["passed"] else []
    return ", ".join(
        (*passed, *(f"**{count} {outcome}**" for outcome, count in sorted(cases.items()) if count))
    )


def _safeguards(results: Results) -> Iterator[str]:
    reds = {name: red for result in results.tests.values() for name, red in result.reds.items()}
    yield from (f"| {safeguard} | {red} |" for safeguard, red in sorted(reds.items()))


def _counts(results: Results) -> Counter[str]:
    counts: Counter[str] = Counter()
    for result in results.tests.values():
        for what, count in result.counts.items():
            counts[what] += count
    return counts


if __name__ == "__main__":
    PAGE.write_text(page(showing_tests(), Results.read()))
