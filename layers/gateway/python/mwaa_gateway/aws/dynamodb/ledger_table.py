"""The ledger in DynamoDB: one item per trigger request, written twice in a run without trouble.

    key      event = SHA-256 of the event's identity, request = "<rule>#<target>#<generation>"
    claim    open,  attempt + 1, unanswered + 1   if there is no row, or it is open in this environment
    note     open,  unanswered = 0, doubtful      if it is open and the attempt is still mine
    finish   triggered | dead                     if it is open or held and the attempt is still mine
    hold     held                                 if there is no row, or it is open in this environment
    reopen   open,  attempt + 1, unanswered + 1   if it is dead or held, and has not seen this redrive or a later one
    re-hold  held,  attempt + 1                   likewise
    tell     triggered, not_runnable              if it is triggered: a third write, for the run that stays queued

        attempt 1  ──claim(1)──────────(slow)──────────────────finish(1) refused: attempt is 2
        attempt 2  ─────────────claim(2)────────finish(2) ok

The first hold takes no attempt number. So an attempt that is under way then still ends the row as Airflow answered; and if
it never answers, `unanswered` goes on counting it, and whoever is released later looks the run up first.

A write that DynamoDB does not take is sent again for some seconds, beyond botocore's own tries: an attempt whose end is
not recorded counts as one that was killed, and so does a claim that was applied and whose answer is lost. An outage is not
waited for: the message comes again.

Rows are never deleted; DynamoDB's TTL removes them after 90 days, longer than any source redelivers, but not while they
are held.
"""

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.dynamodb.ledger_items import (
    DEAD_SHARDS,
    HELD_SHARDS,
    Item,
    expiry,
    outcome_values,
    pinned_values,
    read_attempt,
    read_finished,
    shard,
)
from mwaa_gateway.aws.errors import refused_item, unavailable_unless_answered
from mwaa_gateway.dispatch.ledger import Attempt, Finished, PinnedElsewhere
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    OutcomeUnknown,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateItemInputTypeDef

__all__ = ["LedgerTable"]

# Throttled, botocore's three tries take about two seconds: a write has some ten of them. One that hangs takes all of this
# time at its first call: no slot is held for a table that is away.
PATIENCE_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 1.0

_MAY_CLAIM = (
    "attribute_not_exists(event) OR (#state = :open AND environment = :environment AND claim_id <> :claim_id)"
)
_MAY_HOLD = "attribute_not_exists(event) OR (#state = :open AND environment = :environment)"
_MAY_REOPEN = (
    "(#state = :dead OR #state = :held) AND environment = :environment"
    " AND (attribute_not_exists(redrives) OR redrives < :redrive)"
)
_STILL_MINE = "#state = :open AND attempt = :attempt"
_MINE_TO_END = "(#state = :open OR #state = :held) AND attempt = :attempt"
# What the first who sees a request writes of it, and nobody again.
_PINNED = (
    "request_body = if_not_exists(request_body, :request_body)"
    ", #identity = if_not_exists(#identity, :identity)"
    ", environment = if_not_exists(environment, :environment)"
    ", dag_id = if_not_exists(dag_id, :dag_id)"
    ", run_id = if_not_exists(run_id, :run_id)"
    ", rule_id = if_not_exists(rule_id, :rule_id)"
    ", rule_version = if_not_exists(rule_version, :rule_version)"
    ", redrives = if_not_exists(redrives, :redrive)"
)


