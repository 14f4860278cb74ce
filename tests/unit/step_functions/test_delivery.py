"""What follows a watcher's round: which message of the batch rests, for how long, and that none is ever sent."""

from dataclasses import replace

import pytest

from fakes.messages import messages
from fakes.watching import Scene
from mwaa_gateway.step_functions.delivery import rests_until_next_round
from mwaa_gateway.step_functions.notices import read_notices
from mwaa_gateway.step_functions.round_report import RoundReport

WAKE = {"round": "wake", "sent_at": 1_000.0}
TICK = {"source": "aws.events", "detail-type": "Scheduled Event", "id": "1", "time": "2026-11-29T03:30:00Z"}
OVER = {
    "source": "aws.states",
    "detail-type": "Step Functions Execution Status Change",
    "detail": {"executionArn": "arn:1", "status": "ABORTED"},
}
ENDED = {"source": "mwaa-gateway.callbacks", "detail-type": "DAG Run Ended", "detail": {"run_id": "run-1"}}
OF_THE_VERSION_BEFORE = ({"round": "next", "sent_at": 1_000.0}, {"round": "wake", "tries": 3, "sent_at": 1.0})


def rests(made: RoundReport, *documents, deliveries: int = 1, now: float = 1_000.0) -> dict[int, int]:
    """Which messages of this batch rest, by their place, and for how many seconds."""
    batch = messages(*documents, receive_count=deliveries)
    kept = rests_until_next_round(made, read_notices(batch), now)
    return {batch.index(message): seconds for message, seconds in kept.items()}


@pytest.fixture
def waited() -> RoundReport:
    """A round after which a state waits, and nothing is due before the clock says 1,060."""
    scene = Scene()
    scene.wait_for()
    made = scene.round(after=0)
    return replace(made, next_at=1_060.0)


NOBODY = RoundReport()


@pytest.mark.parametrize(("now", "seconds"), [(1_000.0, 10), (1_053.0, 7), (1_058.0, 5), (2_000.0, 5)])
def test_while_a_state_waits_the_newest_message_rests_until_something_is_due(waited, now, seconds):
    """Not the oldest: then the age of the queue's oldest message is the time since the last round."""
    assert rests(waited, TICK, OVER, TICK, now=now) == {2: seconds}
    assert rests(waited, TICK, now=now) == {0: seconds}


def test_behind_a_full_batch_there_may_be_more(waited):
    """Fifty executions that are stopped are dealt with ten by ten, one round after the other."""
    assert rests(waited, *[OVER] * 10) == {9: 0}
    assert rests(waited, *[OVER] * 9) == {8: 10}


@pytest.mark.parametrize("document", [TICK, OVER, ENDED, *OF_THE_VERSION_BEFORE[:1]])
def test_where_nobody_waits_the_whole_batch_is_done_with(document):
    """The next wake, or the next tick, starts a round."""
    assert rests(NOBODY, document) == {}


@pytest.mark.parametrize("wake", [WAKE, OF_THE_VERSION_BEFORE[1]])
def test_a_wake_without_a_watch_comes_again_for_a_minute(wake):
    """The index may lag; SQS counts the deliveries. Of several messages it is the wake that rests."""
    found = [rests(NOBODY, TICK, wake, TICK, deliveries=n) for n in range(1, 15)]
    assert found == [{1: 5}] * 12 + [{}] * 2


def test_the_notice_of_an_end_that_could_not_be_recorded_comes_again_for_a_minute():
    """Another sandbox may make the next round, and knows of it by the notice alone."""
    made = RoundReport(unrecorded_ends=("arn:1",))
    found = [rests(made, ENDED, OVER, TICK, deliveries=n) for n in (1, 12, 13)]
    assert found == [{1: 5}, {1: 5}, {}]


def test_what_has_ended_is_read_and_what_cannot_be_read_is_reported():
    """One bad message takes none of the others with it."""
    notices = read_notices(
        messages(
            "not JSON",
            OVER,
            {**OVER, "detail": {"status": "ABORTED"}},
            {**OVER, "detail": {"executionArn": "arn:2", "status": "RUNNING"}},
            ENDED,
            {**ENDED, "detail": []},
            "[" * 100_000,
            ["a list"],
            WAKE,
            TICK,
        )
    )
    assert (notices.ended_executions, notices.ended_runs) == (("arn:1",), ("run-1",))
    assert notices.wake == notices.messages[8]
    assert notices.unreadable == (
        ("message-0", "it is not JSON"),
        ("message-2", "Step Functions Execution Status Change: it does not name what ended"),
        ("message-5", "DAG Run Ended: it does not name what ended"),
        ("message-6", "it is not JSON"),
        ("message-7", "it is no notice that this version of the watcher knows"),
    )
