"""From a trigger request to exactly one DAG run: claim, start, look up when in doubt, record, answer the queue.

    first attempt     claim ──▶ trigger ──▶ Triggered ──▶ record ──▶ message deleted           (two writes, one command)
    lost response     claim ──▶ trigger ──▶ OutcomeUnknown ──▶ look up ──▶ there ──▶ record
    crash, then again claim (attempt 2) ──▶ look up ──▶ not there ──▶ trigger ──▶ …
    duplicate         claim refused: the row says triggered ──▶ message deleted                (one write call, no command)
    brake pulled      hold ──▶ message deleted; the row waits to be released                   (one write, no command)
    gate shut         given back for a little while, without asking anybody (`gates`)
    DAG paused        claim ──▶ hold ──▶ the message looks every few minutes whether it is unpaused   (if its rule says so)
    sent again        claim reopens the dead or held row, with a fresh age ──▶ as above

No lock is held: two attempts at once are told apart by the attempt number in the ledger, and Airflow's unique run_id
lets only one of them create the run.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from mwaa_gateway.backoff import backoff_seconds, probe_wait_seconds
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers, DagMissing, Pass, Wait
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.give_up import (
    CRASHES_UNTIL_DEAD,
    crashed,
    run_may_exist,
    waited_out,
    within_limits,
    without_asking,
)
from mwaa_gateway.dispatch.ledger import Attempt, Finished, Ledger, PinnedElsewhere, UnreadableRow
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.dispatch.runnable import (
    LookAgain,
    as_far_as_known,
    is_unpaused,
    kept_back,
    whether_it_starts,
)
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, UnreadableRequest

__all__ = [
    "Airflow",
    "DeadLetters",
    "Dispatched",
    "Dispatcher",
]

HELD_LOOK_SECONDS = 300
_NOT_TRIED = Retryable(Reason.RUN_NOT_THERE, "not tried before")


class Airflow(Protocol):
    """One environment's Airflow, whatever transport reaches it. Never raises for what Airflow or MWAA do."""

    def trigger(self, target: ResolvedTarget) -> Outcome:
        """Start the run."""
        ...

    def look_up(self, target: ResolvedTarget) -> Outcome:
        """Find the run: `AlreadyTriggered` when it is there, `Retryable` for RUN_NOT_THERE when it surely is not."""
        ...


