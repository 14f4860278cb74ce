"""From a trigger request to exactly one DAG run.

Each delivery of a message takes these steps:

    read     the message is a trigger request                   else it goes to the dead-letter queue as it is
    admit    no command has claimed its S3 object               else it waits, or is a delivery of that command's request
             its rule and environment are not paused            else the request is held in the ledger
             no circuit breaker is open                         else the message waits, without a request to Airflow
    begin    the ledger gives it an attempt                     else it ran, is dead or held: the duplicate is done
    attempt  look up the run if it may exist, then trigger it; look it up again if the answer was lost
    judge    a missing DAG has its grace; what is too old, or crashed too often, is rejected
    record   the ledger keeps the outcome                       unless a later attempt has taken over
    reply    the message is deleted or redelivered; what is dead is published to the dead-letter queue

Without trouble that is two ledger writes and one Airflow command. Nothing is locked: the ledger's attempt number tells
two attempts apart, and Airflow's unique run_id lets only one of them create the run.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, assert_never

from mwaa_gateway.airflow.port import Airflow
from mwaa_gateway.backoff import backoff_seconds, probe_wait_seconds, soon_seconds
from mwaa_gateway.dispatch.circuit_breaker import (
    LOOK_EVERY_SECONDS,
    CircuitBreakers,
    DagMissing,
    Pass,
    Rest,
    Wait,
)
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.give_up import (
    CRASHES_UNTIL_DEAD,
    crashed,
    waited_too_long,
    within_limits,
    without_asking,
)
from mwaa_gateway.dispatch.ledger import Attempt, Finished, Ledger, PinnedElsewhere, UnreadableRow
from mwaa_gateway.dispatch.object_claims import ObjectClaims, as_claimed
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
from mwaa_gateway.values import value

UNPAUSED_LOOK_SECONDS = 300  # between two looks whether a paused DAG is unpaused
# How long a sandbox waits with its message for the environment: a command and a look-up that hang still fit into its 90 s
LONGEST_STAY_SECONDS = 10.0
# Older messages are not waited with: all of a large backlog must be received before SQS deletes it after four days.
STAY_UNTIL_SECONDS = 86_400
SUSPECT_AFTER = 2  # attempts in a row without an outcome
LOOK_UPS = 3  # of one attempt, if they say nothing
LOOK_AGAIN_WITHIN_SECONDS = 20.0  # after the attempt's first command
TRIES_SOON = 6  # after lost answers; then the request's own back-off begins
_ANSWER_LOST = (Reason.RUN_NOT_THERE, Reason.UNCLEAR_ANSWER)


class DeadLetters(Protocol):
    """The environment's trigger dead-letter queue: a message in it says that a request is dead in the ledger."""

    def publish(self, request: TriggerRequest, rejected: Rejected, attempt: int) -> None:
        """Publish the request with its reason; raise Unavailable unless the queue has it."""

    def publish_unreadable(self, body: str, rejected: Rejected) -> None:
        """Publish a message that is no trigger request, as it came; raise Unavailable unless the queue has it."""


@value
class Dispatched:
    """The result of one delivery.

    `request` is the pinned one, None if the message holds none. `redeliver_after` is in seconds; None deletes the
    message. `away_for` is for how many seconds the environment's circuit breaker has been open, None if it is closed.
    """

    request: TriggerRequest | None
    outcome: Outcome
    attempt: int
    redeliver_after: float | None
    away_for: float | None = None


@value
class _Admitted:
    """An admitted request; with `waited_too_long` this attempt is its last."""

    request: TriggerRequest
    admission: Pass | Wait | DagMissing
    waited_too_long: bool


@value
class _Attempted:
    """The outcome of an attempt, and Airflow's answer; None if Airflow was not asked."""

    outcome: Outcome
    answer: Outcome | None


@value
class _Settled:
    """The outcome that ends this delivery, without an attempt or after it.

    `accepted_at` is when Airflow accepted the run, if it is unknown yet whether it will start.
    """

    request: TriggerRequest
    outcome: Outcome
    accepted_at: float | None = None


