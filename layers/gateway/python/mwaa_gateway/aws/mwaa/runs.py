"""The run watcher's queries over each transport: implements `mwaa_gateway.airflow.port.AirflowRuns`.

Two requests have the run_id in their path: a task's return value, and marking a run failed. InvokeRestApi accepts 64
characters, and no Airflow command does either:

path within 64 characters, over InvokeRestApi ──▶ InvokeRestApi
anything else, so nearly always               ──▶ a web login: of the transport `web`, else if WebLoginRole allows one
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from mwaa_gateway.airflow import cli_runs as by_command
from mwaa_gateway.airflow import rest_runs as by_call
from mwaa_gateway.airflow.cli import CommandAnswer, look_up_command
from mwaa_gateway.airflow.dialect import DAG_ARGUMENT, RUN_AFTER_FIELD, STRINGIFY, Dialect
from mwaa_gateway.airflow.rest import RestAnswer, RestCall, fits_invoke_rest_api
from mwaa_gateway.airflow.run_states import (
    Marking,
    NotAvailable,
    ReturnValue,
    RunState,
    RunsUnknown,
    run_exists,
)
from mwaa_gateway.outcomes import OutcomeUnknown, Rejected, Retryable
from mwaa_gateway.trigger_request import ResolvedTarget

if TYPE_CHECKING:  # a function loads its own transport
    from mwaa_gateway.aws.mwaa.api import ApiTransport
    from mwaa_gateway.aws.mwaa.cli import CliTransport

_READ: Final = (
    "only a web login can read a task's return value: set the parameter WebLoginRole (Viewer is enough)"
)
_END: Final = "only a web login can end a run: set the parameter WebLoginRole to User"

_Answered = RestAnswer | NotAvailable | RunsUnknown


class Session(Protocol):
    """A logged-in session with Airflow; see `web_session`, which is imported only if it is used."""

    parameter: str

    def ask(self, call: RestCall) -> RestAnswer | Rejected | Retryable | OutcomeUnknown:
        """Make a call with a path of any length."""


class _Runs:
    """What both transports have in common."""

    def __init__(self, transport: "CliTransport | ApiTransport", session: Session | None) -> None:
        self._look_up = transport.look_up
        self._session = session
        self._dialect = Dialect()

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look up one run by its run_id."""
        return run_exists(self._look_up(_run(dag_id, run_id)))

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return the Airflow task's return value."""

        def read(as_json: bool) -> _Answered:  # noqa: FBT001  as the dialect asks
            return self._call(by_call.return_value_call(dag_id, run_id, task_id, as_json=as_json), _READ)

        try:
            answer = self._dialect.send(STRINGIFY, read)
        except ValueError as error:
            return NotAvailable(str(error))
        return by_call.read_return_value(answer) if isinstance(answer, RestAnswer) else answer

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it is running.

        Airflow marks any run as asked, even one that succeeded. So look at it first; in the fraction of a second between
        the two calls it may still end by itself.
        """
        try:
            look, mark = by_call.run_call(dag_id, run_id), by_call.fail_run_call(dag_id, run_id)
        except ValueError as error:
            return NotAvailable(str(error))
        answer = self._call(look, _END)
        found = by_call.read_run(answer) if isinstance(answer, RestAnswer) else answer
        if not isinstance(found, RunState) or found.end is not None:
            return found
        answer = self._call(mark, _END)
        return by_call.read_failed_run(answer) if isinstance(answer, RestAnswer) else answer

    def _call(self, call: RestCall, without_session: str) -> _Answered:
        if self._session is None:
            return NotAvailable(without_session)
        match answer := self._session.ask(call):
            case RestAnswer(HTTPStatus.FORBIDDEN):
                role = f"the Airflow role of {self._session.parameter}"
                return NotAvailable(f"{role} does not allow this call: {answer.summary()}")
            case RestAnswer():
                return answer
            case Rejected(text=text):
                return NotAvailable(text)
            case Retryable(text=text) | OutcomeUnknown(text=text):
                return RunsUnknown(text)


class CliRuns(_Runs):
    """Queries by Airflow command."""

    def __init__(self, transport: "CliTransport", session: Session | None = None) -> None:
        super().__init__(transport, session)
        self._transport = transport

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that exists, with one command."""
        answer = self._dialect.send(
            DAG_ARGUMENT,
            lambda newer: self._ask(by_command.list_runs_command(dag_id, since, dag_argument=newer)),
        )
        return answer if isinstance(answer, RunsUnknown) else by_command.read_runs(answer, set(run_ids))

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        answer = self._ask(look_up_command(_run(dag_id, run_id)))
        return answer if isinstance(answer, RunsUnknown) else by_command.read_failed_tasks(answer)

    def _ask(self, command: str) -> CommandAnswer | RunsUnknown:
        answer = self._transport.ask(command)
        return answer if isinstance(answer, CommandAnswer) else RunsUnknown(answer.text)


class RestRuns(_Runs):
    """Queries by calls of Airflow's REST API, a hundred runs of a DAG in one call."""

    def __init__(self, transport: "ApiTransport", session: Session | None = None) -> None:
        super().__init__(transport, session)
        self._transport = transport

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that exists, page by page until all are found."""
        found: dict[str, RunState] = {}
        offset, wanted, more = 0, set(run_ids), True
        while more and len(found) < len(wanted):
            page = self._page(dag_id, since, offset, wanted)
            if isinstance(page, RunsUnknown):
                return page
            states, more = page
            found.update(states)
            offset += by_call.RUNS_PER_CALL
        return found

    def _page(
        self, dag_id: str, since: float, offset: int, wanted: set[str]
    ) -> tuple[Mapping[str, RunState], bool] | RunsUnknown:
        answer = self._dialect.send(
            RUN_AFTER_FIELD,
            lambda newer: self._ask(by_call.list_runs_call(dag_id, since, offset=offset, run_after=newer)),
        )
        return answer if isinstance(answer, RunsUnknown) else by_call.read_runs(answer, wanted)

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        answer = self._ask(by_call.failed_tasks_call(dag_id, run_id))
        return answer if isinstance(answer, RunsUnknown) else by_call.read_failed_tasks(answer)

    def _ask(self, call: RestCall) -> RestAnswer | RunsUnknown:
        answer = self._transport.ask(call)
        return answer if isinstance(answer, RestAnswer) else RunsUnknown(answer.text)

    def _call(self, call: RestCall, without_session: str) -> _Answered:
        if fits_invoke_rest_api(call):
            return self._ask(call)
        return super()._call(call, without_session)


def _run(dag_id: str, run_id: str) -> ResolvedTarget:
    """Return the run as the dispatcher's requests name it: to find it, they need neither environment nor conf."""
    return ResolvedTarget("", dag_id, run_id, {})
