"""Fault matrix, row 31: a deploy in the middle of the day, with requests waiting, open, in doubt, done and dead.

`fixtures/version_before/mid_flight.json` was written by the code of the version before this one: the messages of six
uploads, and the ledger's rows of all but the first, whose state is in `STATES`.
"""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from mwaa_gateway.outcomes import Reason
from mwaa_gateway.trigger_request import TriggerRequest
from simulation.scenario import AIRFLOW_2, AIRFLOW_3, Scenario
from simulation.workload import RULES, an_upload
from simulation.world import Rates

BEFORE = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "version_before" / "mid_flight.json").read_text()
)
MESSAGES: list[dict[str, Any]] = BEFORE["messages"]
ROWS: list[dict[str, Any]] = [
    {name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in row.items()}
    for row in BEFORE["ledger"]
]
NEW, CLAIMED, GIVEN_BACK, IN_DOUBT, DONE, DEAD = range(1, 7)
HOUR, DAY = 3600.0, 86_400.0


def mid_flight(version: str, *, applied: bool) -> Scenario:
    """What the version before left; `applied`: the run of the request that was killed, and of the one in doubt, is there."""
    scenario = Scenario(Rates(response_lost=0.2, web_server_error=0.2), version=version)
    airflow, start = scenario.gateway.airflows["legacy"], scenario.world.start
    for row in ROWS:
        scenario.gateway.ledger.put(scenario.gateway.ledger.key(row), row)
    for n, message in enumerate(MESSAGES, 1):
        if n == DONE or (applied and n in (CLAIMED, IN_DOUBT)):
            date = start + n if airflow.is_2 else None
            conf = json.dumps(message["conf"])
            airflow.create("ingest_orders", message["run_id"], conf, date=date, checked_at=start, now=start)
        if n != DONE:
            send_at(scenario, 40, json.dumps(message))
        scenario.expect_upload(n, f"orders/{n}.csv")
        scenario.send("s3_events", an_upload(n, f"orders/{n}.csv"), at=2 * HOUR)  # and delivered again
    return scenario


def send_at(scenario: Scenario, time: float, text: str) -> None:
    scenario.at(time, lambda: scenario.gateway.queues["trigger-legacy"].send(text))


@pytest.mark.parametrize("version", [AIRFLOW_2, AIRFLOW_3])
@pytest.mark.parametrize("applied", [False, True])
def test_row_31_what_the_version_before_wrote_comes_to_one_run_each(version: str, *, applied: bool) -> None:
    """Messages and rows of every state; the dead one rings again, and stays dead."""
    scenario = mid_flight(version, applied=applied)
    scenario.expected.dead[DEAD, "sales.orders", "default"] = Reason.DAG_MISSING
    del scenario.expected.runs[DEAD, "sales.orders", "default"]
    assert [] == scenario.play().problems


def test_row_31_what_died_under_the_version_before_is_redriven_under_this_one() -> None:
    """Twice, and to one run."""
    scenario = mid_flight(AIRFLOW_3, applied=True)
    for n in range(2):
        send_at(scenario, DAY + n, json.dumps(MESSAGES[DEAD - 1] | {"redrive": 1}))
    scenario.world.scheduler.run(until=scenario.world.start + DAY / 2)
    dead = scenario.gateway.queues["trigger-dlq-legacy"]
    rung = {json.loads(message.body)["request"]["run_id"] for message in dead.messages.values()}
    assert {MESSAGES[DEAD - 1]["run_id"]} == rung
    dead.messages.clear()
    assert [] == scenario.play().problems


@pytest.mark.parametrize("version", [AIRFLOW_2, AIRFLOW_3])
def test_row_31_a_deploy_in_the_middle_of_a_day_of_faults(version: str) -> None:
    """All that was written by noon is brought to what the version before knows: as if that had written it."""
    scenario = Scenario(Rates.of_the_promise(), version=version)
    for n in range(1, 101):
        scenario.upload(n, at=3 * n, again_at=(3 * n + 200,))
    known = {name for row in ROWS for name in row} | {"state"}

    def deploy() -> None:
        for queue in (mapping.queue for mapping in scenario.gateway.mappings.values()):
            for message in queue.messages.values():
                message.body = json.dumps(_known_before(json.loads(message.body)))
        for key, row in list(scenario.gateway.ledger.items.items()):
            if "request_body" in row:
                old = {name: value for name, value in row.items() if name in known}
                pinned = _known_before(json.loads(zlib.decompress(row["request_body"]["B"])))
                scenario.gateway.ledger.items[key] = old | {
                    "request_body": {"B": zlib.compress(json.dumps(pinned).encode())}
                }

    for noon in (100, 150, 200, 250, 300):
        scenario.at(noon, deploy)
    assert [] == scenario.play().problems


def _known_before(request: dict[str, Any]) -> dict[str, Any]:
    return {name: request[name] for name in MESSAGES[0]}


def test_row_31_the_version_before_can_read_what_this_one_writes() -> None:
    """For a deploy that is rolled back: every field it reads is there, under its name, as what it was."""
    scenario = Scenario()
    scenario.upload()
    scenario.play()
    [message] = [json.loads(text) for text in scenario.gateway.texts if text]
    assert {name: type(value) for name, value in MESSAGES[0].items()} == {
        name: type(message[name]) for name in MESSAGES[0]
    }
    assert MESSAGES[0]["format"] == message["format"]
    [row] = [row for row in scenario.gateway.ledger.items.values() if "request_body" in row]
    [done] = [row for row in ROWS if row["state"]["S"] == "triggered"]
    assert {name: list(value) for name, value in done.items()} == {name: list(row[name]) for name in done}


def test_row_31_the_same_upload_has_the_same_run_id_as_under_the_version_before() -> None:
    """Else a redelivery across the deploy would be a second run."""
    for message in MESSAGES:
        request = TriggerRequest.from_json(json.dumps(message))
        assert message["run_id"] == request.target.run_id
        assert request.rule_id in RULES
    scenario = Scenario()
    for n in range(1, len(MESSAGES) + 1):
        scenario.upload(n, at=n)
    scenario.play()
    assert {message["run_id"] for message in MESSAGES} == {run.run_id for run in scenario.runs}
