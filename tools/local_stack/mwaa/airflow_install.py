"""One virtual environment per Airflow version, installed with uv from a locked and hashed requirement file.

    python -m local_stack.mwaa.airflow_install --uv .venvs/uv/bin/uv 3.3.1 2.11.2   # install
    python -m local_stack.mwaa.airflow_install --uv .venvs/uv/bin/uv --lock 3.3.1   # lock anew

The environments are apart from the project's own: Airflow pins half of PyPI. A lock file holds for every
Python the version runs on, and names no index: whichever one uv is configured with is used.
"""

import argparse
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from local_stack.mwaa.versions import AirflowVersion, python_minor

LOCK_FILES: Final = Path(__file__).parent.parent / "airflow"
# Constraints that a version does not declare: flask-session 0.6 came three days before 2.8.1, and breaks `db migrate`.
_UNSAID: Final = {"2.8.1": ["flask-session<0.6"]}
_BUILDS: Final = LOCK_FILES / "build.constraints"
Progress = Callable[[str], None]
_INSTALLED: Final = "installed"  # a file in the environment: the hash of the lock file it was made from


class InstallError(Exception):
    """An Airflow cannot be installed on this machine; the message says why and what to do."""


def ensure_airflow(version: AirflowVersion, *, venvs: Path, uv: Path, progress: Progress = print) -> Path:
    """Return the Python of `venvs/airflow-<version>`, installing it first unless it is there as locked.

    Safe to call from several processes at once: one installs, the others wait. Raises InstallError.
    """
    requirements = LOCK_FILES / f"{version.text}.txt"
    if not requirements.exists():
        raise InstallError(
            f"There is no lock file for Airflow {version.text} yet. "
            f"Write it with: python -m local_stack.mwaa.airflow_install --lock {version.text}"
        )
    venv = venvs.absolute() / f"airflow-{version.text}"
    python = venv / "bin" / "python"
    locked = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if _installed(venv) == locked:
        return python
    with _only_one_process(venvs / f"airflow-{version.text}.lock"):
        if _installed(venv) == locked:  # by a process that was faster
            return python
        base = find_python(version)
        progress(f"Installing Airflow {version.text} with {base}")
        _run([uv, "venv", "--quiet", "--clear", "--python", base, venv], version)
        install: list[str | Path] = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", python]
        _run([*install, "--build-constraints", _BUILDS, "--requirements", requirements], version)
        # Written last, so that an interrupted installation does not count as complete.
        (venv / _INSTALLED).write_text(locked)
    return python


def find_python(version: AirflowVersion) -> str:
    """Return a Python that the version supports, MWAA's own if it is installed. Raises InstallError."""
    for minor in version.python_minors:
        for candidate in _candidates(minor):
            if _minor_of(candidate) == minor:
                return candidate
    raise InstallError(
        f"Airflow {version.text} runs on Python {version.pythons}, and none of them is on this machine "
        f"(running: {sys.version_info.major}.{sys.version_info.minor}). "
        f"Install one so that `python3.{version.mwaa_python}` is found on PATH, or choose another Airflow."
    )


def write_lock(version: AirflowVersion, *, uv: Path) -> Path:
    """Resolve the version's dependencies as of its release into its lock file; returns that file's path.

    MWAA's Airflow has boto3, and so has this one: tasks and callbacks of DAGs call AWS with it.
    Of the hashes of a package those are kept that can be needed: on Linux and macOS, on a Python the version runs on.
    """
    lock_file = LOCK_FILES / f"{version.text}.txt"
    wanted = [f"apache-airflow=={version.text}", "boto3", *_UNSAID.get(version.text, [])]
    options = [
        "--universal",
        "--python-version=3.11",
        f"--exclude-newer={version.newest_dependency}",
        "--generate-hashes",
        "--no-annotate",
        "--no-header",
    ]

    def compiled(form: str) -> str:
        command = [str(uv), "pip", "compile", "--quiet", "-", *options, f"--format={form}"]
        done = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=False)
        if done.returncode:
            raise InstallError(f"uv could not resolve {' and '.join(wanted)}:\n{done.stderr}")
        return done.stdout

    needed = needed_hashes(tomllib.loads(compiled("pylock.toml")), version)
    also = "".join(f" (and {each})" for each in wanted[1:])
    header = f"# Generated: echo {wanted[0]} | uv pip compile - {' '.join(options)}{also}\n"
    lock_file.write_text(header + with_hashes(compiled("requirements.txt"), needed))
    return lock_file


