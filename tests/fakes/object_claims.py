"""Claims to objects in a dict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fakes.failures import Failures


@dataclass
class FakeClaims:
    """Implements ObjectClaims of the dispatcher and MemberClaims of the collector; `calls` counts what reached it."""

    texts: dict[tuple[str, str, str], str] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    calls: int = 0

    def read(self, name: str, rule_id: str, target_id: str) -> str:
        self.calls += 1
        self.failures.raise_if_due("claims")
        return self.texts.get((name, rule_id, target_id), "")

    def replace(self, name: str, rule_id: str, target_id: str, seen: str, text: str) -> bool:
        self.calls += 1
        if self.texts.get((name, rule_id, target_id), "") != seen:
            return False
        self.texts[name, rule_id, target_id] = text
        return True

    def read_all(self, rule_id: str, names: Iterable[str]) -> Mapping[str, str]:
        return {name: self.read(name, rule_id, "") for name in names}
