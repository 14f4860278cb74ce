"""Dead letters sent again, or put away. Whatever is done twice comes to no second run: the ledger sees to that.

A letter is sent first and its message deleted afterwards, so that a command killed in between has sent it, and the bell
still rings. A bell is deleted with its request's redrive: should the request die again, it rings anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from gateway_cli.choice import Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.dlq.dead_letter import DeadLetter
from gateway_cli.dlq.dead_letters import DeadLetters
from gateway_cli.dlq.received_messages import ReceivedMessage
from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.one_by_one import OneByOne, Unread
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["purge", "redrive"]

_AT_ONCE: Final = 10  # letters: what one SendMessageBatch and one DeleteMessageBatch take


def redrive(
    connection: Connection,
    found: DeadLetters,
    letters: Sequence[DeadLetter],
    summary: Summary,
    progress: Callable[[int], None],
) -> None:
    """Send letters again, the oldest first: requests to their environment's trigger queue, events to ingress.

    What cannot be sent is left with its reason, and stays where it is. What was sent is done, even if its message could not
    be deleted: that is left as well, with what to do.
    """
    template = connection.stack_output("TriggerQueueUrlTemplate")
    queues = TriggerQueues(connection.sqs, template)
    known = connection.environments or frozenset()
    one_by_one = OneByOne(summary)
    oldest_first = sorted(letters, key=lambda letter: letter.died_at)
    for start in range(0, len(oldest_first), _AT_ONCE):
        some = oldest_first[start : start + _AT_ONCE]
        requests: dict[str, TriggerRequest] = {}
        sent: list[DeadLetter] = []
        for letter in some:
            if letter.environment is not None and letter.environment not in known:
                summary.left.append(
                    Left(letter.id, f"the gateway has no environment {letter.environment!r} any more")
                )
            elif isinstance(letter.origin, LedgerRow):
                row = one_by_one.read(letter.id, partial(found.rows.read, letter.origin.key))
                match row:
                    case Unread():
                        pass  # left, with the reason
                    case LedgerRow(state="dead", request=None):
                        summary.left.append(
                            Left(letter.id, "its row in the ledger holds no request that can be read")
                        )
                    case LedgerRow(state="dead", request=TriggerRequest() as request):
                        # As it is now: its number of redrives decides whether this one counts.
                        requests[letter.id] = replace(request, redrive=row.redrives + 1)
                    case _:
                        state = "forgotten" if row is None else row.state
                        summary.left.append(Left(letter.id, f"it is not dead any more, but {state}"))
            else:
                step = partial(_send, connection, letter.origin, letter.environment)
                if one_by_one.do(letter.environment or "ingress", letter.id, step):
                    sent.append(letter)
        enqueued = one_by_one.enqueue(queues, requests)
        sent += [letter for letter in some if letter.id in enqueued]
        _delete(found, sent, "redriven", summary)
        progress(len(some))
    _delete_stale(found, summary)


def _delete(found: DeadLetters, letters: Sequence[DeadLetter], done: str, summary: Summary) -> None:
    """Delete the messages of letters that are done with; one that SQS keeps does not keep the others."""
    failures = found.held.delete([message for letter in letters for message in found.messages_of(letter)])
    for letter in letters:
        summary.done.append(letter.id)
        kept = [failures[message.id] for message in found.messages_of(letter) if message.id in failures]
        if kept:
            summary.left.append(
                Left(
                    letter.id,
                    f"it is {done}, but its message could not be deleted from the dead-letter queue ({kept[0]}): run the "
                    "same command again; twice does no harm",
                )
            )


def _delete_stale(found: DeadLetters, summary: Summary) -> None:
    for message_id, why in found.held.delete(found.stale).items():
        summary.left.append(
            Left(message_id, f"this stale message could not be deleted ({why}): run the same command again")
        )


def _send(connection: Connection, message: ReceivedMessage, environment: str | None) -> None:
    """Send a message's body to where it came from: the environment's trigger queue, or the ingress retry queue."""
    if environment is None:
        # `queued_events` reads every shape that lies in the ingress DLQ, and believes no more of it than before.
        queue = connection.stack_output("IngressRetryQueueUrl")
    else:
        queue = connection.stack_output("TriggerQueueUrlTemplate").replace("{environment}", environment)
    connection.sqs.send_message(QueueUrl=queue, MessageBody=message.body)


def purge(
    found: DeadLetters, letters: Sequence[DeadLetter], summary: Summary, progress: Callable[[int], None]
) -> None:
    """Put letters away: their messages are deleted, and requests leave the list; their rows stay, and stay dead."""
    one_by_one = OneByOne(summary)
    for start in range(0, len(letters), _AT_ONCE):
        some = letters[start : start + _AT_ONCE]
        done = [
            letter
            for letter in some
            if not isinstance(letter.origin, LedgerRow)
            or one_by_one.do("ledger", letter.id, partial(found.rows.take_off_the_list, letter.origin))
        ]
        _delete(found, done, "purged", summary)
        progress(len(some))
    _delete_stale(found, summary)
