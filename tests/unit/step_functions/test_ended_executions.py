"""Which watchers hear of an execution's end, and that one environment's trouble keeps no notice from the others."""

from collections import Counter
from dataclasses import dataclass, field

from fakes.messages import messages
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.ended_executions import EndedExecutions, Forwarded

ENVIRONMENTS = {"analytics", "legacy", "risk"}


@dataclass
class Watches:
    """Open watches by environment; those of `down` cannot be read."""

    open: dict[str, set[str]]
    down: set[str] = field(default_factory=set)
    reads: int = 0

    def executions(self, environment, among):
        self.reads += 1
        if environment in self.down:
            raise Unavailable("cannot list the watches: throttled")
        return frozenset(self.open.get(environment, set()) & set(among))


@dataclass
class Queues:
    """What was sent; the queues of `full` take nothing."""

    full: set[str] = field(default_factory=set)
    sent: list[tuple[str, str, str]] = field(default_factory=list)

    def forward(self, environment, notice, message_id):
        if environment in self.full:
            raise Unavailable("the watch queue did not accept the notice: throttled")
        self.sent.append((environment, notice, message_id))


def ended(execution, status="ABORTED"):
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": execution, "status": status},
    }


def forward(batch, watches, queues) -> Forwarded:
    """What is reported of a batch; SQS redelivers what failed."""
    reports: list[Forwarded] = []
    function = EndedExecutions(
        environments=ENVIRONMENTS, watches=watches, queues=queues, report=reports.append
    )
    failed = function.deliver(batch)
    [forwarded] = reports
    assert failed == list(forwarded.failed)
    return forwarded


def test_a_notice_goes_to_the_environments_where_its_execution_waits_and_to_no_other():
    """As it came: the watcher reads what EventBridge wrote. An execution may wait in two environments at once."""
    watches = Watches({"analytics": {"one", "two"}, "legacy": {"two"}})
    batch = messages(ended("one"), ended("two"), ended("nobody's", "FAILED"))
    queues = Queues()
    forwarded = forward(batch, watches, queues)
    one, two = batch[0].body, batch[1].body
    assert sorted(queues.sent) == [
        ("analytics", one, "message-0"),
        ("analytics", two, "message-1"),
        ("legacy", two, "message-1"),
    ]
    assert (forwarded.failed, forwarded.unreadable) == ({}, ())
    assert forwarded.sent == Counter(analytics=2, legacy=1)
    assert watches.reads == len(ENVIRONMENTS)  # of a whole batch, not of each notice


def test_an_environment_whose_watches_cannot_be_read_keeps_no_notice_from_the_others():
    """Every notice may concern it, so that all come again."""
    queues = Queues()
    watches = Watches({"legacy": {"one"}}, down={"analytics"})
    forwarded = forward(messages(ended("one"), ended("two")), watches, queues)
    assert [(environment, message) for environment, _, message in queues.sent] == [("legacy", "message-0")]
    assert forwarded.failed.keys() == {"message-0", "message-1"}
    assert "environment 'analytics'" in forwarded.failed["message-1"]


def test_a_queue_that_takes_nothing_returns_its_own_notices_alone():
    """The others are done with."""
    queues = Queues(full={"analytics"})
    watches = Watches({"analytics": {"one"}, "legacy": {"two"}})
    forwarded = forward(messages(ended("one"), ended("two")), watches, queues)
    assert [(environment, message) for environment, _, message in queues.sent] == [("legacy", "message-1")]
    assert forwarded.failed.keys() == {"message-0"}


def test_a_message_that_is_no_notice_is_reported_and_stops_no_other():
    """It does not come again: nobody can ever use it."""
    queues = Queues()
    forwarded = forward(messages({"hello": 1}, ended("one")), Watches({"risk": {"one"}}), queues)
    assert [message for _, _, message in queues.sent] == ["message-1"]
    assert [message_id for message_id, _ in forwarded.unreadable] == ["message-0"]
    assert forwarded.failed == {}


def test_a_batch_without_ends_reads_nothing():
    watches = Watches({})
    assert forward(messages({"hello": 1}), watches, Queues()).failed == {}
    assert watches.reads == 0
