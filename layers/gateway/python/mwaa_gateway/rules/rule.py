"""A checked rule and its targets: the result of `parse_rule`, and its document."""

from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from mwaa_gateway.airflow.ids import DAG_ID
from mwaa_gateway.conf.captures import Capture
from mwaa_gateway.conf.input_transformer import InputTransformer
from mwaa_gateway.conf.text_template import TextTemplate
from mwaa_gateway.patterns.matchers import Wildcard
from mwaa_gateway.patterns.pattern import Pattern
from mwaa_gateway.rules.fields import Duration, OneOf, Own, RuleField, Text, document_of
from mwaa_gateway.values import value

if TYPE_CHECKING:  # only a rule that collects loads it
    from mwaa_gateway.rules.collect import Collect

State = Literal["ENABLED", "DISABLED", "SHADOW"]
LargeConf = Literal["reject", "claim_check"]
WhenPaused = Literal["queue", "hold", "reject"]
OnReplay = Literal["dedupe", "rerun"]

MAXIMUM_EVENT_AGE_SECONDS: Final = 3 * 24 * 3600  # the trigger queue keeps a message for four days
# A window plus the latest possible delivery of any source (51 days: SNS 23, a queue 14, its dead-letter queue 14) ends
# before the ledger's row of the run expires after 90 days.
MAXIMUM_WINDOW_SECONDS: Final = 30 * 24 * 3600


@value
class Target:
    """What an event starts: a DAG of an environment, with a conf. The id is part of the run's identity.

    `dag_id` is as its author wrote it. If it contains placeholders, `dag_id_template` fills them, and `allowed_dag_ids` must
    contain the result (`*` there matches any run of characters).
    """

    id: Annotated[
        str,
        RuleField(
            Text("[a-z0-9_-]{1,40}", "a-z, 0-9, '_' and '-', at most 40"),
            "Part of the run's identity: a target with another id starts another run.",
        ),
    ]
    environment: Annotated[
        str,
        RuleField(
            Text(
                "[a-zA-Z][0-9a-zA-Z_-]{0,79}", "the name of an MWAA environment: letters, digits, '_' and '-'"
            ),
            "The MWAA environment, one of those that the gateway was deployed for.",
        ),
    ]
    dag_id: Annotated[
        str,
        RuleField(
            Own(), "The DAG. It may take values of the event, as in ingest_<region>, within allowed_dag_ids."
        ),
    ]
    allowed_dag_ids: Annotated[
        tuple[str, ...],
        RuleField(Own(list), "The DAGs that events may name: [ingest_eu, ingest_us] or [ingest_*]."),
    ] = ()
    input_transformer: Annotated[
        InputTransformer | None,
        RuleField(
            Own(InputTransformer.document), "Makes the run's conf; without it, the conf is the event itself."
        ),
    ] = None
    logical_date: Annotated[
        TextTemplate | None,
        RuleField(
            Own(lambda template: template.text),
            "The run's logical date, from the event: <date>, or <date>T06:00+01:00. A DAG has one run per logical date.",
        ),
    ] = None
    partition_key: Annotated[
        TextTemplate | None,
        RuleField(
            Own(lambda template: template.text),
            "The run's partition key, from the event: <date>. Airflow 3.2 and later, transport rest.",
        ),
    ] = None
    large_conf: Annotated[
        LargeConf,
        RuleField(
            OneOf(LargeConf),
            "A conf over 32 KB: reject it, or claim_check to write it to the gateway's bucket and pass its URI.",
        ),
    ] = "reject"
    when_paused: Annotated[
        WhenPaused,
        RuleField(
            OneOf(WhenPaused),
            "While the DAG is paused: queue its runs in Airflow, hold them here, or reject them.",
            always=True,
        ),
    ] = "queue"
    dag_id_template: TextTemplate | None = field(default=None, repr=False, compare=False)

    def allows(self, dag_id: str) -> bool:
        """Return whether an event may name this DAG."""
        return DAG_ID.fullmatch(dag_id) is not None and any(
            Wildcard(tuple(entry.split("*"))).matches(dag_id) for entry in self.allowed_dag_ids
        )

    def document(self) -> dict[str, Any]:
        """Return the target's document in a rule."""
        return document_of(self)


