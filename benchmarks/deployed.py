"""The deployed gateway's own time: events that come one by one, and a storm of them. Real queues, functions and Airflow.

    make run                                 # in one terminal
    .venv/bin/python -m benchmarks.deployed  # in another; some four minutes

What MWAA takes is told apart: the local MWAA counts how long commands hold its slots. In the storm each command takes
three seconds longer than Airflow needs here, as MWAA's do. What the slots allow is how long the same commands would take
without a gap between them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import percentile
from gateway_cli.connection import STATE_FILE
from local_stack.ledger import LedgerRow, rows_about
from local_stack.mwaa.control import ControlClient
from local_stack.mwaa.faults import Faults
from local_stack.state import StackState

BATCH: Final = 10  # PutEvents takes so many
SOURCE: Final = "benchmarks.deployed"
ENVIRONMENT: Final = "analytics"
RULE: Final = {
    "id": "benchmarks.deployed",
    "pattern": {"source": [SOURCE]},
    "target": {"environment": ENVIRONMENT, "dag_id": "nightly_report"},
}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A running local stack that has the benchmark's rule."""

    state: StackState

    @property
    def control(self) -> ControlClient:
        """What the local MWAA is asked by."""
        return ControlClient(self.state.mwaa_endpoint_url)

    @property
    def share(self) -> int:
        """How many of the environment's slots its dispatchers take at most."""
        return int(self.event_source_mapping["ScalingConfig"]["MaximumConcurrency"])

    @property
    def event_source_mapping(self) -> Any:
        """What leads from the trigger queue to the dispatchers, as Lambda describes it."""
        function = self.state.environments[ENVIRONMENT].dispatcher
        mappings = self.state.aws.client("lambda").list_event_source_mappings(FunctionName=function)
        (mapping,) = mappings["EventSourceMappings"]
        return mapping

    def put_events(self, number: int) -> list[str]:
        """Put so many events on the gateway's bus, and return their ids."""
        entry = {
            "EventBusName": self.state.event_bus_name,
            "Source": SOURCE,
            "DetailType": "one of many",
            "Detail": json.dumps({"business-day": "2026-11-25"}),
        }
        ids: list[str] = []
        events = self.state.aws.client("events")
        while len(ids) < number:
            entries = events.put_events(Entries=[entry] * min(BATCH, number - len(ids)))["Entries"]
            ids += [each["EventId"] for each in entries]
        return ids

    def statistics(self) -> dict[str, Any]:
        """What the local MWAA has counted since `clear_statistics`."""
        counted: dict[str, Any] = self.control.statistics(environment=ENVIRONMENT)[ENVIRONMENT]
        return counted

    def wait_for_commands(self, number: int) -> None:
        """Wait until so many commands are over. The ledger is not asked meanwhile: its scans would be in the way."""
        while (now := self.statistics())["commands"] < number or now["commands_in_flight"]:
            time.sleep(0.02)

    def triggered(self, ids: Collection[str]) -> list[LedgerRow]:
        """Wait until all of the events are triggered, and return their rows."""
        while True:
            rows = rows_about(self.state.aws, self.state.ledger_table, "eventbridge")
            ours = [row for row in rows if any(each in row.identity for each in ids)]
            if dead := [row.reason for row in ours if row.state == "dead"]:
                sys.exit(f"{len(dead)} of the events are dead: {dead[0]}")
            if len(ours) == len(ids) and all(row.state == "triggered" for row in ours):
                return ours
            time.sleep(0.5)


def print_one_by_one(deployed: Deployed, number: int) -> None:
    """Events with nothing else to do: what lies between the event and its run, less what MWAA takes."""
    print(f"{number} events, one after the other; milliseconds\n")
    dispatched, own, commands = [], [], []
    for _ in range(number):
        deployed.control.clear_statistics()
        sent_at = time.time()
        ids = deployed.put_events(1)
        deployed.wait_for_commands(1)
        (row,) = deployed.triggered(ids)
        command = deployed.statistics()["seconds_in_slots"]
        commands.append(command)
        dispatched.append((row.first_attempt_at or 0) - sent_at)
        own.append((row.finished_at or 0) - sent_at - command)
    print("| from PutEvents to | p50 | p99 |\n|---|--:|--:|")
    for name, seconds in (
        ("the first attempt", dispatched),
        ("the accepted run, less the command", own),
        ("(the command)", commands),
    ):
        p50, p99 = (1000 * percentile(seconds, percent) for percent in (50, 99))
        print(f"| {name} | {p50:.0f} | {p99:.0f} |")


def print_storm(deployed: Deployed, number: int, *, seconds_per_command: float) -> None:
    """All events at once: how long they take, beside what the share of the slots allows."""
    deployed.control.set_faults(
        Faults(latency_milliseconds=1000 * seconds_per_command), environment=ENVIRONMENT
    )
    deployed.control.clear_statistics()
    try:
        ids = deployed.put_events(number)
        deployed.wait_for_commands(number)
        rows = deployed.triggered(ids)
        counted = deployed.statistics()
    finally:
        deployed.control.clear_faults(environment=ENVIRONMENT)
    begun = min(row.first_attempt_at or 0 for row in rows)
    took = max(row.finished_at or 0 for row in rows) - begun
    allowed = counted["seconds_in_slots"] / deployed.share
    seconds = counted["seconds_in_slots"] / counted["commands"]
    print(f"\nA storm of {number} events; {seconds:.2f} s a command, {deployed.share} at once at most\n")
    print("| seconds | allowed by the slots | times | most commands at once | 503s | commands too many |")
    print("|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {took:.1f} | {allowed:.1f} | {took / allowed:.3f} | {counted['most_commands_at_once']} | "
        f"{counted['refused_no_free_slot']} | {counted['commands'] - number} |"
    )


def _apply_rule() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rule.json")
        file.write_text(json.dumps(RULE))
        command = [
            str(Path(sys.executable).with_name("mwaa-gateway")),
            "rules",
            "apply",
            str(file),
            "--local",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--one-by-one", type=int, default=100, help="how many events, one after the other")
    parser.add_argument("--storm", type=int, default=100, help="how many at once")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="how much longer a command takes in the storm"
    )
    options = parser.parse_args()
    state = StackState.read(STATE_FILE)
    if state is None:
        sys.exit("no local stack is running here: start it with `make run` in another terminal")
    _apply_rule()
    deployed = Deployed(state)
    deployed.triggered(deployed.put_events(1))  # sandboxes are warm then, and the rule is known
    print_one_by_one(deployed, options.one_by_one)
    print_storm(deployed, options.storm, seconds_per_command=options.seconds)


if __name__ == "__main__":
    main()
