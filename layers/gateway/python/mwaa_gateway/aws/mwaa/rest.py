"""Amazon MWAA over InvokeRestApi: one signed call per run, and no token.

MWAA waits ten seconds for Airflow, and accepts ten calls a second per environment from all callers together. Two of its
errors are Airflow's own: RestApiClientException (4xx) and RestApiServerException (5xx). Both arrive as HTTP 400, which
botocore takes for a refused request. Here a 5xx counts as what it is: perhaps done.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
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

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.dialect import EXCLUDE_STALE, LOGICAL_DATE_FIELD, LOGICAL_DATE_FILTER, Dialect
from mwaa_gateway.airflow.import_errors import BrokenFiles, ImportErrors
from mwaa_gateway.airflow.rest import (
    RestAnswer,
    RestCall,
    import_errors_call,
    list_call,
    look_up_by_date_call,
    look_up_calls,
    read_import_errors,
    read_list,
    read_look_up,
    read_look_up_by_date,
    read_trigger,
    trigger_call,
)
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.transports import REST
from mwaa_gateway.trigger_request import ResolvedTarget

if TYPE_CHECKING:
    from mypy_boto3_mwaa import MWAAClient

CALLS_PER_SECOND = 10  # per environment, from all callers together
# A little longer than MWAA itself waits, and no retry inside botocore: the first try may have started the run. A trigger
# that hangs and a look-up that hangs twice take 45 s of the dispatcher's 90.
REST_CLIENT_CONFIG = Config(
    connect_timeout=3, read_timeout=12, retries={"mode": "standard", "total_max_attempts": 1}
)
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


LISTED_WITHIN_SECONDS = 25.0  # about 7,000 DAGs at three calls a second; a dispatcher has 90 s for everything


class Pace:
    """Keeps a dispatcher to its share of the calls: `dispatchers` of them run at once, without knowing each other.

    In no second does it make more calls than the whole part of its share: otherwise three sandboxes could make twelve.
    """

    def __init__(
        self,
        dispatchers: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.seconds = 1 / max(1, CALLS_PER_SECOND // dispatchers)
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = monotonic()

    def wait(self) -> None:
        """Block until the next call is allowed."""
        now = self._monotonic()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self.seconds


class RestTransport:
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
        self._client = client
        self._environment = environment
        self._pace = pace
        self._monotonic = monotonic
        self._dialect = Dialect()
        self._import_errors = ImportErrors(self._list_import_errors, monotonic=monotonic)
        self.server_date = ""  # the Date header of MWAA's last response

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""

        def start(dated: bool) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:  # noqa: FBT001  as the dialect asks
            call = trigger_call(target, logical_date=dated)
            return self.ask(call) if isinstance(call, RestCall) else call

        answer = self._dialect.send(LOGICAL_DATE_FIELD, start)
        outcome = read_trigger(answer, target) if isinstance(answer, RestAnswer) else answer
        return (
            self._import_errors.explain(outcome, target.dag_id) if isinstance(outcome, Rejected) else outcome
        )

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Look up the run by its run_id. A call without a clear answer is made once more: it changes nothing."""
        outcome: Outcome = OutcomeUnknown(Reason.UNCLEAR_ANSWER, "no call was made")
        for call in look_up_calls(target):
            outcome = self._look(call, target)
            if isinstance(outcome, OutcomeUnknown):
                outcome = self._look(call, target)
            if not _is_not_there(outcome):
                return outcome
        if target.logical_date is None:
            return outcome
        by_date = self._look_by_date(target)
        return self._look_by_date(target) if isinstance(by_date, OutcomeUnknown) else by_date

    def _look_by_date(self, target: ResolvedTarget) -> Outcome:
        answer = self._dialect.send(
            LOGICAL_DATE_FILTER, lambda newer: self.ask(look_up_by_date_call(target, newer=newer))
        )
        return read_look_up_by_date(answer, target) if isinstance(answer, RestAnswer) else answer

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        """List the DAGs page by page; `NotListed` if a page is missing, or if it takes too long."""
        listed = self.ask_for_list()
        return NotListed(listed.text) if isinstance(listed, Retryable | OutcomeUnknown) else listed

    def ask_for_list(self) -> tuple[ListedDag, ...] | NotListed | Retryable | OutcomeUnknown:
        """List the DAGs; on failure return the reason too."""
        until = self._monotonic() + LISTED_WITHIN_SECONDS
        dags: list[ListedDag] = []
        while self._monotonic() < until:
            page = self._list_page(len(dags))
            if not isinstance(page, tuple):
                page = self._list_page(len(dags))  # it changes nothing
            if not isinstance(page, tuple):
                return page
            listed, total = page
            dags += listed
            if not listed or len(dags) >= total:
                return tuple(dags)
        return NotListed(f"only {len(dags)} DAGs were listed in {LISTED_WITHIN_SECONDS:.0f} s")

    def _list_page(
        self, offset: int
    ) -> tuple[tuple[ListedDag, ...], int] | NotListed | Retryable | OutcomeUnknown:
        answer = self._dialect.send(
            EXCLUDE_STALE, lambda newer: self.ask(list_call(offset, exclude_stale=newer))
        )
        return read_list(answer) if isinstance(answer, RestAnswer) else answer

    def _list_import_errors(self) -> BrokenFiles | NotListed | Retryable | OutcomeUnknown:
        answer = self.ask(import_errors_call())
        return read_import_errors(answer) if isinstance(answer, RestAnswer) else answer

    def _look(self, call: RestCall, target: ResolvedTarget) -> Outcome:
        answer = self.ask(call)
        return read_look_up(answer, target) if isinstance(answer, RestAnswer) else answer

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


def _is_not_there(outcome: Outcome) -> bool:
    return isinstance(outcome, Retryable) and outcome.reason is Reason.RUN_NOT_THERE


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
