"""The requests to one environment's Airflow, the same over every transport. None raises for what Airflow or MWAA do."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.airflow.run_states import Marking, NotAvailable, ReturnValue, RunState, RunsUnknown
from mwaa_gateway.outcomes import Outcome
from mwaa_gateway.trigger_request import ResolvedTarget


class Airflow(Protocol):
    """The dispatcher's requests."""

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Find the run: `AlreadyTriggered` if it exists, `Retryable` for RUN_NOT_THERE if it certainly does not.

        `Retryable` for LOGICAL_DATE_TAKEN if it does not, and another run has its logical date.
        """

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        """List the DAGs, in seconds rather than minutes. A DAG that is not listed need not be missing."""

    def close(self) -> None:
        """Close the connections that are open."""


class AirflowRuns(Protocol):
    """The run watcher's requests."""

    def states(
        self, dag_id: str, run_ids: Sequence[str], since: float
    ) -> Mapping[str, RunState] | RunsUnknown:
        """Return the state of each of these runs that exists, with one query; no run is older than `since`."""

    def run_exists(self, dag_id: str, run_id: str) -> bool | RunsUnknown:
        """Look up one run by its run_id."""

    def failed_tasks(self, dag_id: str, run_id: str) -> Sequence[str] | RunsUnknown:
        """Return the tasks that made the run fail."""

    def return_value(
        self, dag_id: str, run_id: str, task_id: str
    ) -> ReturnValue | NotAvailable | RunsUnknown:
        """Return the return value of the Airflow task."""

    def fail_run(self, dag_id: str, run_id: str) -> Marking:
        """Mark the run failed if it is running; an ended run stays as it is."""
