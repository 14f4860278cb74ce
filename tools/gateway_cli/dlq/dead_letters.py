"""Every dead letter of a gateway: the ledger's dead requests with their bells, and the messages that have no row."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from gateway_cli.choice import Filters, Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.dlq.dead_letter import DeadLetter, letter_of_row
from gateway_cli.dlq.queue_messages import key_of_bell, letter_of_ingress, letter_of_trigger_queue
from gateway_cli.dlq.queues import dead_letter_queues
from gateway_cli.dlq.received_messages import ReceivedMessage, ReceivedMessages, received_messages
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.ledger_rows import LedgerKey, LedgerRow, LedgerRows
from gateway_cli.one_by_one import OneByOne, Unread
from mwaa_gateway.errors import GatewayError

__all__ = ["DeadLetters", "NoSuchLetter", "dead_letters"]


class NoSuchLetter(GatewayError):
    """Nothing dead has this id (any more)."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """What is dead, newest first, and the messages that ring for it.

    `stale` are bells of requests that are not dead any more: they were redriven, or ran. `unread` are queues and rows that
    could not be read, each with the reason.
    """

    letters: Sequence[DeadLetter]
    notices: dict[LedgerKey, list[ReceivedMessage]]
    stale: Sequence[ReceivedMessage]
    unread: Sequence[Left]
    rows: LedgerRows
    held: ReceivedMessages

    def chosen(self, ids: Sequence[str], filters: Filters) -> list[DeadLetter]:
        """Return the letters of these ids, or without ids all that the filters admit; raises NoSuchLetter."""
        if not ids:
            return [letter for letter in self.letters if filters.admit(letter)]
        by_id = {letter.id: letter for letter in self.letters}
        if missing := [each for each in ids if each not in by_id]:
            raise NoSuchLetter(
                f"there is no dead letter {', '.join(missing)}: `mwaa-gateway dlq list` shows those there are"
            )
        return [by_id[each] for each in dict.fromkeys(ids)]

    def messages_of(self, letter: DeadLetter) -> list[ReceivedMessage]:
        """Return what is to be deleted with a letter: its message, or the bells that ring for it."""
        if isinstance(letter.origin, LedgerRow):
            return self.notices.get(letter.origin.key, [])
        return [letter.origin]


@contextmanager
def dead_letters(
    connection: Connection, environment: str | None, progress: Callable[[int], None] = lambda _: None
) -> Iterator[DeadLetters]:
    """Find the dead letters of one environment, or of all and of ingress, and hold their messages meanwhile."""
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
    with received_messages(connection.sqs, [*trigger_queues, *ingress_queues], progress) as held:
        # After the messages: a request that dies meanwhile is seen in the index, or at the next look.
        found = {row.key: row for row in rows.dead()}
        letters = [letter_of_ingress(message) for message in held if message.queue in ingress_queues]
        notices: dict[LedgerKey, list[ReceivedMessage]] = {}
        for message in held:
            if message.queue in trigger_queues:
                if (key := key_of_bell(message)) is None:
                    letters.append(letter_of_trigger_queue(message, trigger_queues[message.queue]))
                else:
                    notices.setdefault(key, []).append(message)
        # The index is a moment late, and a row that was taken off the list may still ring.
        unread = Summary([], [Left(_name(queue), why) for queue, why in held.unread.items()])
        one_by_one = OneByOne(unread)
        for key in sorted(notices.keys() - found.keys()):
            row = one_by_one.read(" ".join(key), partial(rows.read, key))
            if isinstance(row, Unread):
                del notices[key]  # whether it is stale is not known
            elif row is not None and row.state == "dead":
                found[key] = row
        letters += [letter_of_row(row) for row in found.values()]
        letters.sort(key=lambda letter: letter.died_at, reverse=True)
        stale = [message for key, those in notices.items() if key not in found for message in those]
        yield DeadLetters(
            letters, {key: notices[key] for key in notices if key in found}, stale, unread.left, rows, held
        )


def _name(queue_url: str) -> str:
    return queue_url.rsplit("/", 1)[-1]
