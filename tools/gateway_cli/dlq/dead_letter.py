"""One dead letter: what died, where and when, and why; and which of them somebody asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from gateway_cli.dlq.held_messages import HeldMessage
from gateway_cli.dlq.remedies import remedy
from gateway_cli.ledger_rows import LedgerRow

__all__ = ["DeadLetter", "Filters", "letter_of_row", "timestamp"]

DISPATCHER: Final = "dispatcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A trigger request that is dead in the ledger, or a message of a dead-letter queue that is more than its bell.

    `id` is the run_id of a trigger request (the name that logs and Airflow know it by), a message's MessageId else.
    `died_in` names the part of the gateway, or of AWS, that gave up. Times are in seconds since the epoch; None is what
    is not known, such as the rule of an event that could not be read.
    """

    id: str
    died_in: str
    died_at: float
    reason: str
    text: str
    rule_id: str | None = None
    rule_version: int | None = None
    environment: str | None = None
    dag_id: str | None = None
    event: str | None = None
    attempts: int | None = None
    redrives: int = 0
    first_at: float | None = None
    origin: LedgerRow | HeldMessage = field(repr=False)

    def document(self) -> dict[str, Any]:
        """Return what a program is told of it."""
        return {
            "id": self.id,
            "died_in": self.died_in,
            "died_at": timestamp(self.died_at),
            "first_at": None if self.first_at is None else timestamp(self.first_at),
            "reason": self.reason,
            "reason_text": self.text,
            "next": remedy(self.reason),
            "rule_id": self.rule_id,
            "rule_version": self.rule_version,
            "environment": self.environment,
            "dag_id": self.dag_id,
            "event": self.event,
            "attempts": self.attempts,
            "redrives": self.redrives,
        }


def letter_of_row(row: LedgerRow) -> DeadLetter:
    """Return a dead row of the ledger as a dead letter."""
    return DeadLetter(
        id=row.run_id,
        died_in=DISPATCHER,
        died_at=row.stopped_at,
        reason=row.reason,
        text=row.text,
        rule_id=row.rule_id,
        rule_version=row.rule_version,
        environment=row.environment,
        dag_id=row.dag_id,
        event=row.identity,
        attempts=row.attempt,
        redrives=row.redrives,
        first_at=row.first_attempt_at,
        origin=row,
    )


def timestamp(seconds: float) -> str:
    """Write a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which dead letters are meant: those that all of the given filters admit.

    `died_before` and `died_after` are in seconds since the epoch.
    """

    rule: str | None = None
    environment: str | None = None
    reason: str | None = None
    died_before: float | None = None
    died_after: float | None = None

    @property
    def any_given(self) -> bool:
        """Whether there is any filter."""
        return self != Filters()

    def admit(self, letter: DeadLetter) -> bool:
        """Say whether the letter is meant. What names no rule or environment is none of a given one."""
        wanted: Mapping[str, tuple[str | None, str | None]] = {
            "rule": (self.rule, letter.rule_id),
            "environment": (self.environment, letter.environment),
            "reason": (self.reason, letter.reason),
        }
        return (
            all(given is None or given == found for given, found in wanted.values())
            and (self.died_before is None or letter.died_at < self.died_before)
            and (self.died_after is None or letter.died_at > self.died_after)
        )
