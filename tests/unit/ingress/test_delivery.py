"""Which messages of an event queue SQS redelivers, and after how long."""

from dataclasses import dataclass, field, replace

from fakes.messages import messages
from fakes.queues import FakeCollectQueue
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events import TrustedQueues
from mwaa_gateway.ingress.delivery import EventDeliveries
from mwaa_gateway.ingress.ingest import IngressReport
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.routing.members import Member, MemberMessage

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:uploads"
RETRY_QUEUE = "arn:aws:sqs:eu-west-1:123456789012:retry"
MEMBER = MemberMessage("a.b", 1, '{"id": "a.b"}', (("day", "monday"),), Member("e1", {}, "e1"))


@dataclass
class Scene:
    """An ingress that raises these errors, one for each message, and its queue."""

    errors: list[Exception | None]
    refuses: bool = False
    given_back: list[tuple[str, float]] = field(default_factory=list)
    reported: list[object] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    collect_queue: FakeCollectQueue = field(default_factory=FakeCollectQueue)

    def ingest(self, _events: object, payload: object) -> IngressReport:
        del payload
        if (error := self.errors.pop(0)) is not None:
            raise error
        return IngressReport()

    def give_back(self, message: QueueMessage, seconds: float) -> None:
        if self.refuses:
            raise Unavailable("ReceiptHandleIsInvalid")
        self.given_back.append((message.id, seconds))

    def deliver(self, batch: list[QueueMessage]) -> list[str]:
        deliveries = EventDeliveries(
            ingress=self,  # type: ignore[arg-type]
            trusted=TrustedQueues(RETRY_QUEUE, frozenset({QUEUE}), frozenset()),
            queues=self,
            report=self.reported.append,
            report_given_back=lambda error, attempt, seconds: self.reported.append((error, attempt, seconds)),
            warn=self.warnings.append,
            jitter=lambda: 1.0,
        )
        return deliveries.deliver(batch)


def test_a_message_that_meets_an_outage_or_a_bug_stops_no_other() -> None:
    """SQS redelivers those two, after the back-off of their receive count; the others are done."""
    outage, bug = Unavailable("no answer"), ZeroDivisionError()
    scene = Scene([None, outage, bug, None])
    assert ["message-1", "message-2"] == scene.deliver(messages(*[{}] * 4, receive_count=3, queue=QUEUE))
    assert [("message-1", 20.0), ("message-2", 20.0)] == scene.given_back
    assert [(outage, 3, 20.0), (bug, 3, 20.0)] == [each for each in scene.reported if isinstance(each, tuple)]


def test_a_message_that_sqs_does_not_take_back_is_redelivered_all_the_same() -> None:
    """When its visibility timeout ends, which the log says."""
    scene = Scene([Unavailable("no answer"), None], refuses=True)
    assert ["message-0"] == scene.deliver(messages({}, {}, queue=QUEUE))
    assert ["visibility timeout ends: ReceiptHandleIsInvalid" in text for text in scene.warnings] == [True]


def test_a_redriven_member_joins_its_batch() -> None:
    """It is no event, and takes the way of a member again; SQS redelivers it if the collect queue does not answer."""
    scene = Scene([])
    scene.collect_queue.failures.coming["collect"] = 1
    redriven = [replace(each, body=MEMBER.to_json()) for each in messages({}, queue=RETRY_QUEUE)]
    assert ["message-0"] == scene.deliver(redriven)
    assert [] == scene.deliver(redriven)
    assert ["e1"] == [each.member.id for each in scene.collect_queue.messages]


def test_nobody_puts_members_into_a_queue_of_events() -> None:
    """Anyone who may send to a user's queue could name any rule."""
    scene = Scene([None])
    assert [] == scene.deliver([replace(each, body=MEMBER.to_json()) for each in messages({}, queue=QUEUE)])
    assert [] == scene.collect_queue.messages
