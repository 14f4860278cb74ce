"""The SQS queues: send trigger requests and dead-letter messages, and give messages back."""

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.errors import require, unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.values import value

if TYPE_CHECKING:
    # For type checkers only: each function needs some of these, and loads only those at its cold start.
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from mwaa_gateway.ingress.ingest import DeadEvent
    from mwaa_gateway.outcomes import Rejected
    from mwaa_gateway.queue_message import QueueMessage
    from mwaa_gateway.trigger_request import TriggerRequest

LARGEST_MESSAGE_BYTES = 1_048_576  # SQS's limit, both for one message and for one SendMessageBatch
MESSAGES_PER_BATCH = 10
SENDS = 3  # tries of the entries that a batch reports as failed


class Queue:
    """A queue, or one for each environment: then `url` contains the literal `{environment}`."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def _send_one(self, what: str, *, environment: str = "", **message: Any) -> None:
        """Send one message; raise Unavailable, which names the queue by `what`, unless SQS accepts it."""
        url = self._url.replace("{environment}", environment)
        with unavailable_unless_answered(f"{what} did not accept the message"):
            answer = self._client.send_message(QueueUrl=url, **message)
        require(answer, "MessageId", f"{what} did not accept the message")


class TriggerQueues(Queue):
    """Implements `mwaa_gateway.trigger_request.TriggerQueue`: one queue per environment."""

    def enqueue(self, requests: "Sequence[TriggerRequest]") -> None:
        """Send every request to its environment's queue, in batches of ten; its rule is the message group.

        Raises:
            Unavailable: a queue did not accept its requests; those of the other environments are sent all the same.
        """
        messages: defaultdict[str, list[Message]] = defaultdict(list)
        for request in requests:
            messages[request.target.environment].append(Message(request.to_json(), request.rule_id))
        failures: list[str] = []
        for environment, some in messages.items():
            try:
                send_all(self._client, self._url.replace("{environment}", environment), some)
            except Unavailable as error:
                failures.append(f"environment {environment!r}: {error}")
        if failures:
            raise Unavailable("; ".join(failures))


class IngressDeadLetterQueue(Queue):
    """Implements `mwaa_gateway.ingress.ingest.IngressDeadLetters`."""

    def publish(self, dead: "Sequence[DeadEvent]") -> None:
        """Publish every dead event with its payload, compressed if it is too large for a message."""
        send_all(self._client, self._url, [Message(_dead_event_body(event)) for event in dead])


def _dead_event_body(dead: "DeadEvent") -> str:
    document: dict[str, Any] = {
        "format": 1,
        "reason": dead.reason,
        "reason_text": dead.text,
        "event_id": dead.event_id,
        "rule_id": dead.rule_id,
        "rule_version": dead.rule_version,
        "payload": dead.payload,
    }
    body = json.dumps(document)
    if len(body) > LARGEST_MESSAGE_BYTES:
        del document["payload"]
        compressed = zlib.compress(json.dumps(dead.payload).encode())
        body = json.dumps(document | {"payload_zlib_base64": base64.b64encode(compressed).decode()})
    return body


class TriggerDeadLetterQueue(Queue):
    """Implements `mwaa_gateway.dispatch.dispatcher.DeadLetters`."""

    def publish(self, request: "TriggerRequest", rejected: "Rejected", attempt: int) -> None:
        """Publish the request with its reason."""
        self._send(
            {
                "format": 1,
                "reason": rejected.reason,
                "reason_text": rejected.text,
                "attempt": attempt,
                "request": json.loads(request.to_json()),
            }
        )

    def publish_unreadable(self, body: str, rejected: "Rejected") -> None:
        """Publish a message that is no trigger request, as it arrived."""
        self._send({"format": 1, "reason": rejected.reason, "reason_text": rejected.text, "body": body})

    def _send(self, document: dict[str, Any]) -> None:
        self._send_one("the trigger dead-letter queue", MessageBody=json.dumps(document))


@value
class VisibilityTimeout:
    """Implements `mwaa_gateway.queue_message.MessageQueue` for one queue."""

    client: "SQSClient"
    url: str

    def give_back(self, message: "QueueMessage", seconds: float) -> None:
        """Let the queue redeliver the message in `seconds`; raises Unavailable, then its visibility timeout applies."""
        with unavailable_unless_answered("cannot change the message's visibility timeout"):
            self.client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message.receipt_handle, VisibilityTimeout=round(seconds)
            )


@value
class EventQueues:
    """Implements `mwaa_gateway.queue_message.MessageQueue` for messages of any queue."""

    client: "SQSClient"

    def give_back(self, message: "QueueMessage", seconds: float) -> None:
        """As `VisibilityTimeout.give_back`."""
        account, name = message.queue.split(":")[4:6]
        # The client sends to this host anyway, in every partition and on the local stack.
        url = f"{self.client.meta.endpoint_url}/{account}/{name}"
        VisibilityTimeout(self.client, url).give_back(message, seconds)


@value
class Message:
    """A message body, its message group for SQS's fair queues, and its delay in seconds."""

    body: str
    group: str = ""
    delay: int = 0

    def entry(self, number: int) -> "SendMessageBatchRequestEntryTypeDef":
        """Return the message as an entry of SendMessageBatch; `number` is its id there."""
        entry: SendMessageBatchRequestEntryTypeDef = {"Id": str(number), "MessageBody": self.body}
        if self.group:
            entry["MessageGroupId"] = self.group
        if self.delay:
            entry["DelaySeconds"] = self.delay
        return entry


def send_all(client: "SQSClient", url: str, messages: Sequence[Message]) -> None:
    """Send every message or raise Unavailable; messages already sent are sent again later, and end as duplicates.

    If the queue refuses some messages, the later ones are sent all the same.
    """
    refused: list[str] = []
    for batch in _batches(messages):
        waiting = dict(enumerate(batch))
        for _ in range(SENDS):
            with unavailable_unless_answered("the queue did not accept the messages"):
                answer = client.send_message_batch(
                    QueueUrl=url, Entries=[message.entry(n) for n, message in waiting.items()]
                )
            # A message counts as sent only if SQS names it: botocore reads a body that is not JSON as an empty answer.
            sent = {int(entry["Id"]) for entry in answer.get("Successful", [])}
            waiting = {n: message for n, message in waiting.items() if n not in sent}
            if not waiting:
                break
        else:
            codes = ", ".join(sorted({entry["Code"] for entry in answer.get("Failed", [])})) or "no answer"
            refused.append(
                f"the queue refused {len(waiting)} of {len(batch)} messages {SENDS} times: {codes}"
            )
    if refused:
        raise Unavailable("; ".join(refused))


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        length = len(message.body.encode())
        if batch and (len(batch) == MESSAGES_PER_BATCH or size + length > LARGEST_MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch
