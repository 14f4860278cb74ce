"""Feeds: the open batches as progress bars. The list costs two calls, and each count at most two."""

from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.answers.batch_now import read_batch
from gateway_cli.answers.evidence import BatchNow
from gateway_cli.answers.stopped import read_open_batches
from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.feeds.batch import Batch, collect_of
from mwaa_gateway.rules.collect import Collect, Count, Marker, Parts, Values

COUNTED_AT_ONCE: Final = 1  # the most urgent batch: with it the page costs four calls


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is: `have` of `want`, None where its rule names no number."""

    have: int | None
    want: int | None


def listed(gateway: Gateway) -> dict[str, Any]:
    """Return the open batches, the overdue first."""
    batches = gateway.read("batches", read_open_batches)
    found = batches.value.batches if batches.value else ()
    return {
        "batches": batches.value,
        "rows": [(batch, _due_at(batch), _condition(batch)) for batch in found],
        "counted": COUNTED_AT_ONCE,
        "unread": [batches.why] if batches.why else [],
        "read_at": batches.at,
    }


def counted(gateway: Gateway, batch_id: str) -> dict[str, Any]:
    """Return how far one batch is, and what it lacks."""
    reading = gateway.read(f"batch {batch_id}", lambda of: _count(of, batch_id, gateway.now()))
    open_ones = gateway.read("batches", read_open_batches, fresh=120).value
    listed = next((one for one in open_ones.batches if one.id == batch_id), None) if open_ones else None
    batch = reading.value
    return {
        "batch": batch,
        "progress": progress(_collect(listed), batch) if batch and listed else Progress(None, None),
        "why": reading.why or ("" if batch else "there is no such batch any more"),
        "read_at": reading.at,
    }


def progress(collect: Collect | None, batch: BatchNow) -> Progress:
    """Return how far a counted batch is, by what its rule asks for."""
    missing = batch.missing
    match collect.complete_when if collect else None:
        case Count(count=count, of=None) if batch.members is not None:
            return Progress(min(batch.members, count), count)
        case Values(all_of=all_of) if missing is not None:
            return Progress(len(all_of) - len(missing), len(all_of))
        case Parts(parts=parts, require=require) if missing is not None:
            return Progress(min(require, len(parts) - len(missing)) if missing else require, require)
        case _:
            return Progress(batch.members, None)


def _count(connection: Connection, batch_id: str, now: float) -> BatchNow | None:
    table = BatchesTable(connection.dynamodb, connection.stack_output("BatchesTableName"), now=lambda: now)
    found = read_batch(table, batch_id, now, may_count=True)
    return found[0] if found else None


def _due_at(batch: Batch) -> float | None:
    collect = _collect(batch)
    if collect is None:
        return None
    return collect.due_at(dict(batch.key), batch.first_at, is_expected=batch.is_expected)


def _collect(batch: Batch) -> Collect | None:
    try:
        return collect_of(batch.document)
    except (InvalidRule, ValueError, KeyError, TypeError):
        return None


def _condition(batch: Batch) -> str:
    """Return in words what makes the batch complete."""
    collect = _collect(batch)
    match collect.complete_when if collect else None:
        case Count(count=count, of=of):
            return f"{count:,} {f'values of {of.text}' if of else 'members'}"
        case Values(all_of=all_of):
            return f"{len(all_of):,} values"
        case Parts(parts=parts, require=require):
            return f"{require} of {len(parts)} parts"
        case Marker():
            return "a marker"
        case _:
            return "no condition" if collect else "?"
