"""SQS standard queues: at least once, in no order, invisible while somebody works on a message.

Fair among groups as SQS's documentation says, and no more than it says. A group is noisy when it takes more than a tenth of
the time that consumers recently spent, or of what is in flight and 30 messages at least; noticed late, and forgotten
of a group that has sent nothing for five minutes. Messages of the others are handed out first; among noisy groups, those
of the one with the fewest in flight.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from greenlet import getcurrent

from simulation.scheduler import Process
from simulation.world import World

__all__ = ["Message", "Queue", "Sqs", "arn"]

LONGEST_VISIBILITY = 43_200
# Of fair queues: the documented ones, and two that are not documented.
NOISY_SHARE, NOISY_IN_FLIGHT, FORGOTTEN_AFTER = 0.10, 30, 300.0
RECENTLY, NOTICED_EVERY = 60.0, 5.0


def arn(queue: str) -> str:
    return f"arn:aws:sqs:eu-west-1:123456789012:{queue}"


class Message:
    __slots__ = (
        "attributes",
        "body",
        "chain",
        "deleted",
        "group",
        "id",
        "in_flight",
        "received_at",
        "receives",
        "sent_at",
        "visible_at",
    )

    def __init__(
        self, message_id: str, body: str, sent_at: float, attributes: dict[str, Any], group: str
    ) -> None:
        self.id = message_id
        self.body = body
        # AWSTraceHeader: how often each function was invoked in the chain of events that sent it.
        sender = getcurrent()
        self.chain: Mapping[str, int] = sender.chain if isinstance(sender, Process) else {}
        self.group = group
        self.in_flight = False
        self.received_at: float | None = None
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
        self._visible: defaultdict[str, list[tuple[int, Message]]] = defaultdict(list)
        self._shown = 0
        self.fair = FairShares(world)

    def send(
        self, body: str, *, delay: float = 0.0, attributes: dict[str, Any] | None = None, group: str = ""
    ) -> None:
        """Take a message, now and then twice."""
        copies = 2 if self._world.chance(self._world.rates.delivered_twice, "SQS delivered twice") else 1
        self.sent_bodies.append(body)
        for _ in range(copies):
            self.sent += 1
            now = self._world.scheduler.now
            self.fair.sent_at[group] = now
            message = Message(f"{self.name}-{self.sent}", body, now, attributes or {}, group)
            self.messages[message.id] = message
            shown_after = delay + 0.01 * self._world.random.random()
            self._world.scheduler.after(shown_after, lambda it=message: self._show(it))

    def receive(self) -> Message | None:
        """Hand out a visible message, mostly one of the oldest."""
        while self._visible:
            group = self._next_group()
            visible, at = self._visible[group], 0
            if len(visible) > 1 and self._world.random.random() < 0.3:
                at = self._world.random.randrange(len(visible))
            _, message = visible.pop(at)
            if not visible:
                del self._visible[group]
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
            self.fair.received(message)
            return message
        return None

    def _next_group(self) -> str:
        """Return the quiet group that waits longest, or, where all are noisy, the one with the fewest in flight."""
        if len(self._visible) == 1:
            return next(iter(self._visible))
        noisy = self.fair.noisy()
        return min(
            self._visible,
            key=lambda group: (
                group in noisy and 1 + self.fair.in_flight[group],
                self._visible[group][0][0],
            ),
        )

    def delete(self, message: Message) -> None:
        self.fair.worked_on(message)
        self.fair.out_of_flight(message)
        message.deleted = True
        self.messages.pop(message.id, None)

    def leave(self, message: Message) -> None:
        """Nobody works on the message any more: it comes back when its visibility timeout ends."""
        self.fair.worked_on(message)
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
        self.fair.worked_on(message)
        message.visible_at = self._world.scheduler.now + seconds

    def _show(self, message: Message) -> None:
        if message.visible_at > self._world.scheduler.now:  # a late request has changed it meanwhile
            self._world.scheduler.at(message.visible_at, lambda: self._show(message))
            return
        self.fair.out_of_flight(message)
        if not message.deleted:
            self._shown += 1
            self._visible[message.group].append((self._shown, message))
            self.arrived()


class FairShares:
    """What each group of a queue takes of its consumers. Messages without a group are each on their own, never noisy."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.in_flight: Counter[str] = Counter()
        self.sent_at: dict[str, float] = {}
        self._recent: deque[tuple[float, str, float]] = deque()  # (when, group, seconds)
        self._noisy: set[str] = set()
        self._noticed_at = float("-inf")

    def received(self, message: Message) -> None:
        message.received_at = self._world.scheduler.now
        message.in_flight = True
        self.in_flight[message.group] += 1

    def worked_on(self, message: Message) -> None:
        if message.received_at is not None:
            now = self._world.scheduler.now
            self._recent.append((now, message.group, now - message.received_at))
            message.received_at = None

    def out_of_flight(self, message: Message) -> None:
        if message.in_flight:
            message.in_flight = False
            self.in_flight[message.group] -= 1

    def noisy(self) -> set[str]:
        now = self._world.scheduler.now
        if now - self._noticed_at >= NOTICED_EVERY:
            self._noticed_at = now
            while self._recent and self._recent[0][0] < now - RECENTLY:
                self._recent.popleft()
            seconds: Counter[str] = Counter()
            for _, group, spent in self._recent:
                seconds[group] += spent  # type: ignore[assignment]
            all_seconds, all_in_flight = sum(seconds.values()), self.in_flight.total()
            self._noisy = {
                group
                for group, sent_at in self.sent_at.items()
                if group
                and now - sent_at < FORGOTTEN_AFTER
                and (
                    seconds[group] > NOISY_SHARE * all_seconds
                    or self.in_flight[group] >= max(NOISY_IN_FLIGHT, NOISY_SHARE * all_in_flight)
                )
            }
        return self._noisy


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
                group=request.get("MessageGroupId", ""),
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
                    delay, group = entry.get("DelaySeconds", 0), entry.get("MessageGroupId", "")
                    queue.send(entry["MessageBody"], delay=delay, group=group)
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
