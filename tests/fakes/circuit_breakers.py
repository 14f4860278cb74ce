"""Circuit breakers in a dict, shared by every sandbox that uses the same one."""

from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.dispatch.circuit_breaker import OpenCircuit


@dataclass
class FakeCircuitStore:
    """Implements `mwaa_gateway.dispatch.circuit_breaker.CircuitStore`; `calls` counts what reached it."""

    circuit_breakers: dict[str, OpenCircuit] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    calls: int = 0

    def take_probe(self, name: str, now: float, until: float) -> tuple[bool, OpenCircuit | None]:
        self._call("take_probe")
        circuit = self.circuit_breakers.get(name)
        if circuit is None or now < circuit.probe_at:
            return False, circuit
        self.circuit_breakers[name] = OpenCircuit(
            circuit.open_since, circuit.failed_at, circuit.failures, until
        )
        return True, self.circuit_breakers[name]

    def open(self, name: str, circuit: OpenCircuit) -> None:
        self._call("open")
        self.circuit_breakers[name] = circuit

    def close(self, name: str) -> None:
        self._call("close")
        self.circuit_breakers.pop(name, None)

    def _call(self, method: str) -> None:
        self.failures.raise_if_due(method)
        self.calls += 1