class LedgerTable:
    """Implements `dispatch.ledger.Ledger`. No try of a write begins later than PATIENCE_SECONDS after its first."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._monotonic = monotonic
        self._pause = pause

    def begin_attempt(self, request: TriggerRequest, now: float) -> Attempt | Finished | PinnedElsewhere:
        """Pin the request if this is its first attempt, and take the next attempt number."""
        claim_id = uuid.uuid4().hex
        if request.redrive and (reopened := self._reopen(request, claim_id, now)) is not None:
            return reopened
        new, old = self._update(
            request,
            "SET #state = :open, claim_id = :claim_id, last_attempt_at = :now"
            ", attempt = if_not_exists(attempt, :zero) + :one"
            ", unanswered = if_not_exists(unanswered, :zero) + :one"
            ", first_attempt_at = if_not_exists(first_attempt_at, :now)"
            f", expires_at = if_not_exists(expires_at, :expires_at), {_PINNED}",
            condition=_MAY_CLAIM,
            names={"#state": "state", "#identity": "identity"},
            values={
                ":open": {"S": "open"},
                ":claim_id": {"S": claim_id},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":one": {"N": "1"},
                ":expires_at": expiry(now),
                **pinned_values(request),
            },
        )
        if new is not None:
            return read_attempt(new)
        # Refused: the row as it was when it refused says why.
        if (elsewhere := _pinned_elsewhere(request, old)) is not None:
            return elsewhere
        if _text(old, "claim_id") == claim_id:
            return read_attempt(old)  # our own write, whose answer was lost and which botocore sent again
        return read_finished(old)

    def _reopen(self, request: TriggerRequest, claim_id: str, now: float) -> Attempt | None:
        """Claim a dead or held row for a redrive it has not seen; None when it is neither, not here, or has seen it."""
        new, _ = self._update(
            request,
            "SET #state = :open, claim_id = :claim_id, last_attempt_at = :now, reopened_at = :now"
            ", redrives = :redrive, reopened_after = attempt, attempt = attempt + :one"
            ", unanswered = unanswered + :one, expires_at = :expires_at"
            ", first_attempt_at = if_not_exists(first_attempt_at, :now)"
            " REMOVE stopped_shard, stopped_at, aged, ages_from",
            condition=_MAY_REOPEN,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":dead": {"S": "dead"},
                ":held": {"S": "held"},
                ":claim_id": {"S": claim_id},
                ":now": {"N": f"{now:.6f}"},
                ":one": {"N": "1"},
                ":environment": {"S": request.target.environment},
                ":redrive": {"N": str(request.redrive)},
                # Remembered for as long after this as after a first attempt.
                ":expires_at": expiry(now),
            },
        )
        # Refused, too, where our own write was applied and its answer lost: the claim that follows knows it by its claim_id.
        return None if new is None else read_attempt(new)

    def hold(self, request: TriggerRequest, held: Held, now: float) -> Finished | PinnedElsewhere:
        """Park the request, pinned if nobody has seen it, and say how it stands then: what ran or is dead stays so."""
        parked = {
            ":open": {"S": "open"},
            ":held": {"S": "held"},
            ":shard": {"S": shard(request, HELD_SHARDS)},
            ":now": {"N": f"{now:.6f}"},
            **outcome_values(held),
        }
        expression = (
            "SET #state = :held, stopped_shard = :shard, stopped_at = :now"
            ", outcome = :outcome, reason = :reason, reason_text = :text"
        )
        if request.redrive and (again := self._hold_again(request, expression, parked)) is not None:
            return again
        new, old = self._update(
            request,
            f"{expression}, attempt = if_not_exists(attempt, :zero), unanswered = if_not_exists(unanswered, :zero)"
            f", {_PINNED} REMOVE expires_at",
            condition=_MAY_HOLD,
            names={"#state": "state", "#identity": "identity"},
            values={**parked, ":zero": {"N": "0"}, **pinned_values(request)},
        )
        row = old if new is None else new
        # Refused as open, it is another environment's; refused as held, it was held before, perhaps by this very write.
        return _pinned_elsewhere(request, row) or read_finished(row)

    def _hold_again(self, request: TriggerRequest, expression: str, parked: Item) -> Finished | None:
        """Hold what a redrive would reopen; None as for `_reopen`."""
        new, _ = self._update(
            request,
            f"{expression}, redrives = :redrive, attempt = attempt + :one REMOVE expires_at",
            condition=_MAY_REOPEN,
            names={"#state": "state"},
            values={
                ":one": {"N": "1"},
                **{name: value for name, value in parked.items() if name != ":open"},
                ":dead": {"S": "dead"},
                ":environment": {"S": request.target.environment},
                ":redrive": {"N": str(request.redrive)},
            },
        )
        return None if new is None else read_finished(new)

    def finish(self, attempt: Attempt, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the end of it; False when a later attempt has taken over."""
        state, where, values = "triggered", ", finished_at = :now REMOVE stopped_shard, stopped_at", {}
        if isinstance(outcome, Rejected):
            state, where = "dead", ", stopped_at = :now, stopped_shard = :shard, doubtful = :doubtful"
            values = {
                ":shard": {"S": shard(attempt.request, DEAD_SHARDS)},
                ":doubtful": {"BOOL": outcome.run_may_exist},
            }
        elif outcome.not_runnable is not None:
            where, values = f", not_runnable = :why{where}", {":why": {"S": outcome.not_runnable}}
        new, old = self._update(
            attempt.request,
            "SET #state = :state, outcome = :outcome, reason = :reason, reason_text = :text, unanswered = :zero"
            f", expires_at = if_not_exists(expires_at, :expires_at){where}",
            condition=_MINE_TO_END,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":held": {"S": "held"},
                ":attempt": {"N": str(attempt.number)},
                ":state": {"S": state},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":expires_at": expiry(now),
                **outcome_values(outcome),
                **values,
            },
        )
        if new is not None:
            return True
        if not old:
            raise Unavailable("the ledger's row was deleted during the attempt")
        # Our own write, whose answer was lost and which botocore sent again, stands under our attempt number.
        if int(old["attempt"]["N"]) == attempt.number and old["state"]["S"] == state:
            return True
        self._end_unanswered(attempt.request, old)
        return False

    def mark_not_runnable(self, request: TriggerRequest, not_runnable: NotRunnable) -> None:
        """Note on a triggered request why its run stays queued."""
        self._update(
            request,
            "SET not_runnable = :why",
            condition="#state = :triggered",
            names={"#state": "state"},
            values={":why": {"S": not_runnable}, ":triggered": {"S": "triggered"}},
        )

    def record_attempt(
        self, attempt: Attempt, outcome: Retryable | OutcomeUnknown, now: float, *, ageing: bool = True
    ) -> bool:
        """Record that the attempt is over and the request still open; False when a later attempt has taken over."""
        new, old = self._update(
            attempt.request,
            "SET outcome = :outcome, reason = :reason, reason_text = :text, noted_at = :now"
            ", unanswered = :zero, doubtful = :doubtful, aged = :aged"
            + (", ages_from = :now" if ageing else " REMOVE ages_from"),
            condition=_STILL_MINE,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":attempt": {"N": str(attempt.number)},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":doubtful": {"BOOL": isinstance(outcome, OutcomeUnknown)},
                ":aged": {"N": f"{attempt.age(now):.6f}"},
                **outcome_values(outcome),
            },
        )
        if new is None:
            self._end_unanswered(attempt.request, old)
        return new is not None

    def _end_unanswered(self, request: TriggerRequest, row: Item) -> None:
        """Count an overtaken attempt as answered: duplicates that overlap are no message that kills its process."""
        if _text(row, "state") == "open":
            self._update(
                request,
                "SET unanswered = :zero",
                condition="#state = :open",
                names={"#state": "state"},
                values={":open": {"S": "open"}, ":zero": {"N": "0"}},
            )

    def _update(
        self, request: TriggerRequest, expression: str, *, condition: str, names: dict[str, str], values: Item
    ) -> tuple[Item | None, Item]:
        """Return (the new item, {}), or (None, the item that refused) when the condition does not hold.

        Whatever is written here may be applied twice: the condition knows it again, or the second time changes nothing.
        """
        event, sort = request.ledger_key
        update: UpdateItemInputTypeDef = {
            "TableName": self._table,
            "Key": {"event": {"S": event}, "request": {"S": sort}},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        last_try_at = self._monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._sent(update)
            except Unavailable:
                if self._monotonic() + PAUSE_SECONDS > last_try_at:
                    raise
                self._pause(PAUSE_SECONDS)

    def _sent(self, update: "UpdateItemInputTypeDef") -> tuple[Item | None, Item]:
        with unavailable_unless_answered("the ledger table did not take the write"):
            try:
                answer = self._client.update_item(**update)
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return None, refused_item(refused)
        return answer["Attributes"], {}


def _pinned_elsewhere(request: TriggerRequest, row: Item) -> PinnedElsewhere | None:
    """Return whose it is, for an open row of another environment."""
    environment = _text(row, "environment")
    if _text(row, "state") == "open" and environment and environment != request.target.environment:
        return PinnedElsewhere(environment)
    return None


def _text(item: Item, name: str) -> str:
    """Read an attribute that somebody may have removed by hand."""
    return str(item.get(name, {}).get("S", ""))
