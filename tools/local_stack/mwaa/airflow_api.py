"""Airflow's own REST API behind MWAA: forwards a call, and says whether one of Airflow's roles may make it.

The local Airflow authenticates no caller. What a role may do is decided here, as coarsely as a gateway needs it: a Viewer
reads, a User, Op or Admin does everything, and Public nothing.
"""

import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import requests

from local_stack.mwaa.environment import Environment

ROLES: Final = (
    "Admin",
    "Op",
    "User",
    "Viewer",
    "Public",
)  # what a caller's policy may name, the mightiest first
_UNDERSTOOD: Final = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT)  # of a start
ANSWER_SECONDS: Final = 10.0  # as long as MWAA waits


@dataclass(frozen=True, slots=True)
class Call:
    """One call of Airflow's REST API; `path` without the `/api/v2` before it."""

    method: str
    path: str
    query: Any
    body: Any

    @property
    def only_reads(self) -> bool:
        """Whether it is allowed to a Viewer."""
        return self.method == "GET" or self.path.endswith("/list")

    def allowed_to(self, roles: Collection[str]) -> bool:
        """Return whether one of these Airflow roles allows the call."""
        return bool(set(roles) & {"Admin", "Op", "User"}) or ("Viewer" in roles and self.only_reads)

    def hand_on(
        self, environment: Environment, *, sleep: Callable[[float], None] = time.sleep
    ) -> requests.Response:
        """Send the call to Airflow, delayed as the faults say. Raises requests' exceptions."""
        sleep(environment.schedule.faults.latency_milliseconds / 1000)
        version = "v1" if environment.version.is_airflow_2 else "v2"
        few_at_once = nullcontext() if self.only_reads else environment.rest_writes
        with few_at_once, requests.Session() as session:
            session.trust_env = False  # no proxy stands between this machine and itself
            answer = session.request(
                self.method,
                f"{environment.airflow_url}/api/{version}{self.path}",
                params=self.query,
                json=self.body,
                timeout=ANSWER_SECONDS,
                allow_redirects=False,
            )
        if self.method == "POST" and self.path.endswith("/dagRuns") and answer.status_code in _UNDERSTOOD:
            environment.count.add("run start")
        return answer