def needed_hashes(pylock: dict[str, Any], version: AirflowVersion) -> set[str]:
    """Return the hashes of the files that an installation may use: wheels, and the source where no wheel fits all."""
    needed = set()
    for package in pylock["packages"]:
        wheels = {
            wheel["url"].rpartition("/")[2]: wheel["hashes"]["sha256"] for wheel in package.get("wheels", ())
        }
        fitting = {name: sha256 for name, sha256 in wheels.items() if _fits(name, version)}
        needed |= set(fitting.values())
        if "sdist" in package and not any(name.endswith("-none-any.whl") for name in fitting):
            needed.add(package["sdist"]["hashes"]["sha256"])
    return needed


def with_hashes(requirements: str, needed: set[str]) -> str:
    """Return the requirements with the hashes in `needed` alone; one that would have none keeps all its hashes."""
    kept = []
    for requirement in re.split(r"(?m)^(?=\S)", requirements)[1:]:
        pin, *hashes = re.split(r" \\\n +", requirement.strip())
        fitting = [each for each in hashes if each.removeprefix("--hash=sha256:") in needed]
        kept.append(" \\\n    ".join([pin, *(fitting or hashes)]) + "\n")
    return "".join(kept)


def _fits(wheel: str, version: AirflowVersion) -> bool:
    """Whether a wheel, by the tags in its file name, can be installed on Linux or macOS on one of the version's Pythons."""
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    pythons = {f"cp3{minor}" for minor in version.python_minors}
    if abi != "abi3" and not pythons.intersection(python.split(".")) and "py3" not in python.split("."):
        return False
    if (
        abi.endswith("t") or "musllinux" in platform
    ):  # free-threaded Python; what is not glibc builds from source
        return False
    return platform == "any" or platform.endswith(("x86_64", "aarch64", "arm64", "universal2"))


def _installed(venv: Path) -> str:
    """The hash of the lock file an environment was made from; empty if there is none, or its Python is gone."""
    try:
        return (venv / _INSTALLED).read_text() if (venv / "bin" / "python").exists() else ""
    except OSError:
        return ""


@contextmanager
def _only_one_process(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system when the process ends, however it ends
        yield


def _candidates(minor: int) -> Iterator[str]:
    if sys.version_info.minor == minor:
        yield str(getattr(sys, "_base_executable", sys.executable))
    found = shutil.which(f"python3.{minor}")
    if found:
        yield found
    # pyenv's shims refuse versions that are not selected; the interpreters themselves work.
    yield from map(
        str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"), reverse=True)
    )


def _minor_of(python: str) -> int | None:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    return python_minor(done.stdout) if done.returncode == 0 else None


def _run(command: list[str | Path], version: AirflowVersion) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InstallError(f"There is no uv at {command[0]}; name the uv to use") from error
    if done.returncode:
        raise InstallError(
            f"Airflow {version.text} could not be installed; `{command[0]} {command[1]}` said:\n{done.stderr}"
        )


def main() -> None:
    """Install, or lock anew, the versions named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("versions", nargs="+", metavar="VERSION", type=AirflowVersion.parse)
    parser.add_argument(
        "--uv", type=Path, default=Path("uv"), help="the uv to use (default: the one on PATH)"
    )
    parser.add_argument(
        "--venvs", type=Path, default=Path(".venvs"), help="where the environments are (.venvs)"
    )
    parser.add_argument("--lock", action="store_true", help="write the lock file instead of installing")
    arguments = parser.parse_args()
    try:
        for version in arguments.versions:
            if arguments.lock:
                print(write_lock(version, uv=arguments.uv))
            else:
                print(ensure_airflow(version, venvs=arguments.venvs, uv=arguments.uv))
    except InstallError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
