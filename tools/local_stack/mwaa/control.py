"""The client of the local MWAA's control paths: faults on and off, and what was counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from local_stack.mwaa.faults import Faults


class ControlError(Exception):
    """The local MWAA refused a request; the message says why."""


@dataclass(frozen=True, slots=True)
class ControlClient:
    """A client of the local MWAA at `endpoint_url` (`mwaa_endpoint_url` in `mwaa-gateway local status`)."""

    endpoint_url: str

    def set_faults(self, faults: Faults, *, environment: str | None = None) -> dict[str, Any]:
        """Switch faults on for one environment or all, each with its own sequence; returns what is on."""
        return self._ask("PUT", "faults", environment, faults.document())

    def clear_faults(self, *, environment: str | None = None) -> dict[str, Any]:
        """Switch all faults off for one environment or all; returns what is on now."""
        return self._ask("DELETE", "faults", environment)

    def faults(self, *, environment: str | None = None) -> dict[str, Any]:
        """Return the faults switched on, by environment."""
        return self._ask("GET", "faults", environment)

    def set_status(self, status: str, *, environment: str | None = None) -> dict[str, Any]:
        """Make GetEnvironment report this status for one environment or all."""
        return self._ask("PUT", "status", environment, {"status": status})

    def statistics(self, *, environment: str | None = None) -> dict[str, Any]:
        """Return what was counted, by environment; see `Environment.statistics`."""
        return self._ask("GET", "statistics", environment)

    def clear_statistics(self, *, environment: str | None = None) -> dict[str, Any]:
        """Reset the counts."""
        return self._ask("DELETE", "statistics", environment)

    def _ask(
        self, method: str, what: str, environment: str | None, document: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        query = {} if environment is None else {"environment": environment}
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands between this machine and itself
            url = f"{self.endpoint_url}/control/{what}"
            try:
                answer = session.request(method, url, params=query, json=document, timeout=10)
            except requests.RequestException as error:
                raise ControlError(
                    f"The local MWAA does not answer at {self.endpoint_url}: {error}"
                ) from error
        if answer.status_code == HTTPStatus.BAD_REQUEST:
            raise ControlError(answer.json()["message"])
        if not answer.ok:
            raise ControlError(f"The local MWAA answered {answer.status_code}: {answer.text}")
        answered: dict[str, Any] = answer.json()
        return answered
