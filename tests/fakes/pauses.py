"""Pauses in a dict, shared by every sandbox that gets the same one."""

from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.dispatch.pauses import PausesRead
from mwaa_gateway.outcomes import HeldReason, Reason


@dataclass
class FakePauseStore:
    """Implements `mwaa_gateway.dispatch.pauses.PauseStore`; `calls` counts what reached it."""

    rules: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    may_be_claimed: bool = False
    failures: Failures = field(default_factory=Failures)
    calls: int = 0

    def read(self, environment: str, rule_id: str) -> PausesRead:
        self.calls += 1
        self.failures.raise_if_due("pulled")
        found: dict[HeldReason, str] = {}
        if rule_id in self.rules:
            found[Reason.RULE_DISABLED] = f"rule {rule_id!r} was disabled"
        if environment in self.environments:
            found[Reason.ENVIRONMENT_PAUSED] = f"environment {environment!r} was paused"
        return PausesRead(found, self.may_be_claimed)
