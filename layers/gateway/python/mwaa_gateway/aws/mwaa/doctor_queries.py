"""The doctor's queries over either transport: sign in, and list all DAGs."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.doctor.doctor import Refusal
from mwaa_gateway.outcomes import OutcomeUnknown, Retryable

if TYPE_CHECKING:
    from mwaa_gateway.aws.mwaa.api import ApiTransport
    from mwaa_gateway.aws.mwaa.cli import CliTransport


class DoctorQueries:
    """Implements `mwaa_gateway.doctor.doctor.DoctorAirflow` with the dispatcher's transport."""

    def __init__(
        self, airflow: "CliTransport | ApiTransport", *, now: Callable[[], float] = time.time
    ) -> None:
        self._airflow = airflow
        self._now = now
        self.transport = airflow.name
        self.server_time_offset: float | None = None

    def sign_in(self) -> str | Refusal:
        """Get a CLI token or log in; return the web server's URL. InvokeRestApi needs neither."""
        host = self._airflow.sign_in()
        if isinstance(host, Retryable):
            return Refusal(str(host.reason), host.text)
        return f"https://{host}" if host else ""

    def list_dags(self) -> tuple[ListedDag, ...] | Refusal:
        """List the DAGs: one command in one slot, or one call per hundred DAGs."""
        listed = self._airflow.ask_for_list()
        self.server_time_offset = _offset(self._airflow.server_date, self._now())
        return _refusal_or(listed)


def _refusal_or(
    listed: tuple[ListedDag, ...] | NotListed | Retryable | OutcomeUnknown,
) -> tuple[ListedDag, ...] | Refusal:
    match listed:
        case tuple():
            return listed
        case NotListed():
            return Refusal(f"http_{listed.status}" if listed.status else "not_listed", listed.text)
        case Retryable() | OutcomeUnknown():
            return Refusal(str(listed.reason), listed.text)


def _offset(date: str, now: float) -> float | None:
    """Return how many seconds a Date header is ahead of our clock; None if it is missing or unreadable."""
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (TypeError, ValueError):
        return None
