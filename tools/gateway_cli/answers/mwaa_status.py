"""What MWAA says of an environment: that it maintains or updates it, or that it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.answers.airflow import mwaa_name
from gateway_cli.answers.words import when
from gateway_cli.connection import Connection

# The statuses that end by themselves, as the API reference of GetEnvironment describes them
PASSING: Final[Mapping[str, str]] = {
    "CREATING": "MWAA creates the environment",
    "CREATING_SNAPSHOT": "MWAA takes a snapshot before it updates the environment",
    "MAINTENANCE": "MWAA maintains the environment, which may be unavailable meanwhile",
    "ROLLING_BACK": "an update failed, and MWAA restores the environment",
    "UPDATING": "MWAA updates the environment",
}
WORKING: Final = frozenset(
    {"AVAILABLE", "UPDATE_FAILED"}
)  # after a failed update MWAA has restored what was before


@dataclass(frozen=True, slots=True)
class MwaaStatus:
    """An environment's status, and its last update: when, by whom, and how it ended. "" and None are not known."""

    status: str
    updated_at: float | None = None
    source: str = ""
    outcome: str = ""

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "MwaaStatus":
        """Read GetEnvironment's answer."""
        update = described.get("LastUpdate", {})
        at = update.get("CreatedAt")
        return cls(
            described.get("Status", ""),
            at.timestamp() if at else None,
            update.get("Source", ""),
            update.get("Status", ""),
        )

    @property
    def passes(self) -> bool:
        """Whether MWAA ends this status by itself."""
        return self.status in PASSING

    def words(self, now: float) -> str:
        """Return it as part of a sentence."""
        meaning = PASSING.get(self.status)
        parts = [f"MWAA reports {self.status}", f": {meaning}" if meaning else ""]
        if self.updated_at is not None and self.status != "AVAILABLE":
            by, outcome = (
                f" by {self.source}" if self.source else "",
                f", {self.outcome}" * bool(self.outcome),
            )
            parts.append(f" (its last update: {when(self.updated_at, now)}{by}{outcome})")
        return "".join(parts)


def mwaa_status(connection: Connection, environment: str) -> MwaaStatus:
    """Ask MWAA for the status of an environment; raises botocore's errors."""
    answer = connection.mwaa.get_environment(Name=mwaa_name(connection, environment))
    return MwaaStatus.of(answer["Environment"])
