"""Release and cancel held requests. Doing either twice starts no second run."""

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

from gateway_cli.choice import Filters, Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerKey, LedgerRow, LedgerRows
from gateway_cli.one_by_one import OneByOne, Unanswered
from gateway_cli.output import Refused
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.trigger_request import TriggerRequest

_AT_ONCE: Final = 10  # requests: the limit of one SendMessageBatch, and of a client's connections


def ledger_rows(connection: Connection) -> LedgerRows:
    """Return the rows of the gateway's ledger."""
    return LedgerRows(connection.dynamodb, connection.stack_output("LedgerTableName"))


def held_rows(rows: LedgerRows) -> list[LedgerRow]:
    """Return every held request, oldest first."""
    return sorted(rows.held(), key=lambda row: row.stopped_at)


def release(
    connection: Connection,
    rows: LedgerRows,
    held: Sequence[LedgerRow],
    summary: Summary,
    progress: Callable[[int], None],
) -> list[Left]:
    """Send held requests to their environment's trigger queue, each with the next redrive number of its row.

    A request that cannot be read or sent stays held; the summary notes why, and the result contains it. One that is no
    longer held is only noted.
    """
    one_by_one = OneByOne(summary)
    queues = TriggerQueues(connection.sqs, connection.stack_output("TriggerQueueUrlTemplate"))
    known = connection.environments or frozenset()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(held), _AT_ONCE):
            some = held[start : start + _AT_ONCE]
            requests: dict[str, TriggerRequest] = {}

            def read(was: LedgerRow) -> LedgerRow | Unanswered | None:
                return one_by_one.read(was.run_id, partial(rows.read, was.key))

            # The rows as they are now: a row's number of redrives decides whether this release counts.
            for was, row in zip(some, pool.map(read, some), strict=True):
                if isinstance(row, Unanswered):
                    continue  # noted in the summary
                if row is not None and row.state == "held" and row.request is None:
                    one_by_one.leave(was.run_id, "the ledger's row contains no readable request")
                elif row is None or row.state != "held" or row.request is None:
                    state = "no longer in the ledger" if row is None else row.state
                    summary.left.append(Left(was.run_id, f"it is no longer held, but {state}"))
                elif row.environment not in known:
                    one_by_one.leave(was.run_id, f"the gateway no longer has environment {row.environment!r}")
                else:
                    requests[was.run_id] = replace(row.request, redrive=row.redrives + 1)
            summary.done += one_by_one.enqueue(queues, requests)
            progress(len(some))
    return one_by_one.failures


def release_all(connection: Connection, filters: Collection[Filters]) -> Summary:
    """Release everything that passes one of the filters: the requests of pauses that have ended.

    The index lags a moment, so look until nothing new shows. A dispatcher itself resumes requests that are held later.

    Raises:
        Refused: some requests could not be read or sent; they stay held. The others are released.
    """
    rows, summary = ledger_rows(connection), Summary()
    failures: list[Left] = []
    seen: set[LedgerKey] = set()
    while new := [
        row for row in held_rows(rows) if row.key not in seen and any(each.admit(row) for each in filters)
    ]:
        seen |= {row.key for row in new}
        failures += release(connection, rows, new, summary, lambda _: None)
    if failures:
        raise Refused(
            f"{len(failures):,} held requests were not released, {len(summary.done):,} were; "
            f"the first, {failures[0].id}: {failures[0].why}"
        )
    return summary


def cancel(
    rows: LedgerRows,
    held: Sequence[LedgerRow],
    by: str,
    summary: Summary,
    progress: Callable[[int], None],
) -> None:
    """Turn held requests into dead ones, without a dead-letter message; they can still be redriven."""
    one_by_one = OneByOne(summary)

    def cancel_one(row: LedgerRow) -> bool | Unanswered:
        text = f"cancelled by {by}; it was held: {row.text}"
        return one_by_one.read(row.run_id, lambda: rows.cancel(row, text, time.time()))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for row, cancelled in zip(held, pool.map(cancel_one, held), strict=True):
            match cancelled:
                case True:
                    summary.done.append(row.run_id)
                case False:
                    why = "it is no longer held, or was released meanwhile"
                    summary.left.append(Left(row.run_id, why))
            progress(1)
