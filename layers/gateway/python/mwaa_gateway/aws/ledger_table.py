"""The ledger in DynamoDB: one item per trigger request, written twice in a run without trouble.

    key      event = SHA-256 of the event's identity, request = "<rule>#<target>#<generation>"
    claim    open,  attempt + 1, unanswered + 1   if there is no row, or it is open in this environment
    note     open,  unanswered = 0, doubtful      if it is open and the attempt is still mine
    finish   triggered | dead                     if it is open and the attempt is still mine
    reopen   open, attempt + 1, unanswered = 1    if it is dead, and no redrive of this number or a later one reopened it

        attempt 1  ──claim(1)──────────(slow)──────────────────finish(1) refused: attempt is 2
        attempt 2  ─────────────claim(2)────────finish(2) ok

Dead rows alone have a `dead_shard`, and so lie in the index `dead`, by the time they died: what goes well is never written
to an index, and a storm of deaths is spread over eight keys.

Rows are never deleted; DynamoDB's TTL removes them after 90 days, longer than any source redelivers.
"""

import uuid
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.calls import refused_item, unavailable_unless_answered
from mwaa_gateway.ledger import Claim, Finished, PinnedElsewhere
from mwaa_gateway.outcomes import AlreadyTriggered, OutcomeUnknown, Reason, Rejected, Retryable, Triggered
from mwaa_gateway.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["DEAD_INDEX", "DEAD_SHARDS", "LedgerTable"]

REMEMBERED_SECONDS = 90 * 24 * 3600
DEAD_INDEX = "dead"  # partition dead_shard, sort finished_at
DEAD_SHARDS = tuple(f"dead#{shard}" for shard in range(8))
_LONGEST_REASON = 2_000  # characters

