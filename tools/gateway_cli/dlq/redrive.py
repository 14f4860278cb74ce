"""Dead letters sent again, or put away. Whatever is done twice comes to no second run: the ledger sees to that.

A letter is sent first and its message deleted afterwards, so that a command killed in between has sent it, and the bell
still rings. A bell is deleted with its request's redrive: should the request die again, it rings anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from gateway_cli.choice import Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.dlq.dead_letter import DeadLetter
from gateway_cli.dlq.dead_letters import DeadLetters
from gateway_cli.dlq.held_messages import HeldMessage
from gateway_cli.ledger_rows import LedgerRow
from mwaa_gateway.aws.queues import TriggerQueues
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

    Raises what botocore raises, and Unavailable or NotDeleted where SQS did not do its part; `summary` has what was done.
    """
    template = connection.stack_output("TriggerQueueUrlTemplate")
    queues = TriggerQueues(connection.sqs, template)
    known = connection.environments or frozenset()
    oldest_first = sorted(letters, key=lambda letter: letter.died_at)
    for start in range(0, len(oldest_first), _AT_ONCE):
        some = oldest_first[start : start + _AT_ONCE]
        requests: list[TriggerRequest] = []
        sent: list[DeadLetter] = []
        for letter in some:
            if letter.environment is not None and letter.environment not in known:
                summary.left.append(
                    Left(letter.id, f"the gateway has no environment {letter.environment!r} any more")
                )
            elif isinstance(letter.origin, LedgerRow):
                # As it is now: its number of redrives decides whether this one counts.
                row = found.rows.read(letter.origin.key)
                if row is None or row.state != "dead" or row.request is None:
                    state = "forgotten" if row is None else row.state
                    summary.left.append(Left(letter.id, f"it is not dead any more, but {state}"))
                else:
                    requests.append(replace(row.request, redrive=row.redrives + 1))
                    sent.append(letter)
            else:
                _send(connection, letter.origin, letter.environment)
                sent.append(letter)
        queues.enqueue(requests)
        found.held.delete([message for letter in sent for message in found.messages_of(letter)])
        summary.done += [letter.id for letter in sent]
        progress(len(some))
    found.held.delete(found.stale)


def _send(connection: Connection, message: HeldMessage, environment: str | None) -> None:
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
    for start in range(0, len(letters), _AT_ONCE):
        some = letters[start : start + _AT_ONCE]
        for letter in some:
            if isinstance(letter.origin, LedgerRow):
                found.rows.take_off_the_list(letter.origin)
        found.held.delete([message for letter in some for message in found.messages_of(letter)])
        summary.done += [letter.id for letter in some]
        progress(len(some))
    found.held.delete(found.stale)
