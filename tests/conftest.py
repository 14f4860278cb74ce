"""`--guarantees`: run only the tests that show a row of the fault table, and keep what became of them.

`--keep-guarantees` keeps the same of a run of all tests.
"""

import gc
import os
from datetime import UTC, datetime

import pytest
from hypothesis import settings

from guarantees.tests import Result, Results, showing_tests
from mwaa_gateway import wiring

# Powertools reads these once, when the gateway's code is first imported, by whichever test that is.
os.environ |= {"POWERTOOLS_SERVICE_NAME": "gateway", "POWERTOOLS_METRICS_NAMESPACE": "MwaaTriggerGateway"}

# A Lambda sandbox starts without the collector; tests build functions again and again, so here it always works.
assert wiring
gc.enable()

# `make test` draws the same examples everywhere, and no example is red because the machine is busy. `make test-full` draws
# new ones each time (--hypothesis-profile=full) and prints how to repeat the one that fails.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("full", deadline=None, print_blob=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--guarantees", action="store_true", help="run what docs/guarantees.md names, and keep the results"
    )
    parser.addoption("--keep-guarantees", action="store_true", help="run everything, and keep those results")


def pytest_configure(config: pytest.Config) -> None:
    alone = config.getoption("--guarantees")
    if alone or config.getoption("--keep-guarantees"):
        config.pluginmanager.register(_Keeper(alone=alone), "guarantees")


class _Keeper:
    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self._showing = {test.node for test in showing_tests()}
        self._results: dict[str, Result] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if not self._alone:
            return
        wanted = [item for item in items if _function(item.nodeid) in self._showing]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = wanted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if _function(report.nodeid) not in self._showing:
            return
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
