"""The other direction: the example DAG that starts a state machine, as real Airflow runs it."""

import json
from typing import Any

from local_stack.follow import SentEvent, follow
from local_stack.state import StackState
from polling import until

# What the DAG's STATE_MACHINE names here: it fails where its input says so.
OTHER_DIRECTION = {
    "StartAt": "HowItEnds",
    "States": {
        "HowItEnds": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.fail", "BooleanEquals": True, "Next": "Badly"}],
            "Default": "Well",
        },
        "Well": {"Type": "Succeed"},
        "Badly": {"Type": "Fail", "Error": "NoOrders", "Cause": "no orders came"},
    },
}


def test_a_dag_starts_a_state_machine_and_ends_as_it_ended(gateway, state_machine_role):
    """On either Airflow: it goes on after a success, and its run fails after a failure."""
    gateway.aws.client("stepfunctions").create_state_machine(
        name="other-direction", roleArn=state_machine_role, definition=json.dumps(OTHER_DIRECTION)
    )
    sent = {put_event(gateway, {"fail": fail}): fail for fail in (False, True)}

    def ended() -> dict[tuple[str, bool], str] | None:
        found = follow(gateway, [SentEvent("", event_id, 0) for event_id in sent], seconds=0)
        over = len(found) == 4 and all(each.is_over for each in found)
        return {(each.environment, sent[each.event.marker]): each.state for each in found} if over else None

    assert until("the runs' ends", ended, seconds=90, every=0.5) == {
        ("analytics", False): "success",
        ("analytics", True): "failed",
        ("legacy", False): "success",
        ("legacy", True): "failed",
    }


def put_event(gateway: StackState, given: dict[str, Any]) -> str:
    """An event whose rule has the DAG run in both environments; its id."""
    entry = {
        "EventBusName": gateway.event_bus_name,
        "Source": "acme.other-direction",
        "DetailType": "Day Closed",
        "Detail": json.dumps(given),
    }
    event_id: str = gateway.aws.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"]
    return event_id
