"""The ledger in DynamoDB: one item per trigger request, written twice in a run without trouble.

    key      event = SHA-256 of the event's identity, request = "<rule>#<target>#<generation>"
    begin    open,  attempt + 1, unanswered + 1   if there is no row, or it is open in this environment
    record   open,  unanswered = 0, doubtful      if it is open and this attempt is the latest
    finish   triggered | dead                     if it is open or held and this attempt is the latest
    hold     held                                 if there is no row, or it is open in this environment
    reopen   open,  attempt + 1, unanswered + 1   if it is dead or held, and has not seen this or a later redrive
    re-hold  held,  attempt + 1                   on the same condition
    mark     triggered, not_runnable              if it is triggered: a third write, for a run that stays queued

        attempt 1  ──begin(1)──────────(slow)──────────────────finish(1) refused: attempt is 2
        attempt 2  ─────────────begin(2)────────finish(2) ok

The first hold takes no attempt number. So an attempt that is under way still records Airflow's answer. If it never
answers, `unanswered` still counts it, and the first attempt after the release looks the run up first.

A write without an answer is retried for some seconds, beyond botocore's own tries: an attempt that cannot record its outcome
counts as crashed, and so does one that DynamoDB recorded and whose answer is lost. The retries do not outlast an outage:
then SQS redelivers the message.

Nothing deletes rows but DynamoDB's TTL, after 90 days, longer than any source redelivers. Held rows have no TTL.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.dynamodb.ledger_items import (
    DEAD_SHARDS,
    HELD_SHARDS,
    expiry,
    outcome_values,
    pinned_values,
    read_attempt,
    read_finished,
    shard,
)
from mwaa_gateway.aws.dynamodb.values import Item, Value, attributes, ledger_key, text
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

# If DynamoDB throttles, botocore's three tries take about two seconds: a write gets about ten such tries. A call that hangs
# uses up all of the time at once, so that no slot waits for a table that is down.
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
# Written by the first write of a request, and never changed.
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
    """Implements `dispatch.ledger.Ledger`. No try of a write begins later than PATIENCE_SECONDS after the first."""

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
            names={"#identity": "identity"},
            values={
                ":open": "open",
                ":claim_id": claim_id,
                ":now": now,
                ":zero": 0,
                ":one": 1,
                ":expires_at": expiry(now),
                **pinned_values(request),
            },
        )
        if new is not None:
            return read_attempt(new)
        # Refused: the row that refused the write says why.
        if (elsewhere := _pinned_elsewhere(request, old)) is not None:
            return elsewhere
        if text(old, "claim_id") == claim_id:
            return read_attempt(old)  # botocore sent our own write again, after its first answer was lost
        return read_finished(old)

    def attempts_without_outcome(self, request: TriggerRequest) -> int:
        """Return the attempts since the last one that recorded an outcome; 0 if there was none yet."""
        with unavailable_unless_answered("cannot read the ledger"):
            answer = self._client.get_item(
                TableName=self._table,
                Key=ledger_key(*request.ledger_key),
                ProjectionExpression="unanswered",
                ConsistentRead=True,
            )
        return int(answer.get("Item", {}).get("unanswered", {}).get("N", 0))

    def _reopen(self, request: TriggerRequest, claim_id: str, now: float) -> Attempt | None:
        """Begin an attempt on a dead or held row for a redrive it has not seen; None if the row is not such a row."""
        new, _ = self._update(
            request,
            "SET #state = :open, claim_id = :claim_id, last_attempt_at = :now, reopened_at = :now"
            ", redrives = :redrive, reopened_after = attempt, attempt = attempt + :one"
            ", unanswered = unanswered + :one, expires_at = :expires_at"
            ", first_attempt_at = if_not_exists(first_attempt_at, :now)"
            " REMOVE stopped_shard, stopped_at, aged, ages_from",
            condition=_MAY_REOPEN,
            values={
                ":open": "open",
                ":dead": "dead",
                ":held": "held",
                ":claim_id": claim_id,
                ":now": now,
                ":one": 1,
                ":environment": request.target.environment,
                ":redrive": request.redrive,
                # The TTL starts again, as after a first attempt.
                ":expires_at": expiry(now),
            },
        )
        # Also None if our own write was applied and its answer lost: `begin_attempt` then recognises its claim_id.
        return None if new is None else read_attempt(new)

    def hold(self, request: TriggerRequest, held: Held, now: float) -> Finished | PinnedElsewhere:
        """Hold the request, pin it on first sight, and return its state; one that ran or is dead stays as it is."""
        held_values = {
            ":open": "open",
            ":held": "held",
            ":shard": shard(request, HELD_SHARDS),
            ":now": now,
            **outcome_values(held),
        }
        expression = (
            "SET #state = :held, stopped_shard = :shard, stopped_at = :now"
            ", outcome = :outcome, reason = :reason, reason_text = :text"
        )
        if request.redrive and (again := self._hold_again(request, expression, held_values)) is not None:
            return again
        new, old = self._update(
            request,
            f"{expression}, attempt = if_not_exists(attempt, :zero), unanswered = if_not_exists(unanswered, :zero)"
            f", {_PINNED} REMOVE expires_at",
            condition=_MAY_HOLD,
            names={"#identity": "identity"},
            values={**held_values, ":zero": 0, **pinned_values(request)},
        )
        row = old if new is None else new
        # Refused as open, the row belongs to another environment; as held, it was held before, perhaps by this very write.
        return _pinned_elsewhere(request, row) or read_finished(row)

    def _hold_again(
        self, request: TriggerRequest, expression: str, held_values: Mapping[str, Value]
    ) -> Finished | None:
        """Hold a request that a redrive would reopen; None as for `_reopen`."""
        new, _ = self._update(
            request,
            f"{expression}, redrives = :redrive, attempt = attempt + :one REMOVE expires_at",
            condition=_MAY_REOPEN,
            values={
                ":one": 1,
                **{name: value for name, value in held_values.items() if name != ":open"},
                ":dead": "dead",
                ":environment": request.target.environment,
                ":redrive": request.redrive,
            },
        )
        return None if new is None else read_finished(new)

    def finish(self, attempt: Attempt, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the final outcome; False when a later attempt has taken over."""
        state, where = "triggered", ", finished_at = :now REMOVE stopped_shard, stopped_at"
        values: dict[str, Value] = {}
        if isinstance(outcome, Rejected):
            state, where = "dead", ", stopped_at = :now, stopped_shard = :shard, doubtful = :doubtful"
            values = {
                ":shard": shard(attempt.request, DEAD_SHARDS),
                ":doubtful": outcome.run_may_exist,
            }
        elif outcome.not_runnable is not None:
            where, values = f", not_runnable = :why{where}", {":why": outcome.not_runnable}
        new, old = self._update(
            attempt.request,
            "SET #state = :state, outcome = :outcome, reason = :reason, reason_text = :text, unanswered = :zero"
            f", expires_at = if_not_exists(expires_at, :expires_at){where}",
            condition=_MINE_TO_END,
            values={
                ":open": "open",
                ":held": "held",
                ":attempt": attempt.number,
                ":state": state,
                ":now": now,
                ":zero": 0,
                ":expires_at": expiry(now),
                **outcome_values(outcome),
                **values,
            },
        )
        if new is not None:
            return True
        if not old:
            raise Unavailable("the ledger's row disappeared during the attempt")
        # Botocore may send our own write again, after its first answer was lost: the row then has our attempt number.
        if int(old["attempt"]["N"]) == attempt.number and old["state"]["S"] == state:
            return True
        self._end_unanswered(attempt.request, old)
        return False

    def mark_not_runnable(self, request: TriggerRequest, not_runnable: NotRunnable) -> None:
        """Record on a triggered request why its run stays queued."""
        self._update(
            request,
            "SET not_runnable = :why",
            condition="#state = :triggered",
            values={":why": not_runnable, ":triggered": "triggered"},
        )

    def record_attempt(
        self, attempt: Attempt, outcome: Retryable | OutcomeUnknown, now: float, *, ageing: bool = True
    ) -> bool:
        """Record an outcome that leaves the request open; False when a later attempt has taken over."""
        new, old = self._update(
            attempt.request,
            "SET outcome = :outcome, reason = :reason, reason_text = :text, noted_at = :now"
            ", unanswered = :zero, doubtful = :doubtful, aged = :aged"
            + (", ages_from = :now" if ageing else " REMOVE ages_from"),
            condition=_STILL_MINE,
            values={
                ":open": "open",
                ":attempt": attempt.number,
                ":now": now,
                ":zero": 0,
                ":doubtful": isinstance(outcome, OutcomeUnknown),
                ":aged": attempt.age(now),
                **outcome_values(outcome),
            },
        )
        if new is None:
            self._end_unanswered(attempt.request, old)
        return new is not None

    def _end_unanswered(self, request: TriggerRequest, row: Item) -> None:
        """Count an overtaken attempt as answered: overlapping duplicates must not look like a crashing message."""
        if text(row, "state") == "open":
            self._update(
                request,
                "SET unanswered = :zero",
                condition="#state = :open",
                values={":open": "open", ":zero": 0},
            )

    def _update(
        self,
        request: TriggerRequest,
        expression: str,
        *,
        condition: str,
        values: Mapping[str, Value],
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[Item | None, Item]:
        """Return (the new item, {}), or (None, the item that refused) if the condition does not hold.

        DynamoDB may apply any of these writes twice: the condition recognises it, or the second time changes nothing.
        """
        update: UpdateItemInputTypeDef = {
            "TableName": self._table,
            "Key": ledger_key(*request.ledger_key),
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#state": "state", **names},
            "ExpressionAttributeValues": attributes(values),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        last_try_at = self._monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._send(update)
            except Unavailable:
                if self._monotonic() + PAUSE_SECONDS > last_try_at:
                    raise
                self._pause(PAUSE_SECONDS)

    def _send(self, update: "UpdateItemInputTypeDef") -> tuple[Item | None, Item]:
        with unavailable_unless_answered("no answer to a write to the ledger table"):
            try:
                answer = self._client.update_item(**update)
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return None, refused_item(refused)
        return answer["Attributes"], {}


def _pinned_elsewhere(request: TriggerRequest, row: Item) -> PinnedElsewhere | None:
    """Return the other environment, if the row is open there."""
    environment = text(row, "environment")
    if text(row, "state") == "open" and environment and environment != request.target.environment:
        return PinnedElsewhere(environment)
    return None
