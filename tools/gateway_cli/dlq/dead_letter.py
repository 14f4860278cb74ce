"""One dead letter: what died, where, when and why."""

from dataclasses import dataclass, field
from typing import Any, Final

from gateway_cli.choice import timestamp
from gateway_cli.dlq.received_messages import ReceivedMessage
from gateway_cli.dlq.remedies import remedy
from gateway_cli.ledger_rows import LedgerRow

DISPATCHER: Final = "dispatcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A trigger request that is dead in the ledger, or a message of a dead-letter queue without such a row.

    `id` is the run_id of a trigger request, which logs and Airflow use, or the MessageId of any other message. `died_in`
    names the part of the gateway or of AWS that gave up. Times are in seconds since the epoch. A field is None if it is
    unknown, such as the rule of an unreadable event.
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
    origin: LedgerRow | ReceivedMessage = field(repr=False)

    @property
    def stopped_at(self) -> float:
        """When it died."""
        return self.died_at

    def document(self) -> dict[str, Any]:
        """Return the dead letter as JSON."""
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


def dead_letter_of_row(row: LedgerRow) -> DeadLetter:
    """Return the dead letter of a dead row of the ledger."""
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
