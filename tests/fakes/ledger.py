"""The ledger in a dict, with the conditions of `mwaa_gateway.aws.dynamodb.ledger_table`."""

from dataclasses import dataclass, field, replace

from fakes.failures import Failures
from mwaa_gateway.dispatch.ledger import Attempt, Finished, PinnedElsewhere
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest


@dataclass
class Row:
    """One trigger request."""

    request: TriggerRequest
    first_attempt_at: float | None = None
    state: str = "open"
    attempt: int = 0
    attempts_without_outcome: int = 0
    outcome_unknown: bool = False
    outcome: object = None
    redrives: int = 0
    reopened_after: int = 0
    aged: float = 0.0
    ages_from: float | None = None
    finished_at: float | None = None
    not_runnable: NotRunnable | None = None


@dataclass
class FakeLedger:
    """Implements `mwaa_gateway.dispatch.ledger.Ledger`; `writes` counts the calls that reached it."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    writes: int = 0

    def begin_attempt(self, request: TriggerRequest, now: float) -> Attempt | Finished | PinnedElsewhere:
        self._write("claim")
        row = self.rows.setdefault(request.ledger_key, Row(request, redrives=request.redrive))
        here = row.request.target.environment == request.target.environment
        if self._stopped(row) and here and row.redrives < request.redrive:
            row.state, row.first_attempt_at, row.redrives = "open", now, request.redrive
            row.reopened_after, row.aged, row.ages_from = row.attempt, 0.0, now
        if row.state != "open":
            return self._finished(row)
        if not here:
            return PinnedElsewhere(row.request.target.environment)
        if row.first_attempt_at is None:
            row.first_attempt_at = row.ages_from = now
        row.attempt += 1
        row.attempts_without_outcome += 1
        return Attempt(
            replace(row.request, redrive=row.redrives),
            row.attempt,
            row.attempts_without_outcome,
            row.outcome_unknown,
            row.first_attempt_at,
            row.reopened_after,
            row.aged,
            row.ages_from,
        )

    def attempts_without_outcome(self, request: TriggerRequest) -> int:
        row = self.rows.get(request.ledger_key)
        return row.attempts_without_outcome if row else 0

    def finish(self, attempt: Attempt, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        self._write("finish")
        if (row := self._mine(attempt, to_end=True)) is None:
            return False
        row.state = "dead" if isinstance(outcome, Rejected) else "triggered"
        row.outcome, row.attempts_without_outcome = outcome, 0
        if isinstance(outcome, Rejected):
            row.outcome_unknown = outcome.run_may_exist
        else:
            row.finished_at, row.not_runnable = now, outcome.not_runnable
        return True

    def mark_not_runnable(self, request: TriggerRequest, not_runnable: NotRunnable) -> None:
        self._write("tell")
        self.rows[request.ledger_key].not_runnable = not_runnable

    def record_attempt(
        self, attempt: Attempt, outcome: Retryable | OutcomeUnknown, now: float, *, ageing: bool = True
    ) -> bool:
        self._write("note")
        if (row := self._mine(attempt)) is None:
            return False
        row.outcome_unknown = isinstance(outcome, OutcomeUnknown)
        row.outcome, row.attempts_without_outcome = outcome, 0
        row.aged, row.ages_from = attempt.age(now), now if ageing else None
        return True

    def hold(self, request: TriggerRequest, held: Held, now: float) -> Finished | PinnedElsewhere:  # noqa: ARG002
        self._write("hold")
        row = self.rows.setdefault(request.ledger_key, Row(request, redrives=request.redrive))
        here = row.request.target.environment == request.target.environment
        if row.state == "open":
            if not here:
                return PinnedElsewhere(row.request.target.environment)
            row.state, row.outcome = "held", held
        elif self._stopped(row) and here and row.redrives < request.redrive:
            row.state, row.outcome, row.redrives = "held", held, request.redrive
            row.attempt += 1
        return self._finished(row)

    def cancel(self, request: TriggerRequest) -> None:
        """What the operator's command does to a held row."""
        row = self.rows[request.ledger_key]
        if row.state == "held":
            row.state, row.outcome = "dead", Rejected(Reason.CANCELLED, "cancelled", row.outcome_unknown)
            row.redrives += 1

    @staticmethod
    def _stopped(row: Row) -> bool:
        return row.state in ("dead", "held")

    @staticmethod
    def _finished(row: Row) -> Finished:
        if isinstance(row.outcome, Rejected | Held):
            return Finished(row.request.target.run_id, row.outcome, row.redrives)
        accepted_at = row.finished_at if row.not_runnable is None else None
        return Finished(row.request.target.run_id, AlreadyTriggered(), row.redrives, accepted_at)

    def _mine(self, attempt: Attempt, *, to_end: bool = False) -> Row | None:
        row = self.rows[attempt.request.ledger_key]
        if row.attempt == attempt.number and (row.state == "open" or (to_end and row.state == "held")):
            return row
        if row.state == "open":
            row.attempts_without_outcome = 0
        return None

    def _write(self, method: str) -> None:
        self.failures.raise_if_due(method)
        self.writes += 1
