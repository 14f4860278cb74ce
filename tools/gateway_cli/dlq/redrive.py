"""Redrive and purge dead letters. Doing either twice starts no second run: the ledger prevents it.

A redrive sends first and deletes the message afterwards: a command killed in between has sent the request, and its message
is still there. If the request dies again, the dispatcher publishes a new message.
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
from gateway_cli.one_by_one import OneByOne, Unanswered
from mwaa_gateway.aws.errors import require
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.trigger_request import TriggerRequest

AT_ONCE: Final = 10  # dead letters: the limit of one SendMessageBatch and one DeleteMessageBatch


def redrive(
    connection: Connection,
    found: DeadLetters,
    dead_letters: Sequence[DeadLetter],
    summary: Summary,
    progress: Callable[[int], None],
) -> None:
    """Redrive dead letters, oldest first: requests to their environment's trigger queue, events to ingress.

    One that cannot be sent stays, and the summary notes why. One that was sent is done, even if SQS does not delete its
    message: the summary then also notes what to do about the message.
    """
    template = connection.stack_output("TriggerQueueUrlTemplate")
    queues = TriggerQueues(connection.sqs, template)
    known = connection.environments or frozenset()
    one_by_one = OneByOne(summary)
    oldest_first = sorted(dead_letters, key=lambda dead_letter: dead_letter.died_at)
    for start in range(0, len(oldest_first), AT_ONCE):
        some = oldest_first[start : start + AT_ONCE]
        requests: dict[str, TriggerRequest] = {}
        sent: list[DeadLetter] = []
        for dead_letter in some:
            if dead_letter.environment is not None and dead_letter.environment not in known:
                summary.left.append(
                    Left(dead_letter.id, f"the gateway no longer has environment {dead_letter.environment!r}")
                )
            elif isinstance(dead_letter.origin, LedgerRow):
                row = one_by_one.read(dead_letter.id, partial(found.rows.read, dead_letter.origin.key))
                match row:
                    case Unanswered():
                        pass  # noted in the summary
                    case LedgerRow(state="dead", request=None):
                        summary.left.append(
                            Left(dead_letter.id, "the ledger's row contains no readable request")
                        )
                    case LedgerRow(state="dead", request=TriggerRequest() as request):
                        # The row as it is now: its number of redrives decides whether this redrive counts.
                        requests[dead_letter.id] = replace(request, redrive=row.redrives + 1)
                    case _:
                        state = "no longer in the ledger" if row is None else row.state
                        summary.left.append(Left(dead_letter.id, f"it is no longer dead, but {state}"))
            else:
                step = partial(_send, connection, dead_letter.origin, dead_letter.environment)
                if one_by_one.do(dead_letter.environment or "ingress", dead_letter.id, step):
                    sent.append(dead_letter)
        enqueued = one_by_one.enqueue(queues, requests)
        sent += [dead_letter for dead_letter in some if dead_letter.id in enqueued]
        _delete(found, sent, "redriven", summary)
        progress(len(some))
    _delete_stale(found, summary)


def _delete(found: DeadLetters, dead_letters: Sequence[DeadLetter], done: str, summary: Summary) -> None:
    """Delete the messages of finished dead letters; note those that SQS does not delete, and delete the others."""
    failures = found.received.delete(
        [message for dead_letter in dead_letters for message in found.messages_of(dead_letter)]
    )
    for dead_letter in dead_letters:
        summary.done.append(dead_letter.id)
        kept = [failures[message.id] for message in found.messages_of(dead_letter) if message.id in failures]
        if kept:
            summary.left.append(
                Left(
                    dead_letter.id,
                    f"it is {done}, but SQS did not delete its message from the dead-letter queue ({kept[0]}): run the same "
                    "command again; a second run does no harm",
                )
            )


def _delete_stale(found: DeadLetters, summary: Summary) -> None:
    for message_id, why in found.received.delete(found.stale).items():
        summary.left.append(
            Left(message_id, f"SQS did not delete this stale message ({why}): run the same command again")
        )


def _send(connection: Connection, message: ReceivedMessage, environment: str | None) -> None:
    """Send a message's body back to its source: the environment's trigger queue, or the ingress retry queue."""
    if environment is None:
        # `queued_events` reads every shape in the ingress DLQ, and trusts a message no more than before.
        queue = connection.stack_output("IngressRetryQueueUrl")
    else:
        queue = connection.stack_output("TriggerQueueUrlTemplate").replace("{environment}", environment)
    answer = connection.sqs.send_message(QueueUrl=queue, MessageBody=message.body)
    require(answer, "MessageId", "the queue did not accept the message")


def purge(
    found: DeadLetters, dead_letters: Sequence[DeadLetter], summary: Summary, progress: Callable[[int], None]
) -> None:
    """Purge dead letters: delete their messages and remove requests from the list; their rows stay, and stay dead."""
    one_by_one = OneByOne(summary)
    for start in range(0, len(dead_letters), AT_ONCE):
        some = dead_letters[start : start + AT_ONCE]
        done = [
            dead_letter
            for dead_letter in some
            if not isinstance(dead_letter.origin, LedgerRow)
            or one_by_one.do(
                "ledger", dead_letter.id, partial(found.rows.remove_from_index, dead_letter.origin)
            )
        ]
        _delete(found, done, "purged", summary)
        progress(len(some))
    _delete_stale(found, summary)
