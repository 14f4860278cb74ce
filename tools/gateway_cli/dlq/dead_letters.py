"""Every dead letter of a gateway: the ledger's dead requests with their messages, and the messages without a row."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from gateway_cli.choice import Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.dlq.dead_letter import DeadLetter, dead_letter_of_row
from gateway_cli.dlq.queue_messages import (
    dead_letter_of_ingress,
    dead_letter_of_trigger_queue,
    key_of_dead_request,
)
from gateway_cli.dlq.queues import dead_letter_queues
from gateway_cli.dlq.received_messages import ReceivedMessage, ReceivedMessages, received_messages
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.ledger_rows import LedgerKey, LedgerRow, LedgerRows
from gateway_cli.one_by_one import OneByOne, Unanswered


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters, newest first, and the messages of dead requests by the request's key.

    `stale` are messages of requests that are no longer dead: they were redriven, or ran. `unread` are queues and rows that
    could not be read, each with the reason.
    """

    dead_letters: Sequence[DeadLetter]
    notices: dict[LedgerKey, list[ReceivedMessage]]
    stale: Sequence[ReceivedMessage]
    unread: Sequence[Left]
    rows: LedgerRows
    received: ReceivedMessages

    def messages_of(self, dead_letter: DeadLetter) -> list[ReceivedMessage]:
        """Return the messages to delete with a dead letter: its own, or those of its request."""
        if isinstance(dead_letter.origin, LedgerRow):
            return self.notices.get(dead_letter.origin.key, [])
        return [dead_letter.origin]


@contextmanager
def find_dead_letters(
    connection: Connection, environment: str | None, progress: Callable[[int], None] = lambda _: None
) -> Iterator[DeadLetters]:
    """Find the dead letters of one environment, or of all and of ingress; receive their messages meanwhile."""
    queues = dead_letter_queues(
        connection.sqs,
        connection.environments or frozenset(),
        connection.stack_output("TriggerDlqUrlTemplate"),
        connection.stack_output("IngressDlqUrl"),
    )
    if environment is not None:
        refuse_unknown_environment(connection, environment, set(queues.trigger.values()))
    trigger_queues = {url: name for url, name in queues.trigger.items() if environment in {None, name}}
    ingress_queues = () if environment else queues.ingress
    rows = LedgerRows(connection.dynamodb, connection.stack_output("LedgerTableName"))
    with received_messages(connection.sqs, [*trigger_queues, *ingress_queues], progress) as received:
        # Read the rows after the messages: a request that dies meanwhile is in the index, or shows the next time.
        found = {row.key: row for row in rows.dead()}
        dead_letters = [
            dead_letter_of_ingress(message) for message in received if message.queue in ingress_queues
        ]
        notices: dict[LedgerKey, list[ReceivedMessage]] = {}
        for message in received:
            if message.queue in trigger_queues:
                if (key := key_of_dead_request(message)) is None:
                    dead_letters.append(dead_letter_of_trigger_queue(message, trigger_queues[message.queue]))
                else:
                    notices.setdefault(key, []).append(message)
        # The index lags a moment, and a purged row may still have a message.
        unread = Summary([], [Left(_queue_name(queue), why) for queue, why in received.unread.items()])
        one_by_one = OneByOne(unread)
        for key in sorted(notices.keys() - found.keys()):
            row = one_by_one.read(" ".join(key), partial(rows.read, key))
            if isinstance(row, Unanswered):
                del notices[key]  # unknown whether it is stale
            elif row is not None and row.state == "dead":
                found[key] = row
        dead_letters += [dead_letter_of_row(row) for row in found.values()]
        dead_letters.sort(key=lambda dead_letter: dead_letter.died_at, reverse=True)
        stale = [message for key, those in notices.items() if key not in found for message in those]
        yield DeadLetters(
            dead_letters,
            {key: notices[key] for key in notices if key in found},
            stale,
            unread.left,
            rows,
            received,
        )


def _queue_name(queue_url: str) -> str:
    return queue_url.rsplit("/", 1)[-1]
