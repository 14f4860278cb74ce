"""REST calls whose path names a run: a task's return value, and marking a run failed.

path within InvokeRestApi's 64 characters ──▶ InvokeRestApi, if the environment uses that transport
longer, as nearly always                  ──▶ a web login, if the parameter WebLoginRole allows one
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mwaa_gateway.airflow import rest_runs as by_call
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.airflow.run_states import Marking, NotAvailable, ReturnValue, RunState, RunsUnknown

__all__ = ["RunCalls", "Session"]

_READ: Final = (
    "only a web login can read a task's return value: set the parameter WebLoginRole (Viewer is enough)"
)
_END: Final = "only a web login can end a run: set the parameter WebLoginRole to User"

Answered = RestAnswer | NotAvailable | RunsUnknown


class Session(Protocol):
    """A logged-in session with Airflow; see `web_session`, which is imported only if it is used."""

    def ask(self, call: RestCall) -> Answered:
        """Make a call with a path of any length."""
        ...


@dataclass(slots=True)
class RunCalls:
    """The part of `step_functions.watcher.Airflow` beyond either transport; `invoke` makes calls with short paths."""

    session: Session | None
    invoke: Callable[[RestCall], RestAnswer | RunsUnknown] | None = None
    _stringify: bool = False  # until this Airflow, older than 2.10, turns out to know nothing else

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return the Airflow task's return value."""
        answer = self._return_value(dag_id, run_id, task_id)
        if isinstance(answer, RestAnswer) and by_call.wants_stringify(answer):
            self._stringify = True
            answer = self._return_value(dag_id, run_id, task_id)
        return by_call.read_return_value(answer) if isinstance(answer, RestAnswer) else answer

    def _return_value(self, dag_id: str, run_id: str, task_id: str) -> Answered:
        try:
            call = by_call.return_value_call(dag_id, run_id, task_id, stringify=self._stringify)
        except ValueError as error:
            return NotAvailable(str(error))
        return self._ask(call, _READ)

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it is running.

        Airflow marks any run as asked, even one that succeeded. So look at it first; in the fraction of a second between
        the two calls it may still end by itself.
        """
        try:
            look, mark = by_call.run_call(dag_id, run_id), by_call.fail_run_call(dag_id, run_id)
        except ValueError as error:
            return NotAvailable(str(error))
        answer = self._ask(look, _END)
        found = by_call.read_run(answer) if isinstance(answer, RestAnswer) else answer
        if not isinstance(found, RunState) or found.end is not None:
            return found
        answer = self._ask(mark, _END)
        return by_call.read_failed_run(answer) if isinstance(answer, RestAnswer) else answer

    def _ask(self, call: RestCall, without_session: str) -> Answered:
        if self.invoke is not None and by_call.fits_invoke_rest_api(call):
            return self.invoke(call)
        return NotAvailable(without_session) if self.session is None else self.session.ask(call)
