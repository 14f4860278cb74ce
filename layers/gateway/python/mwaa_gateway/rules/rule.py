"""A rule and its targets, checked: what `parse_rule` returns, and how it is written again."""

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

    `dag_id` is as its author wrote it. With values of the event in it, `dag_id_template` fills it, and the result has to be
    one of `allowed_dag_ids` (`*` there is any run of characters).
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
        """Say whether an event may name this DAG."""
        return DAG_ID.fullmatch(dag_id) is not None and any(
            Wildcard(tuple(entry.split("*"))).matches(dag_id) for entry in self.allowed_dag_ids
        )

    def document(self) -> dict[str, Any]:
        """Return the target as it stands in a rule, nothing left to a default."""
        written: dict[str, Any] = {"id": self.id, "environment": self.environment, "dag_id": self.dag_id}
        if self.allowed_dag_ids:
            written["allowed_dag_ids"] = list(self.allowed_dag_ids)
        if self.input_transformer is not None:
            written["input_transformer"] = self.input_transformer.document()
        if self.large_conf != "reject":
            written["large_conf"] = self.large_conf
        return written | {"when_paused": self.when_paused}


@dataclass(frozen=True, slots=True)
class DedupeKey:
    """What makes two events of a rule the same: the texts of `parts`, within a window of event time if there is one."""

    parts: tuple[TextTemplate, ...]
    window_seconds: int | None = None

    def document(self) -> dict[str, Any]:
        """Return the key as it stands in a rule."""
        written: dict[str, Any] = {"key": [part.text for part in self.parts]}
        if self.window_seconds is not None:
            written["window"] = duration(self.window_seconds)
        return written


@dataclass(frozen=True, slots=True)
class Rule:
    """One routing rule, checked.

    `version` is the one it has in the rules table, 0 outside of it. A rule whose `maximum_event_age_seconds`
    is None leaves it to the environment's dispatcher; one without a `dedupe_key` to the event's own identity.
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
        """What stands before the id's first dot; empty where there is none."""
        namespace, dot, _ = self.id.partition(".")
        return namespace if dot else ""

    def document(self) -> dict[str, Any]:
        """Return the rule as JSON, sugar and defaults resolved; `parse_rule` of it gives an equal rule."""
        written: dict[str, Any] = {"id": self.id}
        if self.description:
            written["description"] = self.description
        written["state"] = self.state
        written["pattern"] = self.pattern.document
        if self.captures:
            written["captures"] = {capture.field: capture.form for capture in self.captures}
        if self.dedupe_key is not None:
            written["dedupe_key"] = self.dedupe_key.document()
        if self.on_replay != "dedupe":
            written["on_replay"] = self.on_replay
        written["targets"] = [target.document() for target in self.targets]
        if self.maximum_event_age_seconds is not None:
            written["maximum_event_age"] = duration(self.maximum_event_age_seconds)
        return written
