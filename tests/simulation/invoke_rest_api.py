"""InvokeRestApi: MWAA's signed way to Airflow's REST API, ten calls a second and ten seconds for an answer.

Airflow's own errors arrive as two exceptions, both with HTTP 400. What a call that takes too long looks like is documented
nowhere, so it is either of what it may be: an error of MWAA's, or silence until the client gives up.
"""

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from greenlet import getcurrent

from simulation import airflow_rest
from simulation.airflow_rest import Said
from simulation.mwaa import WebServer
from simulation.world import Crash, World

__all__ = ["InvokeRestApi"]

CALLS_PER_SECOND = 10
LONGEST_PATH = 64
MWAA_WAITS_SECONDS, CLIENT_WAITS_SECONDS = 10.0, 12.0  # the latter as REST_CLIENT_CONFIG has it
NORMAL_SECONDS = (0.05, 0.4)
SLOW_SECONDS = (8.0, 25.0)
ENDPOINT = "https://env.airflow.eu-west-1.amazonaws.com"


@dataclass
class InvokeRestApi:
    """The API before one environment's Airflow. A call that was started is carried out whatever becomes of its caller."""

    world: World
    server: WebServer
    seconds: tuple[float, float] = NORMAL_SECONDS
    throttled: int = 0
    left: float = CALLS_PER_SECOND
    filled_at: float = field(default=0.0)
    called_at: list[float] = field(default_factory=list)

    def invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer as the calling process sees it."""
        world, scheduler = self.world, self.world.scheduler
        crash = world.next_crash("InvokeRestApi")
        getcurrent().asked = True
        scheduler.wait(world.latency())
        if crash is Crash.BEFORE or self._kills(request):
            scheduler.kill()
        self._refuse(request)
        said: list[Said] = []
        seconds = self._start(request, said)
        if crash is Crash.DURING:
            scheduler.kill()
        silent = world.random.random() < 0.5  # if it takes too long
        patience = CLIENT_WAITS_SECONDS if silent else MWAA_WAITS_SECONDS
        scheduler.wait(min(seconds, patience))
        if crash is Crash.AFTER:
            scheduler.kill()
        if seconds > patience:
            world.faults["read timeout"] += 1
            if silent:
                raise ReadTimeoutError(endpoint_url=ENDPOINT)
            raise _airflow_error(Said(504, {"message": "Endpoint request timed out"}))
        return self._answer(said[0])

    def _answer(self, said: Said) -> dict[str, Any]:
        """Hand on what Airflow said, or what becomes of it on the way."""
        world = self.world
        if world.chance(world.rates.response_lost, "response lost"):
            raise ConnectionClosedError(endpoint_url=ENDPOINT)
        if world.chance(world.rates.web_server_error / 2, "web server error, applied"):
            raise self._server_error()
        if world.chance(world.rates.garbled / 2, "garbled answer"):
            return world.random.choice(
                (
                    {"RestApiStatusCode": 200, "RestApiResponse": "<html>200 OK</html>"},
                    {"RestApiStatusCode": 200, "RestApiResponse": {}},
                    {"RestApiResponse": said.document},
                    {},
                )
            )
        if said.status >= 400:
            raise _airflow_error(said)
        return {"RestApiStatusCode": said.status, "RestApiResponse": said.document}

    def _refuse(self, request: dict[str, Any]) -> None:
        """Raise what is answered before Airflow is asked, if anything."""
        world, name = self.world, self.server.airflow.environment
        if world.down(f"mwaa {name}"):
            world.faults["mwaa down"] += 1
            raise _aws_error("ServiceUnavailableException", 503, "updating")
        if not self._admitted():
            self.throttled += 1
            raise _aws_error("ThrottlingException", 429, "Rate exceeded")
        if len(request["Path"]) > LONGEST_PATH:
            raise _aws_error("ValidationException", 400, "1 validation error detected: Value at 'path'")
        if world.down(f"web server {name}"):
            world.faults["web server down"] += 1
            self.server.refused_away += 1
            raise self._unreachable()
        if world.chance(world.rates.token_refused, "token refused"):
            raise _airflow_error(Said(401, {"detail": "Invalid JWT token"}))  # of MWAA's session with Airflow
        if world.chance(world.rates.web_server_error / 2, "web server error, not applied"):
            raise self._server_error()

    def _admitted(self) -> bool:
        """A bucket of calls that fills up evenly."""
        now = self.world.scheduler.now
        self.called_at.append(now)
        self.left = min(CALLS_PER_SECOND, self.left + (now - self.filled_at) * CALLS_PER_SECOND)
        self.filled_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def _start(self, request: dict[str, Any], said: list[Said]) -> float:
        """Start the call; returns how long it will take. What Airflow said is in `said` at the end of that time."""
        world, server = self.world, self.server
        server.count_call(request)
        slow = world.chance(world.rates.slow_command, "slow command")
        low, high = SLOW_SECONDS if slow else self.seconds
        seconds = low + world.random.random() * (high - low)
        checked_at = world.scheduler.now + 0.80 * seconds

        def end() -> None:
            if world.chance(world.rates.garbled / 2, "command died"):
                said.append(Said(502, "<html>worker died</html>"))
            else:
                said.append(airflow_rest.answer(server.airflow, request, checked_at, world.scheduler.now))

        world.scheduler.after(seconds, end)
        return seconds

    def _kills(self, request: dict[str, Any]) -> bool:
        paths = (f"/dags/{dag_id}/dagRuns" for dag_id in self.server.killers)
        return request["Method"] == "POST" and request["Path"] in paths

    def _unreachable(self) -> Exception:
        match self.world.random.randrange(3):
            case 0:
                return EndpointConnectionError(endpoint_url=ENDPOINT)
            case 1:
                return ConnectionClosedError(endpoint_url=ENDPOINT)
            case _:
                return _airflow_error(Said(503, "<html>503</html>"))

    def _server_error(self) -> ClientError:
        """The answer does not say whether the call was carried out."""
        if self.world.random.random() < 0.3:
            return _aws_error("InternalServerException", 500, "something went wrong")
        status = self.world.random.choice((500, 502, 503, 504))
        return _airflow_error(Said(status, "<html>bad gateway</html>"))


def _airflow_error(said: Said) -> ClientError:
    """Airflow's own error, whichever it is: HTTP 400."""
    code = "RestApiServerException" if said.status >= 500 else "RestApiClientException"
    error = _aws_error(code, 400, "")
    error.response |= {"RestApiStatusCode": said.status, "RestApiResponse": said.document}
    return error


def _aws_error(code: str, status: int, message: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "InvokeRestApi")
