"""The JSON schema of rule files, for editors: completion, hover texts, and mistakes while typing.

`rules.schema.json` beside this module is the output of `document`; a test compares the two, and the fields with those of
`parse_rule`. The schema is looser than `rules validate`, which decides: it allows `${var.name}` as any value, and leaves the
content of a pattern to the pattern compiler.
"""

from importlib.resources import files
from typing import Any, Final

from gateway_cli.rules.defaults import DEFAULT_FIELDS

__all__ = ["SCHEMA_FILE", "document", "schema_text"]

SCHEMA_FILE: Final = "rules.schema.json"
_VARIABLE: Final = {"type": "string", "pattern": r"\$\{var\.[A-Za-z_][A-Za-z0-9_-]*\}"}


def schema_text() -> str:
    """Return the schema as shipped."""
    return files("gateway_cli.rules").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")


def document() -> dict[str, Any]:
    """Return the schema."""
    rule = {"$ref": "#/definitions/rule"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Rules of the MWAA Trigger Gateway",
        "description": "One rule, a list of rules, or a list under `rules` with optional `defaults`.",
        "oneOf": [
            {"allOf": [rule, {"$ref": "#/definitions/whole"}]},
            {"type": "array", "items": {"allOf": [rule, {"$ref": "#/definitions/whole"}]}},
            {
                "type": "object",
                "required": ["rules"],
                "additionalProperties": False,
                "properties": {
                    "rules": {"type": "array", "items": rule},
                    "defaults": {
                        "description": "Values for fields that the rules of this file leave out, each field as a whole; "
                        "those under `target` complete every target.",
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            name: {"$ref": f"#/definitions/rule/properties/{name}"} for name in DEFAULT_FIELDS
                        },
                    },
                },
            },
        ],
        "definitions": {
            "rule": _object(
                "One routing rule: the events that it matches, and what each of them starts.", _RULE, ["id"]
            ),
            "whole": {
                "allOf": [
                    {"oneOf": [{"required": ["pattern"]}, {"required": ["s3"]}]},
                    {"oneOf": [{"required": ["target"]}, {"required": ["targets"]}]},
                ]
            },
            "target": _object("A DAG in an environment, and the conf of its run.", _TARGET, []),
            "pattern": _PATTERN,
            "matcher": _MATCHER,
        },
    }


def _object(description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _text(description: str, pattern: str = "", **more: Any) -> dict[str, Any]:
    form: dict[str, Any] = {"type": "string"} | ({"pattern": pattern} if pattern else {}) | more
    return {"description": description, "anyOf": [form, _VARIABLE]}


def _one_of(description: str, *values: str) -> dict[str, Any]:
    return {"description": description, "anyOf": [{"enum": list(values)}, _VARIABLE]}


def _any(description: str, *forms: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "anyOf": [*forms, _VARIABLE]}


_AGE: Final = r"^[1-9][0-9]{0,6}[smhd]$"

_RULE: Final[dict[str, Any]] = {
    "id": _text(
        "The rule's permanent name: it is part of every run_id. The part before the first dot is its namespace.",
        r"^[a-z0-9][a-z0-9._-]{0,79}$",
    ),
    "description": _text("For people."),
    "state": _one_of(
        "ENABLED; DISABLED matches nothing; SHADOW matches and records what it would start, but starts nothing. A file "
        "without a state leaves the state in the table unchanged.",
        "ENABLED",
        "DISABLED",
        "SHADOW",
    ),
    "pattern": _any(
        "An EventBridge event pattern: every field must match, through any entry of its list.",
        {"$ref": "#/definitions/pattern"},
    ),
    "s3": _text(
        "Short for a pattern of uploads: s3://bucket/orders/*.csv. `*` is any run of characters, `/` too.",
        "^s3://[^/]+",
    ),
    "captures": _any(
        'Pieces of a text, by name: {detail.object.key: "orders/{region}/dt={date}/{file}.csv"}.',
        {"type": "object", "additionalProperties": {"type": "string"}},
    ),
    "dedupe_key": _any(
        "Makes two events the same for this rule, instead of the event's own identity: text with values of the event, a "
        "list of texts, or {key, window}.",
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {
            "type": "object",
            "required": ["key"],
            "additionalProperties": False,
            "properties": {
                "key": {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    ]
                },
                "window": _text("The longest time between two such events: 15m, 1h, 1d.", _AGE),
            },
        },
    ),
    "on_replay": _one_of(
        "An event that EventBridge replays from an archive: starts nothing again (dedupe), or its own run (rerun).",
        "dedupe",
        "rerun",
    ),
    "targets": _any(
        "What an event starts: one to five targets, each with its own id.",
        {"type": "array", "minItems": 1, "maxItems": 5, "items": {"$ref": "#/definitions/target"}},
    ),
    "target": _any(
        "What an event starts: one target, with the id `default`.", {"$ref": "#/definitions/target"}
    ),
    "maximum_event_age": _text(
        "How long the gateway tries an event that Airflow does not accept, from the first attempt: 30m, 24h, at most 3d.",
        _AGE,
    ),
}

