"""Amazon MWAA over a web login: Airflow's own REST API, without InvokeRestApi's limits of calls, path and time."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mwaa_gateway.airflow.rest import RestAnswer, RestCall, look_up_call
from mwaa_gateway.aws.mwaa.api import ApiTransport
from mwaa_gateway.outcomes import OutcomeUnknown, Rejected, Retryable
from mwaa_gateway.transports import WEB
from mwaa_gateway.trigger_request import ResolvedTarget

if TYPE_CHECKING:
    from mwaa_gateway.aws.mwaa.web_session import WebSession

# A slow login, a start that hangs and a lookup that hangs twice take 70 s of the dispatcher's 90.
START_SECONDS: Final = 20.0


class WebTransport(ApiTransport):
    """Implements `airflow.port.Airflow` with calls of Airflow's REST API in a web login's session."""

    name = WEB

    def __init__(self, session: "WebSession", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic)
        self.session = session

    def close(self) -> None:
        """Close the session's connections; the login stays."""
        self.session.close()

    def sign_in(self) -> str | Retryable:
        """Log in unless there is a session; return the web server's host, or why there is no session."""
        return self.session.sign_in()

    def ask(self, call: RestCall) -> RestAnswer | Retryable | OutcomeUnknown:
        """Make a call; return Airflow's answer, or why there is none."""
        answer = self.session.ask(call)
        self.server_date = self.session.server_date
        return OutcomeUnknown(answer.reason, answer.text) if isinstance(answer, Rejected) else answer

    def _start(self, call: RestCall) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:
        return self.session.ask(call, within_seconds=START_SECONDS)

    def look_up_calls(self, target: ResolvedTarget) -> tuple[RestCall, ...] | Rejected:
        """Return the one call that reads the run by its run_id."""
        call = look_up_call(target)
        return call if isinstance(call, Rejected) else (call,)
