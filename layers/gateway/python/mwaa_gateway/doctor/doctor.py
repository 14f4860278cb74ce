"""Checks an environment from the dispatchers' network: reports facts, which the operator's command judges.

    connect to each AWS endpoint ─▶ CLI token ─▶ connect to the web server ─▶ `dags list`
    connect to each AWS endpoint ─▶ `GET /dags` through InvokeRestApi                        (environments over REST)

Every call is fixed and read-only; the caller chooses one of the stack's environments and nothing else. The answer contains
names, outcomes, durations, and at most 500 characters of an error from Airflow; never a token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from mwaa_gateway.airflow.dag_list import ListedDag
from mwaa_gateway.dispatch.dag_catalog import DagCatalog
from mwaa_gateway.values import value

FORMAT: Final = 1  # of the answer, which commands of other versions read
LONGEST_LIST: Final = 20_000  # DAGs: a name has at most 250 characters, and Lambda returns at most 6 MB


@value
class NeededEndpoint:
    """An AWS service that functions in the VPC call: its name among VPC endpoint services, and botocore's."""

    service: str
    client: str
    host_prefix: str = ""  # botocore adds it to the host for the operations that the gateway calls
    tasks_only: bool = False  # only the run watcher calls it


# CreateCliToken, CreateWebLoginToken and InvokeRestApi are on `env.`; no function calls GetEnvironment, which is on `api.`.
# Lambda itself delivers logs and traces and assumes the role: no endpoint for CloudWatch Logs, X-Ray or STS is needed.
NEEDED_ENDPOINTS: Final = (
    NeededEndpoint("airflow.env", "mwaa", host_prefix="env."),
    NeededEndpoint("dynamodb", "dynamodb"),
    NeededEndpoint("sqs", "sqs"),
    NeededEndpoint("kms", "kms", tasks_only=True),
    NeededEndpoint("states", "stepfunctions", tasks_only=True),
)


@value
class Endpoint:
    """The endpoint of an AWS service, as this function's SDK resolves it."""

    service: str
    url: str


@value
class StepResult:
    """The result of one step: the outcome is `reached`, `ok`, or the name of the error."""

    outcome: str
    text: str = ""
    milliseconds: int = 0


@value
class Refusal:
    """Why MWAA or Airflow refused: the outcome is a `Reason`, `http_<status>` or `not_listed`."""

    outcome: str
    text: str


class Network(Protocol):
    """Connections from this function's subnets. Never raises."""

    def reach(self, url: str, ca_bundle: str = "") -> StepResult:
        """Connect, with TLS for https.

        The outcome is `reached`, `dns`, `timeout`, `refused`, `certificate`, `tls` or `failed`.
        """

    def reach_all(self, urls: Sequence[str]) -> list[StepResult]:
        """Connect to all in parallel."""


class DoctorAirflow(Protocol):
    """One environment's Airflow over its dispatcher's transport. Never raises for errors of Airflow or MWAA."""

    @property
    def transport(self) -> str:
        """`cli` or `rest`."""

    @property
    def server_time_offset(self) -> float | None:
        """By how many seconds the server's clock was ahead in its last answer; None if it sent no time."""

    def sign_in(self) -> str | Refusal:
        """Get the credentials of the next request; return the web server's URL, "" if no request goes there directly."""

    def list_dags(self) -> tuple[ListedDag, ...] | Refusal:
        """List all DAGs: one command, in one of the web server's slots, or several of ten calls a second."""


@value
class Doctor:
    """Checks one environment; `monotonic` and `now` return seconds."""

    endpoints: Sequence[Endpoint]
    network: Network
    airflow: DoctorAirflow
    ca_bundle: str
    monotonic: Callable[[], float]
    now: Callable[[], float]

    def examine(self, environment: str) -> Mapping[str, Any]:
        """Return the result of each step; omit steps that need a failed one."""
        found: dict[str, Any] = {
            "format": FORMAT,
            "environment": environment,
            "transport": self.airflow.transport,
        }
        reached = self.network.reach_all([endpoint.url for endpoint in self.endpoints])
        found["endpoints"] = [
            {"service": endpoint.service, **asdict(seen)}
            for endpoint, seen in zip(self.endpoints, reached, strict=True)
        ]
        mwaa_is_reachable = all(
            seen.outcome == "reached"
            for endpoint, seen in zip(self.endpoints, reached, strict=True)
            if endpoint.service == "airflow.env"
        )
        if mwaa_is_reachable:
            self._ask_airflow(found)
        return found

    def _ask_airflow(self, found: dict[str, Any]) -> None:
        begun = self.monotonic()
        web_server = self.airflow.sign_in()
        if isinstance(web_server, Refusal):
            found["token"] = self._step(begun, web_server)
            return
        if web_server:
            found["token"] = self._step(begun, None)
            reached = self.network.reach(web_server, self.ca_bundle)
            found["web_server"] = asdict(reached)
            if reached.outcome != "reached":
                return
        begun, asked_at = self.monotonic(), self.now()
        listed = self.airflow.list_dags()
        found["airflow"] = self._step(begun, listed if isinstance(listed, Refusal) else None)
        if self.airflow.server_time_offset is not None:
            found["server_time_offset_seconds"] = round(self.airflow.server_time_offset, 1)
        if not isinstance(listed, Refusal):
            found["dags"] = _dags(DagCatalog.of(listed, taken_at=asked_at))

    def _step(self, begun: float, refusal: Refusal | None) -> dict[str, Any]:
        milliseconds = round((self.monotonic() - begun) * 1000)
        if refusal is None:
            return asdict(StepResult("ok", milliseconds=milliseconds))
        return asdict(StepResult(refusal.outcome, refusal.text, milliseconds))


def _dags(catalog: DagCatalog) -> dict[str, Any]:
    """List the DAGs by name. If there are too many to return, list no runnable ones, and as many of the others as fit."""
    count = len(catalog.runnable) + len(catalog.paused) + len(catalog.stale)
    paused = sorted(catalog.paused)[:LONGEST_LIST]
    return {
        "taken_at": catalog.taken_at,
        "runnable": sorted(catalog.runnable) if count <= LONGEST_LIST else [],
        "paused": paused,
        "stale": sorted(catalog.stale)[: LONGEST_LIST - len(paused)],
        "count": count,
    }
