"""The JSON schema of rule files, for editors: completion, hover texts, and mistakes while typing.

The fields and their texts come from `mwaa_gateway.rules.rule`. This module adds the forms of `Own` fields. The schema is
looser than `rules validate`, which decides: it allows `${var.name}` as any value, and leaves the content of a pattern to
the pattern compiler.
"""

import json
from typing import Any, Final

from gateway_cli.rules.defaults import DEFAULT_FIELDS
from mwaa_gateway.rules.collect import Collect
from mwaa_gateway.rules.due import Due
from mwaa_gateway.rules.fields import DURATION, Duration, Integer, Kind, Nested, OneOf, Own, Text, fields_of
from mwaa_gateway.rules.rule import DedupeKey, Rule, Target

_VARIABLE: Final = {"type": "string", "pattern": r"\$\{var\.[A-Za-z_][A-Za-z0-9_-]*\}"}


def schema_text() -> str:
    """Return the schema as JSON."""
    return json.dumps(document(), indent=2) + "\n"


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
            "rule": _record(
                "One routing rule: the events that it matches, and what each of them starts.", Rule, ["id"]
            ),
            "whole": {
                "allOf": [
                    {"oneOf": [{"required": ["pattern"]}, {"required": ["s3"]}, _HAS_PARTS]},
                    {"oneOf": [{"required": ["target"]}, {"required": ["targets"]}]},
                ]
            },
            "target": _record("A DAG in an environment, and the conf of its run.", Target, []),
            "pattern": _PATTERN,
            "matcher": _MATCHER,
        },
    }


def _record(description: str, record: type, required: list[str]) -> dict[str, Any]:
    return _object(_properties(record), required) | {"description": description}


def _properties(record: type) -> dict[str, Any]:
    properties = {}
    for name, field in fields_of(record).items():
        forms = _OWN_FORMS[record, name] if isinstance(field.kind, Own) else [_form(field.kind)]
        properties[name] = _any(field.text, *forms)
        if field.shorthand:
            properties[field.shorthand] = _SHORTHANDS[field.shorthand]
    return properties


def _form(kind: Kind) -> dict[str, Any]:
    match kind:
        case Text():
            form = {"pattern": f"^{kind.form}$"} if kind.form else {}
            return {"type": "string"} | form | ({"maxLength": kind.longest} if kind.longest else {})
        case OneOf():
            return {"enum": list(kind.choices)}
        case Integer():
            return {"type": "integer", "minimum": kind.lowest, "maximum": kind.highest}
        case Duration():
            return {"type": "string", "pattern": f"^{DURATION}$"}
        case Nested(record):
            required = [name for name, field in fields_of(record).items() if field.required]
            return _object(_properties(record), required)
        case Own():
            raise TypeError("its form is in _OWN_FORMS")


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _any(description: str, *forms: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "anyOf": [*forms, _VARIABLE]}


_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT, "minItems": 1}
_CAPTURES: Final = {"type": "object", "additionalProperties": _TEXT}

_SHORTHANDS: Final = {
    "s3": _any(
        "Short for a pattern of uploads: s3://bucket/orders/*.csv. `*` is any run of characters, `/` too.",
        {"type": "string", "pattern": "^s3://[^/]+"},
    ),
    "target": _any(
        "What an event starts: one target, with the id `default`.", {"$ref": "#/definitions/target"}
    ),
}

# A rule with parts has no pattern of its own.
_HAS_PARTS: Final = {
    "required": ["collect"],
    "properties": {
        "collect": {
            "required": ["complete_when"],
            "properties": {"complete_when": {"required": ["parts"]}},
        }
    },
}

# The forms of each `Own` field.
_OWN_FORMS: Final[dict[tuple[type, str], list[dict[str, Any]]]] = {
    (Rule, "pattern"): [{"$ref": "#/definitions/pattern"}],
    (Rule, "captures"): [_CAPTURES],
    (DedupeKey, "key"): [_TEXT, _TEXTS],
    (Rule, "targets"): [
        {"type": "array", "minItems": 1, "maxItems": 5, "items": {"$ref": "#/definitions/target"}}
    ],
    (Target, "dag_id"): [_TEXT],
    (Target, "logical_date"): [_TEXT],
    (Target, "partition_key"): [_TEXT],
    (Target, "allowed_dag_ids"): [_TEXTS | {"maxItems": 100}],
    (Target, "input_transformer"): [
        _object(
            {
                "input_paths": _any(
                    "Names for values of the event: {key: $.detail.object.key}.",
                    {
                        "type": "object",
                        "additionalProperties": _any(
                            "A path into the event.", {"type": "string", "pattern": r"^\$"}
                        ),
                    },
                ),
                "input_template": _any(
                    "The conf, with <name> for a value: a whole value keeps its type, inside text it is inserted as text.",
                    {"type": "object"},
                    _TEXT,
                ),
                "member_template": _any(
                    "With collect: how an entry of <batch.members> looks, with fields of the member: {path: <uri>, bytes: "
                    "<size>}.",
                    {"type": ["object", "array", "string"]},
                ),
            },
            ["input_template"],
        )
    ],
}
_OWN_FORMS[Collect, "key"] = [_TEXT, _TEXTS]
_OWN_FORMS[Collect, "complete_when"] = [
    _object(
        {
            "event": _any(
                "An event of the same key says that the batch is complete.",
                _object(
                    {
                        "pattern": {"$ref": "#/definitions/pattern"},
                        "captures": _CAPTURES,
                        "count": _any(
                            "How many members the batch must have: <total> or <$.detail.count>.", _TEXT
                        ),
                    },
                    ["pattern"],
                ),
            ),
            "count": _any("So many different members, or values of `of`.", {"type": "integer", "minimum": 1}),
            "of": _any("The value that count counts: <hour>.", _TEXT),
            "values": _any(
                "Each of these values: {of: <region>, all_of: [eu, us]}.",
                _object({"of": _TEXT, "all_of": _TEXTS}, ["of", "all_of"]),
            ),
            "parts": _any(
                "Members of each of several feeds: {orders: {s3: s3://landing/orders/*}, customers: {…, at_least: 3}}.",
                {
                    "type": "object",
                    "minProperties": 2,
                    "maxProperties": 20,
                    "additionalProperties": _object(
                        {
                            "pattern": {"$ref": "#/definitions/pattern"},
                            "s3": _SHORTHANDS["s3"],
                            "captures": _CAPTURES,
                            "at_least": _any("So many different members.", {"type": "integer", "minimum": 1}),
                        },
                        [],
                    )
                    | {"oneOf": [{"required": ["s3"]}, {"required": ["pattern"]}]},
                },
            ),
            "require": _any("How many of the parts must be complete.", {"type": "integer", "minimum": 1}),
        },
        [],
    )
]
_OWN_FORMS[Due, "date"] = [_TEXT]
_OWN_FORMS[Collect, "due"] = [_form(Nested(Due))]
_OWN_FORMS[Rule, "collect"] = [_form(Nested(Collect))]
_OWN_FORMS[Rule, "dedupe_key"] = [_TEXT, _TEXTS, _form(Nested(DedupeKey))]

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
