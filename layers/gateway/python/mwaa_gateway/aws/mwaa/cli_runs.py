"""The run watcher's queries over CLI tokens: implements `mwaa_gateway.step_functions.watcher.Airflow`."""

from collections.abc import Mapping, Sequence

from mwaa_gateway.airflow import cli_runs as by_command
from mwaa_gateway.airflow.run_states import (
    Marking,
    NotAvailable,
    ReturnValue,
    RunState,
    RunsUnknown,
    run_exists,
)
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.run_calls import RunCalls, Session
from mwaa_gateway.aws.mwaa.web_server import HttpAnswer
from mwaa_gateway.trigger_request import ResolvedTarget

__all__ = ["CliRuns"]


class CliRuns:
    """Queries by Airflow command. The first query finds out Airflow's major version."""

    def __init__(self, transport: CliTransport, session: Session | None = None) -> None:
        self._transport = transport
        self._calls = RunCalls(session)
        self._airflow_2 = False

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that exists, with one command."""
        answer = self._list(dag_id, since)
        if isinstance(answer, HttpAnswer) and by_command.wants_other_form(answer.body):
            self._airflow_2 = not self._airflow_2
            answer = self._list(dag_id, since)
        if not isinstance(answer, HttpAnswer):
            return RunsUnknown(answer.text)
        return by_command.read_runs(answer.status, answer.body, set(run_ids))

    def _list(self, dag_id: str, since: float) -> HttpAnswer | RunsUnknown:
        return self._ask(by_command.list_runs_command(dag_id, since, airflow_2=self._airflow_2))

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look up one run by its run_id."""
        return run_exists(self._transport.look_up(ResolvedTarget("", dag_id, run_id, {})))

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        answer = self._ask(by_command.tasks_command(dag_id, run_id))
        if isinstance(answer, RunsUnknown):
            return answer
        return by_command.read_failed_tasks(answer.status, answer.body)

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return the Airflow task's return value, by a web login: no Airflow command shows an XCom."""
        return self._calls.return_value(dag_id, run_id, task_id)

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it is running, by a web login: no Airflow command can."""
        return self._calls.fail_run(dag_id, run_id)

    def _ask(self, command: str) -> HttpAnswer | RunsUnknown:
        answer = self._transport.ask(command)
        return answer if isinstance(answer, HttpAnswer) else RunsUnknown(answer.text)
