"""Airflow versions and the choice of a Python for each."""

import hashlib
import subprocess
from datetime import date
from pathlib import Path

import pytest

from local_stack.mwaa import airflow_install
from local_stack.mwaa.airflow_install import (
    InstallError,
    ensure_airflow,
    find_python,
    needed_hashes,
    with_hashes,
)
from local_stack.mwaa.versions import AirflowVersion, known_versions, python_minor


def test_a_version_mwaa_does_not_offer_is_refused_with_those_it_does() -> None:
    """The message is the way out."""
    with pytest.raises(ValueError, match=r"does not offer Airflow '3.3.2'; choose one of 2.7.2, .*3.3.1"):
        AirflowVersion.parse("3.3.2")


def test_a_python_that_the_version_runs_on_is_found() -> None:
    """The newest Airflow runs on whatever the project itself runs on."""
    newest = AirflowVersion.parse("3.3.1")
    python = find_python(newest)
    assert python_minor(subprocess.check_output([python, "--version"], text=True)) in newest.python_minors


def test_mwaas_own_python_comes_first() -> None:
    """3.11 up to Airflow 2.10, 3.12 from 2.11 on; then the newest that the version runs on."""
    assert AirflowVersion.parse("2.7.2").python_minors == [11]
    assert AirflowVersion.parse("2.10.3").python_minors == [11, 12]
    assert AirflowVersion.parse("3.3.1").python_minors == [12, 14, 13, 11]


def test_without_a_fitting_python_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not a stack trace of uv."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    nothing_runs_it = AirflowVersion("2.0.0", date(2020, 12, 17), mwaa_python=0, newest_python=0)
    with pytest.raises(InstallError, match="none of them is on this machine"):
        find_python(nothing_runs_it)


def test_a_version_without_a_lock_file_says_how_to_write_it(tmp_path: Path) -> None:
    """Nothing is installed that is not locked."""
    unlocked = AirflowVersion("9.9.9", date(2030, 1, 1), mwaa_python=14, newest_python=14)
    with pytest.raises(InstallError, match=r"--lock 9\.9\.9"):
        ensure_airflow(unlocked, venvs=tmp_path, uv=Path("uv"))


def test_a_missing_uv_is_named(tmp_path: Path) -> None:
    """And nothing is left behind that could be taken for an installation."""
    with pytest.raises(InstallError, match=r"There is no uv at .*/no-uv"):
        ensure_airflow(
            AirflowVersion.parse("3.3.1"), venvs=tmp_path, uv=tmp_path / "no-uv", progress=lambda _: None
        )
    assert [path.name for path in tmp_path.iterdir()] == ["airflow-3.3.1.lock"]


def test_a_fitting_installation_is_used_without_uv_and_without_writing(tmp_path: Path) -> None:
    """So the tests run without a network, and as another user than the one who installed."""
    version = AirflowVersion.parse("3.3.1")
    venv = tmp_path / "airflow-3.3.1"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    locked = hashlib.sha256((airflow_install.LOCK_FILES / "3.3.1.txt").read_bytes()).hexdigest()
    (venv / "installed").write_text(locked)
    assert ensure_airflow(version, venvs=tmp_path, uv=Path("no-uv")) == venv / "bin" / "python"
    assert [path.name for path in tmp_path.iterdir()] == ["airflow-3.3.1"]
    (venv / "installed").write_text("an older lock file")
    with pytest.raises(InstallError, match="There is no uv"):
        ensure_airflow(version, venvs=tmp_path, uv=Path("no-uv"), progress=lambda _: None)


@pytest.mark.parametrize(
    "lock_file", sorted(airflow_install.LOCK_FILES.glob("*.txt")), ids=lambda path: path.stem
)
def test_a_lock_file_is_complete_and_names_no_machine(lock_file: Path) -> None:
    """Every requirement is pinned with hashes; no index, no folder; the first line says how it came about."""
    text = lock_file.read_text()
    header, *lines = text.splitlines()
    assert lock_file.stem in known_versions()
    assert header.startswith(f"# Generated: echo apache-airflow=={lock_file.stem} | uv pip compile")
    assert f"apache-airflow=={lock_file.stem} \\" in lines
    assert "://" not in text
    pins = [line for line in lines if not line.startswith(" ")]
    assert all("==" in pin and pin.endswith("\\") for pin in pins)


def test_every_version_has_a_lock_file() -> None:
    """Each can be installed, the same today and tomorrow."""
    assert {path.stem for path in airflow_install.LOCK_FILES.glob("*.txt")} == set(known_versions())


def test_a_lock_file_keeps_the_hashes_that_can_be_needed() -> None:
    """Linux and macOS, Pythons the version runs on; the source where a machine may find no wheel; never none at all."""
    files = {
        "fast-1-cp311-cp311-manylinux_2_17_x86_64.whl": "kept: Linux",
        "fast-1-cp312-abi3-macosx_11_0_arm64.whl": "kept: macOS, stable ABI",
        "fast-1-cp310-cp310-manylinux_2_17_x86_64.whl": "an older Python",
        "fast-1-cp313-cp313t-manylinux_2_17_x86_64.whl": "free-threaded",
        "fast-1-cp311-cp311-win_amd64.whl": "Windows",
        "fast-1-cp311-cp311-musllinux_1_2_x86_64.whl": "musl",
        "fast-1-cp311-cp311-manylinux_2_17_s390x.whl": "another processor",
    }

    def package(wheels: dict[str, str], sdist: str) -> dict[str, object]:
        listed = [
            {"url": f"https://x/{name}", "hashes": {"sha256": digest}} for name, digest in wheels.items()
        ]
        return {"wheels": listed, "sdist": {"hashes": {"sha256": sdist}}}

    pure = package({"pure-1-py3-none-any.whl": "kept: pure"}, "no need of a source")
    pylock = {"packages": [package(files, "kept: source"), pure]}
    needed = needed_hashes(pylock, AirflowVersion.parse("3.3.1"))
    assert {"kept: Linux", "kept: macOS, stable ABI", "kept: source", "kept: pure"} == needed

    text = "a==1 \\\n    --hash=sha256:x \\\n    --hash=sha256:y\nb==2 ; os == 'w' \\\n    --hash=sha256:z\n"
    kept = "a==1 \\\n    --hash=sha256:y\nb==2 ; os == 'w' \\\n    --hash=sha256:z\n"
    assert kept == with_hashes(text, {"y"})


@pytest.mark.parametrize(
    ("text", "expected"), [("Python 3.12.1", 12), ("3.9", 9), ("Python 2.7.18", None), ("", None)]
)
def test_the_minor_version_is_read_from_what_python_says(text: str, expected: int | None) -> None:
    assert python_minor(text) == expected