_MAY_CLAIM = (
    "attribute_not_exists(event) OR (#state = :open AND environment = :environment AND claim_id <> :claim_id)"
)
_MAY_REOPEN = "#state = :dead AND environment = :environment AND (attribute_not_exists(redrives) OR redrives < :redrive)"
_STILL_MINE = "#state = :open AND attempt = :attempt"

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
            ", request_body = if_not_exists(request_body, :request_body)"
            ", #identity = if_not_exists(#identity, :identity)"
            ", environment = if_not_exists(environment, :environment)"
            ", dag_id = if_not_exists(dag_id, :dag_id)"
            ", run_id = if_not_exists(run_id, :run_id)"
            ", rule_id = if_not_exists(rule_id, :rule_id)"
            ", rule_version = if_not_exists(rule_version, :rule_version)"
            ", redrives = if_not_exists(redrives, :redrive)"
            ", first_attempt_at = if_not_exists(first_attempt_at, :now)"
            ", expires_at = if_not_exists(expires_at, :expires_at)",
            condition=_MAY_CLAIM,
            names={"#state": "state", "#identity": "identity"},
            values={
                ":open": {"S": "open"},
                ":claim_id": {"S": claim_id},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":one": {"N": "1"},
                ":request_body": {"B": zlib.compress(request.to_json().encode())},
                ":identity": {"S": request.identity},
                ":environment": {"S": request.target.environment},
                ":dag_id": {"S": request.target.dag_id},
                ":run_id": {"S": request.target.run_id},
                ":rule_id": {"S": request.rule_id},
                ":rule_version": {"N": str(request.rule_version)},
                ":redrive": {"N": str(request.redrive)},
                ":expires_at": {"N": str(int(now) + REMEMBERED_SECONDS)},
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
        """Claim a dead row for a redrive it has not seen; None when it is not dead, not here, or has seen it."""
        new, _ = self._update(
            request,
            "SET #state = :open, claim_id = :claim_id, last_attempt_at = :now, reopened_at = :now"
            ", redrives = :redrive, reopened_after = attempt, attempt = attempt + :one, unanswered = :one"
            ", expires_at = :expires_at"
            " REMOVE dead_shard, finished_at",
            condition=_MAY_REOPEN,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":dead": {"S": "dead"},
                ":claim_id": {"S": claim_id},
                ":now": {"N": f"{now:.6f}"},
                ":one": {"N": "1"},
                ":environment": {"S": request.target.environment},
                ":redrive": {"N": str(request.redrive)},
                # Remembered for as long after this as after a first attempt.
                ":expires_at": {"N": str(int(now) + REMEMBERED_SECONDS)},
            },
        )
        # Refused, too, where our own write was applied and its answer lost: the claim that follows knows it by its claim_id.
        return None if new is None else _claim(new)

    def finish(self, claim: Claim, outcome: Triggered | AlreadyTriggered | Rejected, now: float) -> bool:
        """Record the end of it; False when a later attempt has taken over."""
        state, only_dead, only_dead_values = "triggered", "", {}
        if isinstance(outcome, Rejected):
            state, only_dead = "dead", ", dead_shard = :dead_shard, doubtful = :doubtful"
            only_dead_values = {
                ":dead_shard": {"S": _dead_shard(claim.request)},
                ":doubtful": {"BOOL": outcome.in_doubt},
            }
        new, old = self._update(
            claim.request,
            "SET #state = :state, outcome = :outcome, reason = :reason, reason_text = :text, finished_at = :now"
            f", unanswered = :zero{only_dead}",
            condition=_STILL_MINE,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":attempt": {"N": str(claim.attempt)},
                ":state": {"S": state},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                **_outcome_values(outcome),
                **only_dead_values,
            },
        )
        if new is not None:
            return True
        # Our own write, whose answer was lost and which botocore sent again, stands under our attempt number.
        if int(old["attempt"]["N"]) == claim.attempt and old["state"]["S"] == state:
            return True
        self._end_unanswered(claim.request, old)
        return False

    def note(self, claim: Claim, outcome: Retryable | OutcomeUnknown, now: float) -> bool:
        """Record that the attempt is over and the request still open; False when a later attempt has taken over."""
        new, old = self._update(
            claim.request,
            "SET outcome = :outcome, reason = :reason, reason_text = :text, noted_at = :now"
            ", unanswered = :zero, doubtful = :doubtful",
            condition=_STILL_MINE,
            names={"#state": "state"},
            values={
                ":open": {"S": "open"},
                ":attempt": {"N": str(claim.attempt)},
                ":now": {"N": f"{now:.6f}"},
                ":zero": {"N": "0"},
                ":doubtful": {"BOOL": isinstance(outcome, OutcomeUnknown)},
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


def _dead_shard(request: TriggerRequest) -> str:
    event, _ = request.ledger_key
    return DEAD_SHARDS[int(event[:8], 16) % len(DEAD_SHARDS)]


def _claim(item: Item) -> Claim:
    # Rows of the version before this one have no redrives.
    pinned = TriggerRequest.from_json(zlib.decompress(item["request_body"]["B"]))
    return Claim(
        request=replace(pinned, redrive=int(item.get("redrives", {}).get("N", 0))),
        attempt=int(item["attempt"]["N"]),
        unanswered=int(item["unanswered"]["N"]),
        doubtful=item.get("doubtful", {}).get("BOOL", False),
        first_attempt_at=float(item["reopened_at" if "reopened_at" in item else "first_attempt_at"]["N"]),
        reopened_after=int(item.get("reopened_after", {}).get("N", 0)),
    )


def _finished(item: Item) -> Finished:
    run_id = item["run_id"]["S"]
    if item["state"]["S"] == "dead":
        in_doubt = item.get("doubtful", {}).get("BOOL", False)
        return Finished(run_id, Rejected(Reason(item["reason"]["S"]), item["reason_text"]["S"], in_doubt))
    return Finished(run_id, AlreadyTriggered(f"the ledger says that {run_id} was started before"))


def _outcome_values(outcome: Triggered | AlreadyTriggered | Rejected | Retryable | OutcomeUnknown) -> Item:
    return {
        ":outcome": {"S": type(outcome).__name__},
        ":reason": {"S": getattr(outcome, "reason", "")},
        ":text": {"S": getattr(outcome, "text", "")[:_LONGEST_REASON]},
    }
