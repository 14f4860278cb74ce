"""Row 52 on real parts: what waits is neither put off by the environment's trouble nor slow to come back after it."""

import json
import time
import uuid
from collections import Counter

import pytest

from local_stack.airflow_runs import AirflowRuns
from local_stack.mwaa import ControlClient, Faults
from looking import dead_letters, number_of_runs, settle
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.dispatch.circuit_breaker import OpenCircuit
from polling import until

ENVIRONMENT, RULE = "analytics", "test.recovery"
EVENTS, IN_TROUBLE = 50, 20
COMMAND_SECONDS = 0.75  # by which each is longer than Airflow needs here
# As docs/adr/0030-back-off-belongs-to-what-failed.md has them
TRIES_SOON, SOON_SECONDS, LOOK_EVERY_SECONDS, FULL_SPEED_SECONDS = 6, 2.0, 3.0, 15.0
# 45 % of the answers say nothing about the load: nothing ran, or it ran and the answer is lost or cannot be read.
NOTHING_SAID = Faults(
    reset_before=0.25,
    lost_response=0.05,
    garbled=0.05,
    error_500=0.1,
    latency_milliseconds=1000 * COMMAND_SECONDS,
    seed=52,
)
AWAY = Faults(error_503=1.0)
FAILURES = 6  # with pauses of 1, 2, 4, 6, 6 and 6 seconds
SLOW = Faults(latency_milliseconds=1000 * COMMAND_SECONDS)


@pytest.mark.full
@pytest.mark.guarantee(52)
def test_row_52_trouble_slows_the_storm_down_only_while_it_lasts(gateway):
    """45 % of all answers say nothing, then none comes, then all is well: a run each, and no wait outlives its cause.

    All is counted in waits and in work, so that a busy machine changes nothing. A message comes again within two seconds,
    not after its own exponential back-off. While the environment is away, what waits stays visible in the queue, and the
    next probe is near. Once it is back, the slots are full after what one sandbox runs until the other looks.
    """
    control, environment = ControlClient(gateway.mwaa_endpoint_url), gateway.environments[ENVIRONMENT]
    settle(gateway)
    lines_before = len(waits(gateway))
    storm = uuid.uuid4().hex
    control.clear_statistics()
    control.set_faults(NOTHING_SAID, environment=ENVIRONMENT)
    try:
        events = put_events(gateway, storm, EVENTS)
        started(gateway, storm, IN_TROUBLE)
        control.set_faults(AWAY, environment=ENVIRONMENT)
        in_trouble = waits(gateway)[lines_before:]
        share = control.statistics()[ENVIRONMENT]["most_commands_at_once"]

        # A probe every few seconds: for about half a minute
        until("failed probes", lambda: breaker(gateway).failures >= FAILURES, seconds=90, every=0.5)
        assert breaker(gateway).probe_at <= time.time() + FULL_SPEED_SECONDS
        visible, left = visible_messages(gateway), EVENTS - number_of_runs(gateway, ENVIRONMENT, RULE, storm)

        control.clear_statistics()
        control.set_faults(SLOW, environment=ENVIRONMENT)
        started(gateway, storm, EVENTS)
        after = control.statistics()[ENVIRONMENT]
        settle(gateway)
    finally:
        control.clear_faults(environment=ENVIRONMENT)

    runs = AirflowRuns(environment).all("waiting")
    assert Counter(event for run in runs if (event := run.conf.get("id")) in events) == Counter(events)
    assert dead_letters(gateway, environment.trigger_dlq_url) == []
    lost = [wait for attempt, wait in in_trouble if attempt <= TRIES_SOON]
    assert len(lost) >= 3
    assert max(lost) <= SOON_SECONDS
    # Not more than three a sandbox: one in hand, and two that it has given back after its longest stay
    assert visible >= left - 3 * share
    assert after["refused_no_free_slot"] == 0
    assert after["most_commands_at_once"] == share
    assert after["commands_begun_before_most_at_once"] <= 2 + LOOK_EVERY_SECONDS / COMMAND_SECONDS


def put_events(gateway, storm: str, number: int) -> list[str]:
    """Events of one storm; their ids."""
    entry = {
        "EventBusName": gateway.event_bus_name,
        "Source": "acme.recovery",
        "DetailType": "one of many",
        "Detail": json.dumps({"storm": storm}),
    }
    events = gateway.aws.client("events")
    return [
        each["EventId"]
        for _ in range(number // 10)
        for each in events.put_events(Entries=[entry] * 10)["Entries"]
    ]


def started(gateway, storm: str, number: int) -> None:
    """Wait until so many of the storm's events have a run."""
    until(
        f"{number} runs",
        lambda: number_of_runs(gateway, ENVIRONMENT, RULE, storm) >= number,
        seconds=4 * number,
        every=0.3,
    )


def breaker(gateway) -> OpenCircuit:
    """The environment's circuit breaker, as it is stored."""
    items = CircuitItems(gateway.aws.client("dynamodb"), gateway.ledger_table)
    # None is due at 0: it only reads
    _, found = items.take_probe(f"gate|environment|{ENVIRONMENT}", 0, 0)
    return found or OpenCircuit(0, 0, 0, 0)


def visible_messages(gateway) -> int:
    """The trigger queue's messages that a slot could take at once."""
    queue_url = gateway.environments[ENVIRONMENT].trigger_queue_url
    name = "ApproximateNumberOfMessages"
    answer = gateway.aws.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])
    return int(answer["Attributes"][name])


def waits(gateway) -> list[tuple[int, float]]:
    """The attempt and the seconds until redelivery of each failed attempt of the rule's requests that is logged."""
    group = f"/aws/lambda/{gateway.environments[ENVIRONMENT].dispatcher}"
    pages = gateway.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    lines = [
        json.loads(event["message"]) for page in pages for event in page["events"] if RULE in event["message"]
    ]
    failures = [line for line in lines if line.get("outcome") in {"OutcomeUnknown", "Retryable"}]
    return [(line["attempt"], line["redeliver_after"]) for line in failures]