@value
class DedupeKey:
    """The identity of a rule's events: equal texts of `parts`, within a window of event time if there is one."""

    parts: Annotated[
        tuple[TextTemplate, ...],
        RuleField(
            Own(lambda parts: [part.text for part in parts]), "Text with values of the event.", name="key"
        ),
    ]
    window_seconds: Annotated[
        int | None,
        RuleField(
            Duration(MAXIMUM_WINDOW_SECONDS, "15m, 1h or 1d"),
            "The longest time between two such events: 15m, 1h, 1d.",
            name="window",
        ),
    ] = None


@value(kw_only=True)
class Rule:
    """One checked routing rule.

    `version` is its version in the rules table, 0 outside of it. Where `maximum_event_age_seconds` is None, the default of
    the environment's dispatcher applies; without a `dedupe_key`, the event's own identity.
    """

    id: Annotated[
        str,
        RuleField(
            Text(
                "[a-z0-9][a-z0-9._-]{0,79}",
                "a-z, 0-9, '.', '_' and '-', at most 80, beginning with a letter or digit",
            ),
            "The rule's permanent name: it is part of every run_id. The part before the first dot is its namespace.",
        ),
    ]
    description: Annotated[str, RuleField(Text(), "For people.")] = ""
    state: Annotated[
        State,
        RuleField(
            OneOf(State),
            "ENABLED; DISABLED matches nothing; SHADOW matches and records what it would start, but starts nothing. A file "
            "without a state leaves the state in the table unchanged.",
            always=True,
        ),
    ] = "ENABLED"
    pattern: Annotated[
        Pattern | None,
        RuleField(
            Own(lambda pattern: pattern.document),
            "An EventBridge event pattern: every field must match, through any entry of its list. Required, unless the rule "
            "collects parts, which have their own.",
            shorthand="s3",
        ),
    ] = None
    captures: Annotated[
        tuple[Capture, ...],
        RuleField(
            Own(lambda captures: {capture.field: capture.form for capture in captures}),
            'Pieces of a text, by name: {detail.object.key: "orders/{region}/dt={date}/{file}.csv"}.',
        ),
    ] = ()
    dedupe_key: Annotated[
        DedupeKey | None,
        RuleField(
            Own(document_of),
            "Makes two events the same for this rule, instead of the event's own identity: text with values of the event, a "
            "list of texts, or {key, window}.",
        ),
    ] = None
    on_replay: Annotated[
        OnReplay,
        RuleField(
            OneOf(OnReplay),
            "An event that EventBridge replays from an archive: starts nothing again (dedupe), or its own run (rerun).",
        ),
    ] = "dedupe"
    collect: Annotated[
        "Collect | None",
        RuleField(
            Own(document_of),
            "Many events become one run: which belong together (key), and what ends the collection.",
        ),
    ] = None
    targets: Annotated[
        tuple[Target, ...],
        RuleField(
            Own(lambda targets: [document_of(target) for target in targets]),
            "What an event starts: one to five targets, each with its own id.",
            shorthand="target",
        ),
    ]
    maximum_event_age_seconds: Annotated[
        int | None,
        RuleField(
            Duration(MAXIMUM_EVENT_AGE_SECONDS, "30s, 15m, 24h or 3d"),
            "How long the gateway tries an event that Airflow does not accept, from the first attempt: 30m, 24h, at "
            "most 3d.",
            name="maximum_event_age",
        ),
    ] = None
    version: int = 0

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """Every pattern whose events concern the rule."""
        return tuple(self.pattern_fields.values())

    @property
    def pattern_fields(self) -> dict[str, Pattern]:
        """Every pattern by its field: the rule's own, and that of a marker; or those of its parts."""
        fields = {"pattern": self.pattern} if self.pattern is not None else {}
        return fields if self.collect is None else fields | self.collect.pattern_fields

    @property
    def namespace(self) -> str:
        """The part of the id before the first dot; empty without a dot."""
        namespace, dot, _ = self.id.partition(".")
        return namespace if dot else ""

    def document(self) -> dict[str, Any]:
        """Return the rule's document with shorthands expanded; `parse_rule` of it gives an equal rule."""
        return document_of(self)
