"""Queues as lists."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.ingress.ingest import DeadEvent
from mwaa_gateway.outcomes import Rejected
from mwaa_gateway.routing.members import MemberMessage
from mwaa_gateway.trigger_request import TriggerRequest


@dataclass
class FakeTriggerQueue:
    """Implements `mwaa_gateway.ingress.ingest.TriggerQueue`."""

    requests: list[TriggerRequest] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        self.failures.raise_if_due("enqueue")
        self.requests.extend(requests)


@dataclass
class FakeCollectQueue:
    """Implements `mwaa_gateway.routing.members.CollectQueue`."""

    messages: list[MemberMessage] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def collect(self, messages: Sequence[MemberMessage]) -> None:
        self.failures.raise_if_due("collect")
        self.messages.extend(messages)


@dataclass
class FakeIngressDeadLetters:
    """Implements `mwaa_gateway.ingress.ingest.IngressDeadLetters`."""

    dead: list[DeadEvent] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def publish(self, dead: Sequence[DeadEvent]) -> None:
        self.failures.raise_if_due("publish")
        self.dead.extend(dead)


@dataclass
class FakeTriggerDeadLetters:
    """Implements `mwaa_gateway.dispatch.dispatcher.DeadLetters`."""

    notices: list[tuple[TriggerRequest, Rejected, int]] = field(default_factory=list)
    unreadable: list[tuple[str, Rejected]] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def publish(self, request: TriggerRequest, rejected: Rejected, attempt: int) -> None:
        self.failures.raise_if_due("ring")
        self.notices.append((request, rejected, attempt))

    def publish_unreadable(self, body: str, rejected: Rejected) -> None:
        self.failures.raise_if_due("keep_unreadable")
        self.unreadable.append((body, rejected))
