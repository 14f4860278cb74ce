"""Amazon MWAA over InvokeRestApi: one signed call per run, and no token.

MWAA waits ten seconds for Airflow, and accepts ten calls a second per environment from all callers together. Two of its
errors are Airflow's own: RestApiClientException (4xx) and RestApiServerException (5xx). Both arrive as HTTP 400, which
botocore takes for a refused request. Here a 5xx counts as what it is: perhaps done.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    SSLError,
)

from mwaa_gateway.airflow.ids import LONGEST_REST_DAG_ID
from mwaa_gateway.airflow.rest import (
    RestAnswer,
    RestCall,
    short_look_up_calls,
    too_long_for_invoke_rest_api,
)
from mwaa_gateway.aws.mwaa.api import ApiTransport
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Retryable
from mwaa_gateway.transports import REST
from mwaa_gateway.trigger_request import ResolvedTarget

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

# A little longer than MWAA itself waits, and no retry inside botocore: the first try may have started the run. A trigger
# that hangs and a look-up that hangs twice take 45 s of the dispatcher's 90.
REST_CLIENT_CONFIG = Config(
    connect_timeout=3, read_timeout=12, retries={"mode": "standard", "total_max_attempts": 1}
)
_MWAA_CALLS_PER_SECOND = 10
_SAVED_SECONDS = 1.0  # of its share, by an idle sandbox
_FASTER = 1.25
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
# MWAA's answer for an environment without the update that brought InvokeRestApi; its error code is not documented.
# https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html
_TOO_OLD = "update your environment to use invokerestapi"
_UNSENT = (  # no connection, or no request to send over it
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)


class Pace:
    """Keeps a sandbox to its part of the gateway's share of the calls.

    MWAA accepts ten calls a second per environment from all callers together. The sandboxes do not know each other, so each
    of `sandboxes` has the same part of `calls_per_second`: a token bucket that saves the calls of one second. It fills while
    the last calls of a batch are on their way and the next batch is fetched. So that no burst follows, what is saved is
    spent a quarter faster than the share, and never faster than MWAA accepts calls.
    """

    def __init__(
        self,
        calls_per_second: float,
        sandboxes: int = 1,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.calls_per_second = calls_per_second / sandboxes
        # Seconds between two calls at least
        self._shortest = sandboxes / min(_FASTER * calls_per_second, _MWAA_CALLS_PER_SECOND)
        self._monotonic = monotonic
        self._sleep = sleep
        self._after_last = self._even = monotonic()
        self._lock = Lock()

    def wait(self) -> None:
        """Block until the next call is allowed; threads wait side by side, and each gets a time of its own."""
        with self._lock:
            now = self._monotonic()
            at = max(now, self._after_last, self._even - _SAVED_SECONDS)
            self._after_last = at + self._shortest
            # Where the next call would be if every call kept to the share
            self._even = max(self._even, at) + 1 / self.calls_per_second
        if at > now:
            self._sleep(at - now)


class RestTransport(ApiTransport):
    """Implements `airflow.port.Airflow` with Airflow's REST API through MWAA.

    `client` must use `REST_CLIENT_CONFIG`.
    """

    name = REST

    def __init__(
        self,
        client: "MWAAClient",
        environment: str,
        pace: Pace,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(monotonic)
        self._client = client
        self._environment = environment
        self._pace = pace

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""
        if len(target.dag_id) > LONGEST_REST_DAG_ID:
            return too_long_for_invoke_rest_api(target)
        return super().trigger(target)

    def look_up_calls(self, target: ResolvedTarget) -> tuple[RestCall, ...]:
        """Return calls whose paths are short enough."""
        return short_look_up_calls(target)

    def close(self) -> None:
        """Close the client's connections; the next call opens one."""
        self._client.close()

    def sign_in(self) -> str:
        """Do nothing: InvokeRestApi needs no sign-in, and no request goes to the web server directly."""
        return ""

    def ask(self, call: RestCall) -> RestAnswer | Retryable | OutcomeUnknown:
        """Make a call; return Airflow's answer, or why there is none."""
        documents: dict[str, Any] = {"QueryParameters": call.query, "Body": call.body}
        given = {name: document for name, document in documents.items() if document is not None}
        self._pace.wait()
        try:
            answer: Any = self._client.invoke_rest_api(
                Name=self._environment,
                Method=call.method,  # type: ignore[arg-type]
                Path=call.path,
                **given,
            )
        except ClientError as error:
            self._keep_date(error.response)
            return _error_answer(error)
        except Exception as error:  # noqa: BLE001  botocore's parser raises what is no BotoCoreError
            return _no_answer(error)
        self._keep_date(answer)
        return RestAnswer(answer.get("RestApiStatusCode"), answer.get("RestApiResponse"))

    def _keep_date(self, response: Any) -> None:
        self.server_date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")


def _error_answer(error: ClientError) -> RestAnswer | Retryable | OutcomeUnknown:
    """Classify an AWS error: Airflow's own answer, refused before Airflow was called, or perhaps done."""
    response: Any = error.response
    code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"InvokeRestApi: {code}: {message}"
    if _TOO_OLD in message.lower():
        remedy = "update the MWAA environment, or give it CLI tokens (<environment>=cli in the stack's parameter Transports)"
        return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"{text}. Until then its requests wait: {remedy}")
    if code in ("RestApiClientException", "RestApiServerException"):
        return _airflows_error(
            code, RestAnswer(response.get("RestApiStatusCode"), response.get("RestApiResponse"))
        )
    if code in _THROTTLED or status == HTTPStatus.TOO_MANY_REQUESTS:
        return Retryable(Reason.WEB_SERVER_BUSY, text)
    if (
        not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        or "timed out" in message.lower()
    ):
        return OutcomeUnknown(Reason.UNCLEAR_ANSWER, text)
    if code == "ValidationException":
        # AWS refuses this one call: no reason to open the circuit breaker.
        return Retryable(Reason.AIRFLOW_REFUSED, text)
    if code == "AccessDeniedException":
        needs = "The function's role needs airflow:InvokeRestApi here: see the stack's parameters Transports and RestApiRole"
        return Retryable(Reason.ACCESS_DENIED, f"{text}. {needs}")
    return Retryable(Reason.ENVIRONMENT_UNREACHABLE, text)


def _airflows_error(code: str, answer: RestAnswer) -> RestAnswer | OutcomeUnknown:
    """Trust the status inside an error only if it fits the error's name."""
    first = 500 if code == "RestApiServerException" else 400
    if answer.status is None or not first <= answer.status < first + 100:
        return OutcomeUnknown(Reason.UNCLEAR_ANSWER, f"InvokeRestApi: {code}: {answer.summary()}")
    return answer


def _no_answer(error: Exception) -> Retryable | OutcomeUnknown:
    """Classify a call without an answer: certainly not sent, or perhaps carried out."""
    text = f"{type(error).__name__} while talking to MWAA"
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"{text}: its certificate is not trusted")
    if isinstance(error, _UNSENT):
        return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"{text}: {error}")
    return OutcomeUnknown(Reason.UNCLEAR_ANSWER, text)
