"""Asks Airflow for the state of runs, with the operator's own permissions: InvokeRestApi, nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway_cli.answers.evidence import RunNow
from gateway_cli.connection import Connection
from mwaa_gateway.transports import CLI

# As the dispatcher asks: MWAA itself waits ten seconds for Airflow
_SETTINGS: Final[Mapping[str, Any]] = {
    "connect_timeout": 3,
    "read_timeout": 12,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}
_MARGIN_SECONDS: Final = 300.0  # a run's date is Airflow's time, and the acceptance is ours


def mwaa_name(connection: Connection, environment: str) -> str:
    """Return MWAA's name of an environment."""
    template = connection.stack_parameters.get("MwaaEnvironmentName") or "{environment}"
    return template.replace("{environment}", environment)


def over_rest(connection: Connection, environment: str) -> bool:
    """Return whether the environment's requests to Airflow are calls of its REST API."""
    first, *_ = (connection.transports_by_name or {}).get(environment, (CLI,))
    return first != CLI


def runs_now(
    connection: Connection, environment: str, dag_id: str, run_ids: Sequence[str], since: float
) -> dict[str, RunNow]:
    """Return the state of each run of one DAG that was accepted after `since`; raises botocore's errors.

    Over CLI tokens a question would take one of the environment's few slots, and a token may run any command: it is not
    asked.
    """
    if not over_rest(connection, environment):
        text = f"Airflow was not asked: {environment} uses CLI tokens, and `why` asks over InvokeRestApi only"
        return {run_id: RunNow(why_not=text) for run_id in run_ids}
    from mwaa_gateway.airflow.run_states import RunsUnknown  # noqa: PLC0415  only a run that was accepted needs it
    from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport  # noqa: PLC0415
    from mwaa_gateway.aws.mwaa.runs import RestRuns  # noqa: PLC0415

    transport = RestTransport(
        connection.client("mwaa", **_SETTINGS),
        mwaa_name(connection, environment),
        Pace(10, sleep=lambda _: None),
    )
    runs = RestRuns(transport)
    states = runs.states(dag_id, run_ids, since - _MARGIN_SECONDS)
    if isinstance(states, RunsUnknown):
        return {run_id: RunNow(why_not=f"Airflow did not answer: {states.text}") for run_id in run_ids}
    found: dict[str, RunNow] = {}
    for run_id in run_ids:
        if (state := states.get(run_id)) is not None:
            word = state.end or ("running" if state.started else "queued")
            found[run_id] = RunNow(str(word), state.start_date, state.end_date)
        elif runs.run_exists(dag_id, run_id) is False:
            found[run_id] = RunNow(state="missing")
        else:  # a rule's logical_date may lie years back, and Airflow lists runs by it
            found[run_id] = RunNow(why_not="Airflow has the run, but not among its recent ones")
    return found
