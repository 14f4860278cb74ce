"""Which messages of a trigger queue SQS redelivers."""

from dataclasses import dataclass, field

from fakes.messages import messages
from fakes.requests import a_request
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Reason, Retryable, Triggered
from mwaa_gateway.queue_message import QueueMessage

DONE = Dispatched(a_request(), Triggered(), 1, None)
WAITS = Dispatched(a_request(), Retryable(Reason.WEB_SERVER_BUSY, "busy"), 1, 7.0)


@dataclass
class Scene:
    """A dispatcher with these results, and its queue; a result that is an exception is raised."""

    results: list[Dispatched | Exception]
    rejoins: list[bool | Exception] = field(default_factory=list)
    replaces: bool | Exception = False
    given_back: list[tuple[str, float]] = field(default_factory=list)
    reported: list[object] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def dispatch(self, _body: str, _receive_count: int, _waiting_since: float) -> Dispatched:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def rejoin(self, _message: QueueMessage) -> bool:
        rejoined = self.rejoins.pop(0) if self.rejoins else False
        if isinstance(rejoined, Exception):
            raise rejoined
        return rejoined

    def give_back(self, message: QueueMessage, seconds: float) -> bool:
        if isinstance(self.replaces, Exception):
            raise self.replaces
        self.given_back.append((message.id, seconds))
        return self.replaces

    def deliver(self, count: int) -> list[str]:
        deliveries = TriggerDeliveries(
            dispatcher=self,  # type: ignore[arg-type]
            messages=self,
            report=self.reported.append,
            report_bug=self.reported.append,
            warn=self.warnings.append,
        )
        return deliveries.deliver(messages(*[{}] * count))


def test_a_bug_that_one_message_meets_stops_no_other() -> None:
    """It is reported, and SQS redelivers the message when its visibility timeout ends."""
    bug = ZeroDivisionError()
    scene = Scene([WAITS, bug, DONE])
    assert ["message-0", "message-1"] == scene.deliver(3)
    assert [("message-0", 7.0)] == scene.given_back
    assert [WAITS, bug, DONE] == scene.reported


def test_a_message_that_a_new_one_replaces_is_done() -> None:
    """At the end of its backlog, or before its last receives."""
    scene = Scene([WAITS], rejoins=[True, False], replaces=True)
    assert [] == scene.deliver(2)
    assert [("message-1", 7.0)] == scene.given_back


def test_a_message_that_sqs_does_not_take_back_is_redelivered_all_the_same() -> None:
    """A refused rejoin costs nothing: the message is dispatched."""
    scene = Scene([DONE, WAITS], rejoins=[Unavailable("full"), False], replaces=Unavailable("throttled"))
    assert ["message-1"] == scene.deliver(2)
    assert ["a rule with a long backlog", "SQS redelivers the message"] == [
        text[:26] for text in scene.warnings
    ]