_TARGET: Final[dict[str, Any]] = {
    "id": _text(
        "Part of the run's identity: a target with another id starts another run.", r"^[a-z0-9_-]{1,40}$"
    ),
    "environment": _text(
        "The MWAA environment, one of those that the gateway was deployed for.",
        r"^[a-zA-Z][0-9a-zA-Z_-]{0,79}$",
    ),
    "dag_id": _text(
        "The DAG. It may take values of the event, as in ingest_<region>, within allowed_dag_ids."
    ),
    "allowed_dag_ids": _any(
        "The DAGs that events may name: [ingest_eu, ingest_us] or [ingest_*].",
        {"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "string"}},
    ),
    "input_transformer": _any(
        "Makes the run's conf; without it, the conf is the event itself.",
        {
            "type": "object",
            "required": ["input_template"],
            "additionalProperties": False,
            "properties": {
                "input_paths": _any(
                    "Names for values of the event: {key: $.detail.object.key}.",
                    {"type": "object", "additionalProperties": _text("A path into the event.", r"^\$")},
                ),
                "input_template": _any(
                    "The conf, with <name> for a value: a whole value keeps its type, inside text it is inserted as text.",
                    {"type": "object"},
                    {"type": "string"},
                ),
            },
        },
    ),
    "large_conf": _one_of(
        "A conf over 32 KB: reject it, or claim_check to write it to the gateway's bucket and pass its URI.",
        "reject",
        "claim_check",
    ),
    "when_paused": _one_of(
        "While the DAG is paused: queue its runs in Airflow, hold them here, or reject them.",
        "queue",
        "hold",
        "reject",
    ),
}

_PATTERN: Final[dict[str, Any]] = {
    "type": "object",
    "minProperties": 1,
    "properties": {"$or": {"type": "array", "minItems": 2, "items": {"$ref": "#/definitions/pattern"}}},
    "additionalProperties": {
        "anyOf": [
            {"$ref": "#/definitions/pattern"},
            {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/matcher"}},
            _VARIABLE,
        ]
    },
}

_MATCHER: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {
                "prefix": {"description": "Text that begins like this."},
                "suffix": {"description": "Text that ends like this."},
                "equals-ignore-case": {"type": "string", "description": "This text in any case."},
                "wildcard": {"type": "string", "description": "Text with * for any run of characters."},
                "anything-but": {
                    "description": "Anything else: a value, a list, or prefix, suffix, wildcard, …"
                },
                "numeric": {"type": "array", "description": '[">", 0, "<=", 5]'},
                "exists": {"type": "boolean", "description": "Whether the event has the field."},
                "cidr": {"type": "string", "description": "An IP address in a network: 10.0.0.0/24"},
                "exactly": {"type": "string", "description": "Exactly this text."},
            },
        },
    ]
}


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(document(), indent=2) + "\n")
