"""The outcomes of requests that the gateway does not send to Airflow."""

from mwaa_gateway.airflow.ids import InvalidId
from mwaa_gateway.outcomes import Reason, Rejected


def no_partition_keys(why: str) -> Rejected:
    """Return the outcome for a partition key that Airflow cannot get."""
    return Rejected(
        Reason.AIRFLOW_REFUSED,
        f"partition_key needs Airflow 3.2 or later and the transport rest or web, and {why}: correct that, or remove "
        "partition_key from the rule's target",
    )


def rejected_id(error: InvalidId) -> Rejected:
    """Return the outcome for a dag_id or run_id that the gateway does not send."""
    return Rejected(Reason.RUN_ID_REFUSED if error.name == "run_id" else Reason.AIRFLOW_REFUSED, str(error))
