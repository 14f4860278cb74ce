"""The run watcher's queries over InvokeRestApi: implements `mwaa_gateway.step_functions.watcher.Airflow`."""

from collections.abc import Mapping, Sequence

from mwaa_gateway.airflow import rest_runs as by_call
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.airflow.run_states import (
    Marking,
    NotAvailable,
    ReturnValue,
    RunState,
    RunsUnknown,
    run_exists,
)
from mwaa_gateway.aws.mwaa.rest import RestTransport
from mwaa_gateway.aws.mwaa.run_calls import RunCalls, Session
from mwaa_gateway.trigger_request import ResolvedTarget

__all__ = ["RestRuns"]


class RestRuns:
    """Queries by InvokeRestApi. The first query finds out Airflow's major version."""

    def __init__(self, transport: RestTransport, session: Session | None = None) -> None:
        self._transport = transport
        self._calls = RunCalls(session, self._ask)
        self._airflow_2 = False

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that exists, with one call per hundred runs of the DAG."""
        found: dict[str, RunState] = {}
        offset, wanted = 0, set(run_ids)
        while len(found) < len(wanted):
            answer = self._list(dag_id, since, offset)
            if isinstance(answer, RestAnswer) and by_call.wants_other_form(answer):
                self._airflow_2 = not self._airflow_2
                answer = self._list(dag_id, since, offset)
            page = answer if isinstance(answer, RunsUnknown) else by_call.read_runs(answer, wanted)
            if isinstance(page, RunsUnknown):
                return page
            states, is_full = page
            found.update(states)
            if not is_full:
                break
            offset += by_call.RUNS_PER_CALL
        return found

    def _list(self, dag_id: str, since: float, offset: int) -> RestAnswer | RunsUnknown:
        return self._ask(by_call.list_runs_call(dag_id, since, offset=offset, airflow_2=self._airflow_2))

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look up one run by its run_id."""
        return run_exists(self._transport.look_up(ResolvedTarget("", dag_id, run_id, {})))

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""
        answer = self._ask(by_call.failed_tasks_call(dag_id, run_id))
        return answer if isinstance(answer, RunsUnknown) else by_call.read_failed_tasks(answer)

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return the Airflow task's return value; by a web login if the path is too long."""
        return self._calls.return_value(dag_id, run_id, task_id)

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it is running; by a web login if the path is too long."""
        return self._calls.fail_run(dag_id, run_id)

    def _ask(self, call: RestCall) -> RestAnswer | RunsUnknown:
        answer = self._transport.ask(call)
        return answer if isinstance(answer, RestAnswer) else RunsUnknown(answer.text)
