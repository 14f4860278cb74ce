"""Everything that has stopped or waits for a person, in a call or two each: dead and held requests, open batches."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerRow, LedgerRows
from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.batches import DUE_INDEX, EVER, BatchesTable
from mwaa_gateway.aws.dynamodb.values import attributes, text
from mwaa_gateway.feeds.batch import Batch

Found = TypeVar("Found")

MOST_BATCHES: Final = 100  # one BatchGetItem


@dataclass(frozen=True, slots=True)
class Stopped:
    """Dead and held requests, the newest first; `is_whole` is False if there are more."""

    dead: tuple[LedgerRow, ...]
    held: tuple[LedgerRow, ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class OpenBatches:
    """Open batches, the overdue first, then in the order of their next look. There are `more` than these.

    Those in `unreadable` are of another version. If not `is_whole`, there are even more.
    """

    batches: tuple[Batch, ...]
    more: int = 0
    unreadable: tuple[str, ...] = ()
    is_whole: bool = True

    @property
    def count(self) -> int:
        """How many are open, as far as the index was read."""
        return len(self.batches) + len(self.unreadable) + self.more

    @property
    def overdue(self) -> tuple[Batch, ...]:
        """Those that were reported as overdue."""
        return tuple(batch for batch in self.batches if batch.is_overdue)


def read_stopped(connection: Connection, *, all_of_them: bool = False) -> Stopped:
    """Read the dead and held requests: one call, or one for each shard if the caller may only query the index.

    With `all_of_them` also if one call has no room for all.
    """
    rows = LedgerRows(connection.dynamodb, connection.stack_output("LedgerTableName"))
    found = _unless_denied(rows.stopped)
    if found is None or (all_of_them and not found[1]):
        return Stopped(_newest(rows.dead()), _newest(rows.held()))
    those, is_whole = found
    dead, held = (_newest(row for row in those if row.state == state) for state in ("dead", "held"))
    return Stopped(dead, held, is_whole)


def read_open_batches(connection: Connection, *, all_of_them: bool = False) -> OpenBatches:
    """Read the ids of the open batches as above, and a hundred of the batches in one more call."""
    client, table = connection.dynamodb, connection.stack_output("BatchesTableName")

    def scanned() -> tuple[list[tuple[str, float]], bool]:
        answer: Any = client.scan(TableName=table, IndexName=DUE_INDEX)
        found = [(_id(item), float(item["due_at"]["N"])) for item in answer["Items"]]
        return found, "LastEvaluatedKey" not in answer

    found = _unless_denied(scanned)
    if found is None or (all_of_them and not found[1]):
        found = [*BatchesTable(client, table, now=time.time).due(EVER)], True
    due, is_whole = found
    ids = [batch_id for batch_id, _ in sorted(due, key=lambda one: one[1])]
    keys = [
        attributes({"partition": f"batch#{batch_id}", "sort": "batch"}) for batch_id in ids[:MOST_BATCHES]
    ]
    batches: list[Batch] = []
    unreadable: list[str] = []
    for item in batch_get(client, table, keys, "cannot read the batches table", time.sleep) if keys else ():
        try:
            batches.append(_batch(item))
        except (AttributeError, KeyError, TypeError, ValueError):
            unreadable.append(_id(item))
    place = {batch_id: number for number, batch_id in enumerate(ids)}
    batches.sort(key=lambda batch: (not batch.is_overdue, place[batch.id]))
    return OpenBatches(tuple(batches), max(0, len(ids) - MOST_BATCHES), tuple(unreadable), is_whole)


def _id(item: Mapping[str, Any]) -> str:
    return text(item, "partition").removeprefix("batch#")


def _batch(item: Mapping[str, Any]) -> Batch:
    content = json.loads(text(item, "content"))
    content["key"] = tuple((name, value) for name, value in content["key"])
    state: Any = item["state"]["S"]
    due_at = float(item["due_at"]["N"]) if "due_at" in item else None
    return Batch(**content, state=state, due_at=due_at, is_overdue="is_overdue" in item)


def _newest(rows: Iterable[LedgerRow]) -> tuple[LedgerRow, ...]:
    return tuple(sorted(rows, key=lambda row: -row.stopped_at))


def _unless_denied(scan: Callable[[], Found]) -> Found | None:
    """Return what a scan found; None if the caller may query the index only."""
    try:
        return scan()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return None
