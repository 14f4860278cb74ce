"""One row of the ledger: its attributes, and how they are read.

Only dead and held rows have a `stopped_shard`, which puts them into the index `stopped`, ordered by the time they stopped.
So a successful run costs no index write, and a burst of dead requests spreads over eight keys.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mwaa_gateway.aws.dynamodb.values import Item, Value
from mwaa_gateway.dispatch.ledger import Attempt, Finished, UnreadableRow
from mwaa_gateway.outcomes import AlreadyTriggered, Held, Outcome, Reason, Rejected
from mwaa_gateway.trigger_request import TriggerRequest, UnreadableRequest

REMEMBERED_SECONDS = 90 * 24 * 3600
STOPPED_INDEX = "stopped"  # partition stopped_shard, sort stopped_at
_SHARDS = 8
DEAD_SHARDS = tuple(f"dead#{shard}" for shard in range(_SHARDS))
HELD_SHARDS = tuple(f"held#{shard}" for shard in range(_SHARDS))
_LONGEST_REASON = 2_000  # characters


def shard(request: TriggerRequest, shards: tuple[str, ...]) -> str:
    """Return the index key of a stopped request; it never changes."""
    event, _ = request.ledger_key
    return shards[int(event[:8], 16) % len(shards)]


def expiry(now: float) -> int:
    """Return the expiry of a row that is written now."""
    return int(now) + REMEMBERED_SECONDS


def pinned_values(request: TriggerRequest) -> dict[str, Value]:
    """Return the values of a request that its first write pins."""
    return {
        ":request_body": zlib.compress(request.to_json().encode()),
        ":identity": request.identity,
        ":environment": request.target.environment,
        ":dag_id": request.target.dag_id,
        ":run_id": request.target.run_id,
        ":rule_id": request.rule_id,
        ":rule_version": request.rule_version,
        ":redrive": request.redrive,
    }


@contextmanager
def _readable(item: Item) -> Iterator[None]:
    """Raise UnreadableRow for a row with a missing or invalid attribute."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error, UnreadableRequest) as error:
        key = {name: item.get(name, {}).get("S") for name in ("event", "request")}
        raise UnreadableRow(
            f"cannot read the ledger's row {key} ({type(error).__name__}: {error}): repair it, or restore it from a "
            "backup, then redrive this message"
        ) from error


def read_attempt(item: Item) -> Attempt:
    """Read the latest attempt from an open row; raises UnreadableRow."""
    with _readable(item):
        return _attempt(item)


def _attempt(item: Item) -> Attempt:
    first_attempt_at = float(item["reopened_at" if "reopened_at" in item else "first_attempt_at"]["N"])
    ages_from: float | None = first_attempt_at
    if "aged" in item:
        ages_from = float(item["ages_from"]["N"]) if "ages_from" in item else None
    pinned = TriggerRequest.from_json(zlib.decompress(item["request_body"]["B"]))
    redrives = int(item.get("redrives", {}).get("N", pinned.redrive))  # an earlier version did not write it
    return Attempt(
        request=pinned if pinned.redrive == redrives else replace(pinned, redrive=redrives),
        number=int(item["attempt"]["N"]),
        attempts_without_outcome=int(item["unanswered"]["N"]),
        outcome_unknown=item.get("doubtful", {}).get("BOOL", False),
        first_attempt_at=first_attempt_at,
        reopened_after=int(item.get("reopened_after", {}).get("N", 0)),
        aged=float(item.get("aged", {}).get("N", 0)),
        ages_from=ages_from,
    )


def read_finished(item: Item) -> Finished:
    """Read a triggered, dead or held row; raises UnreadableRow."""
    with _readable(item):
        return _finished(item)


def _finished(item: Item) -> Finished:
    run_id, redrives = item["run_id"]["S"], int(item.get("redrives", {}).get("N", 0))
    outcome: AlreadyTriggered | Rejected | Held
    accepted_at = None
    match item["state"]["S"]:
        case "dead":
            run_may_exist = item.get("doubtful", {}).get("BOOL", False)
            outcome = Rejected(Reason(item["reason"]["S"]), item["reason_text"]["S"], run_may_exist)
        case "held":
            held_for: Any = Reason(item["reason"]["S"])
            outcome = Held(held_for, item["reason_text"]["S"])
        case "open":
            raise ValueError("it is open in this environment, but did not give an attempt")
        case _:
            outcome = AlreadyTriggered(f"according to the ledger {run_id} was started before")
            accepted_at = None if "not_runnable" in item else float(item["finished_at"]["N"])
    return Finished(run_id, outcome, redrives, accepted_at)


def outcome_values(outcome: Outcome) -> dict[str, Value]:
    """Return the values of an outcome."""
    return {
        ":outcome": type(outcome).__name__,
        ":reason": getattr(outcome, "reason", ""),
        ":text": getattr(outcome, "text", "")[:_LONGEST_REASON],
    }
