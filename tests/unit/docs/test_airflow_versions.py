"""What `make test-airflow-all` plays on real Airflow, on one in a dict: a change of the dispatcher is noticed here first."""

import threading

from airflow_versions.story import Story
from fakes.airflow import BUSY, FakeAirflow
from fakes.requests import a_request


class OneAtATime(FakeAirflow):
    """As Airflow's database decides."""

    lock = threading.Lock()

    def trigger(self, target):
        with self.lock:
            return super().trigger(target)


def test_every_message_of_the_story_ends() -> None:
    """Ten events, each delivered twice to three sandboxes, three refused, five answers lost: ten runs, none dead."""
    airflow, story = OneAtATime(lost_after=5, answers=[BUSY] * 3), Story()
    requests = [a_request(f"event-{number}") for number in range(10)]
    story.play([request.to_json() for request in requests * 2], [lambda: airflow] * 3)
    assert [row.state for row in story.ledger.rows.values()] == ["triggered"] * 10
    assert {run_id for _, run_id in airflow.runs} == {request.target.run_id for request in requests}
    assert (story.deliveries >= 20, story.dead_letters.notices) == (True, [])
