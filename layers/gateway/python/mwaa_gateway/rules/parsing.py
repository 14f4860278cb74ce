"""Parses and checks a rule as its author wrote it."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.conf.captures import validate_captures
from mwaa_gateway.conf.text_template import TextTemplate, parse_text_template
from mwaa_gateway.errors import InvalidPattern, InvalidRule
from mwaa_gateway.json_values import dig
from mwaa_gateway.patterns.pattern import FieldMatcher, Pattern, compile_pattern
from mwaa_gateway.rules.fields import Reading, names_of
from mwaa_gateway.rules.pattern_hints import with_hint
from mwaa_gateway.rules.rule import DedupeKey, Rule
from mwaa_gateway.rules.s3_uris import pattern_of_uploads
from mwaa_gateway.rules.targets import read_targets
from mwaa_gateway.trigger_request import OWN_SOURCE

if TYPE_CHECKING:
    from mwaa_gateway.rules.collect import Collect

# The format of a stored rule. A release that changes the meaning of a field raises it and writes `format` into the document;
# an older version then reports the rule instead of applying the old meaning. A document without `format` has format 1.
RULE_FORMAT: Final = 1
MAXIMUM_KEY_PARTS: Final = 10


def parse_rule(
    document: Mapping[str, Any],
    *,
    environments: Collection[str] | None,
    version: int = 0,
    claim_check_bucket: str = "",
    transports: Mapping[str, Collection[str]] | None = None,
    compiled: Pattern | None = None,
) -> Rule:
    """Check a rule as its author wrote it, and expand its shorthands.

    `environments` are the names that the gateway knows; None skips this check. `claim_check_bucket` is the gateway's own
    bucket, whose events no rule may match; empty if unknown. `transports` are each environment's, with its fallback:
    `rest` limits the length of DAG ids, and `cli` takes no partition keys; if None, the dispatcher decides. `compiled` is
    the document's pattern, if the caller has compiled it.

    Raises:
        InvalidRule: The rule has problems; the error lists all of them, each with its field and what to write instead.
    """
    reading = _RuleReading(environments, claim_check_bucket, transports, compiled)
    rule = reading.rule(document, version)
    if reading.problems or rule is None:
        rule_id = document.get("id") if isinstance(document, Mapping) else None
        raise InvalidRule(rule_id if isinstance(rule_id, str) else "?", tuple(reading.problems))
    return rule


def is_own_event(envelope: Mapping[str, Any], claim_check_bucket: str) -> bool:
    """Return whether the gateway itself caused the event, by its own source or its own bucket."""
    if envelope["source"] == OWN_SOURCE:
        return True
    return (
        bool(claim_check_bucket)
        and envelope["source"] == "aws.s3"
        and dig(envelope, ("detail", "bucket", "name")) == claim_check_bucket
    )


_FIELDS: Final = (*names_of(Rule), "format")


class _RuleReading(Reading):
    """One pass over one rule."""

    def __init__(
        self,
        environments: Collection[str] | None,
        claim_check_bucket: str,
        transports: Mapping[str, Collection[str]] | None,
        compiled: Pattern | None,
    ) -> None:
        super().__init__()
        self._compiled = compiled
        self._transports = transports
        self._environments = environments
        self._claim_check_bucket = claim_check_bucket

    def rule(self, document: object, version: int) -> Rule | None:
        """Return the rule, or None if it has problems."""
        if not isinstance(document, Mapping):
            self.refuse("", "a rule is an object with id, pattern and targets")
            return None
        if not self._is_readable(document.get("format", RULE_FORMAT)):
            return None
        self.known_fields(document, "", _FIELDS)
        values = self.values(Rule, document)
        if ".." in (rule_id := values.get("id", "")):
            self.refuse(
                "id",
                f"is {rule_id!r}; write single dots: the id becomes part of a run_id, where Airflow refuses '..'",
            )
        parts = dig(document, ("collect", "complete_when", "parts"))
        if parts is not None:
            for field in {"pattern", "s3", "captures"}.intersection(document):
                self.refuse(field, "is not for a rule with parts: each part has its own; remove it")
        pattern = self._pattern(document) if parts is None else None
        captures, problems = validate_captures(document["captures"]) if "captures" in document else ((), [])
        self.problems += problems
        captured = [name for capture in captures for name in capture.names]
        dedupe_key = self._dedupe_key(document["dedupe_key"], captured) if "dedupe_key" in document else None
        collect = self._collect(document["collect"], captured) if "collect" in document else None
        # To the targets, a batch is one event; its captures are the parts of the batch's key.
        names = collect.key_names if collect else captured
        key_names = names if "collect" in document else None
        targets = read_targets(
            self, document, self._environments, names, self._transports, key_names=key_names
        )
        if self.problems:
            return None
        return Rule(
            **values,
            pattern=pattern,
            captures=captures,
            dedupe_key=dedupe_key,
            collect=collect,
            targets=targets,
            version=version,
        )

    def _is_readable(self, written: object) -> bool:
        if written == RULE_FORMAT and not isinstance(written, bool):
            return True
        self.refuse(
            "format",
            f"is {written!r}, and this version of the gateway reads format {RULE_FORMAT}: deploy the version that wrote the "
            "rule, or apply its file again with the command of this version",
        )
        return False

    # --- pattern

    def _pattern(self, document: Mapping[str, Any]) -> Pattern | None:
        if ("pattern" in document) == ("s3" in document):
            self.refuse(
                "pattern",
                "write either `pattern` (an event pattern) or `s3` (s3://bucket/key), and only one of them",
            )
            return None
        field = "pattern" if "pattern" in document else "s3"
        written = document["pattern"] if field == "pattern" else self._s3_pattern(document["s3"])
        if field == "s3" and written is None:
            return None
        if not isinstance(written, Mapping):
            self.refuse(field, "Filter is not an object; write an event pattern, as in {source: [aws.s3]}")
            return None
        try:
            pattern = self._compiled or compile_pattern(written)
        except InvalidPattern as error:
            for problem in error.problems:
                inside = problem.field if field == "pattern" else ""
                self.refuse(f"{field}.{inside}".removesuffix("."), with_hint(problem))
            return None
        self._refuse_own_events(pattern, field)
        return pattern

    def _s3_pattern(self, written: object) -> dict[str, Any] | None:
        try:
            return pattern_of_uploads(written)
        except ValueError as error:
            self.refuse("s3", str(error))
            return None

    def _refuse_own_events(self, pattern: Pattern, field: str) -> None:
        """Refuse a pattern that names the gateway's own events; ingress drops them where a wider pattern matches them."""
        for branch in pattern.branches:
            fields = dict(branch)
            if OWN_SOURCE in (fields["source"].strings if "source" in fields else ()):
                self.refuse(
                    field, f"matches source {OWN_SOURCE!r}, the gateway's own events: it could trigger itself"
                )
                return
            if self._matches_claim_checks(fields):
                own = self._claim_check_bucket
                self.refuse(
                    field,
                    f"matches bucket {own!r}, where the gateway stores large confs: it could trigger itself; exclude the "
                    f"bucket, as in {{anything-but: [{own}]}}",
                )
                return

    def _matches_claim_checks(self, fields: Mapping[str, FieldMatcher]) -> bool:
        bucket, source = fields.get("detail.bucket.name"), fields.get("source")
        return (
            bool(self._claim_check_bucket)
            and bucket is not None
            and bucket.matches(self._claim_check_bucket)
            and (source is None or source.matches("aws.s3"))
        )

    # --- feeds

    def _collect(self, written: object, captured: Collection[str]) -> "Collect | None":
        from mwaa_gateway.rules.collect_reading import read_collect  # noqa: PLC0415  most rules collect nothing

        collect = read_collect(self, written, captured)
        for other in collect.pattern_fields.values() if collect else ():
            self._refuse_own_events(other, "collect.complete_when")
        return collect

    # --- identity

    def _dedupe_key(self, written: object, captured: Collection[str]) -> DedupeKey | None:
        document = written if isinstance(written, Mapping) else {"key": written}
        self.known_fields(document, "dedupe_key.", names_of(DedupeKey))
        key = document.get("key")
        texts: list[Any] = key if isinstance(key, list) else [key]
        if not 0 < len(texts) <= MAXIMUM_KEY_PARTS or not all(
            isinstance(text, str) and text for text in texts
        ):
            self.refuse(
                "dedupe_key.key",
                f"is {key!r}; write text with values of the event, as in <region>-<$.detail.day>, or a list of 1 to "
                f"{MAXIMUM_KEY_PARTS} such texts",
            )
            return None
        parts = self._key_parts(texts, captured)
        if len(parts) == len(texts) and all(part.is_plain for part in parts):
            self.refuse(
                "dedupe_key.key",
                "is the same for every event; name a value that differs, as in <region> or <$.detail.day>",
            )
        return DedupeKey(tuple(parts), **self.values(DedupeKey, document, "dedupe_key."))

    def _key_parts(self, texts: Iterable[str], captured: Collection[str]) -> list[TextTemplate]:
        parts = []
        for text in texts:
            try:
                parts.append(parse_text_template(text, captured))
            except ValueError as error:
                self.refuse("dedupe_key.key", str(error))
        return parts
