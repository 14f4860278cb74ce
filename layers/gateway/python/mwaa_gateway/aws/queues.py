"""The SQS queues: trigger requests out, messages given back, dead letters with their reason."""

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mwaa_gateway.aws.calls import unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.ingest import DeadEvent
from mwaa_gateway.outcomes import Rejected
from mwaa_gateway.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

__all__ = [
    "EventQueues",
    "IngressDeadLetterQueue",
    "TriggerDeadLetterQueue",
    "TriggerQueues",
    "VisibilityTimeout",
]

LARGEST_MESSAGE_BYTES = 1_048_576  # SQS's limit for one message and for one SendMessageBatch alike
MESSAGES_PER_BATCH = 10
SENDS = 3  # of the entries that a batch reports as failed


class TriggerQueues:
    """Implements `mwaa_gateway.ingest.TriggerQueue`: one queue per environment, found by its name.

    `url` holds the literal `{environment}`.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        """Send every request to its environment's queue, ten at a time."""
        bodies: defaultdict[str, list[str]] = defaultdict(list)
        for request in requests:
            bodies[request.target.environment].append(request.to_json())
        for environment, texts in bodies.items():
            _send_all(self._client, self._url.replace("{environment}", environment), texts)


class IngressDeadLetterQueue:
    """Implements `mwaa_gateway.ingest.IngressDeadLetters`."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def bury(self, dead: Sequence[DeadEvent]) -> None:
        """Keep every dead event whole; one that is too large for a message is kept compressed."""
        _send_all(self._client, self._url, [_dead_event_body(event) for event in dead])


def _dead_event_body(dead: DeadEvent) -> str:
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


class TriggerDeadLetterQueue:
    """Implements `mwaa_gateway.dispatch.DeadLetters`."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def ring(self, request: TriggerRequest, rejected: Rejected, attempt: int) -> None:
        """Put the request there with its reason."""
        self._send(
            {
                "format": 1,
                "reason": rejected.reason,
                "reason_text": rejected.text,
                "attempt": attempt,
                "request": json.loads(request.to_json()),
            }
        )

    def keep_unreadable(self, body: str, rejected: Rejected) -> None:
        """Keep a message of the trigger queue that is no trigger request, as it came."""
        self._send({"format": 1, "reason": rejected.reason, "reason_text": rejected.text, "body": body})

    def _send(self, document: dict[str, Any]) -> None:
        with unavailable_unless_answered("the trigger dead-letter queue did not take the message"):
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(document))


@dataclass(frozen=True, slots=True)
class VisibilityTimeout:
    """Gives a message back to its queue for later."""

    client: "SQSClient"
    url: str

    def give_back(self, receipt_handle: str, seconds: float) -> None:
        """Let the queue deliver the message again in `seconds`; raises Unavailable, then it comes back by itself."""
        with unavailable_unless_answered("the message could not be given back early"):
            self.client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=receipt_handle, VisibilityTimeout=round(seconds)
            )


@dataclass(frozen=True, slots=True)
class EventQueues:
    """Gives messages back to whichever queue they came from, named by its ARN."""

    client: "SQSClient"

    def give_back(self, queue: str, receipt_handle: str, seconds: float) -> None:
        """As `VisibilityTimeout.give_back`."""
        account, name = queue.split(":")[4:6]
        # Where the client sends it anyway, in every partition and on the local stack.
        url = f"{self.client.meta.endpoint_url}/{account}/{name}"
        VisibilityTimeout(self.client, url).give_back(receipt_handle, seconds)


def _send_all(client: "SQSClient", url: str, bodies: Sequence[str]) -> None:
    """Send every body or raise Unavailable; what was sent by then is sent again later and ends as a duplicate."""
    for batch in _batches(bodies):
        waiting = dict(enumerate(batch))
        for _ in range(SENDS):
            with unavailable_unless_answered("the queue did not take the messages"):
                answer = client.send_message_batch(
                    QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": body} for n, body in waiting.items()]
                )
            failed = answer.get("Failed", [])
            waiting = {int(entry["Id"]): waiting[int(entry["Id"])] for entry in failed}
            if not waiting:
                break
        else:
            codes = ", ".join(sorted({entry["Code"] for entry in failed}))
            raise Unavailable(f"{len(waiting)} of {len(batch)} messages were refused {SENDS} times: {codes}")


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        length = len(body.encode())
        if batch and (len(batch) == MESSAGES_PER_BATCH or size + length > LARGEST_MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch
