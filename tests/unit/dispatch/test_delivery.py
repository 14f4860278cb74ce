"""Which messages of a trigger queue SQS redelivers."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Barrier

import pytest

from fakes.messages import messages
from fakes.requests import a_request
from mwaa_gateway.dispatch.concurrency import Concurrency
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import Dispatched
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Outcome, OutcomeUnknown, Reason, Retryable, Triggered
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.wiring.dispatcher import side_by_side

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
    concurrency: Concurrency = field(default_factory=lambda: Concurrency(1))
    closed: list[None] = field(default_factory=list)
    time: float = 0.0
    takes: Callable[[str], object] = str  # what happens while a message is dispatched
    suspects: tuple[bool | Exception, ...] = ()

    def dispatch(self, body: str, _receive_count: int, _waiting_since: float) -> Dispatched:
        self.takes(body)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def is_suspect(self, body: str, _receive_count: int) -> bool:
        found = self.suspects[int(json.loads(body)["n"])] if self.suspects else False
        if isinstance(found, Exception):
            raise found
        return found

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
            concurrency=self.concurrency,
            side_by_side=side_by_side,
            close_connections=lambda: self.closed.append(None),
            now=lambda: self.time,
            report=self.reported.append,
            report_bug=self.reported.append,
            warn=self.warnings.append,
        )
        return deliveries.deliver(messages(*({"n": n} for n in range(count))))


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


def test_the_messages_of_a_batch_are_dispatched_side_by_side() -> None:
    """As many at once as there may be: each waits for the others here, and none would continue alone."""
    together = Barrier(4, timeout=60)
    scene = Scene([DONE] * 8, concurrency=Concurrency(4), takes=lambda _: together.wait())
    assert [] == scene.deliver(8)
    assert [DONE] * 8 == scene.reported
    assert len(scene.closed) == 1


def test_nothing_is_begun_beside_a_request_that_may_crash_the_sandbox() -> None:
    """What a crash interrupts is in doubt, too. The others go back at once, and the suspects have their turns."""
    running: list[str] = []
    taken: list[str] = []

    def alone(body: str) -> None:
        running.append(body)
        assert running == [body]
        taken.append(body)
        running.clear()

    scene = Scene(
        [DONE, WAITS],
        concurrency=Concurrency(4),
        takes=alone,
        suspects=(False, True, False, True),
        replaces=True,
    )
    assert [] == scene.deliver(4)
    assert ['{"n": 1}', '{"n": 3}'] == taken
    assert [("message-0", 0), ("message-2", 0), ("message-3", 7.0)] == scene.given_back


def test_a_ledger_that_does_not_answer_leaves_the_batch_as_it_is() -> None:
    """Each attempt has its own answer to an outage."""
    scene = Scene([DONE] * 3, suspects=(True, Unavailable("throttled"), True))
    assert [] == scene.deliver(3)
    assert [DONE] * 3 == scene.reported


def test_a_load_signal_ends_half_of_the_workers() -> None:
    """The web server is busy: those that are left continue with the batch, and no message is left out."""
    most: list[int] = []
    running: list[str] = []
    both = Barrier(2, timeout=60)

    def takes(body: str) -> None:
        running.append(body)
        most.append(len(running))
        if len(most) <= 2:
            both.wait()
        running.remove(body)

    scene = Scene([WAITS, WAITS, *[DONE] * 6], concurrency=Concurrency(2), takes=takes)
    assert {"message-0", "message-1"} == set(scene.deliver(8))
    assert max(most[:2]) == 2
    assert most[2:] == [1] * 6


def test_no_message_is_begun_late() -> None:
    """Each attempt has the function's whole timeout, or nearly: what is left of a slow batch comes again at once."""

    def takes(_body: str) -> None:
        scene.time += 3.0

    scene = Scene([DONE] * 2, takes=takes)
    assert ["message-2", "message-3"] == scene.deliver(4)
    assert [("message-2", 0), ("message-3", 0)] == scene.given_back


@pytest.mark.parametrize(
    ("outcome", "seconds", "halved"),
    [
        (Retryable(Reason.WEB_SERVER_BUSY, "503"), 0.1, True),
        (Triggered(), 10.0, True),
        (OutcomeUnknown(Reason.UNCLEAR_ANSWER, "lost"), 0.1, False),
        (Triggered(), 9.9, False),
    ],
)
def test_concurrency_is_halved_by_a_load_signal_and_grows_by_one_a_second(
    outcome: Outcome, seconds: float, *, halved: bool
) -> None:
    """A 429, a 503, or an attempt of ten seconds; a lost answer says nothing about the load."""
    concurrency = Concurrency(8)
    concurrency.record(outcome, 100.0, 100.0 + seconds)
    at = 100.0 + seconds
    assert (4 if halved else 8) == concurrency.limit(at)
    assert (6 if halved else 8) == concurrency.limit(at + 2.0)
    assert concurrency.limit(at + 60.0) == 8


def test_attempts_of_one_moment_are_one_load_signal() -> None:
    """Eight at once that meet a busy web server halve it once, and it never falls below one."""
    busy = Retryable(Reason.WEB_SERVER_BUSY, "503")
    concurrency = Concurrency(8)
    for _ in range(8):
        concurrency.record(busy, 100.0, 101.0)
    assert concurrency.limit(101.0) == 4
    for at in (101.0, 101.1, 101.2, 101.3):
        concurrency.record(busy, at, at)
    assert concurrency.limit(101.3) == 1


def test_load_signals_within_a_second_are_one() -> None:
    """Several requests of one sandbox meet the busy web server together."""
    concurrency = Concurrency(8)
    for at in (100.0, 100.4, 100.9):
        concurrency.record_load(at)
    assert concurrency.limit(100.9) == 4
    concurrency.record_load(101.0)
    assert concurrency.limit(101.0) == 2  # of five by then
