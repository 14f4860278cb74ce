"""Shadow records as a list."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.ingress.shadow import ShadowRecord


@dataclass
class FakeShadowLedger:
    """Implements `mwaa_gateway.ingress.shadow.ShadowLedger`."""

    records: list[ShadowRecord] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def record(self, records: Sequence[ShadowRecord]) -> None:
        self.failures.raise_if_due("record")
        self.records.extend(records)
