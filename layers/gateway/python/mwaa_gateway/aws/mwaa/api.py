"""What InvokeRestApi and a web session have in common: both make calls of Airflow's REST API."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.dialect import EXCLUDE_STALE, LOGICAL_DATE_FIELD, LOGICAL_DATE_FILTER, Dialect
from mwaa_gateway.airflow.import_errors import BrokenFiles, ImportErrors
from mwaa_gateway.airflow.rest import (
    RestAnswer,
    RestCall,
    import_errors_call,
    list_call,
    look_up_by_date_call,
    read_import_errors,
    read_list,
    read_look_up,
    read_look_up_by_date,
    read_trigger,
    trigger_call,
)
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

LISTED_WITHIN_SECONDS = 25.0  # about 7,000 DAGs at three calls a second; a dispatcher has 90 s for everything


class ApiTransport(ABC):
    """Implements `airflow.port.Airflow` with calls of Airflow's REST API, which a subclass makes."""

    name: str

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._dialect = Dialect()
        self._import_errors = ImportErrors(self._list_import_errors, monotonic=monotonic)
        self.server_date = ""  # the Date header of the last response

    @abstractmethod
    def sign_in(self) -> str | Retryable:
        """Get what the next call needs; return the web server's host, "" if no call goes there, or why it failed."""

    @abstractmethod
    def ask(self, call: RestCall) -> RestAnswer | Retryable | OutcomeUnknown:
        """Make a call; return Airflow's answer, or why there is none."""

    def _start(self, call: RestCall) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:
        """Make the call that starts a run."""
        return self.ask(call)

    @abstractmethod
    def look_up_calls(self, target: ResolvedTarget) -> tuple[RestCall, ...] | Rejected:
        """Return the calls that find the run by its run_id, in order; `Rejected` if none can be made."""

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""

        def start(dated: bool) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:  # noqa: FBT001  as the dialect asks
            call = trigger_call(target, logical_date=dated)
            return self._start(call) if isinstance(call, RestCall) else call

        answer = self._dialect.send(LOGICAL_DATE_FIELD, start)
        outcome = read_trigger(answer, target) if isinstance(answer, RestAnswer) else answer
        return (
            self._import_errors.explain(outcome, target.dag_id) if isinstance(outcome, Rejected) else outcome
        )

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Look up the run by its run_id. A call without a clear answer is made once more: it changes nothing."""
        outcome: Outcome = OutcomeUnknown(Reason.UNCLEAR_ANSWER, "no call was made")
        calls = self.look_up_calls(target)
        if isinstance(calls, Rejected):
            return calls
        for call in calls:
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


def _is_not_there(outcome: Outcome) -> bool:
    return isinstance(outcome, Retryable) and outcome.reason is Reason.RUN_NOT_THERE
