"""The bucket for large confs as a dict."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fakes.failures import Failures
from mwaa_gateway.conf.claim_check import ClaimCheck


@dataclass
class FakeClaimChecks:
    """Implements `mwaa_gateway.conf.claim_check.ClaimChecks`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)

    def put(self, checks: Sequence[ClaimCheck]) -> None:
        self.failures.raise_if_due("put")
        self.objects |= {check.uri: check.body for check in checks}
