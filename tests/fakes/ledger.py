"""The ledger in a dict, with the conditions of `mwaa_gateway.aws.ledger_table`."""

from dataclasses import dataclass, field, replace

from fakes.failures import Failures
from mwaa_gateway.ledger import Claim, Finished, PinnedElsewhere
from mwaa_gateway.outcomes import AlreadyTriggered, OutcomeUnknown, Rejected, Retryable, Triggered
from mwaa_gateway.trigger_request import TriggerRequest


@dataclass
class Row:
    """One trigger request."""

    request: TriggerRequest
    first_attempt_at: float
    state: str = "open"
    attempt: int = 0
    unanswered: int = 0
    doubtful: bool = False
    outcome: object = None
    redrives: int = 0
    reopened_after: int = 0


@dataclass
class FakeLedger:
    """Implements `mwaa_gateway.ledger.Ledger`; `writes` counts the calls that reached it."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    writes: int = 0

    def claim(self, request: TriggerRequest, now: float) -> Claim | Finished | PinnedElsewhere:
        self._write("claim")
        row = self.rows.setdefault(request.ledger_key, Row(request, now, redrives=request.redrive))
        here = row.request.target.environment == request.target.environment
        if row.state == "dead" and here and row.redrives < request.redrive:
            row.state, row.first_attempt_at, row.redrives = "open", now, request.redrive
            row.reopened_after, row.unanswered = row.attempt, 0
        if row.state == "dead":
            assert isinstance(row.outcome, Rejected)
            return Finished(row.request.target.run_id, row.outcome)
        if row.state == "triggered":
            return Finished(row.request.target.run_id, AlreadyTriggered())
        if not here:
            return PinnedElsewhere(row.request.target.environment)
        row.attempt += 1
        row.unanswered += 1
        return Claim(
            replace(row.request, redrive=row.redrives),
            row.attempt,
            row.unanswered,
            row.doubtful,
            row.first_attempt_at,
            row.reopened_after,
        )

    def finish(self, claim: Claim, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:  # noqa: ARG002
        self._write("finish")
        if (row := self._mine(claim)) is None:
            return False
        row.state = "dead" if isinstance(outcome, Rejected) else "triggered"
        row.outcome, row.unanswered = outcome, 0
        if isinstance(outcome, Rejected):
            row.doubtful = outcome.in_doubt
        return True

    def note(self, claim: Claim, outcome: Retryable | OutcomeUnknown, now: float) -> bool:  # noqa: ARG002
        self._write("note")
        if (row := self._mine(claim)) is None:
            return False
        row.doubtful = isinstance(outcome, OutcomeUnknown)
        row.outcome, row.unanswered = outcome, 0
        return True

    def _mine(self, claim: Claim) -> Row | None:
        row = self.rows[claim.request.ledger_key]
        if row.state == "open":
            if row.attempt == claim.attempt:
                return row
            row.unanswered = 0
        return None

    def _write(self, method: str) -> None:
        self.failures.raise_if_due(method)
        self.writes += 1
