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

Dead and held rows alone have a `stopped_shard`, and so lie in the index `stopped`, by the time they stopped: what goes
well is never written to an index, and a storm of deaths is spread over eight keys.

Rows are never deleted; DynamoDB's TTL removes them after 90 days, longer than any source redelivers, but not while they
are held.
"""

import uuid
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.calls import refused_item, unavailable_unless_answered
from mwaa_gateway.ledger import Claim, Finished, PinnedElsewhere
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
from mwaa_gateway.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["DEAD_SHARDS", "HELD_SHARDS", "REMEMBERED_SECONDS", "STOPPED_INDEX", "LedgerTable"]

REMEMBERED_SECONDS = 90 * 24 * 3600
STOPPED_INDEX = "stopped"  # partition stopped_shard, sort stopped_at
_SHARDS = 8
DEAD_SHARDS = tuple(f"dead#{shard}" for shard in range(_SHARDS))
HELD_SHARDS = tuple(f"held#{shard}" for shard in range(_SHARDS))
_LONGEST_REASON = 2_000  # characters

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

Item = dict[str, Any]


class LedgerTable:
    """Implements `mwaa_gateway.ledger.Ledger`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def claim(self, request: TriggerRequest, now: float) -> Claim | Finished | PinnedElsewhere:
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
                ":expires_at": _expiry(now),
                **_pinned_values(request),
            },
        )
        if new is not None:
            return _claim(new)
        # Refused: the row as it was when it refused says why.
        if old["state"]["S"] != "open":
            return _finished(old)
        if old["claim_id"]["S"] == claim_id:
            return _claim(old)  # our own write, whose answer was lost and which botocore sent again
        return PinnedElsewhere(old["environment"]["S"])

    def _reopen(self, request: TriggerRequest, claim_id: str, now: float) -> Claim | None:
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
                ":expires_at": _expiry(now),
            },
        )
        # Refused, too, where our own write was applied and its answer lost: the claim that follows knows it by its claim_id.
        return None if new is None else _claim(new)

    def hold(self, request: TriggerRequest, held: Held, now: float) -> Finished | PinnedElsewhere:
        """Park the request, pinned if nobody has seen it, and say how it stands then: what ran or is dead stays so."""
        parked = {
            ":open": {"S": "open"},
            ":held": {"S": "held"},
            ":shard": {"S": _shard(request, HELD_SHARDS)},
            ":now": {"N": f"{now:.6f}"},
            **_outcome_values(held),
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
            values={**parked, ":zero": {"N": "0"}, **_pinned_values(request)},
        )
        row = old if new is None else new
        # Refused as open, it is another environment's; refused as held, it was held before, perhaps by this very write.
        return PinnedElsewhere(row["environment"]["S"]) if row["state"]["S"] == "open" else _finished(row)

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
        return None if new is None else _finished(new)

    def finish(self, claim: Claim, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the end of it; False when a later attempt has taken over."""
        state, where, values = "triggered", ", finished_at = :now REMOVE stopped_shard, stopped_at", {}
        if isinstance(outcome, Rejected):
            state, where = "dead", ", stopped_at = :now, stopped_shard = :shard, doubtful = :doubtful"
            values = {
                ":shard": {"S": _shard(claim.request, DEAD_SHARDS)},
                ":doubtful": {"BOOL": outcome.in_doubt},
            }
        elif outcome.not_runnable is not None:
            where, values = f", not_runnable = :why{where}", {":why": {"S": outcome.not_runnable}}
        new, old = self._update(
            claim.request,
            "SET #state = :state, outcome = :outcome, reason = :reason, reason_text = :text, unanswered = :zero"
            f", expires_at = if_not_exists(expires_at, :expires_at){where}",
            condition=_MINE_TO_END,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":held": {"S": "held"},
                ":attempt": {"N": str(claim.attempt)},
                ":state": {"S": state},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":expires_at": _expiry(now),
                **_outcome_values(outcome),
                **values,
            },
        )
        if new is not None:
            return True
        # Our own write, whose answer was lost and which botocore sent again, stands under our attempt number.
        if int(old["attempt"]["N"]) == claim.attempt and old["state"]["S"] == state:
            return True
        self._end_unanswered(claim.request, old)
        return False

    def tell(self, request: TriggerRequest, not_runnable: NotRunnable) -> None:
        """Note on a triggered request why its run stays queued."""
        self._update(
            request,
            "SET not_runnable = :why",
            condition="#state = :triggered",
            names={"#state": "state"},
            values={":why": {"S": not_runnable}, ":triggered": {"S": "triggered"}},
        )

    def note(
        self, claim: Claim, outcome: Retryable | OutcomeUnknown, now: float, *, ageing: bool = True
    ) -> bool:
        """Record that the attempt is over and the request still open; False when a later attempt has taken over."""
        new, old = self._update(
            claim.request,
            "SET outcome = :outcome, reason = :reason, reason_text = :text, noted_at = :now"
            ", unanswered = :zero, doubtful = :doubtful, aged = :aged"
            + (", ages_from = :now" if ageing else " REMOVE ages_from"),
            condition=_STILL_MINE,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":attempt": {"N": str(claim.attempt)},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":doubtful": {"BOOL": isinstance(outcome, OutcomeUnknown)},
                ":aged": {"N": f"{claim.age(now):.6f}"},
                **_outcome_values(outcome),
            },
        )
        if new is None:
            self._end_unanswered(claim.request, old)
        return new is not None

    def _end_unanswered(self, request: TriggerRequest, row: Item) -> None:
        """Count an overtaken attempt as answered: duplicates that overlap are no message that kills its process."""
        if row["state"]["S"] == "open":
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
        """Return (the new item, {}), or (None, the item that refused) when the condition does not hold."""
        event, sort = request.ledger_key
        with unavailable_unless_answered("the ledger table did not take the write"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key={"event": {"S": event}, "request": {"S": sort}},
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                return None, refused_item(refused)
        return answer["Attributes"], {}


def _shard(request: TriggerRequest, shards: tuple[str, ...]) -> str:
    event, _ = request.ledger_key
    return shards[int(event[:8], 16) % len(shards)]


def _expiry(now: float) -> Item:
    return {"N": str(int(now) + REMEMBERED_SECONDS)}


def _pinned_values(request: TriggerRequest) -> Item:
    return {
        ":request_body": {"B": zlib.compress(request.to_json().encode())},
        ":identity": {"S": request.identity},
        ":environment": {"S": request.target.environment},
        ":dag_id": {"S": request.target.dag_id},
        ":run_id": {"S": request.target.run_id},
        ":rule_id": {"S": request.rule_id},
        ":rule_version": {"N": str(request.rule_version)},
        ":redrive": {"N": str(request.redrive)},
    }


def _claim(item: Item) -> Claim:
    first_attempt_at = float(item["reopened_at" if "reopened_at" in item else "first_attempt_at"]["N"])
    ages_from: float | None = first_attempt_at
    if "aged" in item:
        ages_from = float(item["ages_from"]["N"]) if "ages_from" in item else None
    # Rows of versions before this one may have no redrives, and no age.
    pinned = TriggerRequest.from_json(zlib.decompress(item["request_body"]["B"]))
    return Claim(
        request=replace(pinned, redrive=int(item.get("redrives", {}).get("N", 0))),
        attempt=int(item["attempt"]["N"]),
        unanswered=int(item["unanswered"]["N"]),
        doubtful=item.get("doubtful", {}).get("BOOL", False),
        first_attempt_at=first_attempt_at,
        reopened_after=int(item.get("reopened_after", {}).get("N", 0)),
        aged=float(item.get("aged", {}).get("N", 0)),
        ages_from=ages_from,
    )


def _finished(item: Item) -> Finished:
    run_id, redrives = item["run_id"]["S"], int(item.get("redrives", {}).get("N", 0))
    outcome: AlreadyTriggered | Rejected | Held
    untold_since = None
    match item["state"]["S"]:
        case "dead":
            in_doubt = item.get("doubtful", {}).get("BOOL", False)
            outcome = Rejected(Reason(item["reason"]["S"]), item["reason_text"]["S"], in_doubt)
        case "held":
            outcome = Held(Reason(item["reason"]["S"]), item["reason_text"]["S"])
        case _:
            outcome = AlreadyTriggered(f"the ledger says that {run_id} was started before")
            untold_since = None if "not_runnable" in item else float(item["finished_at"]["N"])
    return Finished(run_id, outcome, redrives, untold_since)


def _outcome_values(outcome: Outcome) -> Item:
    return {
        ":outcome": {"S": type(outcome).__name__},
        ":reason": {"S": getattr(outcome, "reason", "")},
        ":text": {"S": getattr(outcome, "text", "")[:_LONGEST_REASON]},
    }