@value(kw_only=True)
class Dispatcher:
    """One environment's dispatcher with its collaborators.

    A request whose rule names no maximum event age is tried for `maximum_event_age_seconds` from its first attempt,
    without the time it waits for a slot or a circuit breaker. `now` returns seconds since the epoch, `jitter` a random
    number in [0, 1); `sleep` waits so many seconds.
    """

    ledger: Ledger
    claims: ObjectClaims
    airflow: Airflow
    dead_letters: DeadLetters
    pauses: Pauses
    circuit_breakers: CircuitBreakers
    catalog: LiveCatalog
    maximum_event_age_seconds: int
    now: Callable[[], float]
    jitter: Callable[[], float]
    sleep: Callable[[float], None]

    def dispatch(self, body: str, receive_count: int, waiting_since: float | None = None) -> Dispatched:
        """Take one delivery of a message through all steps.

        Never raises for an outage: what cannot be recorded now is redelivered. `receive_count` is the queue's count of
        this message, `waiting_since` when the request joined the queue.
        """
        try:
            request = TriggerRequest.from_json(body)
        except UnreadableRequest as error:
            return self._publish_unreadable(body, receive_count, error)
        try:
            return self._dispatch(request, receive_count, waiting_since)
        except Unavailable as error:
            self.circuit_breakers.record_aws(answered=False, now=self.now())
            return self._answer(request, receive_count, Retryable(Reason.AWS_UNAVAILABLE, str(error)))
        except UnreadableRow as error:
            self._record_answer(request.target, None)
            return self._publish_unreadable(body, receive_count, error)

    def is_suspect(self, body: str, receive_count: int) -> bool:
        """Return whether attempts of this request end without an outcome: it crashes its sandbox, or another one did.

        Only the ledger knows, and only a message that was received some times is worth a read. Raises Unavailable.
        """
        if receive_count <= SUSPECT_AFTER:
            return False
        try:
            request = TriggerRequest.from_json(body)
        except UnreadableRequest:
            return False
        return self.ledger.attempts_without_outcome(request) >= SUSPECT_AFTER

    def _dispatch(
        self, request: TriggerRequest, receive_count: int, waiting_since: float | None
    ) -> Dispatched:
        admitted = self._admit(request, waiting_since)
        if isinstance(admitted, _Settled):
            return self._reply(admitted, receive_count)
        attempt = self._begin(admitted.request)
        if isinstance(attempt, _Settled):
            self._record_answer(request.target, None)
            return self._reply(attempt, receive_count)
        began = self.now()
        outcome: Outcome | None = without_asking(attempt, admitted.admission, self.circuit_breakers, began)
        if outcome is None:
            attempted = self._attempt(attempt, receive_count)
            missing_since = self._record_answer(attempt.request.target, attempted.answer)
            outcome = self._judge(attempt, attempted, missing_since, waited_too_long=admitted.waited_too_long)
        outcome = as_far_as_known(outcome, attempt.request.target.dag_id, self.catalog)
        outcome = self._record(attempt, outcome)
        # The lower count makes the back-off: two messages of one upload must not put each other off.
        tries = min(attempt.tries, receive_count)
        settled = _Settled(attempt.request, outcome, accepted_at=self.now())
        return self._reply(settled, attempt.number, tries=tries, began=began)

    # admit

    def _admit(self, request: TriggerRequest, waiting_since: float | None) -> _Admitted | _Settled:
        """Stop before the attempt if its object is reserved, the request is paused or a circuit breaker is open."""
        began = self.now()
        patience = LONGEST_STAY_SECONDS if began - (waiting_since or began) < STAY_UNTIL_SECONDS else 0.0
        while True:
            held = self.pauses.holds(request.rule_id, self.now())
            if self.pauses.may_be_claimed(request.rule_id):
                claimed = as_claimed(request, self.claims, self.now())
                if isinstance(claimed, Retryable):
                    return _Settled(request, claimed)
                request = claimed
            if held is not None:
                state = self.ledger.hold(request, held, self.now())
                resumed = self._resumed(request, state)
                if resumed is None:
                    return _Settled(request, _outcome_of(state))
                request = resumed
            now = self.now()
            admission = self.circuit_breakers.start_attempt(request.target, now)
            left = began + patience - now
            # The others stay in the queue meanwhile, so that every slot works again at once when the environment does.
            match admission:
                case Rest(seconds):
                    self.sleep(seconds)
                case Wait(seconds, for_all=True) if left > 0:
                    self.sleep(min(seconds, LOOK_EVERY_SECONDS, left))
                case _:
                    break
        too_long = waited_too_long(waiting_since, now)
        if isinstance(admission, Wait) and not too_long:
            text = "a circuit breaker is open; one request probes it and the others wait"
            return _Settled(request, Retryable(Reason.CIRCUIT_OPEN, text))
        return _Admitted(request, admission, too_long)

    def _resumed(self, request: TriggerRequest, state: Finished | PinnedElsewhere) -> TriggerRequest | None:
        """Return the request with the next redrive number if the pause it is held for is over; otherwise None."""
        if not isinstance(state, Finished) or not isinstance(state.outcome, Held):
            return None
        if not self.pauses.is_over(state.outcome, request.rule_id, self.now()):
            return None
        return replace(request, redrive=state.redrives + 1)

    # begin

    def _begin(self, request: TriggerRequest) -> Attempt | _Settled:
        """Take an attempt from the ledger, and reopen a request whose reason to be held is gone."""
        while True:
            state = self.ledger.begin_attempt(request, self.now())
            self.circuit_breakers.record_aws(answered=True, now=self.now())
            if isinstance(state, Attempt):
                return state
            reopened = self._resumed(request, state) or self._unpaused(request, state)
            if reopened is None:
                accepted_at = state.accepted_at if isinstance(state, Finished) else None
                return _Settled(request, _outcome_of(state), accepted_at)
            request = reopened

    def _unpaused(self, request: TriggerRequest, state: Finished | PinnedElsewhere) -> TriggerRequest | None:
        """Return the request with the next redrive number if the DAG it is held for is unpaused; otherwise None."""
        if not isinstance(state, Finished) or not is_unpaused(request.target.dag_id, state, self.catalog):
            return None
        return replace(request, redrive=state.redrives + 1)

    # attempt

    def _attempt(self, attempt: Attempt, receive_count: int) -> _Attempted:
        """Start the run, or prove that it exists."""
        target, began = attempt.request.target, self.now()
        # The lower count: duplicates that overlap raise the ledger's, messages that only waited raise the queue's.
        crashes = min(attempt.attempts_without_outcome, receive_count) - 1
        if crashes >= 2 * CRASHES_UNTIL_DEAD:
            text = "not even a look-up came back: the run may exist"
            return _Attempted(crashed(crashes, text, run_may_exist=True), None)
        found: Outcome | None = None
        if attempt.run_may_exist:
            found = self._look_up(target, began, because="an earlier attempt recorded no clear outcome")
            if not isinstance(found, Retryable):
                return _Attempted(found, found)
            if crashes >= CRASHES_UNTIL_DEAD:
                return _Attempted(crashed(crashes, found.text), found)
        kept = kept_back(attempt, self.catalog, self.now)
        if kept is not None:
            return _Attempted(kept, found)
        answer = self.airflow.trigger(target)
        if isinstance(answer, OutcomeUnknown):
            found = self._look_up(target, began, because=answer.text)
            if isinstance(found, Retryable) and Reason.LOGICAL_DATE_TAKEN in (answer.reason, found.reason):
                answer = _date_taken(target, found)
            else:
                answer = found
        return _Attempted(answer, answer)

    def _look_up(
        self, target: ResolvedTarget, began: float, *, because: str
    ) -> AlreadyTriggered | Retryable | OutcomeUnknown:
        """Settle a doubt. Only proof that the run does not exist ends it without the run.

        A look-up that says nothing is repeated while the attempt is young: otherwise a message more would be in doubt, and
        need another one. A failed look-up leaves the doubt, and keeps the reason that a start has for the same fault.
        """
        found = self._look_up_once(target, because)
        for _ in range(LOOK_UPS - 1):
            if not isinstance(found, OutcomeUnknown) or found.reason is not Reason.UNCLEAR_ANSWER:
                break
            if self.now() - began > LOOK_AGAIN_WITHIN_SECONDS:
                break
            found = self._look_up_once(target, because)
        return found

    def _look_up_once(
        self, target: ResolvedTarget, because: str
    ) -> AlreadyTriggered | Retryable | OutcomeUnknown:
        match self.airflow.look_up(target):
            case AlreadyTriggered() as found:
                return found
            case Retryable(reason=Reason.RUN_NOT_THERE | Reason.LOGICAL_DATE_TAKEN as reason, text=text):
                return Retryable(reason, f"{because}; {text}")
            case Retryable() | OutcomeUnknown() | Rejected() | Held() as unsettled:
                return OutcomeUnknown(unsettled.reason, f"{because}; the look-up: {unsettled.text}")
            case Triggered():
                return AlreadyTriggered("the run was there when it was looked up")

    def _record_answer(self, target: ResolvedTarget, answer: Outcome | None) -> float | None:
        """Record the answer in the circuit breakers; return since when Airflow has not known the DAG, if it says so.

        If their table does not answer, the outcome still counts, and the next attempt records its own.
        """
        try:
            return self.circuit_breakers.record(target, answer, self.now())
        except Unavailable:
            missing = isinstance(answer, Rejected) and answer.reason in (
                Reason.DAG_MISSING,
                Reason.DAG_BROKEN,
            )
            return self.now() if missing else None

    # judge

    def _judge(
        self, attempt: Attempt, attempted: _Attempted, missing_since: float | None, *, waited_too_long: bool
    ) -> Outcome:
        """Apply the limits to what Airflow answered."""
        if attempted.answer is None:
            return attempted.outcome
        return within_limits(
            attempted.outcome,
            attempt,
            circuit_breakers=self.circuit_breakers,
            missing_since=missing_since,
            maximum_event_age_seconds=self.maximum_event_age_seconds,
            waited_too_long=waited_too_long,
            now=self.now(),
        )

    # record

    def _record(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """Write the outcome to the ledger; return OVERTAKEN if a later attempt owns the row."""
        match outcome:
            case Triggered() | AlreadyTriggered() | Rejected():
                mine = self.ledger.finish(attempt, outcome, self.now())
            case Retryable() | OutcomeUnknown():
                # An environment comes back by itself; a missing permission does not, so requests age while it is missing.
                now = self.now()
                ageing = outcome.reason is Reason.ACCESS_DENIED or self.circuit_breakers.away_for(now) is None
                mine = self.ledger.record_attempt(attempt, outcome, now, ageing=ageing)
            case Held():
                # First the attempt: when the request is reopened, nothing of it is in doubt.
                self.ledger.record_attempt(attempt, Retryable(outcome.reason, outcome.text), self.now())
                return _outcome_of(self.ledger.hold(attempt.request, outcome, self.now()))
            case _:
                assert_never(outcome)
        if mine:
            return outcome
        # The later attempt will find the run and record it. Until then the message stays, so that no open request is
        # without a message.
        return Retryable(Reason.OVERTAKEN, f"attempt {attempt.number} was overtaken by a later one")

    # reply

    def _reply(
        self, settled: _Settled, attempt: int, *, tries: int | None = None, began: float | None = None
    ) -> Dispatched:
        """Publish a dead request, answer the queue, and find out whether an accepted run will start."""
        request, outcome = settled.request, settled.outcome
        if isinstance(outcome, Rejected) and outcome.reason is not Reason.CANCELLED:
            # After the ledger, and again if a redelivery finds it dead: at least once, a notice may repeat.
            self.dead_letters.publish(request, outcome, attempt)
        dispatched = self._answer(request, attempt, outcome, tries)
        if settled.accepted_at is None or not isinstance(outcome, Triggered | AlreadyTriggered):
            return dispatched
        now = self.now()
        match whether_it_starts(
            request.target.dag_id,
            self.catalog,
            known=outcome.not_runnable,
            accepted_at=settled.accepted_at,
            began=now if began is None else began,
            now=now,
        ):
            case None:
                return dispatched
            case NotRunnable() as not_runnable:
                self.ledger.mark_not_runnable(request, not_runnable)
                return replace(dispatched, outcome=replace(outcome, not_runnable=not_runnable))
            case LookAgain(seconds):
                return replace(dispatched, redeliver_after=seconds * (1 + 2 * self.jitter()))

    def _answer(
        self, request: TriggerRequest | None, attempt: int, outcome: Outcome, tries: int | None = None
    ) -> Dispatched:
        """Delete or redeliver the message: `tries` sets the back-off if it differs from the attempt number."""
        match outcome:
            case Held(reason=Reason.DAG_PAUSED):
                # Nobody reports that a DAG is unpaused: the message stays, and looks.
                return Dispatched(request, outcome, attempt, UNPAUSED_LOOK_SECONDS * (1 + self.jitter()))
            case Triggered() | AlreadyTriggered() | Rejected() | Held():
                return Dispatched(request, outcome, attempt, redeliver_after=None)
            case Retryable() | OutcomeUnknown():
                wait = self._redeliver_after(request, outcome, tries or attempt)
                return Dispatched(request, outcome, attempt, wait, self.circuit_breakers.away_for(self.now()))
            case _:
                assert_never(outcome)

    def _redeliver_after(
        self, request: TriggerRequest | None, outcome: Retryable | OutcomeUnknown, tries: int
    ) -> float:
        """Return the seconds until redelivery: back-off belongs to what failed.

        An open circuit breaker has its own wait. What is the environment's or AWS's trouble comes again soon, as they pace
        the attempts; so does a lost answer, at first. Everything else is the request's own trouble.
        """
        now, jitter = self.now(), self.jitter()
        wait = request and self.circuit_breakers.known_open(request.target, now)
        # Else a probe is due, and this message had no use for it: it is pinned elsewhere
        if wait and wait.seconds > 0:
            return probe_wait_seconds(wait.seconds, tries, jitter)
        if self.circuit_breakers.caused(outcome):
            return soon_seconds(jitter)
        if outcome.reason in _ANSWER_LOST:
            tries -= TRIES_SOON
        return backoff_seconds(tries, jitter) if tries > 0 else soon_seconds(jitter)

    def _publish_unreadable(self, body: str, receive_count: int, error: Exception) -> Dispatched:
        rejected = Rejected(Reason.MESSAGE_UNREADABLE, str(error))
        try:
            self.dead_letters.publish_unreadable(body, rejected)
        except Unavailable as unavailable:
            return self._answer(None, receive_count, Retryable(Reason.AWS_UNAVAILABLE, str(unavailable)))
        return self._answer(None, receive_count, rejected)


def _date_taken(target: ResolvedTarget, found: Retryable) -> Rejected:
    """Return the outcome where the lookup proves that the run that exists is another one, of the same logical date."""
    return Rejected(
        Reason.LOGICAL_DATE_TAKEN,
        f"a DAG has one run per logical date, and another run of {target.dag_id!r} has {target.logical_date}: {found.text}",
    )


def _outcome_of(state: Finished | PinnedElsewhere) -> AlreadyTriggered | Rejected | Held | Retryable:
    """Return the outcome of a request that the ledger gives no attempt."""
    match state:
        case Finished(outcome=outcome):
            return outcome
        case PinnedElsewhere(environment):
            text = f"its first attempt was made in environment {environment!r}, and is open"
            return Retryable(Reason.PINNED_ELSEWHERE, text)
