"""A rules table in a dict, which counts what it is asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fakes.failures import Failures
from mwaa_gateway.routing.live_rules import NAMESPACES_PARTITION, StoredRule
from mwaa_gateway.rules.partitions import document_partitions


@dataclass
class FakeRuleSource:
    """Implements `mwaa_gateway.routing.live_rules.RuleSource`."""

    partitions: dict[str, dict[str, StoredRule]] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    allow_lists: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def put(self, document: Mapping[str, Any], *, version: int = 1) -> None:
        """Store a rule in every partition its pattern names, and raise their heads."""
        self.put_text(
            document["id"],
            json.dumps(document),
            document_partitions(document),
            version=version,
        )

    def put_text(
        self,
        rule_id: str,
        document: str,
        partitions: Sequence[str],
        *,
        version: int = 1,
        updated_at: str = "",
    ) -> None:
        """Store any text as a rule."""
        for partition in partitions:
            self.partitions.setdefault(partition, {})[rule_id] = StoredRule(
                rule_id, version, document, updated_at
            )
            self.generations[partition] = self.generations.get(partition, 0) + 1

    def allow(self, document: Mapping[str, Any]) -> None:
        """Store the allow-list of a namespace, and raise the head."""
        self.allow_lists[document["namespace"]] = json.dumps(document)
        self.generations[NAMESPACES_PARTITION] = self.generations.get(NAMESPACES_PARTITION, 0) + 1

    def heads(self, partitions: Sequence[str]) -> Mapping[str, int]:
        self.calls.append(("heads", tuple(partitions)))
        self.failures.raise_if_due("heads")
        return {partition: self.generations.get(partition, 0) for partition in partitions}

    def copies(self, partition: str) -> Sequence[StoredRule]:
        self.calls.append(("copies", partition))
        self.failures.raise_if_due("copies")
        return list(self.partitions.get(partition, {}).values())

    def namespaces(self) -> Mapping[str, str]:
        self.calls.append(("namespaces", None))
        self.failures.raise_if_due("namespaces")
        return dict(self.allow_lists)
