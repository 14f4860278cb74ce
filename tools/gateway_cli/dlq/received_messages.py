"""The messages of dead-letter queues, received while a command looks at them.

SQS shows a message only by delivering it, which hides it from others for its visibility timeout. At the end the command
gives back what it did not delete; if the command is killed, the timeout does so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.aws_errors import describe_error

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

VISIBILITY_SECONDS: Final = 300  # enough to read some 50,000 messages
WAIT_SECONDS = 1  # long polling asks all of SQS's servers, so that an empty answer means an empty queue
_BATCH: Final = 10


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A received message of `queue`, with its text attributes; `sent_at` is in seconds since the epoch."""

    queue: str
    id: str
    receipt_handle: str
    body: str
    sent_at: float
    attributes: Mapping[str, str]


class ReceivedMessages:
    """All messages of some queues, each once; `unread` maps the URL of a queue that could not be read to the reason."""

    def __init__(
        self, client: "SQSClient", found: Mapping[str, ReceivedMessage], unread: Mapping[str, str]
    ) -> None:
        self._client = client
        self._messages = dict(found)
        self.unread = unread

    def __iter__(self) -> Iterator[ReceivedMessage]:
        return iter(tuple(self._messages.values()))

    def delete(self, messages: Sequence[ReceivedMessage]) -> dict[str, str]:
        """Delete messages; return why SQS did not delete some, by message id. A failure does not stop the others."""
        failures: dict[str, str] = {}
        for queue, batch in _batches(messages):
            try:
                answer = self._client.delete_message_batch(
                    QueueUrl=queue,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": message.receipt_handle}
                        for n, message in enumerate(batch)
                    ],
                )
            except (BotoCoreError, ClientError) as error:
                failures |= {message.id: describe_error(error) for message in batch}
                continue
            failed = {int(entry["Id"]): entry["Code"] for entry in answer.get("Failed", [])}
            failures |= {batch[number].id: code for number, code in failed.items()}
            for number, message in enumerate(batch):
                if number not in failed:
                    self._messages.pop(message.id, None)
        return failures

    def give_back(self) -> None:
        """Make the remaining messages visible to others at once."""
        for queue, batch in _batches(tuple(self._messages.values())):
            self._client.change_message_visibility_batch(
                QueueUrl=queue,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": 0}
                    for n, message in enumerate(batch)
                ],
            )


@contextmanager
def received_messages(
    client: "SQSClient", queues: Iterable[str], progress: Callable[[int], None] = lambda _: None
) -> Iterator[ReceivedMessages]:
    """Receive every message of the queues, and give back at the end what was not deleted.

    A queue that cannot be read does not hide the others; if none can be read, botocore's error is raised. `progress` gets
    the number of messages so far.
    """
    found: dict[str, ReceivedMessage] = {}
    unread: dict[str, str] = {}
    queues = tuple(queues)
    try:
        for queue in queues:
            try:
                while batch := _receive(client, queue):
                    found |= batch
                    progress(len(found))
            except (BotoCoreError, ClientError) as error:
                unread[queue] = describe_error(error)
                if len(unread) == len(queues):
                    raise
        received = ReceivedMessages(client, found, unread)
        yield received
        found = {message.id: message for message in received}
    finally:
        # Best effort: an error here must not hide the error that ended the command.
        try:
            ReceivedMessages(client, found, {}).give_back()
        except (BotoCoreError, ClientError):
            progress(0)


def _receive(client: "SQSClient", queue: str) -> dict[str, ReceivedMessage]:
    answer = client.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=_BATCH,
        VisibilityTimeout=VISIBILITY_SECONDS,
        WaitTimeSeconds=WAIT_SECONDS,
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=["All"],
    )
    return {
        message["MessageId"]: ReceivedMessage(
            queue=queue,
            id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=message["Body"],
            sent_at=int(message["Attributes"]["SentTimestamp"]) / 1000,
            attributes={
                name: attribute.get("StringValue", "")
                for name, attribute in message.get("MessageAttributes", {}).items()
            },
        )
        for message in answer.get("Messages", [])
    }


def _batches(messages: Sequence[ReceivedMessage]) -> Iterator[tuple[str, Sequence[ReceivedMessage]]]:
    """Group the messages by queue, in batches of ten."""
    by_queue: dict[str, list[ReceivedMessage]] = {}
    for message in messages:
        by_queue.setdefault(message.queue, []).append(message)
    for queue, those in by_queue.items():
        for start in range(0, len(those), _BATCH):
            yield queue, those[start : start + _BATCH]
