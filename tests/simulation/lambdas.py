"""How Lambda calls functions: asynchronously with two retries, and from a queue with partial batch responses.

It counts how often a function is invoked in one chain of events, by the trace header that botocore passes on with every
message. The seventeenth invocation is dropped to the queue's dead-letter queue, unless the function's `RecursiveLoop` is
Allow.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mwaa_gateway.errors import Unavailable
from simulation.scheduler import Process
from simulation.sqs import Message, Queue, arn
from simulation.world import World

__all__ = ["AsyncInvocations", "EventSourceMapping", "Sandbox", "Sandboxes"]

ASYNC_RETRIES_AFTER = (60.0, 120.0)
LONGEST_CHAIN = 16  # "approximately", says AWS

Handler = Callable[[dict[str, Any], object], Any]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A function with its globals; `gone` is called when its process died."""

    handler: Handler
    gone: Callable[[], None]


class Context:
    """What the handlers and Powertools read of Lambda's context."""

    function_name = "gateway"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:gateway"
    aws_request_id = "request-1"


_CONTEXT = Context()


@dataclass
class Sandboxes:
    """A function's warm sandboxes: one invocation at a time each, and gone when their process dies.

    `may_loop`: its RecursiveLoop is Allow.
    """

    world: World
    name: str
    timeout: float
    make: Callable[[], Sandbox]
    warm: list[Sandbox] = field(default_factory=list)
    made: int = 0
    may_loop: bool = False
    longest_chain: int = 0

    def invoke(
        self,
        event: dict[str, Any],
        subject: str,
        ended: Callable[[Any, BaseException | None], None],
        chain: Mapping[str, int] | None = None,
    ) -> None:
        chain = chain or {}
        chain = {**chain, self.name: chain.get(self.name, 0) + 1}
        self.longest_chain = max(self.longest_chain, chain[self.name])
        if not self.warm:
            self.made += 1
            self.warm.append(self.make())
        sandbox = self.warm.pop()

        def done(result: Any, error: BaseException | None) -> None:
            if process.killed:
                sandbox.gone()
            else:
                self.warm.append(sandbox)
                if error is not None and not isinstance(error, Unavailable):
                    self.world.surprises.append(f"{self.name} raised {error!r}")
            ended(result, error)

        deadline = self.world.scheduler.now + self.timeout
        process = Process(
            lambda: sandbox.handler(event, _CONTEXT), done, deadline=deadline, subject=subject, chain=chain
        )
        process.switch()


@dataclass
class AsyncInvocations:
    """Lambda's own queue of events: two more tries, then the on-failure destination."""

    world: World
    sandboxes: Sandboxes
    on_failure: Callable[[str, dict[str, Any]], None]
    in_flight: int = 0

    def submit(self, payload: dict[str, Any]) -> None:
        self.in_flight += 1
        self.world.scheduler.after(0.02 + 0.1 * self.world.random.random(), lambda: self._try(payload, 0))

    def _try(self, payload: dict[str, Any], retries: int) -> None:
        def ended(_result: Any, error: BaseException | None) -> None:
            if error is None:
                self.in_flight -= 1
            elif retries < len(ASYNC_RETRIES_AFTER):
                self.world.scheduler.after(
                    ASYNC_RETRIES_AFTER[retries], lambda: self._try(payload, retries + 1)
                )
            else:
                self.in_flight -= 1
                self.world.faults["given up by Lambda"] += 1
                self.on_failure(self.sandboxes.name, payload)

        self.sandboxes.invoke(payload, "", ended)


@dataclass
class EventSourceMapping:
    """Polls a queue and invokes a function with what it gets, `maximum_concurrency` at once.

    `window` is its batching window: how long it gathers messages.
    """

    world: World
    queue: Queue
    sandboxes: Sandboxes
    maximum_concurrency: int
    subject: Callable[[str], str] = lambda body: body
    batch_size: int = 1
    window: float = 0.0
    running: int = 0
    polling: bool = False

    def __post_init__(self) -> None:
        self.queue.arrived = self._poll_soon

    def _poll_soon(self) -> None:
        if not self.polling:
            self.polling = True
            self.world.scheduler.after(0.005 + self.window, self._poll)

    def _poll(self) -> None:
        self.polling = False
        while self.running < self.maximum_concurrency:
            batch: list[Message] = []
            while len(batch) < self.batch_size and (message := self.queue.receive()) is not None:
                batch.append(message)
            if not batch:
                return
            self._invoke(batch)

    def _drop(self, batch: list[Message]) -> None:
        for message in batch:
            self.world.faults["recursive invocation dropped"] += 1
            self.queue.delete(message)
            if self.queue.dead is not None:
                self.queue.dead.send(message.body)

    def _invoke(self, batch: list[Message]) -> None:
        chain: Counter[str] = Counter()
        for message in batch:
            chain |= Counter(message.chain)  # of several messages the longest: AWS does not say
        if chain[self.sandboxes.name] >= LONGEST_CHAIN and not self.sandboxes.may_loop:
            self._drop(batch)
            self._poll_soon()
            return
        self.running += 1
        receipts = {message.id: message.receipt for message in batch}

        def ended(result: Any, error: BaseException | None) -> None:
            self.running -= 1
            failed = set(receipts) if error is not None else _failed(result, receipts)
            for message in batch:
                # A delete that fails, or an answer that is lost on its way to the poller, is a redelivery.
                if message.id not in failed and not self.world.chance(
                    self.world.rates.delete_failed, "delete failed"
                ):
                    self.queue.delete(message)
                else:
                    self.queue.leave(message)
            self._poll_soon()

        source = arn(self.queue.name)
        records = [_record(message, source) for message in batch]
        self.sandboxes.invoke({"Records": records}, self.subject(batch[0].body), ended, chain)


def _record(message: Message, source: str) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(round(message.sent_at * 1000)),
            **({"MessageGroupId": message.group} if message.group else {}),
        },
        "messageAttributes": message.attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": source,
    }


def _failed(result: Any, receipts: dict[str, str]) -> set[str]:
    """Read a partial batch response as Lambda does: nothing said is all done, nonsense is all failed."""
    if not result or not result.get("batchItemFailures"):
        return set()
    identifiers = {failure.get("itemIdentifier") for failure in result["batchItemFailures"]}
    return identifiers if identifiers <= receipts.keys() else set(receipts)


def on_failure_record(function: str, payload: dict[str, Any]) -> str:
    """What Lambda sends to the on-failure destination."""
    return json.dumps(
        {
            "version": "1.0",
            "requestContext": {"condition": "RetriesExhausted", "functionArn": function},
            "requestPayload": payload,
        }
    )
