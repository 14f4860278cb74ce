"""Fault matrix, rows 6 and 22: killed at every I/O point of ingress and dispatcher, and at every pair of them."""

from collections.abc import Callable, Iterator

import pytest

from simulation.scenario import AIRFLOW_2, AIRFLOW_3, Scenario
from simulation.scheduler import Process
from simulation.world import Crash

Plan = dict[int, Crash]  # the how-many-th call of all dies, and how


class PlannedCrashes:
    """Kills at the calls of a plan, counted over all processes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.calls: list[str] = []

    def next(self, process: Process, operation: str) -> Crash | None:  # noqa: ARG002
        self.calls.append(operation)
        return self.plan.get(len(self.calls) - 1)

    def survived(self, process: Process) -> None:
        pass


def play(plan: Plan, version: str, transport: str) -> list[str]:
    """One upload, killed as planned; returns the calls that were made."""
    crashes = PlannedCrashes(plan)
    scenario = Scenario(version=version, transport=transport, crashes=crashes)
    scenario.upload()
    verdict = scenario.play()
    assert verdict.ok, f"killed at {described(plan, crashes.calls)}: {verdict.problems}"
    assert 1 == verdict.created
    return crashes.calls


def described(plan: Plan, calls: list[str]) -> str:
    return ", ".join(f"call {at} ({calls[at]}), {crash.value} its effect" for at, crash in plan.items())


def plans_after(plan: Plan, calls: list[str]) -> Iterator[Plan]:
    """Every plan with one more crash, later than those of this one."""
    for at in range(max(plan, default=-1) + 1, len(calls)):
        for crash in Crash:
            yield plan | {at: crash}


# Rules read, request sent, gate asked, attempt claimed, run started, outcome recorded: nothing was left out.
CALLS = {"BatchGetItem", "Query", "SendMessageBatch", "UpdateItem"}


@pytest.mark.parametrize("version", [AIRFLOW_2, AIRFLOW_3])
@pytest.mark.parametrize(
    ("transport", "airflow_calls"),
    [("cli", {"CreateCliToken", "POST /aws_mwaa/cli"}), ("rest", {"InvokeRestApi"})],
)
def test_rows_6_and_22_killed_at_every_point_and_at_every_pair(
    transport: str,
    airflow_calls: set[str],
    version: str,
    record_property: Callable[[str, dict[str, int]], None],
) -> None:
    """One run, nothing left behind, whichever one or two of the calls the process dies in."""
    calls = play({}, version, transport)
    assert CALLS | airflow_calls == set(calls)
    singles = pairs = 0
    for single in plans_after({}, calls):
        singles += 1
        calls_then = play(single, version, transport)
        for pair in plans_after(single, calls_then):
            play(pair, version, transport)
            pairs += 1
    record_property("counts", {"points": singles, "pairs": pairs})
    assert 3 * len(calls) == singles
    assert pairs > singles * len(calls)
