"""A checked rule and its targets: the result of `parse_rule`, and its document."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mwaa_gateway.airflow.ids import DAG_ID
from mwaa_gateway.conf.captures import Capture
from mwaa_gateway.conf.input_transformer import InputTransformer
from mwaa_gateway.conf.text_template import TextTemplate
from mwaa_gateway.patterns.matchers import Wildcard
from mwaa_gateway.patterns.pattern import Pattern
from mwaa_gateway.rules.fields import duration

__all__ = ["DedupeKey", "LargeConf", "Rule", "State", "Target", "WhenPaused"]

State = Literal["ENABLED", "DISABLED", "SHADOW"]
LargeConf = Literal["reject", "claim_check"]
WhenPaused = Literal["queue", "hold", "reject"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an event starts: a DAG of an environment, with a conf. The id is part of the run's identity.

    `dag_id` is as its author wrote it. If it contains placeholders, `dag_id_template` fills them, and `allowed_dag_ids` must
    contain the result (`*` there matches any run of characters).
    """

    id: str
    environment: str
    dag_id: str
    input_transformer: InputTransformer | None = None
    when_paused: WhenPaused = "queue"
    allowed_dag_ids: tuple[str, ...] = ()
    large_conf: LargeConf = "reject"
    dag_id_template: TextTemplate | None = field(default=None, repr=False, compare=False)

    def allows(self, dag_id: str) -> bool:
        """Return whether an event may name this DAG."""
        return DAG_ID.fullmatch(dag_id) is not None and any(
            Wildcard(tuple(entry.split("*"))).matches(dag_id) for entry in self.allowed_dag_ids
        )

    def document(self) -> dict[str, Any]:
        """Return the target's document in a rule."""
        document: dict[str, Any] = {"id": self.id, "environment": self.environment, "dag_id": self.dag_id}
        if self.allowed_dag_ids:
            document["allowed_dag_ids"] = list(self.allowed_dag_ids)
        if self.input_transformer is not None:
            document["input_transformer"] = self.input_transformer.document()
        if self.large_conf != "reject":
            document["large_conf"] = self.large_conf
        return document | {"when_paused": self.when_paused}


@dataclass(frozen=True, slots=True)
class DedupeKey:
    """The identity of a rule's events: equal texts of `parts`, within a window of event time if there is one."""

    parts: tuple[TextTemplate, ...]
    window_seconds: int | None = None

    def document(self) -> dict[str, Any]:
        """Return the key's document in a rule."""
        document: dict[str, Any] = {"key": [part.text for part in self.parts]}
        if self.window_seconds is not None:
            document["window"] = duration(self.window_seconds)
        return document


@dataclass(frozen=True, slots=True)
class Rule:
    """One checked routing rule.

    `version` is its version in the rules table, 0 outside of it. Where `maximum_event_age_seconds` is None, the default of
    the environment's dispatcher applies; without a `dedupe_key`, the event's own identity.
    """

    id: str
    description: str
    state: State
    pattern: Pattern
    targets: tuple[Target, ...]
    maximum_event_age_seconds: int | None = None
    version: int = 0
    captures: tuple[Capture, ...] = ()
    dedupe_key: DedupeKey | None = None
    on_replay: Literal["dedupe", "rerun"] = "dedupe"

    @property
    def namespace(self) -> str:
        """The part of the id before the first dot; empty without a dot."""
        namespace, dot, _ = self.id.partition(".")
        return namespace if dot else ""

    def document(self) -> dict[str, Any]:
        """Return the rule's document with shorthands expanded; `parse_rule` of it gives an equal rule."""
        document: dict[str, Any] = {"id": self.id}
        if self.description:
            document["description"] = self.description
        document["state"] = self.state
        document["pattern"] = self.pattern.document
        if self.captures:
            document["captures"] = {capture.field: capture.form for capture in self.captures}
        if self.dedupe_key is not None:
            document["dedupe_key"] = self.dedupe_key.document()
        if self.on_replay != "dedupe":
            document["on_replay"] = self.on_replay
        document["targets"] = [target.document() for target in self.targets]
        if self.maximum_event_age_seconds is not None:
            document["maximum_event_age"] = duration(self.maximum_event_age_seconds)
        return document
