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

from mwaa_gateway.backoff import backoff_seconds, gate_wait_seconds
from mwaa_gateway.brake import Brake
from mwaa_gateway.catalog import LOOK_AGAIN_SECONDS, LiveCatalog
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.gates import Gates, Gone, Pass, Wait
from mwaa_gateway.ledger import Claim, Finished, Ledger, PinnedElsewhere
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

CRASHES_UNTIL_DEAD = 5
LONGEST_WAIT_SECONDS = (
    14 * 86_400
)  # before a shut gate, in all; then somebody should decide whether it still matters
TOLD_WITHIN_SECONDS = 600  # of a run's start: later, whether its DAG is paused says nothing about it
CATALOG_AWAITED_SECONDS = 60
HELD_LOOK_SECONDS = 300
LIST_AFTER_SECONDS = 20  # of an invocation at most: it has 90, and a list may take 55
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

    def ring(self, request: TriggerRequest, rejected: Rejected, attempt: int) -> None:
        """Put the request there with its reason; raise Unavailable unless it is there."""
        ...

    def keep_unreadable(self, body: str, rejected: Rejected) -> None:
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
    brake: Brake
    gates: Gates
    catalog: LiveCatalog
    maximum_event_age_seconds: int
    now: Callable[[], float]
    jitter: Callable[[], float]

    def dispatch(self, body: str, receive_count: int, waiting_since: float | None = None) -> Dispatched:
        """Bring one delivery of a message as far as it will go, and say whether it must come again.

        Never raises for an outage: what cannot be recorded now is delivered again. `receive_count` is the queue's own
        count, used for the back-off only while the ledger cannot say which attempt this is. `waiting_since` is when the
        request was put on the queue.
        """
        try:
            request = TriggerRequest.from_json(body)
        except UnreadableRequest as error:
            return self._keep_unreadable(body, receive_count, Rejected(Reason.MESSAGE_UNREADABLE, str(error)))
        try:
            if (held := self.brake.pulled(request.rule_id, self.now())) is not None:
                return self._braked(request, receive_count, held, waiting_since)
            return self._at_the_gates(request, receive_count, waiting_since)
        except Unavailable as error:
            return self._answer(request, receive_count, Retryable(Reason.AWS_UNAVAILABLE, str(error)))

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
        if not isinstance(held, Held) or not self.brake.lifted(held, request.rule_id, self.now()):
            return None
        return replace(request, redrive=finished.redrives + 1)

    def _at_the_gates(
        self, request: TriggerRequest, receive_count: int, waiting_since: float | None
    ) -> Dispatched:
        now = self.now()
        waited_out = waiting_since is not None and now - waiting_since >= LONGEST_WAIT_SECONDS
        admission = self.gates.admit(request.target, now)
        if isinstance(admission, Wait) and not waited_out:
            shut = Retryable(Reason.GATE_SHUT, "others wait too; one of them asks again soon")
            return self._answer(request, receive_count, shut)
        return self._admitted(request, receive_count, admission, waited_out=waited_out)

    def _admitted(
        self, request: TriggerRequest, receive_count: int, admission: Pass | Wait | Gone, *, waited_out: bool
    ) -> Dispatched:
        match self.ledger.claim(request, self.now()):
            case Claim() as claim:
                began = self.now()
                outcome: Outcome | None = self._without_asking(claim, admission)
                if outcome is None:
                    outcome = self._attempt(claim, receive_count, waited_out=waited_out)
                outcome = self._record(claim, self._as_far_as_known(outcome, claim.request.target))
                return self._told(
                    self._finally(claim.request, claim.attempt, outcome, claim.tries),
                    accepted_at=self.now(),
                    began=began,
                )
            case Finished() as finished:
                released = self._released(request, finished) or self._unpaused(request, finished)
                if released is not None:
                    return self._admitted(released, receive_count, admission, waited_out=waited_out)
                self._report(request.target, None)
                dispatched = self._finally(request, receive_count, finished.outcome)
                return self._told(dispatched, accepted_at=finished.untold_since, began=self.now())
            case PinnedElsewhere(environment):
                self._report(request.target, None)
                return self._answer(request, receive_count, _pinned_elsewhere(environment))

    def _attempt(self, claim: Claim, receive_count: int, *, waited_out: bool) -> Outcome:
        """Start the run, or prove that it is there."""
        target = claim.request.target
        outcome: Outcome = _NOT_TRIED
        # Both counts: duplicates that overlap raise the ledger's, messages that only waited raise the queue's.
        unanswered = min(claim.unanswered, receive_count)
        if unanswered > 2 * CRASHES_UNTIL_DEAD:
            self._report(target, None)
            return _crashed(unanswered - 1, "not even a look-up came back: the run may exist", in_doubt=True)
        if _in_doubt(claim):
            outcome = self._look_up(target, because="an earlier attempt recorded no clear outcome")
        if isinstance(outcome, Retryable):
            if unanswered > CRASHES_UNTIL_DEAD:
                self._report(target, outcome)
                return _crashed(unanswered - 1, outcome.text)
            if (kept_back := self._kept_back(claim)) is not None:
                self._report(target, None)
                return kept_back
            outcome = self.airflow.trigger(target)
            if isinstance(outcome, OutcomeUnknown):
                outcome = self._look_up(target, because=outcome.text)
        missing_since = self._report(target, outcome)
        return self._within_limits(outcome, claim, missing_since, waited_out=waited_out)

    def _kept_back(self, claim: Claim) -> Held | Rejected | Retryable | None:
        """Do not start what its rule wants held or rejected while the DAG is paused, as a recent list says."""
        request, dag_id = claim.request, claim.request.target.dag_id
        if request.when_paused == "queue":
            return None
        began = self.now()
        self.catalog.renew(dag_id)
        paused = self.catalog.not_runnable(dag_id) is NotRunnable.PAUSED
        if paused:
            self.catalog.renew(dag_id, recently=True)  # it may have been unpaused since
            paused = self.catalog.not_runnable(dag_id) is NotRunnable.PAUSED
        known = self.catalog.tells_of(dag_id, recently=paused) and self.now() - began <= LIST_AFTER_SECONDS
        awaited = self.catalog.may_come and began - claim.first_attempt_at < CATALOG_AWAITED_SECONDS
        if not known and awaited:
            return Retryable(Reason.DAG_CATALOG_AWAITED, f"whether DAG {dag_id!r} is paused is not known yet")
        if not paused:
            return None  # also where nobody can tell: started, and told of once somebody can
        if request.when_paused == "hold":
            return Held(Reason.DAG_PAUSED, f"DAG {dag_id!r} is paused; it starts when the DAG is unpaused")
        return Rejected(Reason.DAG_PAUSED, f"DAG {dag_id!r} is paused, and the rule says when_paused: reject")

    def _unpaused(self, request: TriggerRequest, finished: Finished) -> TriggerRequest | None:
        """Return the request that takes up what is held for a DAG that is paused no more; None if that is not so."""
        held, dag_id = finished.outcome, request.target.dag_id
        if not isinstance(held, Held) or held.reason is not Reason.DAG_PAUSED:
            return None
        self.catalog.renew(dag_id)
        if not self.catalog.tells_of(dag_id) or self.catalog.not_runnable(dag_id) is NotRunnable.PAUSED:
            return None
        return replace(request, redrive=finished.redrives + 1)

    def _as_far_as_known(self, outcome: Outcome, target: ResolvedTarget) -> Outcome:
        """Add to an accepted run why it will not start, if the catalog at hand says so: recorded by the same write."""
        if isinstance(outcome, Triggered | AlreadyTriggered):
            return replace(outcome, not_runnable=self.catalog.not_runnable(target.dag_id))
        return outcome

    def _told(self, dispatched: Dispatched, *, accepted_at: float | None, began: float) -> Dispatched:
        """Find out whether a run that was just accepted will start, now that nothing can happen to it any more.

        The first run after a while pays for the new catalog, after its own end. Others that were started meanwhile have
        their message come once more when the catalog is there.
        """
        request, outcome, now = dispatched.request, dispatched.outcome, self.now()
        if request is None or not isinstance(outcome, Triggered | AlreadyTriggered):
            return dispatched
        if accepted_at is None or now - accepted_at > TOLD_WITHIN_SECONDS:
            return dispatched
        dag_id = request.target.dag_id
        if now - began <= LIST_AFTER_SECONDS:
            self.catalog.renew(dag_id)
        if outcome.not_runnable is not None:
            return dispatched
        if (not_runnable := self.catalog.not_runnable(dag_id)) is not None:
            self.ledger.tell(request, not_runnable)
            return replace(dispatched, outcome=replace(outcome, not_runnable=not_runnable))
        if (
            self.catalog.tells_of(dag_id)
            or not self.catalog.may_come
            or now - accepted_at > CATALOG_AWAITED_SECONDS
        ):
            return dispatched
        return replace(dispatched, redeliver_after=LOOK_AGAIN_SECONDS * (1 + 2 * self.jitter()))

    def _report(self, target: ResolvedTarget, outcome: Outcome | None) -> float | None:
        """Tell the gates; if they cannot be told, what became of the request still counts, and the next attempt tells."""
        try:
            return self.gates.report(target, outcome, self.now())
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

    def _within_limits(
        self, outcome: Outcome, claim: Claim, missing_since: float | None, *, waited_out: bool
    ) -> Outcome:
        """Give a missing DAG its grace, and end what has been tried for longer than the event may grow old."""
        now = self.now()
        age = claim.age(now)
        if isinstance(outcome, Rejected) and missing_since is not None:
            # Whoever redrives says that the DAG is there now: its file may still be on the way, so the grace starts again.
            missing_for = (
                now - claim.first_attempt_at if claim.request.redrive else max(age, now - missing_since)
            )
            if missing_for < self.gates.dag_missing_grace_seconds:
                return Retryable(outcome.reason, outcome.text)
        if isinstance(outcome, Retryable | OutcomeUnknown):
            maximum = claim.request.maximum_event_age_seconds or self.maximum_event_age_seconds
            in_doubt = isinstance(outcome, OutcomeUnknown)
            if waited_out and self.gates.away_for(now) is not None:
                return _waited_out(claim, outcome.text, in_doubt=in_doubt)
            if age >= maximum:
                tried = f"tried for {age:.0f} s of {maximum} s"
                return _too_old(tried, claim, outcome.text, in_doubt=in_doubt)
        return outcome

    def _record(self, claim: Claim, outcome: Outcome) -> Outcome:
        match outcome:
            case Triggered() | AlreadyTriggered() | Rejected():
                mine = self.ledger.finish(claim, outcome, self.now())
            case Retryable() | OutcomeUnknown():
                # An environment comes back; a permission that is missing is no passing trouble, and what asks for it dies.
                now = self.now()
                ageing = outcome.reason is Reason.ACCESS_DENIED or self.gates.away_for(now) is None
                mine = self.ledger.note(claim, outcome, now, ageing=ageing)
            case Held():
                # Noted first: nothing of this attempt is in doubt when it is taken up again.
                self.ledger.note(claim, Retryable(outcome.reason, outcome.text), self.now())
                return self._hold(claim.request, outcome)
            case _:
                assert_never(outcome)
        if mine:
            return outcome
        # A later attempt of the same request owns the row: it will find the run and record it. Until then the message
        # stays, so that the request is never left open with no message behind it.
        return Retryable(Reason.OVERTAKEN, f"attempt {claim.attempt} was overtaken by a later one")

    def _hold(self, request: TriggerRequest, held: Held) -> Outcome:
        """Park it, or say why it needs no parking: it ran, it is dead, or it is another environment's."""
        match self.ledger.hold(request, held, self.now()):
            case Finished(outcome=outcome):
                return outcome
            case PinnedElsewhere(environment):
                return _pinned_elsewhere(environment)

    def _without_asking(self, claim: Claim, admission: Pass | Wait | Gone) -> Rejected | Retryable | None:
        """Give up a request that has waited too long, or whose DAG is missing for long: a probe asks for all that wait."""
        if isinstance(admission, Wait):
            return _waited_out(claim, "others asked", in_doubt=_in_doubt(claim))
        if isinstance(admission, Pass) or _in_doubt(claim):
            return None
        now = self.now()
        reason, text = (
            Reason.DAG_MISSING,
            f"Airflow has not known DAG {claim.request.target.dag_id!r} for {now - admission.gate.shut_since:.0f} s",
        )
        # The DAG may have been deployed since it was last asked for: a request waits for a probe begun after it came.
        asked = admission.gate.asked_at > claim.first_attempt_at
        if claim.request.redrive and now - claim.first_attempt_at < self.gates.dag_missing_grace_seconds:
            asked = False  # its file may still be on the way; a hundred redriven at once wait for what the first finds
        return Rejected(reason, text) if asked else Retryable(reason, text)

    def _finally(
        self, request: TriggerRequest, attempt: int, outcome: Outcome, tries: int | None = None
    ) -> Dispatched:
        if isinstance(outcome, Rejected) and outcome.reason is not Reason.CANCELLED:
            # After the ledger, and again for a redelivery that finds the row dead: a bell may ring twice, never not at all.
            self.dead_letters.ring(request, outcome, attempt)
        return self._answer(request, attempt, outcome, tries)

    def _keep_unreadable(self, body: str, receive_count: int, rejected: Rejected) -> Dispatched:
        try:
            self.dead_letters.keep_unreadable(body, rejected)
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
                wait, away_for = self._wait(request, tries or attempt), self.gates.away_for(self.now())
                return Dispatched(request, outcome, attempt, wait, away_for)
            case _:
                assert_never(outcome)

    def _wait(self, request: TriggerRequest | None, tries: int) -> float:
        """Return how long the message stays away: as all do before a shut gate, also who has just asked there in vain."""
        now, jitter = self.now(), self.jitter()
        gate = request and self.gates.known_shut(request.target, now)
        if gate and gate.seconds > 0:  # else the probe is due, and was not this one's: pinned elsewhere, say
            return gate_wait_seconds(gate.seconds, now - gate.shut_since, jitter)
        return backoff_seconds(tries, jitter)


def _too_old(tried: str, claim: Claim, text: str, *, in_doubt: bool) -> Rejected:
    doubt = " The run may exist: look it up." if in_doubt else ""
    return Rejected(Reason.TOO_OLD, f"{tried}, {claim.tries} times; last: {text}.{doubt}", in_doubt)


def _waited_out(claim: Claim, text: str, *, in_doubt: bool) -> Rejected:
    waited = f"waited for {LONGEST_WAIT_SECONDS // 86_400} days for its environment, which is away; tried"
    return _too_old(waited, claim, text, in_doubt=in_doubt)


def _crashed(attempts: int, text: str, *, in_doubt: bool = False) -> Rejected:
    return Rejected(
        Reason.CRASHED,
        f"{attempts} attempts in a row ended without an outcome: the dispatcher was killed, or ran out of memory or "
        f"time, on this request; {text}",
        in_doubt,
    )


def _pinned_elsewhere(environment: str) -> Retryable:
    text = f"its first attempt was made in environment {environment!r}, and is open"
    return Retryable(Reason.PINNED_ELSEWHERE, text)


def _in_doubt(claim: Claim) -> bool:
    return claim.doubtful or claim.unanswered > 1
