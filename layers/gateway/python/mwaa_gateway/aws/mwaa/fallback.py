"""`web/rest` and `web/cli`: a web login, and another transport while the login is refused.

The choice is made before each request, by the login alone: no session, because MWAA refuses the token or the web server the
login. A request that was sent, and an environment that is unreachable or busy, never change the transport. So a request in
doubt is looked up first, over either transport: both ask the same Airflow.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.port import Airflow, AirflowRuns
from mwaa_gateway.airflow.run_states import Marking, NotAvailable, ReturnValue, RunState, RunsUnknown
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.outcomes import Outcome, Reason, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

LOGIN_AGAIN_SECONDS: Final = 60.0
_REFUSED: Final = (Reason.ACCESS_DENIED, Reason.TOKEN_REFUSED)

Way = TypeVar("Way")


class Choice(Generic[Way]):
    """The transport to use for the next request: `web` while there is a session or a login may succeed, else `fallback`.

    `report` gets the reason each time that the login is refused, once in `LOGIN_AGAIN_SECONDS` at most.
    """

    def __init__(
        self,
        session: WebSession,
        web: Way,
        fallback: Way,
        report: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self.web = web
        self._fallback = fallback
        self._report = report
        self._monotonic = monotonic
        self._refused_until = 0.0

    @property
    def both(self) -> tuple[Way, Way]:
        """The two transports."""
        return self.web, self._fallback

    def now(self) -> Way:
        """Return the transport for the next request; log in if there is no session."""
        if self._monotonic() < self._refused_until:
            return self._fallback
        login = self._session.sign_in()
        if not (isinstance(login, Retryable) and login.reason in _REFUSED):
            return self.web
        self._refused_until = self._monotonic() + LOGIN_AGAIN_SECONDS
        self._report(login.text)
        return self._fallback


class FallbackTransport:
    """Implements `airflow.port.Airflow` with the transport of the moment."""

    def __init__(self, choice: Choice[Airflow]) -> None:
        self._choice = choice

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""
        return self._choice.now().trigger(target)

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Look up the run by its run_id."""
        return self._choice.now().look_up(target)

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        """List the DAGs."""
        return self._choice.now().list_dags()

    def close(self) -> None:
        """Close the connections of both transports."""
        for transport in self._choice.both:
            transport.close()


class FallbackRuns:
    """Implements `airflow.port.AirflowRuns` with the transport of the moment."""

    def __init__(self, choice: Choice[AirflowRuns]) -> None:
        self._choice = choice

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that exists."""
        return self._choice.now().states(dag_id, run_ids, since)

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look up one run by its run_id."""
        return self._choice.now().run_exists(dag_id, run_id)

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        return self._choice.now().failed_tasks(dag_id, run_id)

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return the Airflow task's return value. Only a session can read it: the question waits for one."""
        return self._choice.web.return_value(dag_id, run_id, task_id)

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it is running. Only a session can do it: the request waits for one."""
        return self._choice.web.fail_run(dag_id, run_id)
