"""`--guarantees`: run only the tests that show a row of the fault table, and keep what became of them."""

from datetime import UTC, datetime

import pytest

from guarantees.tests import Result, Results, showing_tests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--guarantees", action="store_true", help="run what docs/guarantees.md names, and keep the results"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--guarantees"):
        config.pluginmanager.register(_Keeper(), "guarantees")


class _Keeper:
    def __init__(self) -> None:
        self._showing = {test.node for test in showing_tests()}
        self._results: dict[str, Result] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        wanted = [item for item in items if _function(item.nodeid) in self._showing]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = wanted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and not report.passed):
            outcome = f"x{report.outcome}" if hasattr(report, "wasxfail") else report.outcome
            outcome = {"xskipped": "xfailed"}.get(outcome, outcome)
            self._results.setdefault(_function(report.nodeid), Result()).add(outcome, report.user_properties)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput") or not self._results:
            return
        kept = Results.read()
        kept.tests |= self._results
        kept.date = f"{datetime.now(UTC):%Y-%m-%d}"
        kept.write()


def _function(node: str) -> str:
    return node.partition("[")[0]
