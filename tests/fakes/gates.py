"""Gates in a dict, shared by every sandbox that is given the same one."""

from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.dispatch.circuit_breaker import GateRecord


@dataclass
class FakeGateStore:
    """Implements `mwaa_gateway.dispatch.circuit_breaker.GateStore`; `calls` counts what reached it."""

    gates: dict[str, GateRecord] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    calls: int = 0

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, GateRecord | None]:
        self._call("take_probe")
        gate = self.gates.get(name)
        if gate is None or now < gate.probe_at:
            return False, gate
        self.gates[name] = GateRecord(gate.shut_since, gate.failed_at, gate.failures, until)
        return True, self.gates[name]

    def shut(self, name: str, record: GateRecord) -> None:
        self._call("shut")
        self.gates[name] = record

    def open(self, name: str) -> None:
        self._call("open")
        self.gates.pop(name, None)

    def _call(self, method: str) -> None:
        self.failures.raise_if_due(method)
        self.calls += 1
