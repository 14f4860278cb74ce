"""Reads the targets of a rule."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeGuard

from mwaa_gateway.airflow.ids import DAG_ID, DAG_ID_WORDS, LONGEST_REST_DAG_ID
from mwaa_gateway.conf.batch_values import key_placeholders
from mwaa_gateway.conf.input_transformer import InputTransformer, validate_transformer
from mwaa_gateway.conf.text_template import TextTemplate, parse_text_template
from mwaa_gateway.errors import nearest
from mwaa_gateway.rules.fields import Reading, names_of
from mwaa_gateway.rules.rule import Target
from mwaa_gateway.transports import CLI, REST

MAXIMUM_TARGETS: Final = 5
MAXIMUM_ALLOWED_DAG_IDS: Final = 100

_ALLOWED: Final = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_*][A-Za-z0-9_.*-]{0,249}")


def read_targets(
    reading: Reading,
    document: Mapping[str, Any],
    environments: Collection[str] | None,
    captured: Collection[str],
    transports: Mapping[str, Collection[str]] | None = None,
    *,
    key_names: Collection[str] | None = None,
) -> tuple[Target, ...]:
    """Read `targets` or `target`; `captured` are the names of the rule's captures.

    `key_names` are the names in the key of its `collect`, None for a rule without one.
    """
    if ("targets" in document) == ("target" in document):
        reading.refuse("targets", "write either `targets` (a list) or `target` (one, with the id `default`)")
        return ()
    of = _TargetReading(reading, environments, captured, transports, key_names)
    if "target" in document:
        return (of.target(document["target"], "target", default_id="default"),)
    written = document["targets"]
    if not isinstance(written, list) or not 1 <= len(written) <= MAXIMUM_TARGETS:
        reading.refuse("targets", f"must be a list of 1 to {MAXIMUM_TARGETS} targets")
        return ()
    targets = tuple(
        of.target(target, f"targets[{position}]", default_id=None) for position, target in enumerate(written)
    )
    seen: set[str] = set()
    for position, target in enumerate(targets):
        if target.id in seen and target.id:
            reading.refuse(
                f"targets[{position}].id", f"{target.id!r} is the id of another target; give each its own"
            )
        seen.add(target.id)
    return targets


class _TargetReading:
    """Reads the targets of one rule."""

    def __init__(
        self,
        reading: Reading,
        environments: Collection[str] | None,
        captured: Collection[str],
        transports: Mapping[str, Collection[str]] | None,
        key_names: Collection[str] | None,
    ) -> None:
        self._reading = reading
        self._environments = environments
        self._captured = captured
        self._transports = transports
        self._key_names = key_names

    def target(self, written: object, field: str, default_id: str | None) -> Target:
        reading = self._reading
        if not isinstance(written, Mapping):
            reading.refuse(field, "must be an object with environment and dag_id")
            return Target("", "", "")
        reading.known_fields(written, f"{field}.", names_of(Target))
        if default_id is not None:
            written = {"id": default_id, **written}
        values = {"id": "", "environment": "", **reading.values(Target, written, f"{field}.")}
        self._refuse_unknown(values["environment"], f"{field}.environment")
        dag_id, template = self._dag_id(written, field)
        allowed = self._allowed(written, field)
        partition_key = self._run_template(written, field, "partition_key")
        used = (self._transports or {}).get(values["environment"], ())
        if REST in used:
            self._refuse_long(f"{field}.dag_id", [] if template else [dag_id])
            self._refuse_long(f"{field}.allowed_dag_ids", allowed)
        if CLI in used and partition_key is not None:
            self._reading.refuse(
                f"{field}.partition_key",
                f"needs Airflow's REST API, and environment {values['environment']!r} uses CLI tokens: remove it, or set "
                "the environment's transport to rest or web in the stack's parameter Transports",
            )
        return Target(
            **values,
            dag_id=dag_id,
            dag_id_template=template,
            allowed_dag_ids=allowed,
            input_transformer=self._transformer(written, field, values["id"]),
            logical_date=self._logical_date(written, field),
            partition_key=partition_key,
        )

    def _refuse_unknown(self, environment: str, field: str) -> None:
        known = self._environments
        if environment and known is not None and environment not in known:
            hint = nearest(environment, known) or f"known are: {', '.join(sorted(known)) or 'none'}"
            self._reading.refuse(field, f"{environment!r} is not an environment of this gateway; {hint}")

    def _transformer(self, written: Mapping[str, Any], field: str, target_id: str) -> InputTransformer | None:
        if "input_transformer" not in written:
            return None
        transformer, problems = validate_transformer(
            written["input_transformer"],
            field=f"{field}.input_transformer",
            target_id=target_id,
            captured=self._captured,
            key_names=self._key_names,
        )
        self._reading.problems += problems
        return transformer

    def _logical_date(self, written: Mapping[str, Any], field: str) -> TextTemplate | None:
        template = self._run_template(written, field, "logical_date")
        if template is not None and template.is_plain:
            self._reading.refuse(
                f"{field}.logical_date",
                "is the same for every event, and a DAG has one run per logical date; name a value of the event, as in "
                "<date>",
            )
        return template

    def _run_template(self, written: Mapping[str, Any], field: str, name: str) -> TextTemplate | None:
        """Return the template of a text about the run, None if the target has none."""
        if name not in written:
            return None
        text = written[name]
        try:
            if not isinstance(text, str) or not text:
                raise ValueError(f"is {text!r}; write text with values of the event, as in <date>")  # noqa: TRY301
            return parse_text_template(text, self._names(written))
        except ValueError as error:
            self._reading.refuse(f"{field}.{name}", str(error))
            return None

    def _names(self, written: Mapping[str, Any]) -> set[str]:
        """Return the names that a target's texts may use: captures, or parts of the key, and input paths."""
        return {*self._captured, *key_placeholders(self._key_names or ()), *_input_names(written)}

    def _dag_id(self, written: Mapping[str, Any], field: str) -> tuple[str, TextTemplate | None]:
        """Return the dag_id as written, and its template if it has placeholders."""
        value = written.get("dag_id")
        if not _takes_values(value):
            if isinstance(value, str) and DAG_ID.fullmatch(value):
                return value, None
            what = "is missing" if value is None else f"is {value!r}"
            self._reading.refuse(f"{field}.dag_id", f"{what}; write {DAG_ID_WORDS}")
            return "", None
        try:
            template = parse_text_template(value, self._names(written))
        except ValueError as error:
            self._reading.refuse(f"{field}.dag_id", str(error))
            return value, None
        filled = "".join(part if isinstance(part, str) else "x" for part in template.parts)
        if not DAG_ID.fullmatch(filled):
            self._reading.refuse(
                f"{field}.dag_id", f"is {value!r}; around its placeholders, write {DAG_ID_WORDS}"
            )
        return value, template

    def _allowed(self, written: Mapping[str, Any], field: str) -> tuple[str, ...]:
        """Return `allowed_dag_ids`, which is required with placeholders in dag_id and refused without."""
        where, takes_values = f"{field}.allowed_dag_ids", _takes_values(written.get("dag_id"))
        if "allowed_dag_ids" not in written:
            if takes_values:
                self._reading.refuse(
                    where,
                    "is missing: dag_id takes values from the event, so list the DAGs that it may start, as in "
                    "[ingest_eu, ingest_us] or [ingest_*]",
                )
            return ()
        allowed = written["allowed_dag_ids"]
        if not takes_values:
            self._reading.refuse(
                where, "is only for a dag_id with placeholders, as in ingest_<region>; remove it"
            )
            return ()
        if not isinstance(allowed, list) or not 1 <= len(allowed) <= MAXIMUM_ALLOWED_DAG_IDS:
            self._reading.refuse(where, f"must be a list of 1 to {MAXIMUM_ALLOWED_DAG_IDS} dag_ids")
            return ()
        for position, entry in enumerate(allowed):
            if not isinstance(entry, str) or not _ALLOWED.fullmatch(entry):
                self._reading.refuse(
                    f"{where}[{position}]",
                    f"is {entry!r}; write a dag_id, where * matches any run of characters, as in ingest_*",
                )
        return tuple(map(str, allowed))

    def _refuse_long(self, where: str, dag_ids: Iterable[str]) -> None:
        """Refuse DAG ids that are too long for InvokeRestApi; the `*` of a pattern do not count."""
        for dag_id in dag_ids:
            if (length := len(dag_id.replace("*", ""))) > LONGEST_REST_DAG_ID:
                self._reading.refuse(
                    where,
                    f"{dag_id!r} has {length} characters; InvokeRestApi, the environment's transport, allows "
                    f"{LONGEST_REST_DAG_ID}: shorten the DAG's id, or set the environment's transport to web or cli in the "
                    "stack's parameter Transports",
                )


def _takes_values(dag_id: object) -> TypeGuard[str]:
    return isinstance(dag_id, str) and "<" in dag_id


def _input_names(written: Mapping[str, Any]) -> Iterable[str]:
    """Return the names of the target's input paths, even if its transformer has problems."""
    transformer = written.get("input_transformer")
    paths = transformer.get("input_paths") if isinstance(transformer, Mapping) else None
    return filter(lambda name: isinstance(name, str), paths) if isinstance(paths, Mapping) else ()
