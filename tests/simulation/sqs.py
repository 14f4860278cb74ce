"""SQS standard queues: at least once, in no order, invisible while somebody works on a message."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from simulation.world import World

__all__ = ["Message", "Queue", "Sqs", "arn"]

LONGEST_VISIBILITY = 43_200


def arn(queue: str) -> str:
    return f"arn:aws:sqs:eu-west-1:123456789012:{queue}"


class Message:
    __slots__ = ("attributes", "body", "deleted", "id", "receives", "sent_at", "visible_at")

    def __init__(self, message_id: str, body: str, sent_at: float, attributes: dict[str, Any]) -> None:
        self.id = message_id
        self.body = body
        self.attributes = attributes  # as a Lambda function gets them
        self.sent_at = sent_at
        self.receives = 0
        self.visible_at = sent_at
        self.deleted = False

    @property
    def receipt(self) -> str:
        """A handle is good for one receive: the next receive makes it stale."""
        return f"{self.id}/{self.receives}"


class Queue:
    """One queue. `arrived` is called, later, whenever a message becomes visible."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        visibility_timeout: float = 30.0,
        maximum_receives: int | None = None,
        retention: float | None = None,
    ) -> None:
        self.name = name
        self.visibility_timeout = visibility_timeout
        self.maximum_receives = maximum_receives
        self.retention = retention
        self.expired = 0
        self.most_receives = 0
        self.dead: Queue | None = None
        self.arrived: Callable[[], None] = lambda: None
        self.sent = 0
        self.deliveries = 0
        self.sent_bodies: list[str] = []  # every body ever sent
        self.messages: dict[str, Message] = {}
        self._world = world
        self._visible: list[Message] = []

    def send(self, body: str, *, delay: float = 0.0, attributes: dict[str, Any] | None = None) -> None:
        """Take a message, now and then twice."""
        copies = 2 if self._world.chance(self._world.rates.delivered_twice, "SQS delivered twice") else 1
        self.sent_bodies.append(body)
        for _ in range(copies):
            self.sent += 1
            message = Message(f"{self.name}-{self.sent}", body, self._world.scheduler.now, attributes or {})
            self.messages[message.id] = message
            shown_after = delay + 0.01 * self._world.random.random()
            self._world.scheduler.after(shown_after, lambda it=message: self._show(it))

    def receive(self) -> Message | None:
        """Hand out a visible message, mostly one of the oldest."""
        visible = self._visible
        while visible:
            at = 0
            if len(visible) > 1 and self._world.random.random() < 0.3:
                at = self._world.random.randrange(len(visible))
            message = visible.pop(at)
            if message.deleted:
                continue
            if self.retention is not None and self._world.scheduler.now >= message.sent_at + self.retention:
                self.delete(message)
                self.expired += 1
                continue
            if self.maximum_receives is not None and message.receives >= self.maximum_receives:
                self.delete(message)
                if self.dead is not None:
                    self.dead.send(message.body)
                continue
            message.receives += 1
            self.most_receives = max(self.most_receives, message.receives)
            self.deliveries += 1
            message.visible_at = self._world.scheduler.now + self.visibility_timeout
            return message
        return None

    def delete(self, message: Message) -> None:
        message.deleted = True
        self.messages.pop(message.id, None)

    def leave(self, message: Message) -> None:
        """Nobody works on the message any more: it comes back when its visibility timeout ends."""
        if not message.deleted:
            self._world.scheduler.at(
                max(message.visible_at, self._world.scheduler.now), lambda: self._show(message)
            )

    def change_visibility(self, receipt: str, seconds: int) -> None:
        message = self.messages.get(receipt.rpartition("/")[0])
        if not isinstance(seconds, int) or not 0 <= seconds <= LONGEST_VISIBILITY:
            raise ClientError(
                {"Error": {"Code": "InvalidParameterValue", "Message": str(seconds)}}, "ChangeVisibility"
            )
        if message is None or message.receipt != receipt:
            raise ClientError(
                {"Error": {"Code": "ReceiptHandleIsInvalid", "Message": "stale"}}, "ChangeVisibility"
            )
        message.visible_at = self._world.scheduler.now + seconds

    def _show(self, message: Message) -> None:
        if not message.deleted:
            self._visible.append(message)
            self.arrived()


class Sqs:
    """The part of botocore's SQS client that the adapters use; a queue's URL is its name."""

    meta = SimpleNamespace(endpoint_url="https://sqs.eu-west-1.amazonaws.com")

    def __init__(self, world: World, queues: dict[str, Queue]) -> None:
        self._world = world
        self._queues = queues

    def send_message(self, **request: Any) -> dict[str, Any]:
        queue = self._queues[request["QueueUrl"].rpartition("/")[2]]

        def send() -> dict[str, Any]:
            queue.send(
                request["MessageBody"],
                delay=request.get("DelaySeconds", 0),
                attributes={
                    name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                    for name, value in request.get("MessageAttributes", {}).items()
                },
            )
            return {"MessageId": "1"}

        return self._world.aws_call("sqs", "SendMessage", send)

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        queue, entries = self._queues[request["QueueUrl"].rpartition("/")[2]], request["Entries"]
        assert 1 <= len(entries) <= 10
        assert sum(len(entry["MessageBody"]) for entry in entries) <= 1_048_576

        def send() -> dict[str, Any]:
            answer: dict[str, Any] = {"Successful": [], "Failed": []}
            for entry in entries:
                if self._world.chance(self._world.rates.queue_failed, "SQS entry failed"):
                    answer["Failed"].append(
                        {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False}
                    )
                else:
                    queue.send(entry["MessageBody"])
                    answer["Successful"].append({"Id": entry["Id"]})
            if not answer["Failed"]:
                del answer["Failed"]
            return answer

        return self._world.aws_call("sqs", "SendMessageBatch", send)

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        queue = self._queues[request["QueueUrl"].rpartition("/")[2]]

        def change() -> dict[str, Any]:
            queue.change_visibility(request["ReceiptHandle"], request["VisibilityTimeout"])
            return {}

        return self._world.aws_call("sqs", "ChangeMessageVisibility", change)
