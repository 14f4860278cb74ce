"""Which calls die, and how: every single one, and every pair of them."""

from collections.abc import Callable, Iterator
from typing import Any

from simulation.scheduler import Process
from simulation.world import Crash

__all__ = ["Plan", "PlannedCrashes", "described", "plans_after"]

Plan = dict[int, Crash]  # the how-many-th call of all dies, and how


class PlannedCrashes:
    """Kills at the calls of a plan, counted over all processes, or over those that are meant."""

    def __init__(self, plan: Plan, meant: Callable[[Process], bool] = lambda _: True) -> None:
        self.plan = plan
        self.meant = meant
        self.calls: list[str] = []

    def next(self, process: Process, operation: str) -> Crash | None:
        if not self.meant(process):
            return None
        self.calls.append(operation)
        return self.plan.get(len(self.calls) - 1)

    def written(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        pass


def described(plan: Plan, calls: list[str]) -> str:
    return ", ".join(f"call {at} ({calls[at]}), {crash.value} its effect" for at, crash in plan.items())


# Without an effect of their own: whoever dies in one leaves the same behind, at whatever point of it.
READS = {"BatchGetItem", "GetItem", "GetObject", "Query", "Scan"}


def plans_after(plan: Plan, calls: list[str], begin: int = 0) -> Iterator[Plan]:
    """Every plan with one more crash, later than those of this one."""
    for at in range(max(plan, default=begin - 1) + 1, len(calls)):
        for crash in (Crash.DURING,) if calls[at] in READS else Crash:
            yield plan | {at: crash}
