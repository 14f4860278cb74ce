"""The Airflow versions that MWAA offers and that can be installed here."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Self

DEFAULT_VERSION: Final = "3.3.1"

# When each version was released, the minor version of the Python that MWAA runs it on, and the newest it runs on.
_RELEASES: Final = {
    "2.7.2": (date(2023, 10, 12), 11, 11),
    "2.8.1": (date(2024, 1, 19), 11, 11),
    "2.9.2": (date(2024, 6, 10), 11, 12),
    "2.10.1": (date(2024, 9, 6), 11, 12),
    "2.10.3": (date(2024, 11, 5), 11, 12),
    "2.11.0": (date(2025, 5, 20), 12, 12),
    "2.11.2": (date(2026, 3, 14), 12, 12),
    "3.0.6": (date(2025, 8, 29), 12, 12),
    "3.2.1": (date(2026, 4, 22), 12, 14),
    "3.3.1": (date(2026, 8, 12), 12, 14),
}
_OLDEST_PYTHON: Final = 11  # the project's own
_AIRFLOW_2: Final = 2


@dataclass(frozen=True, slots=True)
class AirflowVersion:
    """One Airflow version that MWAA offers; make it with `parse`."""

    text: str
    released: date
    mwaa_python: int
    newest_python: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version written as `3.3.1`; raises ValueError, which lists the known versions."""
        if text not in _RELEASES:
            raise ValueError(f"MWAA does not offer Airflow {text!r}; choose one of {', '.join(_RELEASES)}")
        return cls(text, *_RELEASES[text])

    @property
    def major(self) -> int:
        """2 or 3: the major versions differ in commands, processes and user interface."""
        return int(self.text.split(".", 1)[0])

    @property
    def is_airflow_2(self) -> bool:
        """Whether it has the web server, DAG processing and settings that Airflow 3 removed."""
        return self.major == _AIRFLOW_2

    @property
    def newest_dependency(self) -> date:
        """Dependencies are resolved as of two weeks after the release, before later ones could break it."""
        return self.released + timedelta(days=14)

    @property
    def pythons(self) -> str:
        """The Python versions that it supports, as text."""
        return f"3.{_OLDEST_PYTHON} to 3.{self.newest_python}, on MWAA 3.{self.mwaa_python}"

    @property
    def python_minors(self) -> list[int]:
        """The minor versions of Python that it supports: MWAA's own first, then the others, newest first."""
        others = [
            minor for minor in range(self.newest_python, _OLDEST_PYTHON - 1, -1) if minor != self.mwaa_python
        ]
        return [self.mwaa_python, *others]


def known_versions() -> tuple[str, ...]:
    """Return every version that MWAA offers, oldest first within its major version."""
    return tuple(_RELEASES)


def python_minor(version: str) -> int | None:
    """The minor version in `3.12.1` or `Python 3.12.1`; None for anything that is not Python 3."""
    found = re.search(r"\b3\.(\d+)", version)
    return int(found[1]) if found else None
