"""One real Airflow after the other behind the local MWAA, and a table of versions and cases at the end.

AIRFLOW_VERSIONS="2.7.2 3.0.6"  which ones; all that MWAA offers if it is not set
KEEP_AIRFLOW=1                  leave the installations that this run makes in .venvs
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_versions import dag_files
from airflow_versions.real_airflow import RealAirflow, started
from local_stack.mwaa.airflow_install import InstallError, ensure_airflow
from local_stack.mwaa.versions import AirflowVersion, known_versions

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".venvs"
CHOSEN = os.environ.get("AIRFLOW_VERSIONS", "").split() or list(known_versions())
TRANSPORTS = ("cli", "rest", "web")
RESULTS = pytest.StashKey[dict[tuple[str, str], list[str]]]()


@pytest.fixture(scope="session", params=CHOSEN)
def version(request: pytest.FixtureRequest) -> Iterator[AirflowVersion]:
    """Each chosen version, installed; a version that cannot be is an error of all its cases."""
    chosen = AirflowVersion.parse(request.param)
    venv = VENVS / f"airflow-{chosen.text}"
    was_there = venv.exists()
    try:
        ensure_airflow(chosen, venvs=VENVS, uv=VENVS / "uv" / "bin" / "uv")
    except InstallError as error:
        pytest.fail(f"NOT INSTALLED: {error}", pytrace=False)
    yield chosen
    if not was_there and not os.environ.get("KEEP_AIRFLOW"):
        shutil.rmtree(venv)


@pytest.fixture(scope="session")
def airflow(version: AirflowVersion, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    """That Airflow, running, with DAGs in every condition a DAG can be in."""
    folder = tmp_path_factory.mktemp(f"airflow-{version.text}")
    dag_files.write(folder / "dags")
    with started(version, folder, venvs=VENVS) as running:
        dag_files.ruin(folder / "dags")
        running.wait_until_ruined()
        yield running


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, airflow: RealAirflow) -> Iterator[str]:
    """Each of the gateway's ways to it, without faults before and after."""
    yield request.param
    airflow.control.clear_faults()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the table."""
    config.stash[RESULTS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what each case came to on its version."""
    report = yield
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if "version" in parameters and (report.when == "call" or report.failed):
        case = item.function.__name__.removeprefix("test_").replace("_", " ")
        transport = parameters.get("transport", "both")
        seen = "passed" if report.passed else "FAILED" if report.when == "call" else "ERROR"
        shown = item.config.stash[RESULTS].setdefault((f"{case} ({transport})", parameters["version"]), [])
        shown.append(seen)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table: a row for each case, a column for each version."""
    results = config.stash[RESULTS]
    cases = list(dict.fromkeys(case for case, _ in results))
    versions = [version for version in CHOSEN if any(version == seen for _, seen in results)]
    if not cases:
        return
    width = max(map(len, cases))
    terminalreporter.section("Airflow versions")
    terminalreporter.line(" ".join([" " * width, *(f"{version:>7}" for version in versions)]))
    for case in cases:
        cells = [_cell(results.get((case, version), [])) for version in versions]
        terminalreporter.line(" ".join([f"{case:<{width}}", *(f"{cell:>7}" for cell in cells)]))


def _cell(seen: list[str]) -> str:
    worst = [word for word in ("ERROR", "FAILED", "passed") if word in seen]
    return {"passed": "ok"}.get(worst[0], worst[0]) if worst else "-"
