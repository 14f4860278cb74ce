"""InvokeRestApi: MWAA's signed way to Airflow's own REST API, without a token or the web server's host name.

Documented by AWS: the request, the 64 characters of a path, ten calls a second, ten seconds for an answer, and that
Airflow's errors arrive as RestApiClientException or RestApiServerException, both with status 400. Confirmed nowhere, so
our guess: the texts, the status of a throttled call (429), and that a call which takes too long is a server exception
with 504 while Airflow continues it.
"""

import json
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any, Final

import requests

from local_stack.mwaa.airflow_api import Call
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faulty import answered_or_not
from local_stack.mwaa.http_server import Answer, Request
from local_stack.mwaa.permissions import api_error

LONGEST_PATH: Final = 64
_METHODS: Final = ("GET", "PUT", "POST", "PATCH", "DELETE")


def parse_call(document: Any) -> Call:
    """Read a request's body. Raises ValueError in the words of AWS's validation."""
    if not isinstance(document, dict):
        raise ValueError("1 validation error detected: the request must be a JSON object")  # noqa: TRY004
    path, method = document.get("Path"), document.get("Method")
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError(f"1 validation error detected: Value {path!r} at 'path' is not a path")
    if len(path) > LONGEST_PATH:
        raise ValueError(
            f"1 validation error detected: Value '{path}' at 'path' failed to satisfy constraint: "
            f"Member must have length less than or equal to {LONGEST_PATH}"
        )
    if method not in _METHODS:
        raise ValueError(
            f"1 validation error detected: Value '{method}' at 'method' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_METHODS)}]"
        )
    return Call(method, path, document.get("QueryParameters"), document.get("Body"))


class RestApi:
    """Answers the calls for one environment whose caller is known to be allowed some of Airflow's roles."""

    def __init__(self, environment: Environment, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._environment = environment
        self._sleep = sleep

    def respond(self, request: Request, roles: Collection[str]) -> Answer:
        """Forward the call to Airflow, or apply an active fault. Raises NoAnswer."""
        environment = self._environment
        environment.count.add("rest call")
        if not environment.throttle.admits():
            environment.count.add("throttled")
            return api_error(HTTPStatus.TOO_MANY_REQUESTS, "ThrottlingException", "Rate exceeded")
        try:
            call = parse_call(json.loads(request.body or b"null"))
        except ValueError as error:
            return api_error(HTTPStatus.BAD_REQUEST, "ValidationException", str(error))
        if not call.allowed_to(roles):
            return _airflow_error(HTTPStatus.FORBIDDEN, {"detail": "Forbidden"})
        return answered_or_not(
            environment,
            lambda: self._hand_on(call),
            busy=_airflow_error(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "Service Unavailable"}),
            # Of the session that MWAA opens with Airflow.
            refused=_airflow_error(HTTPStatus.UNAUTHORIZED, {"detail": "Invalid JWT token"}),
            broken=_airflow_error(HTTPStatus.INTERNAL_SERVER_ERROR, {"message": "Internal Server Error"}),
        )

    def _hand_on(self, call: Call) -> Answer:
        try:
            answer = call.hand_on(self._environment, sleep=self._sleep)
        except requests.Timeout:
            return _airflow_error(HTTPStatus.GATEWAY_TIMEOUT, {"message": "Endpoint request timed out"})
        except requests.RequestException as error:
            return _airflow_error(HTTPStatus.BAD_GATEWAY, {"message": type(error).__name__})
        content = _document(answer)
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            return _airflow_error(answer.status_code, content)
        return Answer.json(
            HTTPStatus.OK, {"RestApiStatusCode": answer.status_code, "RestApiResponse": content}
        )


def _document(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _airflow_error(status: int, content: Any) -> Answer:
    """An error of Airflow as MWAA returns it: always with status 400."""
    code = (
        "RestApiServerException" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "RestApiClientException"
    )
    return Answer.json(
        HTTPStatus.BAD_REQUEST,
        {"RestApiStatusCode": int(status), "RestApiResponse": content},
        {"x-amzn-errortype": code},
    )