class DeadLetters(Protocol):
    """The environment's trigger dead-letter queue: the alarm bell of a request that is dead in the ledger."""

    def publish(self, request: TriggerRequest, rejected: Rejected, attempt: int) -> None:
        """Put the request there with its reason; raise Unavailable unless it is there."""
        ...

    def publish_unreadable(self, body: str, rejected: Rejected) -> None:
        """Put a message there that is no trigger request, as it came; raise Unavailable unless it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one delivery of a message came to.

    `request` is the pinned one, None when the message holds no request. `redeliver_after` is None when the message is
    done with, else the seconds until it is to be delivered again. `away_for` is None unless the environment is away, else
    for how many seconds.
    """

    request: TriggerRequest | None
    outcome: Outcome
    attempt: int
    redeliver_after: float | None
    away_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """One environment's dispatcher and everything it works with.

    A request whose rule names no maximum event age is tried for `maximum_event_age_seconds` from its first attempt;
    waiting for a slot or before a gate does not count. `now` gives seconds since the epoch, `jitter` is random in
    [0, 1).
    """

    ledger: Ledger
    airflow: Airflow
    dead_letters: DeadLetters
    pauses: Pauses
    circuit_breakers: CircuitBreakers
    catalog: LiveCatalog
    maximum_event_age_seconds: int
    now: Callable[[], float]
    jitter: Callable[[], float]

    def dispatch(self, body: str, receive_count: int, waiting_since: float | None = None) -> Dispatched:
        """Bring one delivery of a message as far as it will go, and say whether it must come again.

        Never raises for an outage: what cannot be recorded now is delivered again. `receive_count` is the queue's own
        count of this message; where it differs from the ledger's count of the request, the lower one makes the back-off.
        `waiting_since` is when the request was put on the queue.
        """
        try:
            request = TriggerRequest.from_json(body)
        except UnreadableRequest as error:
            return self._keep_unreadable(body, receive_count, Rejected(Reason.MESSAGE_UNREADABLE, str(error)))
        try:
            if (held := self.pauses.holds(request.rule_id, self.now())) is not None:
                return self._braked(request, receive_count, held, waiting_since)
            return self._at_the_gates(request, receive_count, waiting_since)
        except Unavailable as error:
            return self._answer(request, receive_count, Retryable(Reason.AWS_UNAVAILABLE, str(error)))
        except UnreadableRow as error:
            self._report(request.target, None)
            return self._keep_unreadable(body, receive_count, Rejected(Reason.MESSAGE_UNREADABLE, str(error)))

    def _braked(
        self, request: TriggerRequest, receive_count: int, held: Held, waiting_since: float | None
    ) -> Dispatched:
        match self.ledger.hold(request, held, self.now()):
            case Finished() as finished:
                if (released := self._released(request, finished)) is not None:
                    return self._at_the_gates(released, receive_count, waiting_since)
                return self._finally(request, receive_count, finished.outcome)
            case PinnedElsewhere(environment):
                return self._answer(request, receive_count, _pinned_elsewhere(environment))

    def _released(self, request: TriggerRequest, finished: Finished) -> TriggerRequest | None:
        """Return the request that takes up what is held by a brake which has been let go of; None if that is not so."""
        held = finished.outcome
        if not isinstance(held, Held) or not self.pauses.is_over(held, request.rule_id, self.now()):
            return None
        return replace(request, redrive=finished.redrives + 1)

    def _at_the_gates(
        self, request: TriggerRequest, receive_count: int, waiting_since: float | None
    ) -> Dispatched:
        now = self.now()
        admission = self.circuit_breakers.admit(request.target, now)
        give_up = waited_out(waiting_since, now)
        if isinstance(admission, Wait) and not give_up:
            shut = Retryable(Reason.CIRCUIT_OPEN, "others wait too; one of them asks again soon")
            return self._answer(request, receive_count, shut)
        return self._admitted(request, receive_count, admission, give_up=give_up)

    def _admitted(
        self,
        request: TriggerRequest,
        receive_count: int,
        admission: Pass | Wait | DagMissing,
        *,
        give_up: bool,
    ) -> Dispatched:
        match self.ledger.begin_attempt(request, self.now()):
            case Attempt() as attempt:
                began = self.now()
                outcome: Outcome | None = without_asking(attempt, admission, self.circuit_breakers, began)
                if outcome is None:
                    outcome = self._attempt(attempt, receive_count, give_up=give_up)
                outcome = as_far_as_known(outcome, attempt.request.target.dag_id, self.catalog)
                outcome = self._record(attempt, outcome)
                return self._told(
                    # Both counts, as in `_attempt`: two messages of one upload must not put each other off.
                    self._finally(
                        attempt.request, attempt.number, outcome, min(attempt.tries, receive_count)
                    ),
                    accepted_at=self.now(),
                    began=began,
                )
            case Finished() as finished:
                released = self._released(request, finished) or self._unpaused(request, finished)
                if released is not None:
                    return self._admitted(released, receive_count, admission, give_up=give_up)
                self._report(request.target, None)
                dispatched = self._finally(request, receive_count, finished.outcome)
                return self._told(dispatched, accepted_at=finished.accepted_at, began=self.now())
            case PinnedElsewhere(environment):
                self._report(request.target, None)
                return self._answer(request, receive_count, _pinned_elsewhere(environment))

    def _attempt(self, attempt: Attempt, receive_count: int, *, give_up: bool) -> Outcome:
        """Start the run, or prove that it is there."""
        target = attempt.request.target
        outcome: Outcome = _NOT_TRIED
        # Both counts: duplicates that overlap raise the ledger's, messages that only waited raise the queue's.
        attempts_without_outcome = min(attempt.attempts_without_outcome, receive_count)
        if attempts_without_outcome > 2 * CRASHES_UNTIL_DEAD:
            self._report(target, None)
            return crashed(
                attempts_without_outcome - 1,
                "not even a look-up came back: the run may exist",
                run_may_exist=True,
            )
        if run_may_exist(attempt):
            outcome = self._look_up(target, because="an earlier attempt recorded no clear outcome")
        if isinstance(outcome, Retryable):
            if attempts_without_outcome > CRASHES_UNTIL_DEAD:
                self._report(target, outcome)
                return crashed(attempts_without_outcome - 1, outcome.text)
            if (back := kept_back(attempt, self.catalog, self.now)) is not None:
                self._report(target, None)
                return back
            outcome = self.airflow.trigger(target)
            if isinstance(outcome, OutcomeUnknown):
                outcome = self._look_up(target, because=outcome.text)
        missing_since = self._report(target, outcome)
        return within_limits(
            outcome,
            attempt,
            circuit_breakers=self.circuit_breakers,
            missing_since=missing_since,
            maximum_event_age_seconds=self.maximum_event_age_seconds,
            waited_out=give_up,
            now=self.now(),
        )

    def _unpaused(self, request: TriggerRequest, finished: Finished) -> TriggerRequest | None:
        """Return the request that takes up what is held for a DAG that is paused no more; None if that is not so."""
        if not is_unpaused(request.target.dag_id, finished, self.catalog):
            return None
        return replace(request, redrive=finished.redrives + 1)

    def _told(self, dispatched: Dispatched, *, accepted_at: float | None, began: float) -> Dispatched:
        """Tell of a run that was accepted and will not start, or have the message come again once that can be told."""
        request, outcome = dispatched.request, dispatched.outcome
        if request is None or accepted_at is None or not isinstance(outcome, Triggered | AlreadyTriggered):
            return dispatched
        known, now = outcome.not_runnable, self.now()
        match whether_it_starts(
            request.target.dag_id, self.catalog, known=known, accepted_at=accepted_at, began=began, now=now
        ):
            case None:
                return dispatched
            case NotRunnable() as not_runnable:
                self.ledger.mark_not_runnable(request, not_runnable)
                return replace(dispatched, outcome=replace(outcome, not_runnable=not_runnable))
            case LookAgain(seconds):
                return replace(dispatched, redeliver_after=seconds * (1 + 2 * self.jitter()))

    def _report(self, target: ResolvedTarget, outcome: Outcome | None) -> float | None:
        """Tell the gates; if they cannot be told, what became of the request still counts, and the next attempt tells."""
        try:
            return self.circuit_breakers.report(target, outcome, self.now())
        except Unavailable:
            missing = isinstance(outcome, Rejected) and outcome.reason in (
                Reason.DAG_MISSING,
                Reason.DAG_BROKEN,
            )
            return self.now() if missing else None

    def _look_up(
        self, target: ResolvedTarget, *, because: str
    ) -> AlreadyTriggered | Retryable | OutcomeUnknown:
        """Settle a doubt. Only "it is not there" ends it without the run: a look-up that failed leaves the doubt."""
        match self.airflow.look_up(target):
            case AlreadyTriggered() as found:
                return found
            case Retryable(reason=Reason.RUN_NOT_THERE, text=text):
                return Retryable(Reason.RUN_NOT_THERE, f"{because}; {text}")
            case Retryable(text=text) | OutcomeUnknown(text=text) | Rejected(text=text) | Held(text=text):
                return OutcomeUnknown(Reason.UNCLEAR_ANSWER, f"{because}; the look-up: {text}")
            case Triggered():
                return AlreadyTriggered("the run was there when it was looked up")

    def _record(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        match outcome:
            case Triggered() | AlreadyTriggered() | Rejected():
                mine = self.ledger.finish(attempt, outcome, self.now())
            case Retryable() | OutcomeUnknown():
                # An environment comes back; a permission that is missing is no passing trouble, and what asks for it dies.
                now = self.now()
                ageing = outcome.reason is Reason.ACCESS_DENIED or self.circuit_breakers.away_for(now) is None
                mine = self.ledger.record_attempt(attempt, outcome, now, ageing=ageing)
            case Held():
                # Noted first: nothing of this attempt is in doubt when it is taken up again.
                self.ledger.record_attempt(attempt, Retryable(outcome.reason, outcome.text), self.now())
                return self._hold(attempt.request, outcome)
            case _:
                assert_never(outcome)
        if mine:
            return outcome
        # A later attempt of the same request owns the row: it will find the run and record it. Until then the message
        # stays, so that the request is never left open with no message behind it.
        return Retryable(Reason.OVERTAKEN, f"attempt {attempt.number} was overtaken by a later one")

    def _hold(self, request: TriggerRequest, held: Held) -> Outcome:
        """Park it, or say why it needs no parking: it ran, it is dead, or it is another environment's."""
        match self.ledger.hold(request, held, self.now()):
            case Finished(outcome=outcome):
                return outcome
            case PinnedElsewhere(environment):
                return _pinned_elsewhere(environment)

    def _finally(
        self, request: TriggerRequest, attempt: int, outcome: Outcome, tries: int | None = None
    ) -> Dispatched:
        if isinstance(outcome, Rejected) and outcome.reason is not Reason.CANCELLED:
            # After the ledger, and again for a redelivery that finds the row dead: a bell may ring twice, never not at all.
            self.dead_letters.publish(request, outcome, attempt)
        return self._answer(request, attempt, outcome, tries)

    def _keep_unreadable(self, body: str, receive_count: int, rejected: Rejected) -> Dispatched:
        try:
            self.dead_letters.publish_unreadable(body, rejected)
        except Unavailable as error:
            return self._answer(None, receive_count, Retryable(Reason.AWS_UNAVAILABLE, str(error)))
        return self._answer(None, receive_count, rejected)

    def _answer(
        self, request: TriggerRequest | None, attempt: int, outcome: Outcome, tries: int | None = None
    ) -> Dispatched:
        """Say whether the message is to come again, and when: by `tries`, where they are not all of the attempts."""
        match outcome:
            case Held(reason=Reason.DAG_PAUSED):
                # Nobody tells when a DAG is unpaused: the message stays, and looks.
                return Dispatched(request, outcome, attempt, HELD_LOOK_SECONDS * (1 + self.jitter()))
            case Triggered() | AlreadyTriggered() | Rejected() | Held():
                return Dispatched(request, outcome, attempt, redeliver_after=None)
            case Retryable() | OutcomeUnknown():
                wait, away_for = (
                    self._wait(request, tries or attempt),
                    self.circuit_breakers.away_for(self.now()),
                )
                return Dispatched(request, outcome, attempt, wait, away_for)
            case _:
                assert_never(outcome)

    def _wait(self, request: TriggerRequest | None, tries: int) -> float:
        """Return how long the message stays away: as all do before a shut gate, also who has just asked there in vain."""
        now, jitter = self.now(), self.jitter()
        circuit = request and self.circuit_breakers.known_open(request.target, now)
        if (
            circuit and circuit.seconds > 0
        ):  # else the probe is due, and was not this one's: pinned elsewhere, say
            return probe_wait_seconds(circuit.seconds, now - circuit.open_since, jitter)
        return backoff_seconds(tries, jitter)


def _pinned_elsewhere(environment: str) -> Retryable:
    text = f"its first attempt was made in environment {environment!r}, and is open"
    return Retryable(Reason.PINNED_ELSEWHERE, text)
